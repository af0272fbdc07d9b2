"""How fast images and prompts are embedded, against the bare model and the loops that a user would write.

    python benchmarks/embedding.py                     # CLIP ViT-B/32, random weights, on a CPU, about two minutes
    python benchmarks/embedding.py cuda --images 4096  # on a GPU

The same JPEG files, weights and precision four ways: ours, from files to unit vectors in Parquet; the bare model on
prepared tensors, which nothing from files can beat; transformers' processor and model, an image at a time; open_clip's
transform on PIL images in a DataLoader, in our batches. Then ours in bfloat16 against float32, and prompts cut after the
longest against prompts padded to 77 tokens. Rounds alternate; a ratio is the median of the rounds. In the same run every
other way's vectors are compared with ours.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessor, CLIPModel

from synthgap.core.specs import EncoderSpec, Resources
from synthgap.models.encoder import Encoder, load_encoder
from synthgap.models.folders import lab_path
from synthgap.stages.embedding.folder import Place
from synthgap.stages.embedding.images import ImageJob, ImageWorker, embed_images, suitable_batch
from synthgap.store.embeddings import load_embeddings
from synthgap.store.sources import open_images

Way = Callable[[], np.ndarray]
"""Embeds all there is, and returns the unit vectors."""
LEAST_COSINE = 0.999


def main() -> None:
    """Embed all ways in turn, and print one line per figure."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model, photographs = _vit_b_32(folder / "clip"), _photographs(folder / "photographs", given)
        resources = Resources(device=given.device, batch_size=given.batch, workers=given.workers)
        float32, bfloat16 = (_Ours(model, photographs, folder, resources, dtype) for dtype in ("float32", "bfloat16"))
        others = _Others(float32, model, photographs, given)
        print(
            f"ViT-B/32, {given.device}, {torch.get_num_threads()} torch threads, {given.workers} decoding, load {os.getloadavg()[0]:.1f}; "
            f"{given.images} JPEG files of {given.width}x{given.height} in classes of {given.per_class}, batches of {float32.batch}"
        )
        ways: dict[str, Way] = {
            "the bare model": others.bare,
            "transformers, one at a time": others.one_at_a_time,
            "open_clip's transform in a DataLoader": others.loader,
            "ours in bfloat16": bfloat16.images,
        }
        if given.bare:
            ways = {"the bare model": others.bare}
        _compare("images/s", float32.images, ways, given.images, given.rounds)
        if given.bare:
            return
        prompts = [f"a photo of a {name}" for name in _words(given.prompts)]
        _compare(
            "prompts/s",
            lambda: _in_batches(prompts, float32.encoder.encode_texts),
            {"padded to 77 tokens": lambda: _in_batches(prompts, others.padded)},
            len(prompts),
            given.rounds,
        )


def _compare(unit: str, ours: Way, others: dict[str, Way], count: int, rounds: int) -> None:
    """Print each way's rate by the clock and by the processor, ours as a multiple of it, and how far the vectors are apart."""
    expected = ours()  # warm-up, and what the others are held against
    cosines = {name: (way() * expected).sum(axis=1) for name, way in others.items()}
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ("ours", *others)}
    for _ in range(rounds):
        for name, way in {"ours": ours, **others}.items():
            clock, processor = time.perf_counter(), _processor_seconds()
            way()
            rates[name].append((count / (time.perf_counter() - clock), count / (_processor_seconds() - processor)))
    mine = [statistics.median(rate[side] for rate in rates["ours"]) for side in (0, 1)]
    print(f"ours: {mine[0]:.1f} {unit} of the clock, {mine[1]:.1f} of the processor, {rounds} rounds")
    for name in others:
        least, mean = cosines[name].min(), cosines[name].mean()
        told = "same vectors" if least >= LEAST_COSINE else "OTHER VECTORS"
        print(f"  {name}: {told}, cosine {least:.6f} at least and {mean:.6f} in the mean; ours is")
        for side, what in enumerate(("clock", "processor")):
            ratios = [a[side] / b[side] for a, b in zip(rates["ours"], rates[name], strict=True)]
            print(
                f"    {statistics.median(ratios):.2f} times it by the {what} ({min(ratios):.2f} to {max(ratios):.2f})"
            )


def _processor_seconds() -> float:
    """Of this process, its threads, and the processes that it has ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class _Ours:
    """From files to a folder of embeddings, as the command does it, with the encoder loaded."""

    def __init__(self, model: Path, photographs: Path, folder: Path, resources: Resources, dtype: Any) -> None:
        self.spec, self.out = EncoderSpec(encoder=str(model), dtype=dtype), folder / f"embeddings-{dtype}"
        embed_images(photographs, self.spec, self.out, resources)
        self.encoder: Encoder = load_encoder(self.spec, resources)
        self.batch = resources.batch_size or suitable_batch(self.encoder.image_size, self.encoder.device.type)
        source = open_images(photographs)
        ranges = {part.name: part for part in source.shards(1000)}
        self.job = ImageJob(source, ranges, Place(self.out, self.spec, resources, self.encoder))

    def images(self) -> np.ndarray:
        """Embed all images anew."""
        shutil.rmtree(self.out / "done")
        ImageWorker(self.job, self.encoder).work(list(self.job.shards()), lambda: None, lambda _: None)
        return load_embeddings(self.out).embeddings


class _Others:
    """The bare model, and the two loops."""

    def __init__(self, ours: _Ours, model: Path, photographs: Path, given: argparse.Namespace) -> None:
        self.files = sorted(photographs.rglob("*.jpg"))
        self.ours, self.device, self.workers = ours, given.device, given.workers
        self.model = CLIPModel.from_pretrained(str(model)).to(given.device).eval()
        self.processor: Any = CLIPImageProcessor.from_pretrained(str(model))
        self.tokenizer = AutoTokenizer.from_pretrained(str(model))
        self.prepared = torch.stack([ours.encoder.prepare(np.asarray(Image.open(file))) for file in self.files])

    @torch.inference_mode()
    def bare(self) -> np.ndarray:
        """The model alone, on pixels that are resized and cut already."""
        normalise = self.ours.encoder._towers.preprocessing.normalise
        batches = self.prepared.split(self.ours.batch)
        return _unit([self._embed(normalise(batch.to(self.device), torch.float32)) for batch in batches])

    @torch.inference_mode()
    def one_at_a_time(self) -> np.ndarray:
        """What the model's card tells one to write."""
        found = []
        for file in self.files:
            inputs = self.processor(Image.open(file), return_tensors="pt").to(self.device)
            found.append(self._embed(inputs["pixel_values"]))
        return _unit(found)

    @torch.inference_mode()
    def loader(self) -> np.ndarray:
        """A DataLoader with as many processes as we have threads."""
        dataset = _Transformed(self.files, _open_clip_transform(self.processor))
        loader: Any = DataLoader(dataset, batch_size=self.ours.batch, num_workers=self.workers)
        return _unit([self._embed(batch.to(self.device)) for batch in loader])

    @torch.inference_mode()
    def padded(self, prompts: list[str]) -> np.ndarray:
        """Prompts as the model's card encodes them."""
        tokens = self.tokenizer(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        return _unit([self.model.get_text_features(**tokens.to(self.device)).pooler_output])

    def _embed(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
        return features


class _Transformed(Dataset[torch.Tensor]):
    """Images of files through a transform."""

    def __init__(self, files: list[Path], transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> torch.Tensor:
        return self.transform(Image.open(self.files[number]))


def _open_clip_transform(processor: Any) -> Callable[[Image.Image], torch.Tensor]:
    import open_clip

    mean, std = tuple(processor.image_mean), tuple(processor.image_std)
    transform: Callable[[Image.Image], torch.Tensor] = open_clip.image_transform(224, False, mean=mean, std=std)
    return transform


def _unit(parts: list[torch.Tensor]) -> np.ndarray:
    vectors: np.ndarray = torch.nn.functional.normalize(torch.cat(parts), dim=-1).cpu().numpy()
    return vectors


def _in_batches(prompts: list[str], embed: Callable[[list[str]], np.ndarray], size: int = 64) -> np.ndarray:
    return np.concatenate([embed(prompts[start : start + size]) for start in range(0, len(prompts), size)])


def _words(count: int) -> list[str]:
    birds = ("crane", "small heron", "red kite", "common snipe", "owl", "great grey shrike", "hen", "black grouse")
    return [f"{birds[number % 8]} on a branch, {number}" for number in range(count)]


def _photographs(folder: Path, given: argparse.Namespace) -> Path:
    """JPEG files with the coarse and the fine structure of photographs, a folder per class."""
    generator = np.random.default_rng(0)
    for number in range(given.images):
        coarse = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((given.width, given.height), 3)).astype(np.int16)
        grain = generator.normal(0, 8, smooth.shape).astype(np.int16)
        path = folder / f"class-{number // given.per_class:04d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(path, quality=90)
    return folder


def _vit_b_32(folder: Path) -> Path:
    """The architecture of OpenAI's CLIP ViT-B/32 with random weights, and the lab's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(str(lab_path("encoder")))
    tokenizer.model_max_length = 77
    tokenizer.save_pretrained(str(folder))
    marks = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    torch.manual_seed(0)
    # Of its text tower the defaults are ViT-B/32's, and of its image tower too.
    CLIPModel(CLIPConfig(text_config=marks, projection_dim=512)).save_pretrained(str(folder))
    CLIPImageProcessor().save_pretrained(str(folder))
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", nargs="?", default="cpu")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--height", type=int, default=375)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bare", action="store_true", help="images against the bare model alone")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
