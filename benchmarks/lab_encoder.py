"""Which encoder the lab should have: open_clip with a convolutional tower, or transformers' CLIPModel with a ViT.

    python benchmarks/lab_encoder.py IMAGES [SECONDS]

Both see the same photographs, captions, augmentation, loss, optimiser and schedule, for the same processor time on one
core (600 s each by default); the batch is 128. Prints the steps that fit, and zero-shot accuracy on the lab's own
evaluation photographs, which neither has seen. The ViT has learning rates 5e-4 and 1e-3 to itself, the
convolutional tower the recipe's one.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from synthgap.core.specs import LabSpec
from synthgap.lab.autoencoder import pixels
from synthgap.lab.captions import caption
from synthgap.lab.contrast import augment, encoder_config, enlarge, new_encoder, text_features, tokenize, truths
from synthgap.lab.facts import facts_of
from synthgap.lab.loop import Schedule, batch_indices
from synthgap.lab.photographs import Split, read_photographs
from synthgap.lab.tokenizer import CONTEXT_LENGTH
from synthgap.models import lab_path

BATCH = 128


class Conv(nn.Module):
    """The lab's encoder."""

    size = 64

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        spec = LabSpec()
        self.clip: Any = new_encoder(encoder_config(spec.tower, vocabulary, spec.embed_dim, self.size))

    def forward(self, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.clip.encode_image(images), text_features(self.clip, ids), self.clip.logit_scale.exp()


class Vit(nn.Module):
    """A CLIPModel of the same size: 64 patches of 4x4 pixels, six layers of width 192, the same text tower."""

    size = 32

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        text = {
            "vocab_size": vocabulary, "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3,
            "num_attention_heads": 4, "max_position_embeddings": CONTEXT_LENGTH,
            "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1,
        }  # fmt: skip
        vision = {
            "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 3,
            "image_size": self.size, "patch_size": 4,
        }  # fmt: skip
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=256)
        # Plain matrix products: the backward pass of the fused kernel is slow on a CPU.
        self.clip = CLIPModel._from_config(config, attn_implementation="eager")

    def forward(self, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.clip(input_ids=ids, pixel_values=images.contiguous())
        return found.image_embeds, found.text_embeds, self.clip.logit_scale.exp()


def loss_of(model: Conv | Vit, split: Split, facts: Any, tokenizer: Any, step: int) -> Tensor:
    """As ``ContrastiveBatches.loss``."""
    pool = split.pool
    index = batch_indices(len(pool.labels), BATCH, step, 1).numpy()
    rng, generator = random.Random(step), torch.Generator().manual_seed(step)
    captions = [caption(split.entries[pool.labels[i]], facts[i], rng) for i in index]
    target = truths(captions, pool.labels[index], facts[index]).float()
    inputs = enlarge(augment(pixels(torch.from_numpy(pool.images[index])), generator), model.size)
    with torch.autocast("cpu", torch.bfloat16):
        image, text, scale = model(inputs, tokenize(tokenizer, [item.text for item in captions]))
    logits = scale * F.normalize(image.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T
    rows, columns = target / target.sum(1, keepdim=True), target / target.sum(0, keepdim=True)
    return -0.5 * ((rows * logits.log_softmax(1)).sum(1).mean() + (columns * logits.log_softmax(0)).sum(0).mean())


def train(model: Conv | Vit, split: Split, facts: Any, tokenizer: Any, seconds: float, rate: float) -> int:
    """Train for so many processor seconds; returns the steps that were taken."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05, betas=(0.9, 0.99))
    begun, steps = time.process_time(), 0
    model.train()
    while (spent := time.process_time() - begun) < seconds:
        done = spent / seconds  # the schedule follows the time, as the steps are not known beforehand
        warm = min(1.0, (steps + 1) / 200)
        schedule = Schedule(1000, BATCH, rate, warmup=0)
        for group in optimizer.param_groups:
            group["lr"] = rate * warm * schedule.rate(int(1000 * done))
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model, split, facts, tokenizer, steps)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    return steps


@torch.inference_mode()
def zero_shot(model: Conv | Vit, split: Split, tokenizer: Any) -> float:
    """Top-1 on the evaluation photographs with ``a photo of a {name}``."""
    model.eval()
    ids = tokenize(tokenizer, [f"a photo of a {entry.name}" for entry in split.entries])
    right = 0
    held = split.evaluation
    for start in range(0, len(held.labels), 250):
        inputs = enlarge(pixels(torch.from_numpy(held.images[start : start + 250])), model.size)
        image, text, _ = model(inputs, ids)
        found = (F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T).argmax(1)
        right += int((found == torch.from_numpy(held.labels[start : start + 250])).sum())
    return right / len(held.labels)


def main() -> None:
    """Train each way and print a line."""
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 600.0
    torch.set_num_threads(1)
    split = read_photographs(Path(sys.argv[1]), LabSpec())
    facts = facts_of(split.pool.images, split.pool.labels)
    tokenizer = CLIPTokenizer.from_pretrained(lab_path("generator") / "tokenizer")
    ways: list[tuple[type[Conv] | type[Vit], float]] = [(Conv, 2e-3), (Vit, 5e-4), (Vit, 1e-3)]
    for kind, rate in ways:
        torch.manual_seed(0)
        model = kind(len(tokenizer))
        weights = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        steps = train(model, split, facts, tokenizer, seconds, rate)
        accuracy = zero_shot(model, split, tokenizer)
        print(
            f"{kind.__name__.lower():5} {weights:.1f} M, learning rate {rate:g}: {steps} steps in {seconds:.0f} s of one core, "
            f"zero-shot {accuracy:.1%} of {len(split.evaluation.labels)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
