"""The dataset card: what it says, and what ``datasets`` takes from it."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from store_samples import png, set_manifest

from synthgap.core.records import Finding
from synthgap.store.card import CardFacts, ClassCounts, Layout, Licence, dataset_card, front_matter
from synthgap.store.export.licence import licence_of, licence_of_hub_model
from synthgap.store.features import COLUMNS, image_schema, label_names
from synthgap.store.manifest import Manifest

SPEC = {"generator": "org/model", "revision": "abc", "recipe": "name", "classes": "imagenet-100", "seed": 7}


def card(facts: CardFacts | None = None, **changes: object) -> str:
    return dataset_card(set_manifest(**({"spec": SPEC} | changes)), {"train": 1500, "eval": 20}, facts)


def head_of(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def section(text: str, title: str) -> str:
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_front_matter() -> None:
    head = head_of(card())
    assert {"synthetic", "text-to-image"} <= set(head["tags"])
    assert head["size_categories"] == ["1K<n<10K"]
    assert head["license"] == "unknown"
    assert [column["name"] for column in head["dataset_info"]["features"]] == list(COLUMNS)
    assert "dataset_info" not in head_of(dataset_card(set_manifest(), {"train": 1}, None, Layout("train-*.tar", False)))


def test_what_datasets_reads_from_the_front_matter() -> None:
    """The features are those that ``datasets`` itself would write for the Parquet files' schema."""
    datasets = pytest.importorskip("datasets")
    manifest = set_manifest()
    features = datasets.Features.from_arrow_schema(image_schema(manifest.classes))
    assert head_of(card())["dataset_info"]["features"] == features._to_yaml_list()


def test_prompts_rates_and_settings() -> None:
    facts = CardFacts(
        counts={"n02012849": ClassCounts(ok=90, failed=10, scored=90, flagged=9), "odd~1": ClassCounts(50, 0, 50, 1)},
        prompts=("a photo of crane", "evil `` ` \n## Heading"),
        left_out={"n02012849": 9, "odd~1": 1},
    )
    text = card(facts)
    assert "drawn by `org/model (abc)`" in text and "seed: 7" in text
    assert "* `a photo of crane`" in text and "* ``` evil `` ` ## Heading ```" in text
    assert "\n## Heading" not in text
    rates = section(text, "Failed and flagged images")
    assert "10 of 150 images could not be drawn" in rates
    assert "flagged 10 (7.14%)" in rates and "The flagged images (10) are left out here." in rates
    assert rates.index("| crane (n02012849) | 9 | 10.0% |") < rates.index("(odd\\~1) | 1 | 2.0% |")


def test_adjusted_classes() -> None:
    info = {"adjusted": {"n02012849": {"guidance_scale": 2.5, "prompt": "evil ` | \n## Heading"}}}
    told = section(card(info=info), "Adjusted classes")
    assert "crane (n02012849)" in told and r"guidance\_scale 2.5" in told
    assert "\n## Heading" not in told
    assert "Adjusted classes" not in card()


def test_nothing_scored_is_said() -> None:
    assert "No safety checker looked" in card(CardFacts(counts={"odd~1": ClassCounts(ok=3)}))


def finding(key: str, severity: float, flagged: bool) -> Finding:
    return Finding(key, "ambiguous", severity, flagged, "x", "0.31 | of 50\nimages *and* <b>")


def test_failing_classes() -> None:
    assert "Not measured. `synthgap compare NATURAL" in section(card(), "Known failing classes")
    sound = CardFacts(findings=(finding("odd~1", 0, False),))
    assert "None of 1 class was flagged" in section(card(sound), "Known failing classes")
    some = CardFacts(findings=(finding("odd~1", 0.2, True), finding("n02012849", 0.9, True)))
    text = section(card(some), "Known failing classes")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert text.startswith("\n2 of 2 classes.") and len(rows) == 4
    assert rows[2] == r"| crane (n02012849) | ambiguous | 0.31 \| of 50 images \*and\* \<b\> |"


def test_class_source() -> None:
    assert "From `imagenet-100`. `class_key` is a WordNet 3.0 id for 2 of 3 classes." in card()
    assert "Every class is a sense of WordNet 3.0" in card(classes={"n02012849": "crane"})


def test_a_set_without_a_generator_claims_nothing_of_one() -> None:
    text = card(spec={})
    assert "## Prompts" not in text and "licen" not in text.lower() and "kept by synthgap" in text


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"README.md": "---\nlicense: creativeml-openrail-m\n---\n# Model"}, ("creativeml-openrail-m", True, "README.md")),
        ({"README.md": "---\nlicense: other\nlicense_name: my-licence\n---\n"}, ("my-licence", False, "README.md")),
        ({"README.md": "---\nlicense: unknown\n---\n"}, None),
        ({"README.md": "---\nlicense: [a\n---\n", "LICENSE": "\n# MIT License\n\nCopyright"}, ("MIT License", False, "LICENSE")),
        ({"README.md": "no front matter", "LICENSE.md": ""}, None),
        ({"README.md": "---\nlicense: '<b>'\n---\n"}, None),
    ],
)  # fmt: skip
def test_licence_of_a_generator(tmp_path: Path, files: Mapping[str, str], expected: tuple | None) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert licence_of(tmp_path) == (Licence(*expected) if expected else None)


def test_licence_on_the_card() -> None:
    assert "licence is unknown" in section(card(), "Licence")
    known = card(CardFacts(licence=Licence("mit", True, "README.md")))
    assert head_of(known)["license"] == "mit" and "`mit` (README.md)" in section(known, "Licence")
    words = head_of(card(CardFacts(licence=Licence("CreativeML Open RAIL-M", False, "LICENSE"))))
    assert (words["license"], words["license_name"]) == ("other", "creativeml-open-rail-m")


def test_licence_of_a_model_in_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repo = tmp_path / "models--org--model"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("c0ffee")
    (repo / "snapshots" / "c0ffee").mkdir(parents=True)
    (repo / "snapshots" / "c0ffee" / "README.md").write_text("---\nlicense: openrail\n---\n")
    assert licence_of_hub_model("org/model", None) == Licence("openrail", True, "README.md")
    for name in ("org/other", "lab", "not a name!", "a/b/c"):
        assert licence_of_hub_model(name, None) is None


def test_front_matter_of_strange_files(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    assert front_matter(path) == {}
    for text in (b"", b"\xff\xfe", b"---\n- 1\n---\n", b"text\n---\na: 1\n---\n", b"---\na: 1\n"):
        path.write_bytes(text)
        assert front_matter(path) == {}


def grown_folder(folder: Path, manifest: Manifest, *, with_card: bool) -> None:
    """Two shards: the older was written when the set had two classes, the newer when it had three."""
    for number, (known, key) in enumerate(((2, "a"), (3, "c"))):
        classes = dict(list(manifest.classes.items())[:known])
        row = {"image": {"bytes": png(number), "path": "x.png"}, "label": list(classes).index(key), "class_key": key}
        path = folder / "data" / "train" / f"{key}-00000.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([row], schema=image_schema(classes)), path)
    if with_card:
        (folder / "README.md").write_text(dataset_card(manifest, {"train": 2}), encoding="utf-8")


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_takes_the_names_of_a_grown_set_from_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    manifest = set_manifest(classes={"a": "ape", "b": "bee", "c": "cow"})
    found = {}
    for with_card in (True, False):
        folder = tmp_path / f"set-{with_card}"
        grown_folder(folder, manifest, with_card=with_card)
        rows = datasets.load_dataset(
            str(folder), split="train", streaming=streaming, cache_dir=str(tmp_path / f"cache-{with_card}")
        )
        found[with_card] = (rows.features["label"].names if rows.features else None, [row["label"] for row in rows])
    assert found[True] == (["ape", "bee", "cow"], [0, 2])
    assert found[True][0] == label_names(manifest.classes)
    # Without the card the first file decides, and 'cow' has no name: should this ever pass, the card need not name them.
    assert found[False][0] != ["ape", "bee", "cow"]
