"""A generator's text embeddings, computed once per distinct prompt."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import Any

import torch

from synthgap.models.families import Family
from synthgap.models.quiet import quiet

KEPT_BYTES = 2**28
"""Embeddings kept on the device: some 2000 prompts of Stable Diffusion in bfloat16, 64 of Flux (4 MB each)."""

Embedding = dict[str, torch.Tensor]
"""Arguments of the pipeline's call, of shape (1, ...)."""


class PromptCache:
    """Embeds prompts for a pipeline with ``encode_prompt``, one at a time, and remembers them.

    One at a time, because then an embedding never depends on which other prompts were embedded with it: the image of
    a prompt and a seed stays the same bytes after a restart.
    """

    def __init__(
        self, pipeline: Any, family: Family, *, negative_prompt: str, guided: bool, longest: int | None
    ) -> None:
        self._pipeline, self._family = pipeline, family
        self._negative_prompt, self._guided, self._longest = negative_prompt, guided, longest
        self._options = _options(pipeline, longest)
        self._accepted = inspect.signature(pipeline.encode_prompt).parameters
        self._kept: OrderedDict[str, Embedding] = OrderedDict()
        self._bytes = 0
        self._negative: Embedding | None = None
        self._cut: set[str] = set()
        self.computed = 0
        """How many prompts were sent through the text encoders."""

    @property
    def cut(self) -> int:
        """How many distinct prompts were longer than the context of every text encoder, and lost their end."""
        return len(self._cut)

    def arguments(self, prompts: list[str]) -> Embedding:
        """The pipeline's keyword arguments for these prompts: tensors of shape (b, ...), one row per prompt."""
        with quiet(), torch.inference_mode():
            rows = [self._embed(prompt) for prompt in prompts]
            negative = self._embed_negative(prompts[0]) if self._guided else {}
        arguments = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        return arguments | {name: part.expand(len(prompts), *part.shape[1:]) for name, part in negative.items()}

    def _embed(self, prompt: str) -> Embedding:
        if prompt in self._kept:
            self._kept.move_to_end(prompt)
            return self._kept[prompt]
        embedding = {
            name: part for name, part in self._encode(prompt, guided=False).items() if not name.startswith("negative_")
        }
        self._kept[prompt] = embedding
        self._bytes += _size(embedding)
        self.computed += 1
        if self._is_cut(prompt):
            self._cut.add(prompt)
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])
        return embedding

    def _embed_negative(self, prompt: str) -> Embedding:
        if self._negative is None:
            # Asked for beside a prompt: some pipelines (SDXL) take zeros, and not the empty prompt, for "nothing".
            encoded = self._encode(prompt, guided=True)
            self._negative = {name: part for name, part in encoded.items() if name.startswith("negative_")}
        return self._negative

    def _encode(self, prompt: str, guided: bool) -> Embedding:
        """The results of ``encode_prompt`` by the argument that each becomes."""
        asked: dict[str, Any] = {"do_classifier_free_guidance": guided}
        if guided and self._negative_prompt:  # left out where empty: pipelines differ in what they take for none
            asked["negative_prompt"] = [self._negative_prompt]
        asked = {name: value for name, value in asked.items() if name in self._accepted}
        results = self._pipeline.encode_prompt(prompt=[prompt], **self._options, **asked)
        named = zip(self._family.outputs, results, strict=True)
        return {name: part for name, part in named if name is not None and part is not None}

    def _is_cut(self, prompt: str) -> bool:
        """Whether no text encoder saw the whole prompt."""
        parts = (getattr(self._pipeline, name, None) for name in ("tokenizer", "tokenizer_2", "tokenizer_3"))
        return all(
            len(tokenizer(prompt, truncation=False).input_ids) > self._context(tokenizer)
            for tokenizer in parts
            if tokenizer is not None
        )

    def _context(self, tokenizer: Any) -> int:
        own = int(tokenizer.model_max_length)
        # CLIP reads as far as it was made to; T5 as far as the pipeline lets it.
        return own if self._longest is None or "CLIP" in type(tokenizer).__name__ else self._longest


def longest_prompt(pipeline: Any) -> int | None:
    """Tokens that a pipeline's T5 reads; None where it has no such setting."""
    setting = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
    if setting is None:
        return None
    transformer = getattr(pipeline, "transformer", None)
    # FLUX.1 schnell was made for 256, half of what the pipeline lets through by default.
    is_schnell = transformer is not None and transformer.config.get("guidance_embeds") is False
    return 256 if is_schnell else int(setting.default)


def _options(pipeline: Any, longest: int | None) -> dict[str, Any]:
    """Arguments of ``encode_prompt`` that are the same for every prompt."""
    # Cleaned captions would depend on whether two optional packages are installed, and go by no setting of the spec.
    wanted = {"num_images_per_prompt": 1, "clean_caption": False, "max_sequence_length": longest}
    # The device is asked once: diffusers walks all modules for it.
    wanted |= {"device": pipeline.device, "prompt_2": None, "prompt_3": None}
    accepted = inspect.signature(pipeline.encode_prompt).parameters
    return {name: value for name, value in wanted.items() if name in accepted}


def _size(embedding: Embedding) -> int:
    return sum(part.numel() * part.element_size() for part in embedding.values())
