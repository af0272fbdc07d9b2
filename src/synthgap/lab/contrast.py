"""The lab's encoder: an open_clip model with a small convolutional image tower, learnt from captions."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from synthgap.core.records import ClassEntry
from synthgap.lab.autoencoder import pixels
from synthgap.lab.captions import Caption, caption
from synthgap.lab.loop import batch_indices
from synthgap.lab.tokenizer import CONTEXT_LENGTH


def encoder_config(tower: str, vocabulary: int, embed_dim: int, input_size: int) -> dict[str, Any]:
    """``open_clip_config.json`` of the lab's encoder."""
    return {
        "model_cfg": {
            "embed_dim": embed_dim,
            "vision_cfg": {"timm_model_name": tower, "timm_pool": "", "timm_proj": "linear", "image_size": input_size},
            "text_cfg": {
                "context_length": CONTEXT_LENGTH, "vocab_size": vocabulary, "hf_tokenizer_name": "./",
                "width": 128, "heads": 4, "layers": 3,
            },
        },
        "preprocess_cfg": {
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "shortest",
        },
    }  # fmt: skip


def new_encoder(config: dict[str, Any]) -> Any:
    """Build the untrained open_clip model of a configuration."""
    from open_clip.model import CLIP

    model = CLIP(**config["model_cfg"])
    return model.to(memory_format=torch.channels_last)


def augment(values: Tensor, generator: torch.Generator, cut: int = 8) -> Tensor:
    """Mirror, shift by up to an eighth (reflected border) and cut a square out: images (b, 3, h, w) in [-1, 1]."""
    count, _, height, width = values.shape
    flip = torch.rand(count, generator=generator) < 0.5
    values = torch.where(flip[:, None, None, None], values.flip(-1), values)
    reach = height // 8
    padded = F.pad(values, (reach,) * 4, mode="reflect")
    top, left = torch.randint(0, 2 * reach + 1, (2, count), generator=generator)
    rows = (top[:, None] + torch.arange(height))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width))[:, None, None, :]
    values = padded[torch.arange(count)[:, None, None, None], torch.arange(3)[None, :, None, None], rows, columns]
    y, x = torch.randint(-cut // 2, height - cut // 2, (2, count, 1), generator=generator)
    inside_y = (torch.arange(height) >= y) & (torch.arange(height) < y + cut)
    inside_x = (torch.arange(width) >= x) & (torch.arange(width) < x + cut)
    hole = (inside_y[:, :, None] & inside_x[:, None, :])[:, None]
    return values.masked_fill(hole, 0.0)


def enlarge(values: Tensor, size: int) -> Tensor:
    """Bicubic resize to the tower's input size, as the encoder's own preprocessing does."""
    if values.shape[-1] != size:
        values = F.interpolate(values, size=(size, size), mode="bicubic", antialias=True)
    return values.clamp(-1, 1).contiguous(memory_format=torch.channels_last)


def truths(captions: Sequence[Caption], labels: NDArray[np.int64], facts: NDArray[np.bool_]) -> Tensor:
    """Which caption is true of which image: bool (images, captions). Same class, and every claimed fact holds.

    Without this, most pairs of a batch of few classes would be false negatives.
    """
    true = torch.from_numpy(labels[:, None] == labels[None, :])
    for column, item in enumerate(captions):
        if item.claims:
            true[:, column] &= torch.from_numpy(facts[:, list(item.claims)].all(1))
    return true


def tokenize(tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Token ids (b, longest): the text tower is causal, so cutting the common padding changes nothing."""
    rows = tokenizer(list(texts), padding="max_length", truncation=True, max_length=CONTEXT_LENGTH, return_tensors="pt")
    ids = rows["input_ids"]
    longest = int((ids == ids.max()).int().argmax(1).max()) + 1
    trimmed: Tensor = ids[:, :longest].clone()
    return trimmed


def text_features(model: Any, ids: Tensor) -> Tensor:
    """Text features (b, d) of token ids (b, length): open_clip's own tower, at the batch's length instead of the full one."""
    length = ids.shape[1]
    hidden = model.token_embedding(ids) + model.positional_embedding[:length]
    hidden = model.ln_final(model.transformer(hidden, attn_mask=model.attn_mask[:length, :length]))
    features: Tensor = hidden[torch.arange(len(ids)), ids.argmax(-1)] @ model.text_projection
    return features


class ContrastiveBatches:
    """Makes the loss of one step: a batch, its captions, and the soft targets of both directions."""

    def __init__(
        self,
        images: Tensor,
        labels: NDArray[np.int64],
        facts: NDArray[np.bool_],
        entries: Sequence[ClassEntry],
        tokenizer: Any,
    ) -> None:
        self.images, self.labels, self.facts = images, labels, facts
        self.entries, self.tokenizer = entries, tokenizer

    def loss(self, model: Any, input_size: int, batch_size: int, step: int, seed: int) -> Tensor:
        """Cross entropy of image-to-text and text-to-image similarities against all true pairs (UniCL's form)."""
        index = batch_indices(len(self.images), batch_size, step, seed).numpy()
        rng, generator = random.Random(seed * 7_919 + step), torch.Generator().manual_seed(seed * 7_919 + step)
        captions = [caption(self.entries[self.labels[i]], self.facts[i], rng) for i in index]
        target = truths(captions, self.labels[index], self.facts[index]).float()
        inputs = enlarge(augment(pixels(self.images[index]), generator), input_size)
        with torch.autocast("cpu", torch.bfloat16):
            image = model.encode_image(inputs)
            text = text_features(model, tokenize(self.tokenizer, [item.text for item in captions]))
        logits = model.logit_scale.exp() * F.normalize(image.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T
        rows = target / target.sum(1, keepdim=True)
        columns = target / target.sum(0, keepdim=True)
        both: Tensor = -0.5 * (
            (rows * logits.log_softmax(1)).sum(1).mean() + (columns * logits.log_softmax(0)).sum(0).mean()
        )
        return both


def save_encoder(model: Any, config: dict[str, Any], tokenizer_folder: Path, folder: Path) -> None:
    """Write a folder that ``open_clip.create_model_and_transforms("local-dir:…")`` opens: half-precision safetensors."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    # Running statistics stay in float32: their rounding shifts every activation alike.
    state = {
        key: (value.half() if value.is_floating_point() and "running" not in key else value).contiguous()
        for key, value in model.state_dict().items()
        if key != "attn_mask"
    }
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    for path in sorted(tokenizer_folder.iterdir()):
        shutil.copyfile(path, folder / path.name)


@torch.inference_mode()
def zero_shot(model: Any, tokenizer: Any, images: Tensor, prompts: Sequence[str], input_size: int) -> NDArray[np.int64]:
    """Class of the nearest prompt for each image (n,)."""
    text = F.normalize(text_features(model, tokenize(tokenizer, prompts)).float(), dim=-1)
    parts = []
    for i in range(0, len(images), 250):
        image = model.encode_image(enlarge(pixels(images[i : i + 250]), input_size)).float()
        parts.append((image @ text.T).argmax(1))
    return torch.cat(parts).numpy()
