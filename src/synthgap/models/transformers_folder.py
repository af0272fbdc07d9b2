"""What all encoders of transformers have in common: settings, weights and outputs of one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from synthgap.core.errors import InputError


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's ``config.json``.

    Raises InputError where it is no JSON object.
    """
    return _read(folder / "config.json")


def read_processor(folder: Path) -> Mapping[str, Any]:
    """Settings of the image processor: ``preprocessor_config.json``, or its part of ``processor_config.json``; else none."""
    if (path := folder / "preprocessor_config.json").is_file():
        return _read(path)
    if (path := folder / "processor_config.json").is_file():  # where transformers 5 saves a processor of two parts
        found: Mapping[str, Any] = _read(path).get("image_processor") or {}
        return found
    return {}


def load_weights(kind: Any, folder: Path, device: torch.device, dtype: torch.dtype, **options: Any) -> Any:
    """A model of class ``kind`` with every weight from the folder's safetensors, ready to be asked.

    Raises InputError where weights are missing or of another shape, which transformers would replace by random ones.
    """
    model, found = kind.from_pretrained(
        str(folder), dtype=dtype, use_safetensors=True, output_loading_info=True, **options
    )
    lost = sorted(found["missing_keys"]) + sorted(str(key) for key in found["mismatched_keys"])
    if lost:
        raise InputError(
            f"encoder folder {folder} lacks {len(lost)} weights of a {kind.__name__} ({lost[0]}, …); expected a whole model"
        )
    return model.to(device).eval()


def load_tokenizer(folder: Path) -> Any:
    """The folder's own tokenizer; from ``tokenizer.json`` where its class needs sentencepiece and that is not installed.

    Raises InputError where it needs sentencepiece and there is no ``tokenizer.json``.
    """
    try:
        return AutoTokenizer.from_pretrained(str(folder))
    except ImportError as error:
        if (folder / "tokenizer.json").is_file():
            return PreTrainedTokenizerFast.from_pretrained(str(folder))
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"the tokenizer in {folder} cannot be used ({first}); pip install sentencepiece protobuf"
        ) from None


def features_of(output: Any) -> torch.Tensor:
    """The embedding: transformers 5 returns an output object, transformers 4 the tensor itself."""
    features = output if isinstance(output, torch.Tensor) else output.pooler_output
    if not isinstance(features, torch.Tensor):
        raise InputError(f"the encoder returned {type(features).__name__} and no embedding")
    return features


def _read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise InputError(f"{path} holds {type(document).__name__}; expected the settings that save_pretrained writes")
    return document
