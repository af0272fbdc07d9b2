"""The safety checker of Stable Diffusion, beside the pipeline: it scores and flags images, and blackens none."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPImageProcessor

from synthgap.core.errors import InputError
from synthgap.models.pipeline_index import PipelineIndex

PART, PREPROCESSING = "safety_checker", "feature_extractor"
_CARE = np.float32(0.01)
"""How much stricter the checker is once one of its special-care concepts is near."""


class SafetyChecker:
    """Scores images as the checker that ships with Stable Diffusion, in float32 whatever the pipeline's precision."""

    def __init__(self, model: Any, processor: Any, device: torch.device) -> None:
        self._model, self._processor, self._device = model.to(device).eval(), processor, device

    def score(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Score images (b, h, w, 3) uint8: the largest excess over a concept's threshold, and whether one is flagged.

        The score, (b,) float32, is the maximum over concepts of ``cosine - threshold``, plus 0.01 where a special-care
        concept is near, rounded to three decimals as the checker does; the flag, (b,) bool, is ``score > 0``.
        """
        pictures = [Image.fromarray(image) for image in images]
        pixels = self._processor(pictures, return_tensors="pt").pixel_values.to(self._device)
        with torch.inference_mode():
            embedding = self._model.visual_projection(self._model.vision_model(pixels)[1])
            special = self._excess(embedding, "special_care_embeds")
            concepts = self._excess(embedding, "concept_embeds")
        adjustment = np.zeros(len(images), np.float32)
        for column in special.T:  # in turn: each that is near makes the next one stricter too
            adjustment = np.where(np.round(column + adjustment, 3) > 0, _CARE, adjustment)
        scores = np.round(concepts + adjustment[:, None], 3).max(axis=1)
        return scores, scores > 0

    def _excess(self, embedding: torch.Tensor, concepts: str) -> np.ndarray:
        """Cosine of images and concepts, less the concept's threshold: (b, concepts) float32."""
        directions = torch.nn.functional.normalize(getattr(self._model, concepts))
        cosine = torch.nn.functional.normalize(embedding) @ directions.T
        thresholds = getattr(self._model, f"{concepts}_weights")
        excess: np.ndarray = cosine.cpu().numpy() - thresholds.detach().cpu().numpy()
        return excess


def load_safety_checker(index: PipelineIndex, variant: str | None, device: torch.device) -> SafetyChecker | None:
    """Load the checker of a pipeline's folder; None where it has none.

    Raises InputError where it has one that cannot be read.
    """
    if not has_checker(index):
        return None
    options = {"use_safetensors": True, "local_files_only": True, "variant": variant, "dtype": torch.float32}
    try:
        model = StableDiffusionSafetyChecker.from_pretrained(str(index.folder / PART), **options)
        processor = CLIPImageProcessor.from_pretrained(str(index.folder / PREPROCESSING), local_files_only=True)
    except Exception as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(
            f"cannot load the safety checker of {index.folder} ({first}); mend it, or draw with safety_checker off"
        ) from error
    return SafetyChecker(model, processor, device)


def names_checker(index: PipelineIndex) -> bool:
    """Whether a folder's index names a safety checker of this kind."""
    return index.components.get(PART) == str(StableDiffusionSafetyChecker.__name__)


def has_checker(index: PipelineIndex) -> bool:
    """Whether a folder holds the safety checker that it names, with its preprocessing."""
    return names_checker(index) and all((index.folder / part).is_dir() for part in (PART, PREPROCESSING))
