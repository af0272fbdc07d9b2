"""Generators and encoders: the only files that import diffusers, transformers, open_clip and timm.

Import ``load_generator`` from ``synthgap.models.generator`` and ``load_encoder`` from ``synthgap.models.encoder``;
this package itself imports none of those libraries, so it costs nothing to ask where a model lies.
"""

from synthgap.models.folders import ModelFolder, lab_path, locate_encoder, locate_generator

__all__ = ["ModelFolder", "lab_path", "locate_encoder", "locate_generator"]
