"""Classifiers: any timm architecture from random weights, saved and opened in timm's own folder format."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synthgap.core.errors import InputError, nearest
from synthgap.core.fingerprint import file_fingerprint, fingerprint
from synthgap.models.preprocessing import INTERPOLATIONS, Preprocessing

WEIGHTS, CONFIG = "model.safetensors", "config.json"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, as PyTorch's and DINO's pipelines normalise."""
_SOURCES = ("local-dir:", "hf-hub:")


def check_architecture(name: str) -> None:
    """Raise InputError with the nearest known name where timm has no such architecture."""
    import timm

    if not timm.is_model(name):
        raise InputError(
            f"timm has no model {name!r}{nearest(name, timm.list_models())}; python -c 'import timm; "
            "print(timm.list_models())' lists them"
        )


def sized_arguments(name: str, model_args: Mapping[str, Any], image_size: int) -> dict[str, Any]:
    """The arguments with the image size, for an architecture that is built for one size (most transformers)."""
    import timm

    settings = timm.get_pretrained_cfg(name, allow_unregistered=True)
    fixed = settings is not None and settings.fixed_input_size and not model_args.get("dynamic_img_size", False)
    return dict(model_args) | ({"img_size": image_size} if fixed and "img_size" not in model_args else {})


def new_classifier(name: str, classes: int, model_args: Mapping[str, Any], *, seed: int) -> nn.Module:
    """Build a timm architecture with random weights that depend on ``seed`` only, on the CPU.

    Raises InputError for an architecture or argument that timm does not know.
    """
    import timm

    check_architecture(name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            model: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, **model_args)
        except TypeError as error:
            raise InputError(f"timm's {name} does not take these arguments: {error}") from None
    return model.to(memory_format=torch.channels_last)


def synchronised(model: nn.Module) -> nn.Module:
    """The model with batch norms whose statistics are those of all processes; their states keep their names."""
    from timm.layers import convert_sync_batchnorm

    found: nn.Module = convert_sync_batchnorm(model)
    return found


def evaluation_preprocessing(image_size: int, crop_share: float) -> Preprocessing:
    """Shorter side resized (bicubic), middle cut, normalised: how an image is seen at a test."""
    return Preprocessing(
        size=math.floor(image_size / crop_share),
        crop=(image_size, image_size),
        interpolation=INTERPOLATIONS["bicubic"],
        mean=MEAN,
        std=STD,
    )


def timm_config(
    name: str, classes: Mapping[str, str], model_args: Mapping[str, Any], image_size: int, crop_share: float
) -> dict[str, Any]:
    """What ``config.json`` holds beside the weights: enough for ``timm.create_model("local-dir:…", pretrained=True)``."""
    import timm

    known = timm.get_pretrained_cfg(name, allow_unregistered=True)
    # Without the names of its ends timm cannot open the folder with another number of classes, or none.
    ends = {end: getattr(known, end) for end in ("first_conv", "classifier") if getattr(known, end, None)}
    return {
        "architecture": name,
        "num_classes": len(classes),
        "label_names": list(classes),
        "label_descriptions": dict(classes),
        "model_args": dict(model_args),
        "pretrained_cfg": {
            "input_size": [3, image_size, image_size],
            "mean": list(MEAN),
            "std": list(STD),
            "interpolation": "bicubic",
            "crop_pct": crop_share,
            "crop_mode": "center",
            "num_classes": len(classes),
            **ends,
        },
    }


@dataclass(frozen=True)
class Classifier:
    """A trained model with its classes and its own preprocessing."""

    name: str
    model: nn.Module
    preprocessing: Preprocessing
    classes: dict[str, str]
    """Name of each output's class key, in order."""
    device: torch.device
    fingerprint: str

    @torch.inference_mode()
    def logits(self, pixels: Tensor) -> Tensor:
        """Logits (b, classes) float32 on the CPU of prepared images (b, 3, h, w) uint8."""
        inputs = self.preprocessing.normalise(pixels.to(self.device), torch.float32)
        found: Tensor = self.model(inputs.contiguous(memory_format=torch.channels_last))
        return found.float().cpu()

    @torch.inference_mode()
    def features(self, pixels: Tensor) -> Tensor:
        """What the last layer takes, (b, d) float32 on the CPU, of prepared images (b, 3, h, w) uint8."""
        inputs = self.preprocessing.normalise(pixels.to(self.device), torch.float32)
        model: Any = self.model
        found: Tensor = model.forward_features(inputs.contiguous(memory_format=torch.channels_last))
        pooled: Tensor = model.forward_head(found, pre_logits=True)
        return pooled.flatten(1).float().cpu()


def load_classifier(name: str, device: torch.device) -> Classifier:
    """Open a classifier: a folder in timm's format (ours is one), ``local-dir:FOLDER``, ``hf-hub:ID`` or a timm name.

    Raises InputError where there is none, its weights cannot be had, or its classes have no names.
    """
    import timm

    folder = Path(name.removeprefix("local-dir:")).expanduser()
    if folder.exists() or name.startswith(("local-dir:", "/", "./", "../", "~")):
        if not folder.is_dir():
            found = "is a file" if folder.exists() else "no such folder"
            raise InputError(f"{folder}: {found}; expected a folder of 'synthgap train' or timm's format")
        missing = next((file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()), None)
        if missing:
            raise InputError(f"{folder}: holds no {missing}; expected a folder of 'synthgap train' or timm's format")
        source, identity = (
            f"local-dir:{folder}",
            fingerprint(*(file_fingerprint(folder / f) for f in (CONFIG, WEIGHTS))),
        )
    else:
        if not name.startswith(_SOURCES):
            _check_weights(name)
        source, identity = name, fingerprint(name)
    try:
        model = timm.create_model(source, pretrained=True).eval().float()
    except Exception as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"cannot load the classifier {name}: {first}; expected timm's weights and config") from error
    settings = timm.data.resolve_model_data_config(model)
    side = int(settings["input_size"][1])
    preprocessing = Preprocessing(
        size=math.floor(side / settings["crop_pct"]),
        crop=(side, side),
        interpolation=INTERPOLATIONS.get(settings["interpolation"], INTERPOLATIONS["bicubic"]),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
    )
    classes = _classes(model, folder / CONFIG, name)
    shown = folder.resolve().name if folder.is_dir() else name
    ready = model.to(device, memory_format=torch.channels_last)
    return Classifier(shown, ready, preprocessing, classes, device, identity)


def _check_weights(name: str) -> None:
    import timm

    if "/" in name:
        raise InputError(
            f"{name}: no such folder; expected a folder of 'synthgap train' or timm's format, hf-hub:{name} or a timm model"
        )
    if not timm.is_model(name):
        known = [*timm.list_models(), *timm.list_pretrained()]
        raise InputError(
            f"no folder and no classifier {name!r}: expected a folder of 'synthgap train', local-dir:FOLDER, "
            f"hf-hub:ID or a timm model with weights{nearest(name, known)}"
        )


def _classes(model: Any, config: Path, name: str) -> dict[str, str]:
    """Class keys and names: those of the folder, those of the Hub's config, or ImageNet's where timm knows which.

    Outputs of one name (ImageNet's two cranes) get keys with their numbers: as one key they would move all behind them.
    """
    import timm

    settings = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    pretrained = getattr(model, "pretrained_cfg", {})
    keys = settings.get("label_names") or pretrained.get("label_names")
    texts = settings.get("label_descriptions") or pretrained.get("label_descriptions") or {}
    if keys is None:
        subset = timm.data.infer_imagenet_subset(model)
        if subset is None:
            raise InputError(f"{name}: its {model.num_classes} outputs have no names; put label_names into config.json")
        info = timm.data.ImageNetInfo(subset)
        keys = info.label_names()
        texts = {key: info.label_name_to_description(key) for key in keys}
    if not isinstance(keys, (list, tuple)) or not isinstance(texts, Mapping):
        raise InputError(
            f"{name}: label_names is no list or label_descriptions no map of them; expected a name of each output"
        )
    if len(keys) != model.num_classes:
        raise InputError(f"{name}: has {model.num_classes} outputs and {len(keys)} label names; expected as many")
    times = Counter(keys)
    return {
        str(key) if times[key] == 1 else f"{key}~{output}": str(texts.get(key, key)) for output, key in enumerate(keys)
    }
