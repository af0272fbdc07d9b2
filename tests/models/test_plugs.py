"""A user's own function as generator: found, identified, called, and told what it returned."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synthgap.core.errors import GeneratorMemoryError, InputError, RunError
from synthgap.core.specs import GenerateSpec
from synthgap.models import plugs
from synthgap.models.generator import load_generator, locate_generator, register_generator, resolve_settings

GUIDE = Path(__file__).parents[2] / "docs" / "generators.md"
GREY = """
import numpy

def grey(prompts, seeds):
    return numpy.stack([numpy.full((8, 8, 3), seed, dtype="uint8") for seed in seeds])

number = 3
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registrations, modules and import paths of one test do not reach the next."""
    monkeypatch.setattr(plugs, "_REGISTERED", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("plug_"):
            del sys.modules[name]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which holds ``plug_grey.py``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plug_grey.py").write_text(GREY)
    return tmp_path


def returning(output: Any) -> GenerateSpec:
    """A spec whose generator returns ``output``, whatever it is asked."""
    register_generator("mine")(lambda prompts, seeds: output)
    return GenerateSpec(generator="mine")


def test_a_function_in_a_module_of_the_current_folder(here: Path) -> None:
    spec = GenerateSpec(generator="plug_grey:grey")
    generator = load_generator(spec)
    assert generator.draw(["a", "b"], [3, 4])[:, 0, 0, 0].tolist() == [3, 4]
    assert (generator.name, generator.cut_prompts, generator.notes) == ("plug_grey:grey", 0, ())
    assert set(generator.resolved.values()) == {None}
    source = locate_generator(spec)
    assert (source.name, source.folder) == ("plug_grey:grey", here / "plug_grey.py")
    assert generator.fingerprint == source.fingerprint == source.revision
    assert resolve_settings(spec, source) == spec


ELSEWHERE = """
from synthgap.core.specs import GenerateSpec
from synthgap.models.generator import load_generator
print(load_generator(GenerateSpec(generator="plug_grey:grey")).draw(["a", "b"], [3, 4])[:, 0, 0, 0])
"""


def test_another_process_finds_the_function(here: Path) -> None:
    # -P: the current folder is not on the path of Python, as it is not for the synthgap command.
    command = [sys.executable, "-P", "-c", ELSEWHERE]
    assert subprocess.run(command, cwd=here, check=True, capture_output=True, text=True).stdout == "[3 4]\n"


def test_it_is_known_by_the_bytes_of_its_file_or_its_own_revision(here: Path) -> None:
    spec = GenerateSpec(generator="plug_grey:grey")
    first = locate_generator(spec).fingerprint
    (here / "plug_grey.py").write_text(GREY + "# changed\n")
    assert locate_generator(spec).fingerprint != first
    (here / "plug_marked.py").write_text(GREY + "grey.revision = 'v2'\n")
    marked = locate_generator(GenerateSpec(generator="plug_marked:grey"))
    (here / "plug_marked.py").write_text(GREY + "grey.revision = 'v2'\n# changed\n")
    assert locate_generator(GenerateSpec(generator="plug_marked:grey")) == marked and marked.revision == "v2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plug_gray:grey", "there is no module 'plug_gray', neither installed nor in .* named as module:function"),
        ("plug_nothing.at.all:grey", "there is no module 'plug_nothing.at.all'"),
        ("plug_grey:gray", "module 'plug_grey' has no function 'gray'; did you mean 'grey'"),
        ("plug_grey:number", "plug_grey:number is a int, expected a function"),
        ("plug_broken:grey", "'plug_broken' cannot be imported: ZeroDivisionError: division by zero"),
        ("plug_needy:grey", "'plug_needy' cannot be imported: No module named 'plug_absent'; install what it needs"),
        ("plug_narrow:grey", r"takes \(prompts\) .*expected \(prompts, seeds\)"),
    ],
)
def test_what_is_not_there_is_one_line(here: Path, name: str, message: str) -> None:
    (here / "plug_broken.py").write_text("1 / 0\n")
    (here / "plug_needy.py").write_text("import plug_absent\n")
    (here / "plug_narrow.py").write_text("def grey(prompts): ...\n")
    with pytest.raises(InputError, match=message) as caught:
        load_generator(GenerateSpec(generator=name))
    assert "\n" not in str(caught.value)


def test_a_function_that_was_typed_in_needs_a_revision() -> None:
    namespace: dict[str, Any] = {}
    exec(GREY, namespace)  # as in an interactive session: there is no file
    register_generator("typed")(namespace["grey"])
    with pytest.raises(InputError, match=r"'typed' has no source file .*function.revision = '1'"):
        locate_generator(GenerateSpec(generator="typed"))
    namespace["grey"].revision = 1
    assert locate_generator(GenerateSpec(generator="typed")).revision == "1"


@pytest.mark.parametrize("name", ["lab", "owner/name", "a:b", ""])
def test_names_that_mean_something_else_cannot_be_registered(name: str) -> None:
    with pytest.raises(InputError, match="cannot be registered"):
        register_generator(name)


def test_settings_reach_the_arguments_that_are_named_like_them() -> None:
    seen: list[tuple[Any, ...]] = []

    @register_generator("mine")
    def mine(prompts: Any, seeds: Any, guidance_scale: float = 4, height: int = 16, device: Any = None) -> Any:
        seen.append((guidance_scale, height, device))
        return np.zeros((len(seeds), height, height, 3), np.uint8)

    spec = GenerateSpec(generator="mine", height=24)
    generator = load_generator(spec)
    assert generator.draw(["a"], [1]).shape == (1, 24, 24, 3)
    assert seen[0][:2] == (4.0, 24) and isinstance(seen[0][2], torch.device)
    assert (generator.guidance_scale, generator.height, generator.width) == (4.0, 24, None)
    assert resolve_settings(spec, locate_generator(spec)).guidance_scale == 4.0
    with pytest.raises(InputError, match=r"mine takes no num_inference_steps, so that 9 would have no effect"):
        load_generator(GenerateSpec(generator="mine", num_inference_steps=9))


PILS = [Image.new("RGBA", (6, 4), colour) for colour in ("#ff0000", "#00ff0080")]


@pytest.mark.parametrize(
    ("output", "first"),
    [
        (np.full((2, 4, 6, 3), 7, np.uint8), [7, 7, 7]),
        (torch.full((2, 4, 6, 3), 7, dtype=torch.uint8), [7, 7, 7]),
        (PILS, [255, 0, 0]),
        (tuple(PILS), [255, 0, 0]),
        (torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(2, 3, 4, 6), [255, 128, 0]),
        (torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(2, 3, 4, 6).bfloat16().requires_grad_(), [255, 128, 0]),
    ],
)
def test_images_in_the_forms_that_people_have(output: Any, first: list[int]) -> None:
    drawn = load_generator(returning(output)).sample(["a", "b"], [1, 2])
    assert drawn.images.shape == (2, 4, 6, 3) and drawn.images.dtype == np.uint8
    assert drawn.images[0, 0, 0].tolist() == first and drawn.finite.all()
    assert drawn.safety_scores is None and drawn.safety_flags is None


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (None, "a NoneType"),
        (np.zeros((2, 4, 6, 3)), r"float64 of shape (2, 4, 6, 3) from 0 to 0"),
        (np.zeros((1, 4, 6, 3), np.uint8), "uint8 of shape (1, 4, 6, 3)"),
        (np.zeros((2, 4, 6), np.uint8), "uint8 of shape (2, 4, 6)"),
        (np.zeros((2, 3, 4, 6), np.uint8), "uint8 of shape (2, 3, 4, 6)"),
        (torch.full((2, 3, 4, 6), 1.5), "float32 of shape (2, 3, 4, 6) from 1.5 to 1.5"),
        (torch.full((2, 3, 4, 6), -0.5), "float32 of shape (2, 3, 4, 6) from -0.5 to -0.5"),
        (np.array([["a", "b"]]), "<U1 of shape (1, 2)"),
        (np.zeros((0, 4, 6, 3), bool), "bool of shape (0, 4, 6, 3)"),
        (torch.zeros(2, 4, 6, 3), "float32 of shape (2, 4, 6, 3)"),
        ([Image.new("RGB", (4, 4)), Image.new("RGB", (4, 8))], "2 things (4x4, 4x8)"),
        ([Image.new("RGB", (4, 4))], "1 things (4x4)"),
        (["a.png", "b.png"], "2 things (str)"),
        ([], "0 things ()"),
    ],
)
def test_anything_else_is_refused_with_what_was_found(output: Any, found: str) -> None:
    generator = load_generator(returning(output))
    expected = f"generator mine returned {re.escape(found)}.*; expected for 2 prompts a uint8 array"
    with pytest.raises(InputError, match=expected) as caught:
        generator.sample(["a", "b"], [1, 2])
    assert "\n" not in str(caught.value)


def test_nan_marks_an_image_that_failed() -> None:
    pixels = torch.full((2, 3, 4, 4), 0.5)
    pixels[1, 0, 0, 0] = float("nan")
    generator = load_generator(returning(pixels))
    assert generator.sample(["a", "b"], [1, 2]).finite.tolist() == [True, False]
    with pytest.raises(RunError, match="NaN for 1 of 2 images"):
        generator.draw(["a", "b"], [1, 2])


def test_want_of_memory_and_other_errors() -> None:
    @register_generator("mine")
    def mine(prompts: Any, seeds: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory") if len(seeds) > 1 else ValueError("no such prompt")

    generator = load_generator(GenerateSpec(generator="mine"))
    with pytest.raises(GeneratorMemoryError, match="no memory for 2 images at once"):
        generator.sample(["a", "b"], [1, 2])
    with pytest.raises(ValueError, match="no such prompt"):
        generator.sample(["a"], [1])


def test_the_guides_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    plug = next(block for block in blocks if "register_generator" in block)
    assert len([line for line in plug.splitlines() if line.strip()]) <= 5 + 2  # five lines, and the imports
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plug_guide.py").write_text(plug)
    name = re.findall(r"def (\w+)", plug)[0]
    by_module = load_generator(GenerateSpec(generator=f"plug_guide:{name}"))
    by_name = load_generator(GenerateSpec(generator=re.findall(r'register_generator\("(.*)"\)', plug)[0]))
    images = by_module.draw(["a cat", "a dog"], [1, 2])
    assert images.shape[0] == 2 and np.array_equal(images, by_name.draw(["a cat", "a dog"], [1, 2]))
    assert not np.array_equal(images[0], images[1])


def test_every_other_block_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 2  # or the guide is written otherwise, and nothing was tried
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), {})
