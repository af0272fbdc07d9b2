"""A generator's text embeddings, computed once per distinct prompt."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from synthgap.models.quiet import quiet

KEPT_PROMPTS = 512
"""Prompts kept in memory; 77 x 2048 bfloat16 numbers each (SDXL) are 160 MB in all."""


class PromptCache:
    """Embeds prompts for a pipeline with ``encode_prompt``, one at a time, and remembers them.

    One at a time, because then an embedding never depends on which other prompts were embedded with it: the image of
    a prompt and a seed stays the same bytes after a restart.
    """

    def __init__(self, pipeline: Any, negative_prompt: str, guided: bool) -> None:
        self._pipeline, self._negative_prompt, self._guided = pipeline, negative_prompt, guided
        self._device = pipeline.device  # asked once: diffusers walks all modules for it
        self._kept: OrderedDict[str, tuple[torch.Tensor, ...]] = OrderedDict()
        self._negative: tuple[torch.Tensor, ...] | None = None
        self.computed = 0
        """How many prompts were sent through the text encoder."""
        self.cut = 0
        """How many of these were longer than the text encoder's context, and lost their end."""

    def arguments(self, prompts: list[str]) -> dict[str, torch.Tensor]:
        """The pipeline's keyword arguments for these prompts: tensors of shape (b, ...), one row per prompt."""
        with quiet(), torch.inference_mode():
            rows = [self._embed(prompt) for prompt in prompts]
            negative = self._embed_negative(prompts[0]) if self._guided else ()
        names = ("prompt_embeds", "pooled_prompt_embeds")[: len(rows[0])]
        arguments = {name: torch.cat(parts) for name, parts in zip(names, zip(*rows, strict=True), strict=True)}
        for name, part in zip(names, negative, strict=False):
            arguments[f"negative_{name}"] = part.expand(len(prompts), *part.shape[1:])
        return arguments

    def _embed(self, prompt: str) -> tuple[torch.Tensor, ...]:
        if prompt in self._kept:
            self._kept.move_to_end(prompt)
        else:
            self._kept[prompt] = self._encode(prompt, guided=False)[::2]
            self.computed += 1
            self.cut += self._is_cut(prompt)
            if len(self._kept) > KEPT_PROMPTS:
                self._kept.popitem(last=False)
        return self._kept[prompt]

    def _embed_negative(self, prompt: str) -> tuple[torch.Tensor, ...]:
        if self._negative is None:
            # Asked for beside a prompt: some pipelines (SDXL) take zeros, and not the empty prompt, for "nothing".
            self._negative = self._encode(prompt, guided=True)[1::2]
        return self._negative

    def _is_cut(self, prompt: str) -> bool:
        tokenizer = self._pipeline.tokenizer
        return len(tokenizer(prompt, truncation=False).input_ids) > int(tokenizer.model_max_length)

    def _encode(self, prompt: str, guided: bool) -> tuple[torch.Tensor, ...]:
        """What ``encode_prompt`` returns: (positive, negative) or (positive, negative, pooled, negative pooled)."""
        embeddings: tuple[torch.Tensor, ...] = self._pipeline.encode_prompt(
            prompt=[prompt],
            device=self._device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
            negative_prompt=[self._negative_prompt] if self._negative_prompt and guided else None,
        )
        return embeddings
