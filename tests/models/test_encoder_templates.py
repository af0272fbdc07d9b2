"""Prompts through templates: the mean over them, and what a template may be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from synthgap.core.specs import EncoderSpec
from synthgap.models.encoder import Encoder, fill, load_encoder

TEMPLATES = ("a photo of a {}.", "a drawing of a {prompt}.", "{}")


@pytest.fixture
def encoder(tiny_clip: Path) -> Encoder:
    return load_encoder(EncoderSpec(encoder=str(tiny_clip)))


def test_one_template_is_the_filled_text(encoder: Encoder) -> None:
    found = encoder.encode_texts(["cat", "small {dog}"], ["a photo of a {}."])
    expected = encoder.encode_texts(["a photo of a cat.", "a photo of a small {dog}."])
    assert np.abs(found - expected).max() < 1e-6


def test_many_templates_are_the_unit_mean_of_unit_vectors(encoder: Encoder) -> None:
    """A vector as near to each of the filled texts' vectors together as a unit vector can be."""
    found = encoder.encode_texts(["cat", "dog"], TEMPLATES)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    parts = np.stack([encoder.encode_texts([fill(one, text) for one in TEMPLATES]) for text in ("cat", "dog")])
    sums = np.einsum("ntd,nd->n", parts, found)
    assert np.allclose(sums, np.linalg.norm(parts.sum(axis=1), axis=1), atol=1e-5)  # Cauchy-Schwarz: equal only there
    assert np.abs(found - encoder.encode_texts(["cat", "dog"])).max() > 1e-3


def test_order_and_repetition_of_templates(encoder: Encoder) -> None:
    found = encoder.encode_texts(["cat"], TEMPLATES)
    assert np.abs(encoder.encode_texts(["cat"], TEMPLATES[::-1]) - found).max() < 1e-6
    assert np.abs(encoder.encode_texts(["cat"], TEMPLATES * 2) - found).max() < 1e-6
    assert encoder.encode_texts([], TEMPLATES).shape == (0, encoder.dim)


def test_a_prompt_with_braces_is_taken_as_it_is() -> None:
    assert fill("a {}, {prompt}", r"\1 {} {prompt}") == r"a \1 {} {prompt}, \1 {} {prompt}"


@pytest.mark.parametrize("template", ["a photo", "a {name}", "{} of {n}", "{", "{}}", "{0}"])
def test_a_template_without_a_place_is_refused(template: str) -> None:
    with pytest.raises(ValidationError, match="where the prompt goes, and no other braces"):
        EncoderSpec(templates=("a {}", template))
