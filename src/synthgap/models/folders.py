"""Where a model's files are: the shipped lab, a local folder, or a snapshot of the Hugging Face Hub.

Whatever the user names ends as one local folder with a fingerprint; the loaders never touch the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synthgap.core.errors import InputError, nearest
from synthgap.core.fingerprint import fingerprint, folder_fingerprint
from synthgap.core.specs import EncoderSpec, GenerateSpec
from synthgap.models.plugs import find_plug

LAB = "lab"
LAB_KINDS = ("generator", "encoder", "judge")
OPEN_CLIP_CONFIG = "open_clip_config.json"
HUB_SECONDS = 5.0
"""How long the Hub may take to answer before the cache is tried."""
ENCODER_SETTINGS = ("*.json", "*.txt", "*.model")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's files on this machine, and what identifies them."""

    name: str
    """What people call it: ``lab``, a Hub id, or the name of a local folder."""
    folder: Path
    fingerprint: str
    """Hash of the folder's files; of id and commit for a model of the Hub."""
    revision: str
    """The Hub's commit; the fingerprint for a local folder."""


def lab_path(kind: str) -> Path:
    """Folder of a model of the shipped lab: ``generator``, ``encoder`` or ``judge``.

    Raises InputError for another kind, or where the lab's weights are not installed.
    """
    if kind not in LAB_KINDS:
        raise InputError(f"the lab has no {kind!r}, expected one of {', '.join(LAB_KINDS)}{nearest(kind, LAB_KINDS)}")
    folder = Path(__file__).parent.parent / "lab" / "world" / kind
    if not folder.is_dir():
        raise InputError(
            f"the lab's {kind} is not in {folder}: install synthgap from a wheel or a full clone, or name a model folder"
        )
    return folder


def locate_generator(spec: GenerateSpec) -> ModelFolder:
    """Find the generator of a spec, downloading it from the Hub when it is a Hub id that is not in the cache.

    For a user's own function the folder is the file that holds it.

    Raises InputError where there is no such folder, or the Hub cannot be reached and the cache has no copy.
    """
    if (plug := find_plug(spec.generator)) is not None:
        return ModelFolder(plug.name, plug.source or Path(), plug.fingerprint, plug.revision)
    if (folder := _local(spec.generator, "generator")) is not None:
        if not (folder / "model_index.json").is_file():
            raise InputError(
                f"generator folder {folder} has no model_index.json: expected a folder saved by diffusers' save_pretrained"
            )
        return _identified(spec.generator, folder)

    def download(repository: str, revision: str, offline: bool) -> str:
        from diffusers import DiffusionPipeline

        # use_safetensors: a pickle can run code. The safety checker is never loaded, but diffusers fetches it.
        options = {"use_safetensors": True, "variant": spec.variant, "local_files_only": offline}
        return str(DiffusionPipeline.download(repository, revision=revision, **options))

    return _from_hub(spec.generator, spec.revision, "generator", download)


def locate_encoder(spec: EncoderSpec) -> ModelFolder:
    """Find the encoder of a spec: ``lab``, a folder, ``local-dir:FOLDER``, a Hub id or ``hf-hub:ID``.

    Raises InputError where there is no such folder, or the Hub cannot be reached and the cache has no copy.
    """
    if (folder := _local(spec.encoder.removeprefix("local-dir:"), "encoder")) is not None:
        if not any((folder / name).is_file() for name in (OPEN_CLIP_CONFIG, "config.json")):
            raise InputError(
                f"encoder folder {folder} has neither {OPEN_CLIP_CONFIG} (open_clip) nor config.json (transformers, timm)"
            )
        return _identified(spec.encoder, folder)
    if spec.encoder.startswith("local-dir:"):
        raise InputError(f"there is no encoder folder {spec.encoder.removeprefix('local-dir:')}")

    def download(repository: str, revision: str, offline: bool) -> str:
        from huggingface_hub import snapshot_download

        def fetch(patterns: tuple[str, ...]) -> str:
            return snapshot_download(
                repository, revision=revision, local_files_only=offline, allow_patterns=list(patterns)
            )

        folder = Path(fetch(ENCODER_SETTINGS))
        # Many repositories hold the same weights once for open_clip and once for transformers.
        return fetch(("open_clip*.safetensors" if (folder / OPEN_CLIP_CONFIG).is_file() else "model*.safetensors",))

    return _from_hub(spec.encoder.removeprefix("hf-hub:"), spec.revision, "encoder", download)


def _local(name: str, kind: str) -> Path | None:
    """The folder that ``name`` names, or None where it looks like a Hub id."""
    if name == LAB:
        return lab_path(kind)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"there is no {kind} folder {name}")
    return None


def _identified(name: str, folder: Path) -> ModelFolder:
    content = folder_fingerprint(folder)
    # A folder's place on this machine is not part of a result: only its last name is kept.
    return ModelFolder(name if name == LAB else folder.resolve().name, folder, content, content)


def _from_hub(
    repository: str, revision: str | None, kind: str, download: Callable[[str, str, bool], str]
) -> ModelFolder:
    if repository.count("/") != 1:
        hint = (
            "; an architecture's name alone has no weights, name them as hf-hub:OWNER/NAME" if kind == "encoder" else ""
        )
        raise InputError(f"{kind} {repository!r} is neither a folder here nor a Hub id OWNER/NAME{hint}")
    wanted = revision or "main"
    commit, problem = _commit(repository, wanted)
    try:
        folder = Path(download(repository, commit or wanted, commit is None))
    except Exception as error:
        reason = problem or f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        raise InputError(
            f"cannot get the {kind} {repository!r} (revision {wanted}) from the Hub and it is not in the cache ({reason}); "
            f"connect, or download it elsewhere and name its folder as the {kind}"
        ) from error
    # A snapshot's folder is named by its commit.
    return ModelFolder(repository, folder, fingerprint(repository, folder.name), folder.name)


def _commit(repository: str, revision: str) -> tuple[str | None, str]:
    """The commit that a revision means now, or None and why the Hub did not say."""
    from huggingface_hub import HfApi

    try:
        return HfApi().model_info(repository, revision=revision, timeout=HUB_SECONDS).sha, ""
    except Exception as error:  # offline, unreachable, no such repository: the cache decides, and the reason is told
        return None, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
