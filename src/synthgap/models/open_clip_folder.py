"""CLIP encoders of open_clip: a folder with ``open_clip_config.json`` (its ``local-dir:`` format)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import torch

from synthgap.models.preprocessing import from_open_clip
from synthgap.models.towers import Towers

PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "pure_bf16", torch.float16: "pure_fp16"}


def load_open_clip(folder: Path, device: torch.device, dtype: torch.dtype) -> Towers:
    """Load an open_clip folder, weights and tokenizer from that folder alone."""
    name = f"local-dir:{folder}"
    # Without require_pretrained a folder that lost its weights would load as a random model.
    model = open_clip.create_model(name, precision=PRECISIONS[dtype], device=device, require_pretrained=True).eval()
    tokenizer = open_clip.get_tokenizer(name)

    tower = _causal_tower(model)

    def texts(prompts: list[str]) -> torch.Tensor:
        tokens = tokenizer(prompts).to(device)
        features: torch.Tensor = model.encode_text(tokens) if tower is None else _trimmed(tower, tokens)
        return features

    preprocessing = from_open_clip(model.visual.preprocess_cfg)
    with torch.inference_mode():
        dim = int(model.encode_text(tokenizer([""]).to(device)).shape[1])
    return Towers(model.encode_image, texts, preprocessing, dim)


def _causal_tower(model: Any) -> Any:
    """The text tower, where what follows a prompt's end mark cannot change its embedding; else None.

    That holds for a causal mask with pooling at the end mark and no class token appended after the padding.
    """
    tower = getattr(model, "text", model)
    causal = isinstance(getattr(tower, "attn_mask", None), torch.Tensor)
    return (
        tower if causal and _pooling(tower) in ("argmax", "eos") and getattr(tower, "cls_emb", None) is None else None
    )


def _trimmed(tower: Any, tokens: torch.Tensor) -> torch.Tensor:
    """``tower(tokens)`` computed only up to the last end mark: the same embedding for a fraction of the work.

    open_clip's own forward wants every position; these are its steps (open_clip 3, ``TextTransformer.forward``).
    """
    end: Any = getattr(tower, "eos_id", getattr(tower, "text_eos_id", None))
    marks = tokens if _pooling(tower) == "argmax" else torch.eq(tokens, end).int()
    ends = marks.argmax(dim=-1)
    length = int(ends.max()) + 1
    x = tower.token_embedding(tokens[:, :length]).to(tower.transformer.get_cast_dtype())
    x = x + tower.positional_embedding[:length].to(x.dtype)
    x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))
    pooled: torch.Tensor = x[torch.arange(len(x), device=x.device), ends]
    projection = tower.text_projection
    if projection is not None:
        pooled = projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection
    return pooled


def _pooling(tower: Any) -> Any:
    """Where a text tower takes its embedding from; the plain CLIP class names it otherwise."""
    return getattr(tower, "pool_type", getattr(tower, "text_pool_type", None))
