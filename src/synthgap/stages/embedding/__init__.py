"""Embedding: images or prompts become shards of unit vectors."""

from synthgap.stages.embedding.images import embed_images
from synthgap.stages.embedding.texts import embed_prompts

__all__ = ["embed_images", "embed_prompts"]
