"""A CLIP tokenizer of single characters: no merges, 514 tokens, every text can be written with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

CONTEXT_LENGTH = 64
"""Longest prompt in tokens, the start and end marks included."""


def byte_vocabulary() -> dict[str, int]:
    """Every byte, every byte at the end of a word, then the start and end marks: 514 tokens.

    The end mark has the highest number, as CLIP's pooling by ``argmax`` expects.
    """
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}


def tiny_tokenizer(folder: Path) -> Any:
    """Return a ``CLIPTokenizer`` of single characters; its files are written to ``folder``."""
    tokenizer = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=CONTEXT_LENGTH)
    tokenizer.save_pretrained(str(folder))
    return tokenizer
