"""The encoder against the libraries' own calls, untrimmed and unbatched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from synthgap.core.errors import InputError
from synthgap.core.specs import EncoderSpec
from synthgap.models.encoder import Encoder, _unit, load_encoder

TEXTS = ["cat", "a photo of a very small frog, in the background", "", "long " * 40]


def load(folder: Path | str, **settings: Any) -> Encoder:
    return load_encoder(EncoderSpec(encoder=str(folder), **settings))


def unit(features: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(features.float(), dim=-1).numpy()


def photographs(*sizes: tuple[int, int]) -> list[np.ndarray]:
    """Smooth random images of these (height, width)."""
    generator = np.random.default_rng(0)
    seeds = [generator.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in sizes]
    return [np.array(Image.fromarray(seed).resize((w, h), 3)) for seed, (h, w) in zip(seeds, sizes, strict=True)]


@pytest.fixture
def variant(tmp_path: Path, tiny_open_clip: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes the tiny open_clip model with another kind of text tower."""

    def write(text: dict[str, Any]) -> Path:
        folder = shutil.copytree(tiny_open_clip, tmp_path / "variant")
        document = json.loads((folder / "open_clip_config.json").read_text())
        document["model_cfg"]["custom_text"] = True
        document["model_cfg"]["text_cfg"] |= text
        (folder / "open_clip_config.json").write_text(json.dumps(document))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            config = {name: value for name, value in document["model_cfg"].items() if name != "custom_text"}
            save_file(open_clip.CustomTextCLIP(**config).state_dict(), str(folder / "open_clip_model.safetensors"))
        return folder

    return write


def test_transformers_texts_equal_the_untrimmed_model(tiny_clip: Path) -> None:
    model, tokenizer = CLIPModel.from_pretrained(str(tiny_clip)), AutoTokenizer.from_pretrained(str(tiny_clip))
    tokens = tokenizer(TEXTS, padding="max_length", max_length=64, truncation=True, return_tensors="pt")
    with torch.no_grad():
        expected = unit(model.get_text_features(**tokens).pooler_output)
    assert np.abs(load(tiny_clip).encode_texts(TEXTS) - expected).max() < 1e-5


def test_transformers_texts_are_trimmed(tiny_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    original = CLIPModel.get_text_features

    def spy(self: Any, input_ids: torch.Tensor, **rest: Any) -> Any:
        lengths.append(input_ids.shape[1])
        return original(self, input_ids=input_ids, **rest)

    monkeypatch.setattr(CLIPModel, "get_text_features", spy)
    load(tiny_clip).encode_texts(["cat", "a dog"])
    assert lengths == [6]  # start, four letters, end


OPEN_CLIP_TOWERS: dict[str, tuple[dict[str, Any], bool]] = {
    "custom, end mark by number": ({"pool_type": "eos", "eos_id": 513}, True),
    "custom, highest token": ({"pool_type": "argmax"}, True),
    "custom, no projection matrix": ({"pool_type": "argmax", "proj_type": "linear", "proj_bias": True}, True),
    "sees the padding": ({"no_causal_mask": True}, False),
    "pools the last position": ({"pool_type": "last"}, False),
}


def own_call(folder: Path) -> np.ndarray:
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    with torch.no_grad():
        return unit(model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)))


def trims(encoder: Encoder) -> bool:
    tower = encoder._towers.texts.__closure__
    assert tower is not None
    cells = dict(zip(encoder._towers.texts.__code__.co_freevars, tower, strict=True))
    return cells["tower"].cell_contents is not None


def test_open_clip_texts_equal_the_untrimmed_model(tiny_open_clip: Path) -> None:
    encoder = load(f"local-dir:{tiny_open_clip}")
    assert trims(encoder)
    assert np.abs(encoder.encode_texts(TEXTS) - own_call(tiny_open_clip)).max() < 1e-5


@pytest.mark.parametrize("name", OPEN_CLIP_TOWERS)
def test_open_clip_text_towers_are_trimmed_only_where_that_is_exact(
    name: str, variant: Callable[[dict[str, Any]], Path]
) -> None:
    text, trimmed = OPEN_CLIP_TOWERS[name]
    encoder = load(folder := variant(text))
    assert trims(encoder) is trimmed
    assert np.abs(encoder.encode_texts(TEXTS) - own_call(folder)).max() < 1e-5


def test_transformers_images_equal_the_processors(tiny_clip: Path) -> None:
    images = photographs((32, 32), (50, 40), (20, 90))
    model, processor = CLIPModel.from_pretrained(str(tiny_clip)), CLIPImageProcessor.from_pretrained(str(tiny_clip))
    with torch.no_grad():
        inputs = processor([Image.fromarray(image) for image in images], return_tensors="pt")
        expected = unit(model.get_image_features(**inputs).pooler_output)
    cosines = (load(tiny_clip).encode_images(images) * expected).sum(axis=1)
    assert cosines.min() > 0.9999


def test_open_clip_images_equal_its_own_transform(tiny_open_clip: Path) -> None:
    images = photographs((32, 32), (50, 40), (20, 90))
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tiny_open_clip}")
    with torch.no_grad():
        pixels = torch.stack([transform(Image.fromarray(image)) for image in images])
        expected = unit(model.eval().encode_image(pixels))
    cosines = (load(tiny_open_clip).encode_images(images) * expected).sum(axis=1)
    assert cosines.min() > 0.9999


@pytest.fixture(params=["tiny_clip", "tiny_open_clip"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return load(request.getfixturevalue(request.param))


def test_a_batch_and_a_list_of_images_agree(encoder: Encoder) -> None:
    batch = np.stack(photographs(*[(48, 40)] * 5))
    whole = encoder.encode_images(batch)
    assert whole.shape == (5, encoder.dim) == (5, 24) and whole.dtype == np.float32
    assert np.array_equal(encoder.encode_images(list(batch)), whole)
    assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    assert np.abs(encoder.encode_images(batch[3:4]) - whole[3:4]).max() < 1e-5


def test_any_size_is_taken_and_the_callers_pixels_stay(encoder: Encoder) -> None:
    images = photographs((1, 1), (1, 7), (300, 200))
    before = [image.copy() for image in images]
    assert np.isfinite(encoder.encode_images(images)).all()
    assert all(np.array_equal(a, b) for a, b in zip(images, before, strict=True))
    images[0].flags.writeable = False  # as decoders give them
    assert encoder.prepare(images[0]).shape == (3, *encoder.image_size) == (3, 32, 32)


def test_nothing_gives_nothing(encoder: Encoder) -> None:
    assert encoder.encode_images([]).shape == (0, 24)
    assert encoder.encode_texts([]).shape == (0, 24)


def test_bfloat16_is_close_and_another_encoder(encoder: Encoder, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(encoder.name.replace("-", "_"))
    coarse = load(folder, dtype="bfloat16")
    images = photographs(*[(32, 32)] * 3)
    assert (coarse.encode_images(images) * encoder.encode_images(images)).sum(axis=1).min() > 0.99
    assert (coarse.encode_texts(TEXTS) * encoder.encode_texts(TEXTS)).sum(axis=1).min() > 0.99
    assert coarse.fingerprint != encoder.fingerprint


def test_an_embedding_that_is_no_number_stays_none() -> None:
    vectors = _unit(torch.tensor([[3.0, 4.0], [0.0, 0.0], [float("nan"), 1.0]]))
    assert vectors[0].tolist() == pytest.approx([0.6, 0.8])
    assert np.isnan(vectors[1:]).all()


def test_fingerprint_follows_the_weights(tmp_path: Path, tiny_open_clip: Path) -> None:
    folder = shutil.copytree(tiny_open_clip, tmp_path / "other")
    weights = folder / "open_clip_model.safetensors"
    tensors = load_file(str(weights))
    assert load(folder).fingerprint == load(tiny_open_clip).fingerprint
    tensors["logit_scale"] += 1
    save_file(tensors, str(weights))
    assert load(folder).fingerprint != load(tiny_open_clip).fingerprint


def test_a_folder_without_weights_is_not_a_random_model(tmp_path: Path, tiny_open_clip: Path) -> None:
    folder = shutil.copytree(tiny_open_clip, tmp_path / "bare")
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"cannot load .* as an encoder") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(
        InputError,
        match="model of type 'bert'; expected an open_clip or timm folder, or one of transformers: CLIPModel",
    ):
        load(tmp_path)
