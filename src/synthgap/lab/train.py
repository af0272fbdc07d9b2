"""``synthgap lab train``: from a labelled image set to a world of generator, encoder and judge.

Parts run in order and each can be named alone; every part continues from its checkpoint by the same command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from synthgap.core.fingerprint import fingerprint
from synthgap.core.specs import LabSpec
from synthgap.lab.autoencoder import autoencoder_loss, encode_all, new_autoencoder, standardise
from synthgap.lab.captions import caption
from synthgap.lab.contrast import ContrastiveBatches, encoder_config, new_encoder, save_encoder
from synthgap.lab.diffusion import Denoiser, DenoisingBatches, save_generator
from synthgap.lab.facts import facts_of
from synthgap.lab.judge import judge_loss, new_judge, save_judge
from synthgap.lab.loop import Report, Schedule, train
from synthgap.lab.photographs import Split, read_photographs
from synthgap.lab.start import Start
from synthgap.lab.tokenizer import train_tokenizer
from synthgap.models import lab_path
from synthgap.vocabulary import wordnet

Part = Literal["all", "tokenizer", "autoencoder", "denoiser", "encoder", "judge"]
CAPTIONS_PER_IMAGE = 3
GLOSSES = 20_000
"""WordNet definitions that the tokenizer sees beside the captions, so that free text is cut well."""


@dataclass
class World:
    """A world in the making: its photographs, its settings and its folder."""

    split: Split
    spec: LabSpec
    out: Path
    report: Report | None = None

    @property
    def work(self) -> Path:
        """Folder of checkpoints and intermediate parts."""
        return self.out / "checkpoints"

    @cached_property
    def images(self) -> torch.Tensor:
        """Photographs to learn from (n, h, w, 3) uint8."""
        return torch.from_numpy(self.split.pool.images)

    @cached_property
    def facts(self) -> NDArray[np.bool_]:
        """What captions may truly say of each photograph."""
        return facts_of(self.split.pool.images, self.split.pool.labels)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, learnt when it is not there yet."""
        from transformers import CLIPTokenizer

        folder = self.work / "tokenizer"
        if not (folder / "tokenizer_config.json").exists():
            if self.start is None:
                train_tokenizer(self._texts(), self.spec.vocabulary, folder)
            else:
                CLIPTokenizer.from_pretrained(self.start.file("generator/tokenizer")).save_pretrained(folder)
        return CLIPTokenizer.from_pretrained(folder)

    @cached_property
    def start(self) -> Start | None:
        """The world to go on from, if any."""
        if self.spec.start is None:
            return None
        return Start(lab_path("generator").parent if str(self.spec.start) == "lab" else self.spec.start)

    def _texts(self) -> list[str]:
        import random

        rng = random.Random(self.spec.seed)
        pool = self.split.pool
        texts = [
            caption(self.split.entries[label], held, rng).text
            for label, held in zip(pool.labels.tolist(), self.facts, strict=True)
            for _ in range(CAPTIONS_PER_IMAGE)
        ]
        known = wordnet.wnids()
        return texts + [
            wordnet.synset(known[i]).definition for i in rng.sample(range(len(known)), min(GLOSSES, len(known)))
        ]

    def identity(self, part: str, *names: str) -> str:
        """Fingerprint of the settings that make a part (its length apart, so that a run can be made longer)."""
        settings = {name: getattr(self.spec, name) for name in names}
        begun = {} if self.start is None else {"start": self.start.digest(part)}
        return fingerprint(part, settings | begun, self.spec.seed, len(self.images))

    def checkpoint(self, part: str) -> Path:
        """File that a part continues from."""
        return self.work / f"{part}.pt"

    def say(self, part: str) -> Report | None:
        """Progress of one part."""
        report = self.report
        return None if report is None else lambda done, total, what: report(done, total, f"{part} ({what})")


def train_autoencoder(world: World) -> Any:
    """Learn the autoencoder, standardise its latents and save it; returns the model."""
    from diffusers import AutoencoderKL

    spec, folder = world.spec, world.work / "vae"
    if world.start is not None:
        return AutoencoderKL.from_pretrained(world.start.file("generator/vae"))
    if (folder / "config.json").exists():
        return AutoencoderKL.from_pretrained(folder)
    torch.manual_seed(spec.seed)
    model = new_autoencoder(spec.autoencoder_width, spec.latent_channels, spec.image_size)
    identity = world.identity("autoencoder", "autoencoder_width", "latent_channels", "image_size")
    schedule = Schedule(spec.autoencoder_steps, 64, 1e-3, average=0.999)
    weights = train(
        model,
        lambda step: autoencoder_loss(model, world.images, 64, step, spec.seed),
        schedule,
        world.checkpoint("autoencoder"),
        identity,
        world.say("autoencoder"),
    )
    model.load_state_dict(weights)
    standardise(model.eval(), encode_all(model, world.images))
    model.save_pretrained(folder)
    return model


def train_denoiser(world: World) -> None:
    """Learn text encoder and UNet on the latents, and save the generator's folder."""
    spec, autoencoder = world.spec, train_autoencoder(world)
    latents = torch.stack([encode_all(autoencoder, world.images), encode_all(autoencoder, world.images.flip(2))])
    torch.manual_seed(spec.seed + 2)
    model = Denoiser(
        vocabulary=len(world.tokenizer),
        text_width=spec.text_width,
        channels=spec.denoiser_channels,
        latent_channels=spec.latent_channels,
        latent_size=spec.image_size // 4,
    )
    if world.start is not None:
        world.start.begin("denoiser", model.unet, model.text_encoder)
    model.unet.to(memory_format=torch.channels_last)
    batches = DenoisingBatches(latents, world.split.pool.labels, world.facts, world.split.entries, world.tokenizer)
    identity = world.identity(
        "denoiser", "text_width", "denoiser_channels", "latent_channels", "image_size", "vocabulary"
    )
    schedule = Schedule(spec.denoiser_steps, 64, 8e-4, warmup=300, average=0.9995)
    weights = train(
        model,
        lambda step: batches.loss(model, 64, step, spec.seed + 2),
        schedule,
        world.checkpoint("denoiser"),
        identity,
        world.say("denoiser"),
    )
    model.load_state_dict(weights)
    save_generator(model, autoencoder, world.tokenizer, world.out / "generator", spec.num_inference_steps)


def train_encoder(world: World) -> None:
    """Learn the CLIP model and save the encoder's folder."""
    spec = world.spec
    config = encoder_config(spec.tower, len(world.tokenizer), spec.embed_dim, spec.tower_size)
    torch.manual_seed(spec.seed + 1)
    model = new_encoder(config)
    if world.start is not None:
        world.start.begin("encoder", model)
    batches = ContrastiveBatches(
        world.images, world.split.pool.labels, world.facts, world.split.entries, world.tokenizer
    )
    identity = world.identity("encoder", "tower", "tower_size", "embed_dim", "vocabulary", "image_size")
    schedule = Schedule(spec.encoder_steps, 128, 2e-3, weight_decay=0.05, average=0.999)
    weights = train(
        model,
        lambda step: batches.loss(model, spec.tower_size, 128, step, spec.seed + 1),
        schedule,
        world.checkpoint("encoder"),
        identity,
        world.say("encoder"),
    )
    model.load_state_dict(weights)
    save_encoder(model.eval(), config, world.work / "tokenizer", world.out / "encoder")


def train_judge(world: World) -> None:
    """Learn the judge and save its folder."""
    spec = world.spec
    torch.manual_seed(spec.seed + 3)
    model = new_judge(spec.judge, len(world.split.entries))
    if world.start is not None:
        world.start.begin("judge", model)
    labels = torch.from_numpy(world.split.pool.labels)
    schedule = Schedule(spec.judge_steps, 128, 4e-3, weight_decay=0.05, average=0.999)
    weights = train(
        model,
        lambda step: judge_loss(model, world.images, labels, spec.tower_size, 128, step, spec.seed + 3),
        schedule,
        world.checkpoint("judge"),
        world.identity("judge", "judge", "tower_size", "image_size"),
        world.say("judge"),
    )
    model.load_state_dict(weights)
    save_judge(model, spec.judge, world.split.entries, spec.tower_size, world.out / "judge")


PARTS: dict[str, Callable[[World], Any]] = {
    "tokenizer": lambda world: world.tokenizer,
    "autoencoder": train_autoencoder,
    "encoder": train_encoder,
    "judge": train_judge,
    "denoiser": train_denoiser,
}


def train_world(
    images: Path, out: Path, spec: LabSpec, part: Part = "all", report: Report | None = None, threads: int | None = None
) -> Path:
    """Train a world, or one part of it, on any labelled image set; returns the world's folder.

    The folder gets ``generator/`` (a StableDiffusionPipeline), ``encoder/`` (open_clip ``local-dir:``) and ``judge/``
    (timm ``local-dir:``), and ``checkpoints/`` from which the same command continues.

    Raises InputError for a set that is missing, too small or of unknown classes; FingerprintError where the folder
    holds checkpoints of other settings.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    world = World(read_photographs(images, spec, report), spec, out, report)
    for name, action in PARTS.items():
        if part in ("all", name):
            action(world)
    return out
