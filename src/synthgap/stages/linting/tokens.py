"""How a text encoder's tokenizer cuts words and prompts; without torch, and without a model."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synthgap.core.errors import InputError

CLIP = "clip"
CONTEXT = 77
"""Tokens that CLIP's text encoders read, begin and end included."""
FILES = ("tokenizer.json", "vocab.json", "merges.txt")
_MERGES = 49152 - 256 - 2
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


class Tokens:
    """Counts tokens. Build it with ``load_tokens``."""

    def __init__(self, name: str, tokenizer: Any) -> None:
        self.name = name
        self._tokenizer = tokenizer

    def pieces(self, word: str) -> int:
        """Tokens of a word or text, without begin and end."""
        return len(self._tokenizer.encode(word, add_special_tokens=False).ids)

    def length(self, prompt: str) -> int:
        """Tokens of a prompt, begin and end included."""
        return self.pieces(prompt) + 2


def load_tokens(name: str) -> Tokens:
    """The tokenizer of ``clip`` (as open_clip ships it, that of Stable Diffusion 1.x too), of a model folder, or of a Hub id.

    Raises InputError where there is none, or the Hub cannot be reached and the cache has no copy.
    """
    return Tokens(name, _clip() if name == CLIP else _from_folder(_folder(name)))


def _clip() -> Any:
    spec = find_spec("open_clip")
    path = Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz" if spec and spec.origin else Path()
    if not path.is_file():
        raise InputError("CLIP's vocabulary is not installed with open_clip; name a folder that holds tokenizer.json")
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : _MERGES + 1]
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
    letters = _byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    return _byte_pairs({word: number for number, word in enumerate([*words, "<|endoftext|>"])}, merges)


def _byte_letters() -> list[str]:
    """The printable letters that stand for bytes in byte-level BPE, in the order of CLIP's vocabulary."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in shown] + [chr(256 + number) for number in range(256 - len(shown))]


def _byte_pairs(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    bpe = models.BPE(
        vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token="<|endoftext|>"
    )
    tokenizer = Tokenizer(bpe)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return tokenizer


def _from_folder(folder: Path) -> Any:
    """The tokenizer of an encoder's folder, or of the ``tokenizer`` folder of a generator."""
    import json

    from tokenizers import Tokenizer

    for place in (folder, folder / "tokenizer"):
        try:
            if (place / "tokenizer.json").is_file():
                return Tokenizer.from_file(str(place / "tokenizer.json"))
            if (place / "vocab.json").is_file() and (place / "merges.txt").is_file():
                vocabulary = json.loads((place / "vocab.json").read_text("utf-8"))
                lines = (place / "merges.txt").read_text("utf-8").splitlines()
                pairs = [line.split() for line in lines if not line.startswith("#version")]
                return _byte_pairs(vocabulary, [(pair[0], pair[1]) for pair in pairs if len(pair) == 2])
        except Exception as error:  # the Rust library raises a bare Exception
            raise InputError(f"the tokenizer in {place} cannot be read: {str(error)[:120]}") from None
    raise InputError(
        f"{folder} holds no tokenizer ({FILES[0]}, or {FILES[1]} and {FILES[2]}); name a model's folder or a Hub id"
    )


@cache
def _folder(name: str) -> Path:
    from synthgap.models import lab_path

    if name == "lab":
        return lab_path("encoder")
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(f"tokenizer {name!r} is neither {CLIP!r}, a folder here nor a Hub id OWNER/NAME")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=[*FILES, *(f"tokenizer/{file}" for file in FILES)]))
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
        raise InputError(
            f"cannot get the tokenizer of {name!r} from the Hub and it is not in the cache ({reason}); "
            "connect, or download it elsewhere and name its folder"
        ) from None
