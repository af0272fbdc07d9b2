"""All findings on a class list under a recipe, worst first, each with a proposed prompt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

from synthgap.core.records import ClassEntry
from synthgap.core.specs import GenerateSpec
from synthgap.prompts import PromptWriter, shipped_overrides
from synthgap.prompts.wording import definition_prompt, name_prompt
from synthgap.stages.linting.tokens import CLIP, CONTEXT, Tokens, load_tokens
from synthgap.vocabulary import lint, resolve
from synthgap.vocabulary.lint import LEAST, UNUSED, Kind, LintFinding
from synthgap.vocabulary.wordnet import WNID

KNOWN = 0.5
"""Severity of a prompt that M clarified after looking at its images."""
MOST_PIECES = 3
"""Tokens per word above which it is called split badly."""
LONG = 0.6
"""Severity of a prompt of which nearly all is cut."""
_ADDS_HYPERNYM = {"hypernym", "multiple", "multiple-different", "background"}


@dataclass(frozen=True, slots=True)
class LintReport:
    """What a lint found, and what it could not look at."""

    entries: tuple[ClassEntry, ...]
    findings: tuple[LintFinding, ...]
    """Worst first."""
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: ``classes``, ``findings``, ``notes``, ``counts`` of each kind that was found."""
        counts = Counter(finding.kind for finding in self.findings)
        return {
            "classes": len(self.entries),
            "findings": [
                asdict(finding) | {"severity": round(finding.severity, 3), "other": list(finding.other)}
                for finding in self.findings
            ],
            "notes": list(self.notes),
            "counts": {kind: counts[kind] for kind in get_args(Kind) if counts[kind]},
        }


def lint_classes(spec: GenerateSpec, tokenizer: str = CLIP) -> LintReport:
    """Lint the class list of a spec under its recipe; ``tokenizer`` is ``clip``, a model folder or a Hub id.

    Raises InputError for a class list, recipe, overrides or tokenizer that cannot be read.
    """
    resolved = resolve(spec.classes)
    entries = resolved.entries
    writer = PromptWriter.of(spec, entries)
    prompts = {entry.class_key: writer.write(entry, 0).text for entry in entries}
    tokens = load_tokens(tokenizer)
    findings = [*_of_words(entries, prompts, writer), *_of_tokens(entries, prompts, writer, tokens)]
    proposed = lint.proposals(entries, {finding.class_key for finding in findings}, prompts, shipped_overrides())
    findings = [replace(finding, proposal=proposed.get(finding.class_key, "")) for finding in findings]
    order = {kind: place for place, kind in enumerate(get_args(Kind))}
    findings.sort(key=lambda one: (-one.severity, order[one.kind], one.class_key))
    notes = (*resolved.notes, *writer.notes, *_notes(entries, writer, tokens))
    return LintReport(tuple(entries), tuple(findings), notes)


def _of_words(entries: Sequence[ClassEntry], prompts: Mapping[str, str], writer: PromptWriter) -> list[LintFinding]:
    clarified = set(writer.material.clarified) if _names(writer) & {"disambiguated", "augmented"} else set()
    open_entries = [entry for entry in entries if entry.class_key not in clarified]
    return [
        *lint.duplicates(entries, prompts),
        *lint.several_senses(open_entries, prompts),
        *_known_unclear(open_entries, prompts),
        *lint.hypernym_pulls(entries, 1.0 if _adds(writer, "hypernym", _ADDS_HYPERNYM) else UNUSED),
        *lint.definition_pulls(entries, 1.0 if _adds(writer, "definition", {"definition"}) else UNUSED),
        *lint.kinds_of_others(entries),
    ]


def _names(writer: PromptWriter) -> set[str]:
    return {recipe.name for recipe in writer.recipes}


def _adds(writer: PromptWriter, field: str, recipes: set[str]) -> bool:
    """Whether some prompt of the writer holds the classes' hypernyms, or definitions."""
    return bool(_names(writer) & recipes) or any(field in one.fields for one in writer.material.templates)


def _known_unclear(entries: Sequence[ClassEntry], prompts: Mapping[str, str]) -> Iterator[LintFinding]:
    """Classes that M prints or names as unclear, while their prompt is still the lemmas."""
    clarified = shipped_overrides()
    for entry in entries:
        if entry.class_key in clarified and prompts[entry.class_key] == name_prompt(entry):
            what = (
                f"the prompt {name_prompt(entry)!r} was found unclear from its images (Marwood et al. 2023, reason 1)"
            )
            yield LintFinding(entry.class_key, entry.name, "known-unclear", KNOWN, what)


def _of_tokens(
    entries: Sequence[ClassEntry], prompts: Mapping[str, str], writer: PromptWriter, tokens: Tokens
) -> Iterator[LintFinding]:
    for entry in entries:
        counts = {word: tokens.pieces(word) for word in re.split(r"[\s-]+", entry.lemmas[0]) if word}
        word = max(counts, key=lambda one: counts[one])
        if counts[word] > MOST_PIECES:
            severity = min(0.15 + 0.05 * (counts[word] - MOST_PIECES - 1), 0.3)
            what = f"the tokenizer {tokens.name} cuts {word!r} into {counts[word]} pieces: a rare word to the encoder"
            yield LintFinding(entry.class_key, entry.name, "split-word", severity, what)
        yield from _too_long(entry, prompts[entry.class_key], tokens, "", 1.0)
        if not _adds(writer, "definition", {"definition"}):
            yield from _too_long(entry, definition_prompt(entry), tokens, " with the recipe 'definition'", UNUSED)


def _too_long(entry: ClassEntry, prompt: str, tokens: Tokens, when: str, factor: float) -> Iterator[LintFinding]:
    length = tokens.length(prompt)
    if length > CONTEXT:
        # A cut prompt has lost at least something: never below what is reported.
        severity = max(LEAST, LONG * factor * (1 - CONTEXT / length))
        what = f"its prompt{when} has {length} tokens ({tokens.name}); CLIP reads {CONTEXT} and cuts the rest"
        yield LintFinding(entry.class_key, entry.name, "long-prompt", severity, what)


def _notes(entries: Sequence[ClassEntry], writer: PromptWriter, tokens: Tokens) -> Iterator[str]:
    outside = sum(WNID.fullmatch(entry.class_key) is None for entry in entries)
    if outside:
        which = "class is" if outside == 1 else "classes are"
        yield f"{outside:,} {which} not in WordNet: looked at for duplicates and tokens only, without a proposal"
    if len(writer.recipes) > 1 or any(writer.count(entry) > 1 for entry in entries[:1]):
        yield "each class has several prompts; only the first of each was looked at"
    yield "parts of other classes are not looked for: the shipped WordNet table holds no meronyms"
    yield "WordNet does not know foreign words, brands and stars (papillon, green mamba the car): look at the images too"
    if tokens.name == "lab":
        yield "the lab's tokenizer knows few words; it says nothing about CLIP's"
