"""Files in and out: image sources, image sets, embeddings, result tables. Every write is whole or not at all."""
