"""The page as a reader's browser gets it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from synthgap.core.errors import InputError
from synthgap.stages.report import write_report

from .sample_run import CIFAR, IMAGE_SETS, write_sample_run

HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(1)>"'`&"""
TABLES = {"findings": "classes", "thumbnails": "images", "map": "map", "trials": "trials", "classifier": "learning"}


class Page(HTMLParser):
    """Elements with their attributes, the text that a reader sees, and the contents of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag in ("script", "style"):
            self._inside = tag
            self.scripts += [""] if tag == "script" else []

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif not self._inside:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def ids(self) -> set[str]:
        return {attributes["id"] for _, attributes in self.elements if "id" in attributes}

    def block(self, name: str) -> Any:
        """A JSON block of the page."""
        scripts = self.all("script")
        return json.loads(self.scripts[[item.get("id") for item in scripts].index(name)])


def page_of(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def rewrite(run: Path, table: str, change: Any) -> None:
    """Change the rows of a table of a run."""
    rows = pq.read_table(run / f"{table}.parquet").to_pylist()
    pq.write_table(pa.Table.from_pylist(change(rows)), run / f"{table}.parquet")


def resummarise(run: Path, **changes: Any) -> None:
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | changes))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_sample_run(tmp_path / "run", points=40, per_strip=6)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_of(write_sample_run(tmp_path_factory.mktemp("sample"), points=40, per_strip=6))


def test_the_page_asks_for_nothing_outside_itself(sample: Page) -> None:
    for tag, attributes in sample.elements:
        for name in {"src", "href", "srcset", "action", "poster", "data", "formaction"} & attributes.keys():
            assert attributes[name].startswith(("data:", "#")), (tag, name, attributes[name][:80])
    style = re.search(r"<style>(.*?)</style>", sample.html, re.S)
    assert style is not None and not re.search(r"url\(|@import|@font-face", style[1])
    assert not re.search(r"\b(fetch|XMLHttpRequest|sendBeacon|WebSocket|importScripts)\b", sample.scripts[-1])


def test_the_security_policy_lets_only_the_own_script_run(sample: Page) -> None:
    policy = next(item["content"] for item in sample.all("meta") if "http-equiv" in item)
    digest = base64.b64encode(hashlib.sha256(sample.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';") and "img-src data:;" in policy
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", sample.scripts[-1])


def test_hostile_names_stay_text(run: Path) -> None:
    resummarise(
        run,
        classes=dict.fromkeys(CIFAR, HOSTILE),
        natural="natural",
        encoder=HOSTILE,
        sentences=[HOSTILE],
        warnings=[HOSTILE],
        command=HOSTILE,
        settings={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        skipped=[{"set": HOSTILE, "image_key": HOSTILE, "class_key": HOSTILE, "reason": HOSTILE}],
    )
    rewrite(
        run,
        "findings",
        lambda rows: [row | dict.fromkeys(("cause", "suggestion", "evidence"), HOSTILE) for row in rows],
    )
    rewrite(run, "map", lambda rows: [row | {"image_key": HOSTILE} for row in rows])
    rewrite(
        run, "thumbnails", lambda rows: [row | {"image_key": HOSTILE + str(place)} for place, row in enumerate(rows)]
    )
    for table, columns in {"trials": ("reference", "query"), "classifier": ("train_set",), "map": ("set",)}.items():
        rewrite(
            run,
            table,
            lambda rows, names=columns: [row | {name: HOSTILE + row[name] for name in names} for row in rows],
        )
    page = page_of(run)
    assert len(page.all("script")) == 3
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert all(item["src"].startswith("data:image/") for item in page.all("img") if "src" in item)
    assert page.text.count("<script>alert(1)</script>") > 50
    assert page.block("map-data")["classes"][0] == HOSTILE


def test_undefined_values_are_shown_as_a_dash_with_the_reason(run: Path) -> None:
    nan = float("nan")
    gone = {"value": nan, "ci_low": None, "ci_high": nan, "reason": "only 1 image in this class"}
    rewrite(run, "measurements", lambda rows: [row | gone for row in rows])
    rewrite(run, "findings", lambda rows: [row | {"severity": nan, "ci_low": nan, "ci_high": nan} for row in rows])
    rewrite(run, "trials", lambda rows: [row | {"centroid_accuracy": nan, "number": nan} for row in rows])
    rewrite(run, "classifier", lambda rows: [row | {"value": nan, "ci_low": None} for row in rows])
    rewrite(run, "map", lambda rows: [row | ({"x": nan} if place % 2 else {}) for place, row in enumerate(rows)])
    resummarise(run, measurements={}, baseline={"centroid_accuracy": {"overall": {"value": None, "reason": "few"}}})
    page = page_of(run)
    assert not re.search(r"\b(nan|none|inf)\b", page.text.lower().replace("none.", ""))
    assert "only 1 image in this class" in page.text and "–" in page.text
    assert sum(len(item["x"]) for item in page.block("map-data")["sets"]) < 40 * len(IMAGE_SETS)


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_table_leaves_its_section_out_and_says_why(run: Path, table: str) -> None:
    (run / f"{table}.parquet").unlink()
    if table == "findings":
        resummarise(run, findings=[])
    page = page_of(run)
    assert f"{table}.parquet is not part of this run." in page.text
    others = set(TABLES.values()) - {TABLES[table]}
    assert others <= page.ids
    if table == "findings":
        assert "were not diagnosed" in page.text and page.text.count("not diagnosed") > len(CIFAR)
    else:
        assert TABLES[table] not in page.ids


def test_broken_tables_are_named(run: Path) -> None:
    (run / "map.parquet").write_bytes(b"not a table")
    pq.write_table(pq.read_table(run / "trials.parquet").drop_columns(["reference"]), run / "trials.parquet")
    rewrite(run, "thumbnails", lambda rows: [row | {"image": b"not an image"} for row in rows])
    page = page_of(run)
    assert "map.parquet cannot be read" in page.text
    assert "trials.parquet lacks the column reference." in page.text
    assert "nothing in thumbnails.parquet can be shown" in page.text
    assert not {"map", "trials", "images"} & page.ids


def test_a_summary_alone_is_enough(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"natural": "photos", "synthetic": "drawings"}))
    page = page_of(tmp_path)
    assert "drawings" in page.text and {"definitions", "notes"} <= page.ids
    odd = {
        "natural": "a",
        "synthetic": "b",
        "classes": [],
        "sets": [1],
        "seconds": [],
        "settings": "x",
        "measurements": 3,
    }
    (tmp_path / "summary.json").write_text(json.dumps(odd))
    assert {"definitions", "notes"} <= page_of(tmp_path).ids


@pytest.mark.parametrize("text", [None, "{", "[]", '{"natural": "photos"}'])
def test_no_usable_summary_is_one_line_with_the_next_step(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "summary.json").write_text(text)
    with pytest.raises(InputError, match=r"summary\.json") as caught:
        write_report(tmp_path)
    message = str(caught.value)
    assert "\n" not in message and ("run the command" in message or "synthgap compare" in message)


def test_classes_are_worst_first_and_undefined_last(run: Path) -> None:
    rewrite(
        run,
        "findings",
        lambda rows: [row | ({"severity": float("nan")} if place == 4 else {}) for place, row in enumerate(rows)],
    )
    page = page_of(run)
    findings = pq.read_table(run / "findings.parquet").to_pylist()
    unknown = CIFAR[findings.pop(4)["class_key"]]
    expected = [CIFAR[row["class_key"]] for row in sorted(findings, key=lambda row: -row["severity"])] + [unknown]
    assert [item["data-name"] for item in page.all("tr") if "data-name" in item] == expected
    alternatives = [item["alt"].split(",")[0] for item in page.all("img") if item.get("alt")]
    assert list(dict.fromkeys(alternatives)) == expected


def test_every_class_has_a_strip_of_every_image_set_and_small_images_are_doubled(sample: Page) -> None:
    pictures = [item for item in sample.all("img") if item.get("id", "").startswith("t")]
    counts = {alt: sum(item["alt"] == alt for item in pictures) for alt in {item["alt"] for item in pictures}}
    assert counts == {f"{name}, {set_name}": 6 for name in CIFAR.values() for set_name in IMAGE_SETS}
    assert all((item["width"], item["height"], item["class"]) == ("64", "64", "px") for item in pictures)
    order = [item["alt"].split(", ")[1] for item in pictures[:30]]
    assert list(dict.fromkeys(order)) == list(IMAGE_SETS)


def test_the_map_shows_the_image_of_a_point(sample: Page) -> None:
    pictures = {item["id"]: item for item in sample.all("img") if item.get("id", "").startswith("t")}
    shown = 0
    for series in sample.block("map-data")["sets"]:
        for place, number in series["t"].items():
            assert pictures[f"t{number}"]["title"] == series["k"][int(place)]
            assert pictures[f"t{number}"]["alt"].endswith(f", {series['name']}")
            shown += 1
    assert shown == 4 * len(CIFAR) * len(IMAGE_SETS)


def test_the_matrix_on_the_page_has_references_as_rows(run: Path) -> None:
    rewrite(
        run,
        "trials",
        lambda rows: [row | {"centroid_accuracy": 0.123 if row["reference"] == "sd14" else 0.5} for row in rows],
    )
    body = page_of(run).html.split('id="matrix"')[1].split("</table>")[0]
    by_row = {re.search(r"</svg>([\w.-]+)</span>", row)[1]: row.count(">12.3%<") for row in body.split("<tr>")[2:]}  # type: ignore[index]
    assert by_row == dict.fromkeys(
        ["natural", "lab-7.5", "lab-2.5", "lab-augmented", "prompts", "prompts-augmented"], 0
    ) | {"sd14": 7}


def test_same_tables_same_bytes_and_nothing_left_behind(run: Path, tmp_path: Path) -> None:
    first = write_report(run)
    before = first.read_bytes()
    assert write_report(run).read_bytes() == before
    twin = write_sample_run(tmp_path / "twin", points=40, per_strip=6)
    assert write_report(twin).read_bytes() == before
    assert [path.name for path in first.parent.iterdir()] == ["index.html"]


def test_a_thousand_classes_stay_light(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path / "big", classes=1000, points=1800, per_strip=1)
    target = write_report(run)
    assert target.stat().st_size < 6_000_000
    page = Page(target.read_text(encoding="utf-8"))
    assert sum("data-name" in item for item in page.all("tr")) == 1000
    strips = [item for item in page.all("details") if item.get("class") == "strips"]
    assert len(strips) == 50 and sum("open" in item for item in strips) == 10
    assert "950 more have images that are left out" in page.text


def noise(set_name: str, class_index: int, index: int) -> bytes:
    pixels = np.random.default_rng([class_index, index, len(set_name)]).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def test_heavy_images_shorten_the_strips_to_the_budget(tmp_path: Path) -> None:
    run = write_sample_run(tmp_path / "heavy", points=10, per_strip=12, image=noise)
    target = write_report(run)
    assert target.stat().st_size < 4_200_000
    page = Page(target.read_text(encoding="utf-8"))
    pictures = [item for item in page.all("img") if item.get("id", "").startswith("t")]
    assert {item["height"] for item in pictures} == {"88"}
    lengths = {sum(item["alt"] == alt for item in pictures) for alt in {item["alt"] for item in pictures}}
    assert len(lengths) == 1 and 4 <= lengths.pop() < 12
