"""How fast a set is drawn, against the loop that a user would write with diffusers.

    python benchmarks/generation.py                      # the lab's model on a CPU, a minute or two
    python benchmarks/generation.py sd15 cuda bfloat16   # the whole Stable Diffusion 1.5, random weights, on a GPU

The loop calls the pipeline for one prompt at a time and saves a PNG; ours draws the same prompts, seeds, steps,
guidance, sampler and precision in batches, and writes PNGs into Parquet shards beside the model. Rounds alternate; the
ratio is the median of the rounds. In the same run: the images of both compared, the share of our time outside the UNet,
the share in which drawing waits for the writer, and the UNet's rate as a share of that of a plain matrix product.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from synthgap.core.specs import GenerateSpec, Resources
from synthgap.models.folders import locate_generator
from synthgap.models.generator import load_generator
from synthgap.stages.generation.artist import Artist
from synthgap.stages.generation.drawing import plan_for, set_manifest
from synthgap.stages.generation.worker import DrawWorker
from synthgap.store.images import decode_image
from synthgap.store.sets import ImageSet
from synthgap.store.sources import open_images


def main() -> None:
    """Draw both ways, in turn, and print one line per figure."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        generator = str(_stable_diffusion(folder / "sd15")) if given.model == "sd15" else "lab"
        spec = GenerateSpec(
            classes=given.classes, generator=generator, per_class=given.per_class, num_inference_steps=given.steps,
            guidance_scale=7.5, dtype=given.dtype, image_format="png", safety_checker=False,
        )  # fmt: skip
        resources = Resources(device=given.device, batch_size=given.batch, compile=given.compile)
        ours = _Ours(spec, resources, folder)
        loop = _Loop(spec, ours, given.device, folder, given.loop_images)
        ours.draw("warm-up")
        loop.draw("warm-up", 1)
        rounds = [(loop.draw(str(number)), ours.draw(str(number))) for number in range(given.rounds)]
        _report(given, rounds, ours, loop)


class _Ours:
    def __init__(self, spec: GenerateSpec, resources: Resources, folder: Path) -> None:
        self.spec, self.resources, self.folder = spec, resources, folder
        self.source = locate_generator(spec)
        self.generator = load_generator(spec, resources, self.source)
        self.artist = Artist(self.generator, spec, resources)
        self.plan = list(plan_for(spec, folder / "plan"))
        self.seconds_in_unet = self.seconds_waiting = self.seconds = 0.0

        pipeline: Any = self.generator._pipeline
        self.unet = pipeline.unet
        self.unet.forward = self._timed(self.unet.forward)

    def _timed(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*inputs: Any, **options: Any) -> Any:
            _wait(self.resources.device)
            begun = time.perf_counter()
            out = forward(*inputs, **options)
            _wait(self.resources.device)
            self.seconds_in_unet += time.perf_counter() - begun

            return out

        return run

    def draw(self, name: str) -> tuple[float, float]:
        """Draw the whole set; returns images per second of the clock and of the processor."""
        out = self.folder / f"set-{name}"
        plan = plan_for(self.spec, out)
        image_set = ImageSet(out, set_manifest(plan, self.source))
        image_set.write_plan(plan)
        worker = DrawWorker(image_set, lambda _: self.artist, self.resources.workers)
        self.seconds_in_unet = 0.0
        clock, processor = time.perf_counter(), time.process_time()
        worker.work(list(image_set.planned()), lambda: None, lambda _: None)
        self.seconds = time.perf_counter() - clock
        self.seconds_waiting = worker.seconds_waiting
        return len(plan) / self.seconds, len(plan) / (time.process_time() - processor)

    def images(self, name: str) -> dict[str, np.ndarray]:
        """Images by key."""
        return {row.image_key: decode_image(row.read()) for row in open_images(self.folder / f"set-{name}").rows()}


class _Loop:
    """What one would write: load the pipeline, and for every prompt call it and save the image."""

    def __init__(self, spec: GenerateSpec, ours: _Ours, device: str, folder: Path, images: int) -> None:
        from diffusers import DiffusionPipeline

        self.folder, self.plan, self.spec = folder, ours.plan[:: max(1, len(ours.plan) // images)][:images], spec
        self.steps, self.device = ours.generator.num_inference_steps, device
        self.pipeline = DiffusionPipeline.from_pretrained(
            str(ours.source.folder), dtype=getattr(torch, spec.dtype), local_files_only=True
        ).to(device)
        self.pipeline.set_progress_bar_config(disable=True)

    def draw(self, name: str, count: int | None = None) -> tuple[float, float]:
        """Draw some of the images, as the whole set would take too long; returns images per second, clock and processor."""
        plan = self.plan[:count]
        out = self.folder / f"loop-{name}"
        clock, processor = time.perf_counter(), time.process_time()
        for image in plan:
            path = out / image.class_key / f"{image.image_key}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            self.pipeline(
                image.prompt,
                num_inference_steps=self.steps,
                guidance_scale=self.spec.guidance_scale,
                generator=torch.Generator("cpu").manual_seed(image.seed),
            ).images[0].save(path)
        _wait(self.device)
        return len(plan) / (time.perf_counter() - clock), len(plan) / (time.process_time() - processor)

    def images(self, name: str) -> dict[str, np.ndarray]:
        """Images by key."""
        return {path.stem: np.asarray(Image.open(path)) for path in (self.folder / f"loop-{name}").rglob("*.png")}


def _report(given: argparse.Namespace, rounds: list[Any], ours: _Ours, loop: _Loop) -> None:
    last = str(given.rounds - 1)
    mine, theirs = ours.images(last), loop.images(last)
    apart = np.concatenate([np.abs(mine[key].astype(int) - theirs[key]).ravel() for key in theirs])
    noise = 10 * np.log10(255**2 / max(1e-12, float((apart.astype(float) ** 2).mean())))
    print(
        f"{given.model}, {given.dtype}, {given.device}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
    )
    print(
        f"{len(ours.plan)} images in batches of {ours.artist.batch_size}, {loop.steps} steps, guidance {loop.spec.guidance_scale}"
    )
    print(f"same images: PSNR {noise:.1f} dB, {100 * (apart > 1).mean():.3f} % of the values more than one level apart")
    for number, what in ((0, "clock"), (1, "processor")):
        ratios = [b[number] / a[number] for a, b in rounds]
        fast, slow = (statistics.median(pair[side][number] for pair in rounds) for side in (1, 0))
        print(
            f"{what}: {fast:.2f} against {slow:.2f} images/s, {statistics.median(ratios):.2f}x "
            f"({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)"
        )
    print(f"outside the UNet: {100 * (1 - ours.seconds_in_unet / ours.seconds):.1f} % of the time")
    print(f"waiting for the writer: {100 * ours.seconds_waiting / ours.seconds:.2f} % of the time")
    flop = _flop_per_image(ours) * len(ours.plan)
    peak = _matmul_rate(given.device, getattr(torch, given.dtype))
    rate = flop / ours.seconds
    print(f"UNet: {rate / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s of a plain matrix product, {100 * rate / peak:.1f} %")


def _flop_per_image(ours: _Ours) -> float:
    """Of the UNet over all steps, guidance included."""
    config, device = ours.unet.config, next(ours.unet.parameters()).device
    rows = torch.randn(
        2, config.in_channels, config.sample_size, config.sample_size, device=device, dtype=ours.unet.dtype
    )
    text = torch.randn(2, 77, config.cross_attention_dim, device=device, dtype=ours.unet.dtype)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        ours.unet(rows, torch.tensor(10, device=device), encoder_hidden_states=text)
    return float(counter.get_total_flops()) * (ours.generator.num_inference_steps or 1)


def _matmul_rate(device: str, dtype: torch.dtype) -> float:
    side = 8192 if device.startswith("cuda") else 2048
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        _wait(device)
        begun = time.perf_counter()
        a @ b
        _wait(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best


def _wait(device: str | None) -> None:
    if device is not None and device.startswith("cuda"):
        torch.cuda.synchronize()


def _stable_diffusion(folder: Path) -> Path:
    """The architecture of Stable Diffusion 1.5 with random weights, 512x512."""
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from synthgap.testing.tokens import byte_vocabulary, tiny_tokenizer

    torch.manual_seed(0)
    marks = byte_vocabulary()
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        max_position_embeddings=77, bos_token_id=marks["<|startoftext|>"], eos_token_id=marks["<|endoftext|>"],
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    folder.mkdir(parents=True)
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tiny_tokenizer(folder / "tokenizer"), unet=unet,
        scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.to(torch.bfloat16).save_pretrained(str(folder))
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="lab", choices=("lab", "sd15"))
    parser.add_argument("device", nargs="?", default="cpu")
    parser.add_argument("dtype", nargs="?", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--classes", default="cifar-10")
    parser.add_argument("--per-class", type=int, default=20, help="images of each class, drawn by us")
    parser.add_argument("--loop-images", type=int, default=20, help="of these, drawn by the loop")
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
