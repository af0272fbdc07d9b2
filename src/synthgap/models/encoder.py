"""The encoder of images and prompts: a model of open_clip, transformers or timm behind one small surface."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from synthgap.core.errors import InputError, SynthgapError
from synthgap.core.fingerprint import fingerprint
from synthgap.core.specs import PLACE, Dtype, EncoderSpec, Resources
from synthgap.models.devices import DTYPES, pick_device, pick_dtype
from synthgap.models.folders import OPEN_CLIP_CONFIG, ModelFolder, locate_encoder
from synthgap.models.quiet import quiet
from synthgap.models.towers import Towers

WITH_TEXT = ("open_clip", "clip", "siglip")
EXPECTED = "an open_clip or timm folder, or one of transformers: CLIPModel, SiglipModel, DINOv2, DINOv3 or ViT"


class Encoder:
    """Maps images, and prompts where the model has a text tower, to unit vectors of one space.

    Embeddings are L2-normalised float32: cosine is the dot product. A model that gives NaN or zero for an image gives
    a row of NaN here; nothing is replaced.
    """

    def __init__(self, towers: Towers, source: ModelFolder, device: torch.device, dtype: Dtype) -> None:
        self._towers, self._device, self._dtype = towers, device, DTYPES[dtype]
        self.name = source.name
        self.revision = source.revision
        self.fingerprint = encoder_fingerprint(source, dtype)
        self.dim = towers.dim

    @property
    def has_text(self) -> bool:
        """Whether it embeds prompts too; an encoder of images only does not."""
        return self._towers.texts is not None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._device

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels that the image tower sees."""
        return self._towers.preprocessing.image_size

    def prepare(self, image: np.ndarray) -> torch.Tensor:
        """Resize and crop images for ``encode_prepared``: (h, w, 3) or (b, h, w, 3) uint8 RGB, any size.

        Returns (3, *image_size) or (b, 3, *image_size) uint8. For decoding threads; releases the interpreter lock.
        """
        return self._towers.preprocessing.prepare(image)

    @torch.inference_mode()
    def encode_prepared(self, pixels: torch.Tensor) -> np.ndarray:
        """Embed prepared images, all in one forward pass: (b, 3, *image_size) uint8 to (b, dim) float32."""
        normal = self._towers.preprocessing.normalise(pixels.to(self._device), self._dtype)
        return _unit(self._towers.images(normal))

    def encode_images(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Embed decoded images in one forward pass.

        ``images``: HWC uint8 RGB arrays of any sizes, or one (b, h, w, 3) array. Returns (b, dim) float32.
        """
        if not len(images):
            return np.zeros((0, self.dim), dtype=np.float32)
        if isinstance(images, np.ndarray):
            return self.encode_prepared(self.prepare(images))
        return self.encode_prepared(torch.stack([self.prepare(image) for image in images]))

    def no_text(self) -> InputError:
        """The error of an encoder of images only that was asked for prompts."""
        return InputError(
            f"{self.name} is an encoder of images only and was asked for prompts; "
            "for these name one with a text tower, such as a CLIP or SigLIP model"
        )

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], templates: Sequence[str] = ()) -> np.ndarray:
        """Embed prompts: b texts to (b, dim) float32, in one forward pass, or in one for each template.

        A text longer than the model's context is cut, as the model's own tokenizer does.

        ``templates``: texts with ``{}`` or ``{prompt}`` where the prompt goes. A prompt's embedding is then the unit
        vector of the mean of its unit vectors over the templates (Radford et al. 2021, sec. 3.1.4).

        Raises InputError for an encoder of images only.
        """
        if self._towers.texts is None:
            raise self.no_text()
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        if not templates:
            return _unit(self._towers.texts(list(texts)))
        vectors = [_unit(self._towers.texts([fill(template, text) for text in texts])) for template in templates]
        return _unit(torch.from_numpy(np.mean(vectors, axis=0)))


def fill(template: str, prompt: str) -> str:
    """The template with the prompt in place of ``{}`` or ``{prompt}``.

    >>> fill("a drawing of a {}.", "crane")
    'a drawing of a crane.'
    """
    return PLACE.sub(lambda _: prompt, template)


def source_has_text(source: ModelFolder) -> bool:
    """Whether a located encoder embeds prompts too, told from its configuration; no weights are loaded."""
    return _kind(source.folder) in WITH_TEXT


def encoder_fingerprint(source: ModelFolder, dtype: Dtype) -> str:
    """Hash of everything of an encoder that can change an embedding: its files and its precision."""
    return fingerprint(source.fingerprint, dtype)


def load_encoder(spec: EncoderSpec, resources: Resources | None = None, source: ModelFolder | None = None) -> Encoder:
    """Load the encoder of a spec, on the device of ``resources``; ``source`` where it was located before.

    Raises InputError where there is no such encoder, it cannot be read, or the Hub cannot be reached for it.
    """
    resources = resources or Resources()
    device = pick_device(resources.device)
    dtype = pick_dtype(spec.dtype, device)
    source = source or locate_encoder(spec)
    try:
        with quiet():
            towers = _load(source, device, dtype)
    except SynthgapError:
        raise
    except Exception as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"cannot load {source.folder} as an encoder ({first}); expected {EXPECTED}") from error
    return Encoder(towers, source, device, spec.dtype)


def _kind(folder: Path) -> str:
    """``open_clip``, ``timm``, or the ``model_type`` of transformers."""
    if (folder / OPEN_CLIP_CONFIG).is_file():
        return "open_clip"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return "timm" if "architecture" in config else str(config.get("model_type"))


def _load(source: ModelFolder, device: torch.device, dtype: torch.dtype) -> Towers:
    folder, kind = source.folder, _kind(source.folder)
    # Imported here: one library is slow to import, and a user may have need of the other only.
    if kind == "open_clip":
        from synthgap.models.open_clip_folder import load_open_clip

        return load_open_clip(folder, device, dtype)
    if kind == "timm":
        from synthgap.models.timm_folder import load_timm

        return load_timm(folder, device, dtype)
    if kind == "clip":
        from synthgap.models.transformers_clip import load_clip

        return load_clip(folder, device, dtype)
    if kind == "siglip":
        from synthgap.models.transformers_siglip import load_siglip

        return load_siglip(folder, device, dtype)
    from synthgap.models.transformers_vision import VISION_MODELS, load_vision

    if kind in VISION_MODELS:
        return load_vision(folder, device, dtype)
    hint = "; of SigLIP 2 the models of a fixed resolution" if kind == "siglip2" else ""
    raise InputError(f"encoder folder {folder} holds a model of type {kind!r}; expected {EXPECTED}{hint}")


def _unit(features: torch.Tensor) -> np.ndarray:
    features = features.float()
    # Not F.normalize: it turns a zero vector into zeros, which would pass for an embedding.
    unit: np.ndarray = (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()
    return unit
