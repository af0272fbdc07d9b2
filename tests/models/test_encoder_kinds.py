"""SigLIP, DINOv2, ViT and timm encoders against the libraries' own models, processors and transforms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoTokenizer,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTModel,
)

from synthgap.core.errors import InputError
from synthgap.core.specs import EncoderSpec
from synthgap.models.encoder import Encoder, load_encoder, source_has_text
from synthgap.models.folders import locate_encoder
from synthgap.models.preprocessing import from_timm
from synthgap.testing.encoders import MEAN, STD, tiny_clip, tiny_dinov2, tiny_open_clip, tiny_siglip, tiny_timm

TEXTS = ["cat", "a photo of a very small frog, in the background", "", "long " * 40]
SHAPES = ((40, 40), (50, 70), (90, 33))


def load(folder: Path, **settings: Any) -> Encoder:
    return load_encoder(EncoderSpec(encoder=str(folder), **settings))


def unit(features: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(features.detach().float(), dim=-1).numpy()


def photographs(*sizes: tuple[int, int]) -> list[np.ndarray]:
    """Smooth random images of these (height, width)."""
    generator = np.random.default_rng(0)
    seeds = [generator.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in sizes]
    return [np.array(Image.fromarray(seed).resize((w, h), 3)) for seed, (h, w) in zip(seeds, sizes, strict=True)]


def tiny_vit(folder: Path) -> Path:
    """A ViT classifier's folder: its classifier is left out and it has no pooling layer."""
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    ViTForImageClassification(ViTConfig(**tower, image_size=32, patch_size=8, num_labels=5)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def tiny_dinov3(folder: Path) -> Path:
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    DINOv3ViTModel(DINOv3ViTConfig(**tower, image_size=32, patch_size=8)).save_pretrained(folder)
    sizes = {"size": {"height": 32, "width": 32}, "resample": 2, "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(sizes))
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    "siglip": tiny_siglip,
    "dinov2": tiny_dinov2,
    "dinov2_with_registers": lambda folder: tiny_dinov2(folder, registers=2),
    "dinov3": tiny_dinov3,
    "vit": tiny_vit,
}


@pytest.fixture(scope="module", params=WRITERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng(devices=[]):
        return WRITERS[request.param](tmp_path_factory.mktemp("kinds") / request.param)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_siglip(tmp_path_factory.mktemp("kinds") / "tiny-siglip")


def library(folder: Path, images: list[np.ndarray]) -> np.ndarray:
    """Embeddings by transformers' own processor and model; its torchvision processor gives torch's resize."""
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    processor = AutoImageProcessor.from_pretrained(str(folder)) if kind != "dinov3_vit" else None
    if processor is None:
        from transformers import DINOv3ViTImageProcessor

        processor = DINOv3ViTImageProcessor.from_pretrained(str(folder))
    model = (ViTModel if kind == "vit" else AutoModel).from_pretrained(str(folder)).eval()
    inputs = processor([Image.fromarray(image) for image in images], return_tensors="pt")
    with torch.no_grad():
        if kind == "siglip":
            return unit(model.get_image_features(**inputs).pooler_output)
        return unit(model(**inputs).last_hidden_state[:, 0])


def test_images_equal_the_librarys_own(folder: Path) -> None:
    images = photographs(*SHAPES)
    encoder, expected = load(folder), library(folder, images)
    assert ((found := encoder.encode_images(images)) * expected).sum(axis=1).min() > 0.9999
    assert encoder.dim == found.shape[1] == 32
    assert np.abs(found[0] - found[1]).max() > 0.01  # else the agreement would say nothing


def test_resized_images_equal_exactly(folder: Path) -> None:
    encoder = load(folder)
    size = encoder._towers.preprocessing.size
    images = photographs(*[size if isinstance(size, tuple) else (size, size)] * 3)
    assert np.abs(encoder.encode_images(images) - library(folder, images)).max() < 1e-5


def test_dinov2s_class_token_is_its_pooled_output(tmp_path: Path) -> None:
    folder = tiny_dinov2(tmp_path / "dino")
    encoder, (image,) = load(folder), photographs((36, 36))
    pixels = encoder._towers.preprocessing.normalise(encoder.prepare(image)[None], torch.float32)
    with torch.no_grad():
        pooled = unit(AutoModel.from_pretrained(str(folder)).eval()(pixel_values=pixels).pooler_output)
    assert np.abs(encoder.encode_images([image]) - pooled).max() < 1e-6


def test_siglip_texts_are_padded_to_the_full_length(siglip: Path) -> None:
    model, tokenizer = AutoModel.from_pretrained(str(siglip)).eval(), AutoTokenizer.from_pretrained(str(siglip))
    tokens = tokenizer(TEXTS, padding="max_length", max_length=64, truncation=True, return_tensors="pt")
    with torch.no_grad():
        expected = unit(model.get_text_features(input_ids=tokens.input_ids).pooler_output)
        short = tokenizer(TEXTS[:1], return_tensors="pt")
        trimmed = unit(model.get_text_features(input_ids=short.input_ids).pooler_output)
    found = load(siglip).encode_texts(TEXTS)
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(load(siglip).encode_texts(TEXTS[:1]) - expected[:1]).max() < 1e-5  # beside no longer one
    assert np.abs(found[0] - trimmed[0]).max() > 1e-3  # the padding counts


def test_siglip_texts_are_lower_case_whatever_the_tokenizer(siglip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(siglip, tmp_path / "cased")
    document = json.loads((folder / "tokenizer.json").read_text())
    document["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    (folder / "tokenizer.json").write_text(json.dumps(document))
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"tokenizer_class": "TokenizersBackend"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    encoder = load(folder)
    assert np.array_equal(encoder.encode_texts(["A Cat"]), encoder.encode_texts(["a cat"]))
    assert np.abs(encoder.encode_texts(["a cat"]) - load(siglip).encode_texts(["a cat"])).max() < 1e-6


TIMM: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "convolutional, cut": {"architecture": "test_resnet", "data_config": {"crop_pct": 0.875}},
    "bilinear": {"data_config": {"interpolation": "bilinear", "mean": MEAN, "std": STD}},
    "squashed": {"architecture": "test_convnext", "data_config": {"crop_mode": "squash", "crop_pct": 0.9}},
}


def timm_call(folder: Path) -> tuple[Any, Any]:
    model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    return model, timm.data.create_transform(**timm.data.resolve_model_data_config(model))


@pytest.mark.parametrize("name", TIMM)
def test_timm_images_equal_its_own_transform(name: str, tmp_path: Path) -> None:
    folder = tiny_timm(tmp_path / "timm", **TIMM[name])
    model, transform = timm_call(folder)
    encoder, images = load(folder), photographs((200, 200), (170, 300), (400, 180))
    size = encoder._towers.preprocessing.size
    images += photographs(size if isinstance(size, tuple) else (size, size))
    with torch.no_grad():
        expected = unit(model(torch.stack([transform(Image.fromarray(image)) for image in images])))
    found = encoder.encode_images(images)
    assert (found * expected).sum(axis=1).min() > 0.9999
    assert np.abs(found[3] - expected[3]).max() < 1e-5  # nothing to resize
    pixels = [transform(Image.fromarray(image)) for image in images]
    ours = [encoder._towers.preprocessing.normalise(encoder.prepare(image), torch.float32) for image in images]
    levels = [float((a - b).abs().max()) * max(STD) * 255 for a, b in zip(ours, pixels, strict=True)]
    assert max(levels) < 2.5  # a grey level, in units of the smallest deviation


def test_inception_gives_its_pooled_features(tmp_path: Path) -> None:
    folder = tiny_timm(tmp_path / "inception", architecture="inception_v3")
    encoder = load(folder)
    assert (encoder.dim, encoder.image_size) == (2048, (299, 299))
    model, transform = timm_call(folder)
    (image,) = photographs((341, 341))  # 299 / 0.875
    with torch.no_grad():
        expected = unit(model(transform(Image.fromarray(image))[None]))
    assert np.abs(encoder.encode_images([image]) - expected).max() < 1e-5


def test_timm_settings_without_a_counterpart_are_refused() -> None:
    settings = {"input_size": (3, 32, 32), "crop_mode": "center", "crop_pct": 1.0, "interpolation": "bicubic"}
    for change in ({"crop_mode": "border"}, {"input_size": (3, 32, 40)}):
        with pytest.raises(InputError, match=r"crop_mode '\w+' to 32x\d+ is not supported"):
            from_timm(settings | change)
    with pytest.raises(InputError, match="takes 1 channels; expected 3"):
        from_timm(settings | {"input_size": (1, 32, 32)})


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    folder = tiny_timm(tmp_path / "timm")
    torch.save(load_file(str(folder / "model.safetensors")), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        load(folder)


@pytest.mark.parametrize("write", [tiny_dinov2, tiny_timm])
def test_an_encoder_of_images_refuses_prompts(write: Callable[[Path], Path], tmp_path: Path) -> None:
    encoder = load(write(tmp_path / "images-only"))
    assert not encoder.has_text and not source_has_text(
        locate_encoder(EncoderSpec(encoder=str(tmp_path / "images-only")))
    )
    with pytest.raises(InputError, match="images-only is an encoder of images only and was asked for prompts"):
        encoder.encode_texts(["a cat"])


@pytest.mark.parametrize("write", [tiny_clip, tiny_open_clip, tiny_siglip])
def test_encoders_with_words_say_so(write: Callable[[Path], Path], tmp_path: Path) -> None:
    assert load(write(tmp_path / "both")).has_text
    assert source_has_text(locate_encoder(EncoderSpec(encoder=str(tmp_path / "both"))))


@pytest.mark.parametrize("write", [tiny_siglip, tiny_dinov2, tiny_clip])
def test_weights_that_are_missing_are_not_made_up(write: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = write(tmp_path / "half")
    tensors = load_file(str(folder / "model.safetensors"))
    lost = next(name for name in tensors if "layer" in name and "weight" in name)
    del tensors[lost]
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 1 weights of a \w+ \("):
        load(folder)


def test_siglip_2_of_any_resolution_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "siglip2"}))
    with pytest.raises(InputError, match=r"type 'siglip2'; expected .*of SigLIP 2 the models of a fixed resolution"):
        load(tmp_path)


def test_a_processor_of_two_parts_is_read(siglip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(siglip, tmp_path / "two-parts")
    settings = json.loads((folder / "preprocessor_config.json").read_text()) | {"image_mean": [0.1, 0.2, 0.3]}
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    assert load(folder)._towers.preprocessing.mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("write", [tiny_siglip, tiny_dinov2, tiny_timm])
def test_bfloat16_is_close_and_another_encoder(write: Callable[[Path], Path], tmp_path: Path) -> None:
    folder, images = write(tmp_path / "model"), photographs(*SHAPES)
    fine, coarse = load(folder), load(folder, dtype="bfloat16")
    assert (coarse.encode_images(images) * fine.encode_images(images)).sum(axis=1).min() > 0.99
    assert coarse.fingerprint != fine.fingerprint
