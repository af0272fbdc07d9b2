"""Tiny models in the field's own folder formats, with random weights: for tests, ours and yours.

Each function writes one folder that loads with the ordinary calls (``DiffusionPipeline.from_pretrained``,
``CLIPModel.from_pretrained``, ``open_clip.create_model("local-dir:…")``), a few hundred kB, in under a second.
The same seed gives the same bytes.
"""

from synthgap.testing.encoders import tiny_clip, tiny_dinov2, tiny_open_clip, tiny_siglip, tiny_timm
from synthgap.testing.generators import tiny_generator, tiny_lcm, tiny_stable_diffusion_2, tiny_stable_diffusion_xl
from synthgap.testing.transformer_generators import tiny_flux, tiny_pixart, tiny_stable_diffusion_3

__all__ = [
    "tiny_clip",
    "tiny_dinov2",
    "tiny_flux",
    "tiny_generator",
    "tiny_lcm",
    "tiny_open_clip",
    "tiny_pixart",
    "tiny_siglip",
    "tiny_stable_diffusion_2",
    "tiny_stable_diffusion_3",
    "tiny_stable_diffusion_xl",
    "tiny_timm",
]
