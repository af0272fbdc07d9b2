"""How fast training is fed and steps, against the loops that users write; every ratio with a check of the result.

    python benchmarks/training.py                                # input, colours and step on one core; five minutes
    python benchmarks/training.py --only input --rounds 5
    python benchmarks/training.py --device cuda                  # whole trainings on a GPU: not run yet

The ways of a row take turns; its ratio is the median of the rounds. On a CPU one thread is used and its processor time
counted. ``input`` counts what the processor does for the device: here decoding and cutting to uint8, as the colours are
changed on the device; in DINO's pipeline everything. ``colour`` tells what the device's part costs where the device is
that same core. The rows ``multi-crop`` and ``resnet-rs`` need a GPU and have never been run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from scipy.stats import ks_2samp
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import functional as vision

from synthgap.core.specs import LearningResources, TrainSpec
from synthgap.models.classifiers import evaluation_preprocessing
from synthgap.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from synthgap.stages.training import ImageShare, train
from synthgap.stages.training import colour as colours
from synthgap.stages.training.augmentation import BOX_DRAWS, box, cut, views
from synthgap.stages.training.draws import uniforms
from synthgap.stages.training.examples import gather
from synthgap.stages.training.loader import Loader, Portion, on_device
from synthgap.store.sources import open_images

IMAGES, WIDTH, HEIGHT, QUALITY = 256, 500, 375, 90
"""As most photographs of ImageNet are."""
BATCH = 32
KINDS = views("multi-crop", 224)
CHANGES = (vision.adjust_brightness, vision.adjust_contrast, vision.adjust_saturation, vision.adjust_hue)
TO_BICUBIC = transforms.InterpolationMode.BICUBIC

Ways = dict[str, Callable[[], Any]]


def main() -> None:
    """Run the rows that were asked for."""
    given = _arguments()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU is here; without --device cuda the rows of one core are run")
    if given.device == "cpu":
        torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, {given.device}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
    )
    cpu = {"input": _input, "colour": _colour, "randaug": _randaug, "step": _step}
    cuda = {"multi-crop": _multi_crop, "resnet-rs": _resnet_rs}
    rows = cpu if given.device == "cpu" else cuda
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photographs"
        _photographs(folder)
        for name in given.only or rows:
            if name not in rows:
                sys.exit(f"{name} is no row of --device {given.device}; expected one of {', '.join(rows)}")
            rows[name](folder, given)


# --- one core ---


def _input(folder: Path, given: argparse.Namespace) -> None:
    """T1: the processor's part of multi-crop."""
    theirs = ImageFolder(str(folder), transform=MultiCrop())
    alone = ImageFolder(str(folder), transform=MultiCrop(colours=False))
    ways: Ways = {
        "synthgap": lambda: _drain(_loader(folder, KINDS).batches(0, IMAGES // BATCH)),
        "DINO's PIL pipeline": lambda: [theirs[number][0] for number in range(len(theirs))],
        "its crops alone, uint8": lambda: [alone[number][0] for number in range(len(alone))],
    }
    _race(f"1 + 8 crops of {IMAGES} JPEGs of {WIDTH}x{HEIGHT}, from files", ways, given, images=IMAGES)
    _same_boxes(folder)
    _same_distribution()


def _same_boxes(folder: Path) -> None:
    """Our crops against PIL's of the same boxes."""
    apart, number = [], 0
    for path in sorted(folder.rglob("*.jpg"))[:32]:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        for view in KINDS:
            for row in uniforms(1, np.zeros(view.count, np.int64), number + np.arange(view.count), view.draws):
                corners = box(HEIGHT, WIDTH, view.scale, row[:BOX_DRAWS])
                expected = image.crop(corners).resize((view.side, view.side), Image.Resampling.BICUBIC)
                found = np.moveaxis(cut(np.asarray(image), view, row), 0, -1)
                apart.append(np.abs(found.astype(int) - np.asarray(expected)))
                number += 1
    values = np.concatenate([one.ravel() for one in apart])
    print(
        f"  the same boxes by PIL: {len(apart)} crops at most {values.max()} of 255 apart, {values.mean():.4f} on "
        f"average, {100 * (values > 1).mean():.3f} % of the values by more than 1"
    )


def _same_distribution(n: int = 5000) -> None:
    """Areas and ratios of our boxes against torchvision's, Kolmogorov-Smirnov."""
    torch.manual_seed(0)
    blank = torch.zeros(3, HEIGHT, WIDTH)
    for view in KINDS:
        draw = transforms.RandomResizedCrop.get_params
        theirs = np.array([draw(blank, list(view.scale), [3 / 4, 4 / 3])[2:] for _ in range(n)])
        draws = uniforms(1, np.zeros(n, np.int64), np.arange(n), BOX_DRAWS)
        corners = np.array([box(HEIGHT, WIDTH, view.scale, row) for row in draws])
        ours = np.stack([corners[:, 3] - corners[:, 1], corners[:, 2] - corners[:, 0]], axis=1)
        told = [
            f"{name} p = {ks_2samp(of(ours), of(theirs)).pvalue:.2f}"
            for name, of in (("areas", lambda s: s[:, 0] * s[:, 1]), ("ratios", lambda s: s[:, 1] / s[:, 0]))
        ]
        print(f"  boxes of {view.side} pixels against torchvision's, {n} each, Kolmogorov-Smirnov: {', '.join(told)}")


def _colour(folder: Path, given: argparse.Namespace) -> None:
    """The device's part of multi-crop on the same core, against torchvision image by image."""
    preprocessing = evaluation_preprocessing(224, 1.0)
    (batch,) = _loader(folder, KINDS).batches(0, 1)
    device = torch.device("cpu")
    ways: Ways = {
        "synthgap": lambda: on_device(batch, KINDS, preprocessing, device),
        "torchvision's transforms": lambda: [
            _theirs(pixels, view.blur) for pixels, view in zip(batch.views, KINDS, strict=True)
        ],
    }
    _race(f"mirror, colours, blur and normalising of 9 crops of {BATCH} images", ways, given, images=BATCH)
    images, draws = batch.views[1].float() / 255, batch.draws[1][:, 1:]
    found = colours.recoloured(images, draws, 0.0)
    order = list(permutations(range(4)))
    apart = 0.0
    for image, row, ours in zip(images, draws, found, strict=True):
        expected = image
        for number in order[int(row[5] * 24)] if row[0] < colours.JITTER else ():
            by = float((2 * row[1 + number] - 1) * colours.STRENGTHS[number])
            expected = CHANGES[number](expected, by if number == 3 else 1 + by)
        expected = vision.rgb_to_grayscale(expected, 3) if row[6] < colours.GREY else expected
        apart = max(apart, float((ours - expected).abs().max()))
    print(f"  colours of {len(images)} crops by torchvision's functions: at most {255 * apart:.2f} of 255 apart")


def _theirs(pixels: Tensor, blur: float) -> Tensor:
    """DINO's colours on tensors, image by image."""
    jitter = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.RandomApply([transforms.GaussianBlur(13, (0.1, 2.0))], p=blur),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    return torch.stack([jitter(image) for image in pixels.float() / 255])


def _randaug(folder: Path, given: argparse.Namespace) -> None:
    """The processor's part of recipe M, against torchvision's own RandAugment after the same crop."""
    kinds = views("randaug", 256, layers=2, magnitude=15)
    theirs = ImageFolder(
        str(folder),
        transform=transforms.Compose(
            [
                transforms.RandomResizedCrop(256),
                transforms.RandomHorizontalFlip(),
                transforms.RandAugment(2, 15, fill=[128, 128, 128]),
                transforms.PILToTensor(),
            ]
        ),
    )
    ways: Ways = {
        "synthgap": lambda: _drain(_loader(folder, kinds).batches(0, IMAGES // BATCH)),
        "torchvision on PIL": lambda: [theirs[number][0] for number in range(len(theirs))],
    }
    _race(f"crop of 256 and RandAugment (other changes than torchvision's) of {IMAGES} JPEGs", ways, given, IMAGES)


def _step(folder: Path, given: argparse.Namespace) -> None:
    """T4: forward, backward and update of ResNet50 at 96 pixels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(given.batch, 3, 96, 96, generator=generator)
    labels = torch.randint(1000, (given.batch,), generator=generator)
    models = {}
    for name in ("ours", "theirs"):
        torch.manual_seed(0)
        models[name] = timm.create_model("resnet50").train()
    ours = models["ours"].to(memory_format=torch.channels_last)

    def step(model: nn.Module, inputs: Tensor, narrow: bool) -> float:
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            logits = model(inputs)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    last = images.contiguous(memory_format=torch.channels_last)
    ways: Ways = {
        "synthgap: channels last, bfloat16": lambda: step(ours, last, True),
        "float32, channels first": lambda: step(models["theirs"], images, False),
    }
    found = _race(f"a training step of ResNet50, {given.batch} images of 96 pixels", ways, given, given.batch)
    print("  first loss: " + ", ".join(f"{name} {loss:.4f}" for name, loss in found.items()))


# --- a GPU: never run ---


def _multi_crop(folder: Path, given: argparse.Namespace) -> None:
    """T2: recipe S as a whole against DINO's pipeline and a plain loop with automatic mixed precision."""
    _whole(folder, given, TrainSpec(recipe="S"), MultiCrop(), 256)


def _resnet_rs(folder: Path, given: argparse.Namespace) -> None:
    """T3: recipe M as a whole against a plain loop."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(256),
            transforms.RandomHorizontalFlip(),
            transforms.RandAugment(2, 15, fill=[128, 128, 128]),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            transforms.Lambda(lambda image: [image]),
        ]
    )
    _whole(folder, given, TrainSpec(recipe="M"), transform, 128)


def _whole(folder: Path, given: argparse.Namespace, spec: TrainSpec, transform: Any, batch: int) -> None:
    from synthgap.stages.training.recipes import resolve

    recipe = resolve(spec)
    spec = spec.model_copy(
        update={"batch_size": batch, "iterations": given.steps, "epochs": 1, "validation_share": 0.0}
    )
    peak = _gemm_peak()
    flops = _step_flops(recipe.model, recipe.augmentation, recipe.image_size)
    resources = LearningResources(device="cuda", workers=given.workers)
    rates: dict[str, list[float]] = {"synthgap": [], "plain loop": []}
    for number in range(given.rounds + 1):  # the first warms up
        with tempfile.TemporaryDirectory() as out:
            train([ImageShare(open_images(folder))], spec, Path(out) / "model", resources)
            row = json.loads((Path(out) / "model" / "history.jsonl").read_text().splitlines()[-1])
        mine = given.steps * batch / row["seconds"]
        other = _plain_loop(folder, recipe.model, transform, batch, given)
        if number:
            rates["synthgap"].append(mine)
            rates["plain loop"].append(other)
            print(f"  round {number}: data_wait {row['data_wait']:.3f}")
    print(f"{recipe.model}, {recipe.augmentation}, {given.steps} steps of {batch} images")
    for name, found in rates.items():
        rate = statistics.median(found)
        print(
            f"  {name}: {rate:.0f} images/s, {100 * rate * flops / peak:.0f} % of the GEMM peak of {peak / 1e12:.0f} TFLOP/s"
        )
    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
    print(f"  synthgap is {statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f}) as fast")


def _plain_loop(folder: Path, name: str, transform: Any, batch: int, given: argparse.Namespace) -> float:
    """Images a second of the loop that a user would write."""
    data = DataLoader(
        ImageFolder(str(folder), transform=transform),
        batch_size=batch,
        shuffle=True,
        num_workers=given.workers,
        pin_memory=True,
        drop_last=True,
    )
    model = timm.create_model(name, num_classes=2).cuda().train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    scaler = torch.amp.GradScaler("cuda")
    done, begun = 0, 0.0
    while done <= given.steps:
        for crops, labels in data:
            if done == 1:
                begun = _clock("cuda")
            by_size: dict[int, list[Tensor]] = {}
            for crop in crops:
                by_size.setdefault(crop.shape[-1], []).append(crop.cuda(non_blocking=True))
            with torch.autocast("cuda", torch.float16):
                logits = torch.cat([model(torch.cat(same)) for same in by_size.values()])
                loss = F.cross_entropy(logits, labels.cuda().repeat(len(crops)))
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            done += 1
            if done > given.steps:
                break
    return given.steps * batch / (_clock("cuda") - begun)


def _gemm_peak(side: int = 8192) -> float:
    """Operations a second of a bfloat16 matrix product."""
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    begun = _clock("cuda")
    for _ in range(20):
        a @ b
    return 20 * 2 * side**3 / (_clock("cuda") - begun)


def _step_flops(name: str, augmentation: Any, image_size: int) -> float:
    """Operations of one image's forward and backward pass, all views."""
    model = timm.create_model(name).train()
    total = 0
    for view in views(augmentation, image_size, layers=2, magnitude=15):
        with FlopCounterMode(display=False) as counter:
            model(torch.randn(2, 3, view.side, view.side)).sum().backward()
        total += view.count * counter.get_total_flops() / 2
    return float(total)


# --- DINO's pipeline, as facebookresearch/dino main_dino.py and utils.py write it, with 1 global crop ---


class Blur:
    """Its GaussianBlur."""

    def __init__(self, p: float) -> None:
        self.p = p

    def __call__(self, image: Image.Image) -> Image.Image:
        if random.random() > self.p:
            return image
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


class MultiCrop:
    """Its DataAugmentationDINO: 1 global and 8 local crops as normalised tensors; without colours as uint8."""

    def __init__(self, *, colours: bool = True) -> None:
        jitter: list[Any] = [
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
        ]
        normal = [transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
        whole, local = (
            transforms.RandomResizedCrop(view.side, scale=view.scale, interpolation=TO_BICUBIC) for view in KINDS
        )
        after = [[*jitter, Blur(p), *normal] if colours else [transforms.PILToTensor()] for p in (1.0, 0.5)]
        self.whole, self.local = (
            transforms.Compose([crop, *rest]) for crop, rest in zip((whole, local), after, strict=True)
        )

    def __call__(self, image: Image.Image) -> list[Tensor]:
        return [self.whole(image), *(self.local(image) for _ in range(8))]


# --- common ---


def _photographs(folder: Path) -> None:
    """Cuttings of scikit-learn's two photographs (640x427), each at least 3/5 of a side, at the size of ImageNet's."""
    rng = np.random.default_rng(0)
    for name, pixels in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (folder / name).mkdir(parents=True)
        photograph = Image.fromarray(pixels)
        for number in range(IMAGES // 2):
            width = int(rng.integers(400, 560))
            height = width * HEIGHT // WIDTH
            left, top = (int(rng.integers(0, most + 1)) for most in (640 - width, 427 - height))
            image = photograph.crop((left, top, left + width, top + height)).resize((WIDTH, HEIGHT))
            image.save(folder / name / f"{number:03d}.jpg", quality=QUALITY)


def _loader(folder: Path, kinds: Any) -> Loader:
    examples, _ = gather([ImageShare(open_images(folder))], images=None, validation_share=0.0, seed=0, memory=1.0)
    portion = Portion(BATCH, 0, 1)
    return Loader(examples, kinds, evaluation_preprocessing(kinds[0].side, 1.0), portion, seed=0, workers=1)


def _drain(batches: Iterator[Any]) -> None:
    for _ in batches:
        pass


def _race(title: str, ways: Ways, given: argparse.Namespace, images: int) -> dict[str, Any]:
    """Let the ways take turns after a warm-up; print images a second and ratios; return what each found first."""
    found = {name: way() for name, way in ways.items()}
    rounds = []
    for _ in range(given.rounds):
        taken = {}
        for name, way in ways.items():
            begun = _clock("cpu")
            way()
            taken[name] = _clock("cpu") - begun
        rounds.append(taken)
    print(title)
    ours = next(iter(ways))
    for name in ways:
        ratios = [taken[name] / taken[ours] for taken in rounds]
        rate = images / statistics.median(taken[name] for taken in rounds)
        spread = f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f}, {len(rounds)} rounds)"
        print(f"  {name}: {rate:.1f} images/s" + ("" if name == ours else f", synthgap is {spread} as fast"))
    return found


def _clock(device: str) -> float:
    """Seconds of the processor, or of a GPU once it is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="input colour randaug step, or multi-crop resnet-rs on a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64, help="images of a CPU step")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", type=int, default=50, help="of each training on a GPU")
    parser.add_argument("--workers", type=int, default=16, help="threads, and processes of the plain loop, on a GPU")
    return parser.parse_args()


if __name__ == "__main__":
    main()
