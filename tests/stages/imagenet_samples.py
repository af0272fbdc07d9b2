"""ImageNet's test sets as they are handed out, tiny: the colour of an image says its class, and a network reads it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from synthgap.models.classifiers import evaluation_preprocessing, new_classifier, timm_config
from synthgap.store.atomic import write_json
from synthgap.store.images import decode_image

SIDE = 32


@cache
def timm_list(name: str) -> tuple[str, ...]:
    """A list of timm's: ``imagenet`` (1,000), ``imagenet_a`` or ``imagenet_r`` (200 each)."""
    return tuple((files("timm") / "data" / "_info" / f"{name}_synsets.txt").read_text().split())


WNIDS = timm_list("imagenet")
NUMBER = {wnid: number for number, wnid in enumerate(WNIDS)}


def colour(wnid: str) -> tuple[int, int, int]:
    """One of 1,000 colours, far enough apart to outlive JPEG."""
    number = NUMBER[wnid]
    return 10 + 25 * (number // 100), 10 + 25 * (number // 10 % 10), 10 + 25 * (number % 10)


@cache
def jpeg(wnid: str) -> bytes:
    """An image of a class."""
    held = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), colour(wnid)).save(held, "JPEG", quality=98, subsampling=0)
    return held.getvalue()


def put(path: Path, wnid: str) -> Path:
    """Write an image of a class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(wnid))
    return path


def class_folders(root: Path, wnids: Iterable[str], file: str, names: Mapping[str, str] | None = None) -> Path:
    """A folder per class, called by its WordNet id or by ``names``, with one image each."""
    for wnid in wnids:
        put(root / (names or {}).get(wnid, wnid) / file, wnid)
    return root


def v2_folders(root: Path, variant: str, every: int = 1) -> Path:
    """A variant of ImageNet-v2 as its archive unpacks, or every nth of its classes."""
    names = {wnid: str(number) for number, wnid in enumerate(WNIDS)}
    folder = root / f"imagenetv2-{variant}-format-val"
    return class_folders(folder, WNIDS[::every], "0af3f1b55de791c4144e2fb6d7dfe96d.jpeg", names)


@cache
def _head() -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """A random network, and a head that finds the nearest of the 1,000 colours among what the network says of them."""
    model = new_classifier("test_resnet", 1000, {}, seed=1).eval()
    preprocessing = evaluation_preprocessing(SIDE, 1.0)
    pixels = torch.stack([preprocessing.prepare(decode_image(jpeg(wnid))) for wnid in WNIDS])
    with torch.inference_mode():
        inputs = preprocessing.normalise(pixels, torch.float32)
        features = model.forward_head(model.forward_features(inputs), pre_logits=True).double()
    scale = features.std(0)
    scale = torch.where(scale > 1e-6 * scale.max(), scale, torch.inf)
    centred = (features - features.mean(0)) / scale
    weight = centred / scale
    bias = -(centred**2).sum(1) / 2 - weight @ features.mean(0)
    return model.state_dict(), weight, bias


def oracle(folder: Path, wnids: Iterable[str], classes: Mapping[str, str] | None) -> Path:
    """A network of timm's format that tells the colours of ``wnids``, in that order of outputs.

    Args:
        folder: to write.
        wnids: what each output stands for.
        classes: what the outputs are called and described as, in that order; None leaves that out.
    """
    state, weight, bias = _head()
    rows = [NUMBER[wnid] for wnid in wnids]
    tensors = dict(state) | {"fc.weight": weight[rows].float(), "fc.bias": bias[rows].float()}
    folder.mkdir(parents=True)
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, folder / "model.safetensors")
    config = timm_config("test_resnet", dict(classes or {}), {}, SIDE, 1.0)
    config |= {"num_classes": len(rows)} if classes is None else {}
    config["pretrained_cfg"]["num_classes"] = len(rows)
    write_json(folder / "config.json", {k: v for k, v in config.items() if classes is not None or "label" not in k})
    return folder
