"""The shipped studies: what they resolve to, and that a user can give each what it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run as command

from synthgap.study import load_study, shipped_studies

GOLDEN = {
    "marwood2023": """\
data:
  imagenet: null
natural:
  name: imagenet
  description: ImageNet's training images; its validation images ask
  path: data:imagenet
  preset: null
  generate: null
  grid: {}
sets:
- name: synset
  description: M's Synset, all names of each class, guidance 7.5
  path: null
  preset: null
  generate:
    classes: imagenet-1k
    recipe: name
""",
    "sariyildiz2022": """\
data:
  imagenet-100: null
  v2-matched-frequency: null
  v2-threshold: null
  v2-top-images: null
  sketch: null
  r: null
  a: null
  aircraft: null
""",
}


@pytest.mark.parametrize("study", GOLDEN)
def test_the_papers_print_as_they_are_resolved(study: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = command(capsys, f"run {study} --out x --print-config")
    assert code == 0 and out.startswith(GOLDEN[study])
    (tmp_path / "again.yaml").write_text(out)
    assert load_study(str(tmp_path / "again.yaml")) == load_study(study)


def test_the_papers_hold_what_the_papers_say() -> None:
    m, s = load_study("marwood2023"), load_study("sariyildiz2022")
    assert m.classifiers is not None and m.classifiers.train.recipe == "M"
    counts = {(one.generate.per_class, one.generate.eval_per_class) for one in m.sets if one.generate}
    guidance = [one.generate.guidance_scale for one in m.sets if one.generate]
    assert counts == {(1200, 50)} and guidance == [7.5, 7.5, 2.5, 2.5, 1.0]
    assert [one.generate.recipe for one in s.sets if one.generate][:6] == [
        "name", "hypernym", "definition", "multiple", "multiple-different", "background",
    ]  # fmt: skip
    assert all(str(one.generate.counts_like) == "data:imagenet-100" for one in s.sets if one.generate)
    assert s.transfer is not None and len(s.transfer.targets) == 10 and len(s.data) == 17
    assert load_study("sariyildiz2022-1k").sets[1].name == "s-1k-background"


def test_the_papers_ask_for_the_users_images_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = command(capsys, f"run marwood2023 --out {tmp_path / 'x'}")
    assert code == 2 and err == "error: the study needs images of yours: --set data.imagenet=DIR\n"
    code, _, err = command(capsys, f"run sariyildiz2022 --out {tmp_path / 'x'} --set transfer=null")
    assert code == 2 and err.count("\n") == 1
    assert "--set data.imagenet-100=DIR for each of imagenet-100, v2-matched-frequency" in err and "pets" not in err


def test_the_miniature_is_a_valid_study() -> None:
    spec = load_study("miniature")
    assert [one.name for one in spec.sets] == ["sd14", "lab-7.5", "lab-2.5"]


def test_the_pages_study_is_a_study(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "studies.md").read_text(encoding="utf-8")
    (tmp_path / "study.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    spec = load_study(str(tmp_path / "study.yaml"))
    assert [one.name for one in spec.sets] == ["sd14", "drawn-7.5", "drawn-2.5", "clarified"]


@pytest.mark.parametrize("study", shipped_studies())
def test_all_data_of_a_shipped_study_can_be_given(study: str) -> None:
    names = list(load_study(study).data)
    given = load_study(study, tuple(f"data.{name}=/images/{name}" for name in names)).data
    assert given == {name: f"/images/{name}" for name in names}
