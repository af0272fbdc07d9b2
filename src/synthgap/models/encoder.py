"""The encoder of images and prompts: a CLIP model of open_clip or transformers behind one small surface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from synthgap.core.errors import InputError, SynthgapError
from synthgap.core.fingerprint import fingerprint
from synthgap.core.specs import Dtype, EncoderSpec, Resources
from synthgap.models.devices import DTYPES, pick_device, pick_dtype
from synthgap.models.folders import OPEN_CLIP_CONFIG, ModelFolder, locate_encoder
from synthgap.models.quiet import quiet
from synthgap.models.towers import Towers


class Encoder:
    """Maps images and prompts to unit vectors of one space.

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

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed prompts in one forward pass: b texts to (b, dim) float32.

        A text longer than the model's context is cut, as the model's own tokenizer does.
        """
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        return _unit(self._towers.texts(list(texts)))


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
        raise InputError(
            f"cannot load {source.folder} as a CLIP encoder ({first}); expected a transformers CLIPModel folder or an open_clip folder"
        ) from error
    return Encoder(towers, source, device, spec.dtype)


def _load(source: ModelFolder, device: torch.device, dtype: torch.dtype) -> Towers:
    # Imported here: one library is slow to import, and a user may have need of the other only.
    if (source.folder / OPEN_CLIP_CONFIG).is_file():
        from synthgap.models.open_clip_folder import load_open_clip

        return load_open_clip(source.folder, device, dtype)
    from synthgap.models.transformers_clip import load_transformers

    return load_transformers(source.folder, device, dtype)


def _unit(features: torch.Tensor) -> np.ndarray:
    features = features.float()
    # Not F.normalize: it turns a zero vector into zeros, which would pass for an embedding.
    unit: np.ndarray = (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()
    return unit
