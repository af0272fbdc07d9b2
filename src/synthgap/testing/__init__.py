"""Tiny models in the field's own folder formats, with random weights: for tests, ours and yours.

Each function writes one folder that loads with the ordinary calls (``StableDiffusionPipeline.from_pretrained``,
``CLIPModel.from_pretrained``, ``open_clip.create_model("local-dir:…")``), a few hundred kB, in under a second.
The same seed gives the same bytes.
"""

from synthgap.testing.encoders import tiny_clip, tiny_open_clip
from synthgap.testing.generators import tiny_generator

__all__ = ["tiny_clip", "tiny_generator", "tiny_open_clip"]
