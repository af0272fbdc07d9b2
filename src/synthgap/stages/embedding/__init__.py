"""Embedding: images or prompts become shards of unit vectors."""

from synthgap.stages.embedding.images import check_image_embeddings, embed_images
from synthgap.stages.embedding.texts import embed_prompts

__all__ = ["check_image_embeddings", "embed_images", "embed_prompts"]
