"""A world is trained by one call on any labelled image set, and opens with the field's plain calls."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from synthgap.core.errors import InputError
from synthgap.core.specs import LabSpec
from synthgap.lab.autoencoder import encode_all, new_autoencoder, standardise
from synthgap.lab.evaluate import evaluate_world
from synthgap.lab.photographs import read_photographs
from synthgap.lab.train import train_world

SPEC = LabSpec(
    classes="cat,truck",
    shipped_train=3,
    shipped_eval=2,
    vocabulary=1000,
    latent_channels=4,
    autoencoder_width=16,
    autoencoder_steps=2,
    denoiser_channels=(32, 32),
    text_width=32,
    denoiser_steps=2,
    num_inference_steps=2,
    tower="test_resnet",
    tower_size=32,
    embed_dim=16,
    encoder_steps=2,
    judge="test_resnet",
    judge_steps=2,
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for name, tint in (("cat", 60), ("truck", 160)):
        (root / name).mkdir()
        for i in range(140):
            pixels = rng.integers(0, 90, (40, 32, 3)) + tint
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")
        (root / name / "copy.png").write_bytes((root / name / "0.png").read_bytes())
    (root / "cat" / "broken.jpg").write_text("no image")
    return root


@pytest.fixture(scope="module")
def world(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_world(photographs, tmp_path_factory.mktemp("world"), SPEC)


def test_the_shipped_splits_are_never_trained_on(photographs: Path) -> None:
    split = read_photographs(photographs, SPEC)
    assert [len(part.labels) for part in (split.pool, split.train, split.evaluation)] == [270, 6, 4]
    assert split.left_out == 3  # two copies and a broken file
    pool = {image.tobytes() for image in split.pool.images}
    assert not any(image.tobytes() in pool for image in (*split.train.images, *split.evaluation.images))
    assert [entry.class_key for entry in split.entries] == ["n02121620", "n04490091"]


def test_the_split_does_not_depend_on_file_names(photographs: Path, tmp_path: Path) -> None:
    for path in photographs.glob("*/*.png"):
        target = tmp_path / path.parent.name / f"x{999 - int(path.stem) if path.stem.isdigit() else 0:03}.png"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    ours, theirs = read_photographs(photographs, SPEC), read_photographs(tmp_path, SPEC)
    assert np.array_equal(ours.evaluation.images, theirs.evaluation.images)


def test_a_class_that_is_not_in_the_list_is_named(photographs: Path) -> None:
    with pytest.raises(InputError, match="'truck'"):
        read_photographs(photographs, SPEC.model_copy(update={"classes": "cat,dog"}))


def test_too_few_images_are_refused(photographs: Path) -> None:
    with pytest.raises(InputError, match="140 different images; more than 200"):
        read_photographs(photographs, SPEC.model_copy(update={"shipped_train": 100, "shipped_eval": 100}))


def test_generator_opens_with_diffusers(world: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(world / "generator", safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline("a photo of a cat", num_inference_steps=2, output_type="np").images
    assert images.shape == (1, 32, 32, 3)
    assert json.loads((world / "generator" / "synthgap.json").read_text()) == {"num_inference_steps": 2}


def test_encoder_opens_with_open_clip(world: Path) -> None:
    import open_clip

    name = f"local-dir:{world / 'encoder'}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    tokens = open_clip.get_tokenizer(name)(["a cat", "a truck, motortruck"])
    assert tokens.shape == (2, 64)
    text = model.encode_text(tokens)
    image = model.encode_image(preprocess(Image.new("RGB", (32, 32)))[None])
    assert text.shape == (2, 16)
    assert image.shape == (1, 16)
    assert not torch.equal(text[0], text[1])


def test_judge_opens_with_timm(world: Path) -> None:
    import timm

    model = timm.create_model(f"local-dir:{world / 'judge'}", pretrained=True).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def test_weights_are_safetensors_only(world: Path) -> None:
    shipped = [p for part in ("generator", "encoder", "judge") for p in (world / part).rglob("*") if p.is_file()]
    assert {p.suffix for p in shipped} <= {".safetensors", ".json", ".txt"}


def test_no_folder_of_the_training_machine_is_shipped(world: Path) -> None:
    for path in (world / "generator").rglob("*.json"):
        assert str(world) not in path.read_text(), path


def test_the_same_call_changes_nothing(photographs: Path, world: Path) -> None:
    before = {p: p.read_bytes() for p in world.rglob("*.safetensors")}
    train_world(photographs, world, SPEC)
    assert {p: p.read_bytes() for p in world.rglob("*.safetensors")} == before


def test_evaluation_counts_what_it_says(photographs: Path, world: Path, tmp_path: Path) -> None:
    found = evaluate_world(world, photographs, tmp_path, classes="cat,truck", per_class=3)
    assert found.n_natural == 282
    assert [drawing.guidance_scale for drawing in found.drawings] == [1.0, 2.5, 5.0, 7.5]
    assert all(drawing.n == 6 and 0 <= drawing.told_right <= 1 for drawing in found.drawings)
    assert Image.open(found.contact_sheet).size == (3 * 32 * 3, 2 * 32 * 3)


def test_standardised_latents_decode_to_the_same_pixels() -> None:
    torch.manual_seed(0)
    model = new_autoencoder(16, 4, 32).eval()
    images = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8)
    latents = encode_all(model, images)
    with torch.inference_mode():
        before = model.decode(latents.float()).sample
    changed = standardise(model, latents)
    with torch.inference_mode():
        after = model.decode(changed.float()).sample
    assert torch.allclose(before, after, atol=2e-2)
    assert torch.allclose(encode_all(model, images).float(), changed.float(), atol=2e-2)
    assert torch.allclose(changed.float().std((0, 2, 3)), torch.ones(4), atol=0.02)


def test_a_world_goes_on_from_another(photographs: Path, world: Path, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"start": world, "denoiser_steps": 1})
    out = train_world(photographs, tmp_path / "next", spec, "denoiser")
    kept, learnt = "vae/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.safetensors"
    assert (out / "generator" / kept).read_bytes() == (world / "generator" / kept).read_bytes()
    before, after = (load_file(folder / "generator" / learnt) for folder in (world, out))
    moved = max(float((before[name].float() - after[name].float()).abs().max()) for name in before)
    assert 0 < moved < 0.01  # one step of learning away, where fresh weights would be far


def test_a_world_of_other_widths_is_no_start(photographs: Path, world: Path, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"start": world, "denoiser_channels": (32, 64)})
    with pytest.raises(InputError, match="does not fit these settings"):
        train_world(photographs, tmp_path / "next", spec, "denoiser")
    with pytest.raises(InputError, match="no world to start from"):
        train_world(photographs, tmp_path / "other", SPEC.model_copy(update={"start": tmp_path}), "denoiser")
