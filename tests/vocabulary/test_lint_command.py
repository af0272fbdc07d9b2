"""`synthgap lint`: golden findings on ImageNet-1K, prompts, tokens, the file of proposals, the command itself."""

import json
import subprocess
import sys

import pytest
import yaml
from cyclopts import App

from synthgap.commands.linting import lint
from synthgap.console import guarded
from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec
from synthgap.prompts import load_overrides
from synthgap.stages.linting import lint_classes, write_clarified
from synthgap.stages.linting.tokens import load_tokens
from synthgap.vocabulary import class_list


def report(classes, tokenizer="clip", **settings):
    return lint_classes(GenerateSpec(classes=classes, **settings), tokenizer)


def kinds(found, key):
    return {one.kind for one in found.findings if one.class_key == key}


@pytest.fixture(scope="module")
def imagenet():
    return report("imagenet-1k")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("n02012849", "duplicate-prompt"),  # crane, the bird
        ("n03126707", "duplicate-prompt"),  # crane, the machine
        ("n03710637", "duplicate-name"),  # maillot
        ("n03710721", "duplicate-name"),  # maillot, tank suit
        ("n04355933", "duplicate-name"),  # sunglass
        ("n04356056", "duplicate-name"),  # sunglasses
        ("n02963159", "duplicate-name"),  # cardigan, the garment
        ("n02113186", "duplicate-name"),  # Cardigan, the dog
        ("n03773504", "shared-lemma"),  # missile
        ("n04008634", "shared-lemma"),  # projectile, missile
        ("n01847000", "several-senses"),  # drake
        ("n01580077", "several-senses"),  # jay
        ("n03786901", "several-senses"),  # mortar
        ("n04592741", "several-senses"),  # wing (S App. C)
        ("n03584829", "several-senses"),  # iron (S App. C)
        ("n04606251", "several-senses"),  # wreck
        ("n02895154", "known-unclear"),  # breastplate
        ("n01694178", "known-unclear"),  # African chameleon
        ("n02086240", "hypernym-pulls"),  # Shih-Tzu: toy dog
        ("n02859443", "hypernym-pulls"),  # boathouse: shed
        ("n04136333", "definition-pulls"),  # sarong
    ],
)
def test_the_papers_examples_are_found(imagenet, key, kind):
    assert kind in kinds(imagenet, key)


@pytest.mark.parametrize("key", ["n01443537", "n02391049", "n01440764", "n02342885", "n03372029"])
def test_clear_classes_are_not(imagenet, key):
    assert kinds(imagenet, key) == set()


def test_findings_are_worst_first_and_each_has_a_new_prompt(imagenet):
    severities = [one.severity for one in imagenet.findings]
    assert severities == sorted(severities, reverse=True)
    assert all(0 < value <= 1 for value in severities)
    assert imagenet.findings[0].kind == "duplicate-prompt"
    assert all(one.proposal for one in imagenet.findings)
    assert len(imagenet.findings) < 600, "a lint that flags most classes tells nothing"


def test_json_holds_what_is_promised(imagenet):
    found = json.loads(json.dumps(imagenet.as_dict()))
    assert set(found) == {"classes", "findings", "notes", "counts"}
    assert found["classes"] == 1000
    assert sum(found["counts"].values()) == len(found["findings"])
    assert set(found["findings"][0]) == {"class_key", "name", "kind", "severity", "what", "other", "proposal"}


def test_clear_names_have_no_findings():
    assert report("goldfish,zebra,giraffe,helicopter,accordion").findings == ()


def test_other_recipes_are_judged_by_their_own_prompts():
    both = "n02012849,n03126707"
    assert "duplicate-prompt" in report(both).as_dict()["counts"]
    hypernym = report(both, recipe="hypernym")
    assert "duplicate-prompt" not in hypernym.as_dict()["counts"]
    assert max(one.severity for one in hypernym.findings) < 0.9
    toy = [report("n02086240", recipe=recipe).findings[0].severity for recipe in ("name", "hypernym")]
    assert toy[0] * 2 == pytest.approx(toy[1])
    fixed = report("n02012849,n01580077,n03786901", recipe="disambiguated")
    assert not {"several-senses", "known-unclear"} & set(fixed.as_dict()["counts"])


def test_one_template_for_all_is_a_duplicate_prompt():
    found = report("zebra,goldfish,giraffe", recipe="template", template=("a photo",))
    assert found.as_dict()["counts"]["duplicate-prompt"] == 3


def test_the_clip_tokenizer_counts_as_open_clip_does():
    from open_clip.tokenizer import SimpleTokenizer

    theirs, ours = SimpleTokenizer(), load_tokens("clip")
    for entry in class_list("imagenet-100"):
        text = f"{', '.join(entry.lemmas)}, {entry.definition} It's 1,000 naïve 猫 🦊!"
        assert ours.pieces(text) == len(theirs.encode(text))


def test_prompts_that_clip_cuts_are_found():
    long = "{first} " + "in a very long sentence " * 20
    found = report("zebra", recipe="template", template=(long,))
    counts = found.as_dict()["counts"]
    assert counts == {"long-prompt": 1}
    assert "tokens" in found.findings[0].what
    assert "long-prompt" not in report("zebra").as_dict()["counts"]


def test_a_rare_word_is_found_by_its_pieces():
    found = report("xqzwvkj pfhtrg")
    assert kinds(found, "xqzwvkj_pfhtrg") == {"split-word"}
    assert found.findings[0].proposal == ""
    assert any("not in WordNet" in note for note in found.notes)


def test_tokenizers_of_folders(tmp_path, tiny_generator, tiny_clip):
    for folder in (tiny_generator, tiny_clip):
        assert load_tokens(str(folder)).pieces("zebra") >= 1
    assert load_tokens("lab").pieces("frog") >= 1
    with pytest.raises(InputError, match="holds no tokenizer"):
        load_tokens(str(tmp_path))
    with pytest.raises(InputError, match="neither 'clip'"):
        load_tokens("nothing-here")
    (tmp_path / "tokenizer.json").write_text("{broken")
    with pytest.raises(InputError, match="cannot be read"):
        load_tokens(str(tmp_path))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="not in the cache"):
        load_tokens("nobody/nothing")


def test_proposals_are_a_file_that_disambiguated_reads(tmp_path, imagenet):
    path = tmp_path / "clarified.yaml"
    by_key = {one.class_key: one for one in imagenet.entries}
    count = write_clarified(path, imagenet.findings, by_key)
    assert load_overrides(path)["n03126707"] == "crane, lifting device"
    assert len(load_overrides(path)) == count == len({one.class_key for one in imagenet.findings})
    assert all(row["who"] == "synthgap lint" and row["why"] for row in yaml.safe_load(path.read_text())["overrides"])
    again = report("imagenet-1k", recipe="disambiguated", overrides=path)
    assert "duplicate-prompt" not in again.as_dict()["counts"]
    path.write_text("mine")
    with pytest.raises(InputError, match="--replace"):
        write_clarified(path, imagenet.findings, by_key)
    assert path.read_text() == "mine"
    write_clarified(path, imagenet.findings, by_key, replace=True)
    assert path.read_text() != "mine"


def run(*arguments):
    app = App()
    app.command(lint)
    return guarded(
        lambda: app(["lint", *arguments], exit_on_error=False, print_error=False, result_action="return_value")
    )


def test_the_command(capsys, tmp_path):
    assert run("crane, zebra, n02012849", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["classes"] == 3
    assert run("imagenet-1k", "--write", str(tmp_path / "new.yaml")) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[2].strip().startswith("1.00  n02012849")
    assert "more; --format json shows all" in shown.out
    assert "proposed prompts in" in shown.err
    assert run("zebra") == 0
    assert "nothing found" in capsys.readouterr().out
    assert run("n02012849", "--strict") == 1
    assert run("zebra", "--strict") == 0
    capsys.readouterr()
    assert run("zebra\x00") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_neither_torch_nor_transformers_is_imported():
    code = (
        "import sys; from synthgap.core.specs import GenerateSpec; from synthgap.stages.linting import lint_classes\n"
        "lint_classes(GenerateSpec(classes='crane')); assert not {'torch', 'transformers', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
