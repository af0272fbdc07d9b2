"""Reviewing a run by eye: what is shown, what is written, what is redrawn, and who may ask."""

from __future__ import annotations

import html
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from photographs import photographs
from PIL import Image
from starlette.testclient import TestClient

from synthgap.core.errors import InputError, Interrupted, MissingExtra, RunError
from synthgap.core.records import ClassEntry
from synthgap.core.specs import EncoderSpec, GenerateSpec, MeasureSpec, RefineSpec, Resources
from synthgap.pipeline import CompareOptions, SetInput, compare, compare_many
from synthgap.pipeline.refine_folder import ADJUSTMENTS, JOURNAL, RESULT, TRIALS, drawing_alone
from synthgap.pipeline.refine_origin import Where
from synthgap.pipeline.refining import refine
from synthgap.prompts.adjustments import read_adjustments, recorded_adjustments
from synthgap.review import serving
from synthgap.review.app import build
from synthgap.review.decisions import Conflict
from synthgap.review.desk import Desk
from synthgap.review.redrawing import Now
from synthgap.stages.generation import generate, worker
from synthgap.store.sets import ImageSet

RESOURCES = Resources(device="cpu", batch_size=4)
MEASURE = MeasureSpec(bootstrap=20, permutations=0, few=2)
DECIDED = RefineSpec(permutations=50, accept=("",))
"""As `synthgap refine RUN --accept ''`: what is decided, and no proposal."""
CAT, CRANE, DOG = "n02121620", "n02012849", "n02084071"
NASTY = "<img src=x onerror=alert(1)> \"'&"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, tiny_generator: Path, tiny_clip: Path) -> dict[str, Path]:
    """Two sets of ours, and a run that compares them with natural images."""
    root = tmp_path_factory.mktemp("review")
    natural = photographs(root / "photos", ("cat", "crane", "dog"), count=16)
    spec = GenerateSpec(
        classes="cat,crane.n.05,dog", per_class=6, shard_size=6, generator=str(tiny_generator), num_inference_steps=2
    )
    drawn = generate(spec, root / "drawn", RESOURCES)
    other = generate(spec.model_copy(update={"recipe": "hypernym", "seed": 3}), root / "other", RESOURCES)
    options = CompareOptions(EncoderSpec(encoder=str(tiny_clip)), MEASURE, RESOURCES)
    sets = [SetInput(path, path.name) for path in (drawn, other)]
    compare_many(SetInput(natural, "photos"), sets, root / "run", options)
    return {"natural": natural, "set": drawn, "run": root / "run", "generator": tiny_generator}


@pytest.fixture
def where(start: dict[str, Path]) -> Where:
    return Where(generator=str(start["generator"]))


@pytest.fixture
def desk(start: dict[str, Path], where: Where, tmp_path: Path) -> Desk:
    return Desk(start["run"], tmp_path / "out", None, where, RESOURCES)


@pytest.fixture
def client(desk: Desk) -> TestClient:
    return TestClient(build(desk), base_url="http://127.0.0.1:8000", follow_redirects=False)


def field(page: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return html.unescape(found[1])


def send(client: TestClient, key: str, do: str, **fields: str) -> Any:
    page = client.get(f"/class/{key}").text
    there = {name: field(page, name) for name in ("token", "seen")} | {"do": do}
    there |= {"event": field(page, "event")} if do == "undo" else {}
    return client.post(f"/class/{key}", data=there | fields)


def undo_last(client: TestClient) -> str:
    """Undo in the list; the page that comes then."""
    page = client.get("/").text
    told = {name: field(page, name) for name in ("token", "event") if f'name="{name}"' in page}
    return client.get(client.post("/undo", data=told).headers["location"]).text


def entries(desk: Desk) -> dict[str, Any]:
    return {one.class_key: one for one in read_adjustments(desk.decisions.path, desk.subject.entries)}


# What is shown


def test_worst_first_and_sound_last(client: TestClient, desk: Desk, start: dict[str, Path]) -> None:
    shown = re.findall(r'<a class="open" href="/class/([^"]+)"', client.get("/").text)
    findings = {row["class_key"]: row for row in pq.read_table(start["run"] / "findings.parquet").to_pylist()}
    assert sorted(shown) == sorted(findings) == ["cat", "crane", "dog"]
    ranks = [(findings[key]["cause"] == "sound", -(findings[key]["severity"] or 0)) for key in shown]
    assert ranks == sorted(ranks)
    assert set(desk.subject.own_keys.values()) == {CAT, CRANE, DOG}


def test_a_sound_class_stands_below_one_of_less_severity(start: dict[str, Path], where: Where, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(start["run"], run)
    table = pq.read_table(run / "findings.parquet")
    told = {"cat": ("sound", 0.9), "crane": ("ambiguous", 0.2), "dog": ("low-diversity", 0.4)}
    rows = [
        {**row, "cause": told[row["class_key"]][0], "severity": told[row["class_key"]][1]} for row in table.to_pylist()
    ]
    pq.write_table(type(table).from_pylist(rows, table.schema), run / "findings.parquet")
    assert list(Desk(run, None, None, where).subject.classes) == ["dog", "crane", "cat"]


def test_a_class_page_tells_what_is_known(client: TestClient, desk: Desk) -> None:
    page = client.get("/class/crane").text
    finding = desk.subject.classes["crane"].row
    assert (
        html.escape(finding.evidence, quote=False)[:40] in html.unescape(page).replace("&#39;", "'")
        or finding.evidence == ""
    )
    assert "large long-necked wading bird" in page and "lifts and moves heavy objects" in page
    assert "<q>crane</q>" in page and "× 6" in page
    assert "Centroid accuracy" in page and "natural images reach" in page
    assert page.count('class="zoom"') == 16 + 6


def test_every_set_of_the_run_can_be_reviewed(start: dict[str, Path], where: Where, tmp_path: Path) -> None:
    other = Desk(start["run"], tmp_path / "out", "other", where)
    assert other.subject.target == "other" and other.subject.spec["recipe"] == "hypernym"
    found = pq.read_table(start["run"] / "findings_by_set.parquet", filters=[("set", "==", "other")]).to_pylist()
    assert {one.row.evidence for one in other.subject.classes.values()} == {row["evidence"] for row in found}
    assert not other.subject.why_not
    with pytest.raises(InputError, match="did you mean 'other'"):
        Desk(start["run"], tmp_path / "out", "othr", where)
    other.save("cat", "", {"prompt": "x"})
    with pytest.raises(InputError, match=r"refinement of 'other' of .*; give --out"):
        Desk(start["run"], tmp_path / "out", None, where)


def test_everything_is_escaped(tmp_path: Path, tiny_clip: Path) -> None:
    natural = photographs(tmp_path / "photos", (NASTY, "dog"), count=16)
    foreign = photographs(tmp_path / "<b>foreign", (NASTY, "dog"), count=6)
    options = CompareOptions(EncoderSpec(encoder=str(tiny_clip)), MEASURE, RESOURCES)
    compare(natural, foreign, tmp_path / "run", options)
    desk = Desk(tmp_path / "run")
    client = TestClient(build(desk), base_url="http://127.0.0.1:8000", follow_redirects=False)
    key = next(one.row.key for one in desk.subject.classes.values() if one.row.name == NASTY)
    said = "</textarea><script>alert(2)</script>\n'\"><i>"
    assert send(client, key, "save", prompt=said, reason="<script>alert(3)</script>").status_code == 303
    for place in ("/", f"/class/{key}", "/class/<script>alert(4)<"):
        page = client.get(place).text
        assert "<img src=x" not in page and "<script>alert" not in page and "<b>foreign" not in page
        assert page.count("<textarea") == page.count("</textarea>")
    assert "&lt;/textarea&gt;&lt;script&gt;" in client.get(f"/class/{key}").text
    (entry,) = entries(desk).values()
    assert entry.prompts == ("</textarea><script>alert(2)</script>", "'\"><i>")
    # Images of others cannot be drawn: told in one line, and the decision stands.
    assert "cannot be redrawn" in client.get("/").text
    refused = send(client, key, "redraw")
    assert refused.status_code == 422 and "is no set that synthgap drew" in refused.text


def test_pages_load_nothing_from_elsewhere(client: TestClient) -> None:
    for place in ("/", "/class/cat", "/nowhere", "/static/review.css", "/static/report.css", "/static/review.js"):
        answer = client.get(place)
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"https?://|@import|style=\"|\son\w+=", answer.text), place


# Who may ask


def test_other_hosts_get_nothing(client: TestClient) -> None:
    assert client.get("/", headers={"host": "evil.example:8000"}).status_code == 400
    assert client.get("/image?set=natural&class=cat&key=x", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"host": "localhost:9"}).status_code == 200


def test_forms_of_others_change_nothing(client: TestClient, desk: Desk) -> None:
    for data in ({}, {"token": ""}, {"token": "x" * 43}, {"token": "é"}):
        for place in ("/class/cat", "/undo", "/stop"):
            answer = client.post(place, data={**data, "do": "save", "prompt": "a cat", "seen": ""})
            assert answer.status_code == 403
    assert client.get("/class/cat?do=leave").status_code == 200
    assert not desk.subject.out.exists()


def test_a_form_without_end_is_refused(client: TestClient, desk: Desk) -> None:
    assert send(client, "cat", "save", prompt="x" * 1_000_000).status_code == 303
    before = desk.decisions.path.read_bytes()
    answer = send(client, "cat", "save", prompt="y" * 4_000_000)
    assert answer.status_code == 413 and "at most 4,000,000 are read" in answer.text
    assert desk.decisions.path.read_bytes() == before


def test_pictures_by_key_only(client: TestClient, start: dict[str, Path]) -> None:
    page = html.unescape(client.get("/class/cat").text)
    shown = [place for place in re.findall(r'<img src="([^"]+)"', page) if "set=natural" in place]
    answer = client.get(shown[0])
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    small, large = (Image.open(io.BytesIO(client.get(shown[0] + more).content)) for more in ("", "&size=large"))
    assert small.size == (96, 96) and large.size == (512, 512)
    photo = start["natural"] / "cat" / re.findall(r"key=cat%2F(\d+\.png)", shown[0])[0]
    assert np.array_equal(np.asarray(small.resize((32, 32), Image.Resampling.NEAREST)), np.asarray(Image.open(photo)))
    for wrong in (
        "set=natural&class=cat&key=../dog/0.png",
        "set=natural&class=cat&key=dog/0.png",
        "set=natural&class=..&key=0.png",
        "set=after&class=cat&key=x",
        "set=/etc&class=cat&key=passwd",
        "",
    ):
        assert client.get(f"/image?{wrong}").status_code == 404, wrong
    assert client.get("/static/../app.py").status_code == client.get("/static/app.py").status_code == 404


# What is written


def test_save_writes_the_file_that_refine_reads(client: TestClient, desk: Desk) -> None:
    assert send(client, "dog", "save", prompt="a dog", guidance_scale="2.5").status_code == 303
    typed = {"prompt": " a crane  bird \n\n a crane in water", "num_inference_steps": "3", "reason": "two\nlines"}
    assert send(client, "crane", "save", **typed).status_code == 303
    found = entries(desk)
    assert list(found) == [CRANE, DOG]
    crane = found[CRANE]
    assert crane.prompts == ("a crane bird", "a crane in water") and crane.num_inference_steps == 3
    assert (
        crane.reason == "two lines" and crane.who == desk.decisions.who and re.fullmatch(r"\d{4}-\d\d-\d\d", crane.when)
    )
    assert crane.was == {"recipe": "name", "num_inference_steps": 2} and found[DOG].guidance_scale == 2.5
    page = client.get("/class/crane").text
    assert "decided" in page and "a crane bird\na crane in water</textarea>" in page


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ({}, "nothing is changed"),
        ({"prompt": "x", "recipe": "augmented"}, "keep one of"),
        ({"guidance_scale": "much"}, "expected a number"),
        ({"guidance_scale": "-1"}, "at least 0"),
        ({"guidance_scale": "nan"}, "at least 0"),
        ({"num_inference_steps": "2.5"}, "expected a whole number"),
        ({"num_inference_steps": "1000000000"}, "expected a whole number from 1 to 10000"),
        ({"recipe": "no such"}, "no such"),
    ],
)
def test_what_cannot_be_drawn_by_is_refused_and_kept_in_the_form(
    client: TestClient, desk: Desk, typed: dict[str, str], why: str
) -> None:
    answer = send(client, "cat", "save", **{"prompt": "", "reason": "because"} | typed)
    assert answer.status_code == 422 and why in html.unescape(re.sub("</?code>", "'", answer.text))
    assert 'value="because"' in answer.text and not desk.decisions.path.exists()


def test_leave_alone_and_undo_across_restarts(
    client: TestClient, desk: Desk, start: dict[str, Path], where: Where
) -> None:
    send(client, "cat", "save", prompt="one")
    send(client, "cat", "save", prompt="two")
    send(client, "dog", "leave")
    assert [one.apply for one in entries(desk).values()] == [False, True]
    again = Desk(start["run"], desk.subject.out, None, where, RESOURCES)
    client = TestClient(build(again), base_url="http://127.0.0.1:8000", follow_redirects=False)
    send(client, "cat", "undo")
    assert entries(again)[CAT].prompts == ("one",) and not entries(again)[DOG].apply
    assert "leave alone undone" in undo_last(client)
    assert set(entries(again)) == {CAT}
    undo_last(client)
    assert not entries(again) and again.one("cat").state == "undone"
    assert 'name="event"' not in client.get("/").text
    assert "nothing is left to undo" in undo_last(client)
    assert len((desk.subject.out / JOURNAL).read_text().splitlines()) == 6


def test_a_cut_line_of_the_journal_costs_nothing_else(client: TestClient, desk: Desk) -> None:
    send(client, "cat", "save", prompt="one")
    with (desk.subject.out / JOURNAL).open("a") as handle:
        handle.write('{"class": "n0212')
    send(client, "cat", "save", prompt="two")
    send(client, "cat", "undo")
    assert entries(desk)[CAT].prompts == ("one",)
    send(client, "cat", "undo")
    assert not entries(desk)


def test_what_others_wrote_stays(client: TestClient, desk: Desk) -> None:
    send(client, "dog", "save", prompt="a dog")
    page = client.get("/class/cat").text
    text = desk.decisions.path.read_text()
    desk.decisions.path.write_text(f"{text}- class: crane.n.05\n  prompt: a crane of theirs\n  who: other\n")
    data = {"token": field(page, "token"), "seen": field(page, "seen"), "do": "save", "prompt": "a cat"}
    assert client.post("/class/cat", data=data).status_code == 303
    assert {key: one.prompts[0] for key, one in entries(desk).items()} == {
        CRANE: "a crane of theirs",
        DOG: "a dog",
        CAT: "a cat",
    }
    assert list(entries(desk)) == sorted([CRANE, DOG, CAT]) and entries(desk)[CRANE].who == "other"


def test_a_class_that_others_decided_on_is_shown_and_not_overwritten(client: TestClient, desk: Desk) -> None:
    page = client.get("/class/cat").text
    desk.subject.claim()
    desk.decisions.path.write_text("version: 1\nadjustments:\n- {class: cat, prompt: theirs <b>, who: other}\n")
    before = desk.decisions.path.read_bytes()
    data = {"token": field(page, "token"), "seen": "", "do": "save", "prompt": "mine <i>", "reason": "why"}
    answer = client.post("/class/cat", data=data)
    assert answer.status_code == 409 and desk.decisions.path.read_bytes() == before
    assert "theirs &lt;b&gt;" in answer.text and "mine &lt;i&gt;" in answer.text
    again = {name: field(answer.text, name) for name in ("token", "seen")}
    assert client.post("/class/cat", data=data | again).status_code == 303
    assert entries(desk)[CAT].prompts == ("mine <i>",)
    with pytest.raises(Conflict):
        desk.leave("cat", "")


def test_undo_does_not_take_back_the_words_of_others(client: TestClient, desk: Desk) -> None:
    send(client, "cat", "save", prompt="mine")
    desk.decisions.path.write_text(desk.decisions.path.read_text().replace("mine", "theirs"))
    answer = send(client, "cat", "undo")
    assert answer.status_code == 422 and "changed by others" in answer.text
    assert entries(desk)[CAT].prompts == ("theirs",)


def test_undo_takes_back_what_was_seen_and_nothing_else(client: TestClient, desk: Desk) -> None:
    send(client, "cat", "save", prompt="one")
    send(client, "dog", "save", prompt="a dog")
    send(client, "cat", "save", prompt="two")
    page, whole = client.get("/class/cat").text, client.get("/").text
    form = {name: field(page, name) for name in ("token", "seen", "event")} | {"do": "undo"}
    assert client.post("/class/cat", data=form).status_code == 303
    again = client.post("/class/cat", data=form)
    assert again.status_code == 422 and "undone already" in again.text and 'data-answer="1"' in again.text
    stale = client.post("/undo", data={name: field(whole, name) for name in ("token", "event")})
    assert "undone already" in client.get(stale.headers["location"]).text
    assert {key: one.prompts for key, one in entries(desk).items()} == {CAT: ("one",), DOG: ("a dog",)}


def test_the_same_form_twice_is_one_decision(client: TestClient, desk: Desk) -> None:
    page = client.get("/class/cat").text
    form = {name: field(page, name) for name in ("token", "seen")}
    for do in ("save", "leave"):
        desk.decisions.path.unlink(missing_ok=True)
        data = form | {"do": do, "prompt": "a cat"}
        assert [client.post("/class/cat", data=data).status_code for _ in range(2)] == [303, 303]
    assert len(desk.decisions.journal()) == 2
    assert client.post("/class/cat", data=form | {"do": "save", "prompt": "another"}).status_code == 409


def test_what_was_done_is_said_once_and_to_whom_did_it(client: TestClient) -> None:
    send(client, "cat", "save", prompt="one")
    answer = send(client, "cat", "undo")
    assert "edit undone" not in client.get("/").text
    assert "edit undone" in client.get(answer.headers["location"]).text
    assert "edit undone" not in client.get(answer.headers["location"]).text


DECIDE = """
import sys
from pathlib import Path
from synthgap.core.records import ClassEntry
from synthgap.prompts.adjustments import Adjustment
from synthgap.review.decisions import Decisions
entries = [ClassEntry(f"c{n:02}", f"c{n:02}", (f"c{n:02}",)) for n in range(20)]
decisions = Decisions(Path(sys.argv[1]) / "adjustments.yaml", entries, "me")
print("ready", flush=True)
sys.stdin.readline()
for entry in entries[int(sys.argv[2]) :: 2]:
    decisions.decide(entry.class_key, Adjustment(entry.class_key, prompts=("x",)), "", "edit")
"""


def test_two_processes_lose_no_decision(tmp_path: Path) -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", DECIDE, str(tmp_path)]
    with subprocess.Popen([*command, "0"], **pipes) as one, subprocess.Popen([*command, "1"], **pipes) as other:
        for process in (one, other):
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        assert one.wait(60) == other.wait(60) == 0
    names = [ClassEntry(f"c{n:02}", f"c{n:02}", (f"c{n:02}",)) for n in range(20)]
    assert len(read_adjustments(tmp_path / "adjustments.yaml", names)) == 20
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == 20


def test_broken_files_of_the_review_cost_no_page(client: TestClient, desk: Desk) -> None:
    send(client, "cat", "save", prompt="one")
    out = desk.subject.out
    row = json.loads((out / JOURNAL).read_text())
    wrong = [
        row | {"undoes": [0]},
        row | {"before": row["after"] | {"was": 3}},
        row | {"after": row["after"] | {"prompts": [{}]}},
        row | {"class": {}, "after": 7},
        [],
    ]
    (out / JOURNAL).write_text("".join(json.dumps(one) + "\n" for one in (row, *wrong)))
    rows = [{"metric": "coverage"}, {"class_key": "cat", "metric": "coverage", "before": "x"}, 3]
    trial = {"change": {"prompt": "one"}, "good": True, "outcome": "", "when": ""}
    for told in ("{", "[]", *(json.dumps({CAT: trial | {"rows": [one]}}) for one in rows)):
        (out / TRIALS).write_text(told)
        assert client.get("/").status_code == client.get("/class/cat").status_code == 200
        assert desk.one("cat").state == "decided"
    assert send(client, "cat", "undo").status_code == 303 and not entries(desk)


def test_a_set_that_is_taken_away_has_no_pictures(start: dict[str, Path], where: Where, tmp_path: Path) -> None:
    for name in ("photos", "drawn"):
        shutil.copytree(start["natural" if name == "photos" else "set"], tmp_path / name)
    moved = Where(tmp_path / "photos", tmp_path / "drawn", where.generator)
    client = TestClient(
        build(Desk(start["run"], tmp_path / "out", None, moved)),
        base_url="http://127.0.0.1:8000",
        follow_redirects=False,
    )
    shown = re.findall(r'<img src="([^"]+)"', html.unescape(client.get("/class/cat").text))
    for name in ("photos", "drawn"):
        shutil.rmtree(tmp_path / name)
    for place in ("/", "/class/cat", "/class/dog"):
        assert client.get(place).status_code == 200
    assert {client.get(place + "&size=large").status_code for place in shown} <= {200, 404}


# The folder


def test_decisions_on_a_set_that_is_not_there_strand_nothing(
    start: dict[str, Path], where: Where, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(start["run"], run)
    told = json.loads((run / "summary.json").read_text())
    for one in told["sets"]:
        one["path"] = one.get("path") and str(tmp_path / "gone" / one["name"])
    (run / "summary.json").write_text(json.dumps(told))
    gone = Desk(run, out)
    assert gone.subject.manifest is None
    gone.save("cat", "", {"prompt": "a cat"})
    assert json.loads((out / RESULT).read_text())["set"] == ""
    here = Where(start["natural"], start["set"], where.generator)
    plan = refine(run, out, DECIDED, here, RESOURCES, dry_run=True)
    assert [one["class_key"] for one in plan["changes"]] == [CAT]
    older = tmp_path / "older"  # as versions before this one left it
    older.mkdir()
    for name in (ADJUSTMENTS, JOURNAL):
        shutil.copy(out / name, older / name)
    desk = Desk(run, older, None, here)
    assert desk.one("cat").entry is not None
    event = desk.one("cat").undoable
    assert event is not None
    desk.undo(event.number)
    assert not entries(desk)
    desk.save("dog", "", {"prompt": "a dog"})
    told = json.loads((older / RESULT).read_text())
    assert told["set"] and told["where"]["synthetic"] == str(start["set"])
    with pytest.raises(InputError, match="holds files that are no refinement"):
        Desk(run, start["natural"], None, here)


def test_paths_that_are_given_are_remembered_for_refine(start: dict[str, Path], where: Where, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Desk(start["run"], out, None, where).save("cat", "", {"prompt": "a cat"})
    shutil.copytree(start["set"], tmp_path / "moved")
    Desk(start["run"], out, None, Where(synthetic=tmp_path / "moved"))
    told = json.loads((out / RESULT).read_text())["where"]
    assert told == {"synthetic": str(tmp_path / "moved"), "generator": where.generator}
    Desk(start["run"], out, None, Where(natural=tmp_path / "nowhere"))  # told on its pages, and not for the next
    gone = Desk(start["run"], out, None, Where(synthetic=tmp_path / "nowhere"))
    assert gone.one("cat").entry is not None and gone.subject.manifest is None
    assert json.loads((out / RESULT).read_text())["where"] == told


def test_a_broken_file_is_told_and_left(client: TestClient, desk: Desk) -> None:
    page = client.get("/class/cat").text
    desk.subject.claim()
    desk.decisions.path.write_text("version: 1\nadjustments: [")
    answer = client.post("/class/cat", data={"token": field(page, "token"), "do": "save", "prompt": "x", "seen": ""})
    assert answer.status_code == 500 and "is not YAML" in answer.text
    assert desk.decisions.path.read_text() == "version: 1\nadjustments: ["


# What is redrawn


def pixels(folder: Path, key: str) -> list[bytes]:
    shards = [shard for shard in ImageSet(folder).planned_shards() if key in shard]
    return [
        row["image"]["bytes"] for one in shards for row in pq.read_table(folder / f"data/{one}.parquet").to_pylist()
    ]


def test_redraw_keep_and_refine(
    client: TestClient, desk: Desk, start: dict[str, Path], where: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert send(client, "cat", "redraw").status_code == 422
    assert send(client, "cat", "save-redraw", prompt="a cat on a mat", guidance_scale="2").status_code == 303
    assert desk.redrawing is not None
    desk.redrawing.join()
    assert not desk.redrawing.failed and client.get("/status").json()["finished"] == 1
    out = desk.subject.out
    assert pixels(out / "set", CAT) != pixels(start["set"], CAT)
    assert pixels(out / "set", DOG) == pixels(start["set"], DOG)
    standing = desk.one("cat")
    assert standing.state == "redrawn" and standing.trial is not None
    assert [row["metric"] for row in standing.trial.rows] == [
        "centroid_accuracy",
        "coverage",
        "centroid_distance_ratio",
        "centroid_shift",
    ]
    assert all(row["natural"] is not None and row["n"] in (6, 8) for row in standing.trial.rows)
    page = html.unescape(client.get("/class/cat").text)
    pairs = re.findall(r'<figure class="couple"><a[^>]*><img src="([^"]+)".*?<img src="([^"]+)"', page)
    assert len(pairs) == 6
    for before, after in pairs:
        one, other = client.get(before), client.get(after)
        assert one.status_code == other.status_code == 200 and one.content != other.content
        assert re.findall("key=([^&]+)", before) == re.findall("key=([^&]+)", after)

    assert send(client, "cat", "keep").status_code == 303
    assert desk.one("cat").state == "kept" and entries(desk)[CAT].outcome.startswith(
        "kept by eye; on the steering half"
    )
    send(client, "dog", "leave")
    drawn = pixels(out / "set", CAT)
    monkeypatch.setattr(worker, "load_generator", lambda *_: pytest.fail("nothing is left to draw"))
    found = refine(start["run"], out, DECIDED.model_copy(update={"keep_worse": True}), where, RESOURCES)
    assert [one["class_key"] for one in found["changes"]] == ["cat"] and pixels(out / "set", CAT) == drawn
    # The figures of the steering half are those that refine writes down.
    shown = {row["metric"]: (row["before"], row["after"]) for row in standing.trial.rows}
    assert {row["metric"]: (row["before"], row["after"]) for row in found["changes"][0]["steering"]} == shown
    # Drawing on makes the result of refine one of another set.
    assert json.loads((out / RESULT).read_text())["finished"]
    again = Desk(start["run"], out, None, where, RESOURCES)
    assert again.one("cat").state == "kept" and again.one("dog").state == "left alone"
    again.redraw("cat")
    assert again.redrawing is not None
    again.redrawing.join()
    assert not again.redrawing.failed and not json.loads((out / RESULT).read_text())["finished"]


def test_undone_after_redrawing_comes_back_without_drawing(
    client: TestClient, desk: Desk, start: dict[str, Path], where: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, "dog", "save-redraw", prompt="a dog")
    send(client, "cat", "save-redraw", prompt="a cat")
    assert desk.redrawing is not None
    desk.redrawing.join()
    out = desk.subject.out
    send(client, "dog", "save", prompt="another dog")
    assert desk.one("dog").state == "decided" and "Before and after" not in client.get("/class/dog").text
    send(client, "dog", "undo")
    assert desk.one("dog").state == "redrawn" and "Before and after" in client.get("/class/dog").text
    assert send(client, "dog", "undo").status_code == 303 and desk.one("dog").state == "undone"
    assert pixels(out / "set", DOG) != pixels(start["set"], DOG)
    monkeypatch.setattr(worker, "load_generator", lambda *_: pytest.fail("nothing is left to draw"))
    found = refine(start["run"], out, DECIDED, where, RESOURCES)
    assert [one["class_key"] for one in found["changes"]] == ["cat"]
    assert pixels(out / "set", DOG) == pixels(start["set"], DOG)


def test_a_failure_is_told_on_the_page(client: TestClient, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise InputError("the disk <b> is full")

    monkeypatch.setattr("synthgap.review.trials.generate", broken)
    send(client, "cat", "save-redraw", prompt="x")
    assert desk.redrawing is not None
    desk.redrawing.join()
    assert "Drawing failed: the disk &lt;b&gt; is full" in client.get("/class/cat").text
    assert desk.one("cat").state == "decided"


def test_drawing_is_stopped_after_its_batch(client: TestClient, desk: Desk, start: dict[str, Path]) -> None:
    drawing, told = desk.redrawing, list[int]()
    assert drawing is not None
    assert "nothing is being drawn" in stop(client, "cat")
    tell = drawing._tell

    def slow(done: int, total: int, what: str) -> None:
        tell(done, total, what)
        if what == "images drawn" and done and not told:
            told.append(done)
            said = stop(client, "cat")
            assert "drawing ends after the batch at hand, and 1 that waited is not drawn" in html.unescape(said)
            assert client.get("/status").json()["what"] == "ends after this batch"

    drawing._bench._options = replace(drawing._bench._options, progress=slow)
    send(client, "cat", "save", prompt="a cat")
    desk.subject.claim()
    (dog,) = recorded_adjustments({DOG: {"prompt": "a dog"}})
    with drawing._lock:  # until both wait
        drawing._waiting.append(entries(desk)[CAT])
    drawing.ask(dog)
    drawing.join()
    assert told == [4] and drawing.finished == 1
    assert "Drawing was stopped; the class is as it was before." in client.get("/class/cat").text
    assert desk.one("cat").state == "decided" and desk.one("dog").state != "drawing"
    assert pixels(desk.subject.out / "set", CAT) == pixels(start["set"], CAT)
    # It is not drawn with the next class.
    send(client, "dog", "save-redraw", prompt="a dog")
    drawing.join()
    assert desk.one("dog").state == "redrawn"
    assert pixels(desk.subject.out / "set", CAT) == pixels(start["set"], CAT)


def stop(client: TestClient, key: str) -> str:
    """Stop drawing on the page of a class; the page that comes then."""
    data = {"token": field(client.get(f"/class/{key}").text, "token"), "here": key}
    return client.get(client.post("/stop", data=data).headers["location"]).text


def test_two_do_not_draw_in_one_folder(client: TestClient, desk: Desk, start: dict[str, Path], where: Where) -> None:
    send(client, "cat", "save", prompt="a cat")
    with drawing_alone(desk.subject.out, "synthgap review"):
        with pytest.raises(RunError, match=r"synthgap review \(process \d+\) is drawing in .*; wait"):
            refine(start["run"], desk.subject.out, DECIDED, where, RESOURCES)
        send(client, "cat", "redraw")
        assert desk.redrawing is not None
        desk.redrawing.join()
    assert "is drawing in" in client.get("/class/cat").text
    assert "is drawing in" in client.get("/").text and desk.one("cat").state == "decided"


def test_only_the_list_refreshes_itself_without_the_script(
    client: TestClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = desk.redrawing
    assert drawing is not None
    monkeypatch.setattr(drawing, "now", Now(CAT, "images drawn", 1, 6))
    assert 'http-equiv="refresh"' in client.get("/").text
    page = client.get("/class/cat").text
    assert 'http-equiv="refresh"' not in page and '<a href="">look again</a>' in page


def test_without_the_generator_decisions_are_written(start: dict[str, Path], where: Where, tmp_path: Path) -> None:
    """And refine goes on with the folder once the generator is there."""
    hidden = Where(generator=str(tmp_path / "nowhere"))
    desk = Desk(start["run"], tmp_path / "out", None, hidden, RESOURCES)
    assert desk.redrawing is None and "--generator" in desk.subject.why_not
    client = TestClient(build(desk), base_url="http://127.0.0.1:8000", follow_redirects=False)
    assert send(client, "cat", "save", prompt="x").status_code == 303
    plan = refine(start["run"], tmp_path / "out", DECIDED, where, RESOURCES, dry_run=True)
    assert [one["class_key"] for one in plan["changes"]] == [CAT]


# The server


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtra, match=r"needs uvicorn.*pip install 'synthgap\[review\]'"):
        serving.check_extra()


def test_the_command_serves_here_alone_and_ends_at_once(start: dict[str, Path], tmp_path: Path) -> None:
    code = "from synthgap.cli import main; main()"
    command = [sys.executable, "-c", code, "review", str(start["run"]), "--out", str(tmp_path / "out"), "--no-browser"]
    command += ["--generator", str(start["generator"])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address), process.stderr.read()
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert b"worst first" in answer.read()
        with pytest.raises(InputError, match="--port"):
            serving._listen(int(address.rstrip("/").rpartition(":")[2]))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert "interrupted: stopped by SIGINT" in process.stderr.read()
    assert not (tmp_path / "out").exists()


def test_a_signal_before_the_first_page_ends_it(desk: Desk) -> None:
    with pytest.raises(Interrupted, match="SIGINT"):
        serving.serve(desk, 0, lambda _: signal.raise_signal(signal.SIGINT))


def test_two_signals_end_it_without_a_traceback(start: dict[str, Path], tmp_path: Path) -> None:
    code = "from synthgap.cli import main; main()"
    command = [sys.executable, "-c", code, "review", str(start["run"]), "--out", str(tmp_path / "out"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        with urllib.request.urlopen(process.stdout.readline().strip(), timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)  # two that come at once are one
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        said = process.stderr.read()
    assert "interrupted" in said and "Traceback" not in said and "Error" not in said
