"""Tokenizers of single characters: for CLIP every text can be written with it, for T5 every text of ASCII."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer, T5Tokenizer
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


def letter_vocabulary() -> list[tuple[str, float]]:
    """T5's marks, the space, and the printable characters of ASCII with their scores, all alike: 98 tokens."""
    letters = [chr(code) for code in range(33, 127)]
    return [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -2.0) for letter in letters)]


def tiny_t5_tokenizer(folder: Path) -> Any:
    """Return a ``T5Tokenizer`` of single characters; its files are written to ``folder``. It needs no sentencepiece."""
    tokenizer = T5Tokenizer(vocab=letter_vocabulary(), extra_ids=0, model_max_length=CONTEXT_LENGTH)
    tokenizer.save_pretrained(str(folder))
    return tokenizer
