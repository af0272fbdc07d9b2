"""Build the shipped table of all WordNet 3.0 nouns from Debian's ``wordnet-base``.

    apt-get install wordnet-base
    python scripts/build_wordnet.py

Reads ``data.noun`` (synsets), ``index.noun`` (the senses of a lemma, commonest first) and ``noun.exc`` (irregular
plurals), formats of wndb(5). Writes ``nouns.txt.gz``: four sections, separated by blank lines, the rows of each sorted
by their first column and columns separated by tabs, so that a reader finds a row by bisection:

    the licence, as comments
    n02012849  crane  n02005790  large long-necked wading bird of marshes and plains in many parts of the world
    crane      n10914447 n10914331 n09295455 n03126707 n02012849
    geese      goose

The number of an id is the synset's byte offset in ``data.noun``, as in ImageNet's ids. Hypernyms are in WordNet's
order; one that is marked ``i`` says that the synset is an instance of it (Stephen Crane is an instance of a writer).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import re
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "src" / "synthgap" / "vocabulary" / "data"
NOUNS = 82_115
LICENCE_LINES = 29


def definition(gloss: str) -> str:
    """The gloss without its example sentences, which follow a separator outside parentheses.

    >>> definition('a retreat; "he hid in a dark hole"')
    'a retreat'
    """
    for example in re.finditer(r'[;:,]\s*"', gloss):
        before = gloss[: example.start()]
        if before.count("(") == before.count(")"):
            return before.strip()
    return gloss.strip().rstrip(";").strip()


def synset_row(line: str) -> str:
    """One row of the table from one line of data.noun."""
    head, _, gloss = line.partition("|")
    fields = head.split()
    count = int(fields[3], 16)
    lemmas = [word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
    pointers = fields[5 + 2 * count :]
    hypernyms = [
        f"n{offset}{'i' if symbol == '@i' else ''}"
        for symbol, offset in zip(pointers[0::4], pointers[1::4], strict=False)
        if symbol in {"@", "@i"}
    ]
    return "\t".join([f"n{fields[0]}", ", ".join(lemmas), " ".join(hypernyms), definition(gloss)])


def lemma_row(line: str) -> str:
    """One row of the lemma index from one line of index.noun."""
    fields = line.split()
    senses = fields[-int(fields[2]) :]
    return "\t".join([fields[0].replace("_", " "), " ".join(f"n{offset}" for offset in senses)])


def plural_row(line: str) -> str:
    """One row of the irregular plurals from one line of noun.exc (the first base form is the usual one)."""
    plural, base = line.split()[:2]
    return "\t".join([plural.replace("_", " "), base.replace("_", " ")])


def build(source: Path) -> tuple[str, str]:
    """Return the table's text and the licence's text from a folder of WordNet's database files."""
    data = (source / "data.noun").read_text("ascii").splitlines()
    licence = "\n".join(re.sub(r"^ *\d+ ", "", line).rstrip() for line in data[:LICENCE_LINES]) + "\n"
    synsets = sorted(synset_row(line) for line in data[LICENCE_LINES:])
    index = (source / "index.noun").read_text("ascii").splitlines()[LICENCE_LINES:]
    lemmas = sorted(lemma_row(line) for line in index)
    plurals = sorted({plural_row(line) for line in (source / "noun.exc").read_text("ascii").splitlines()})
    notice = [f"# {line}".rstrip() for line in licence.splitlines()]
    return "\n\n".join("\n".join(rows) for rows in (notice, synsets, lemmas, plurals)) + "\n", licence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--out", type=Path, default=DATA)
    arguments = parser.parse_args()
    if not (arguments.source / "data.noun").is_file():
        parser.error(f"{arguments.source} holds no data.noun; apt-get install wordnet-base, or pass --source")
    text, licence = build(arguments.source)
    count = len(text.split("\n\n")[1].splitlines())
    if count != NOUNS:
        parser.error(f"{arguments.source} holds {count:,} noun synsets; WordNet 3.0 has {NOUNS:,}")
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0, filename="") as handle:
        handle.write(text.encode("ascii"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "nouns.txt.gz").write_bytes(packed.getvalue())
    (arguments.out / "LICENSE-WordNet.txt").write_text(licence, "ascii")
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    print(f"{count:,} synsets, {len(packed.getvalue()):,} bytes, sha256 of the text {digest}")


if __name__ == "__main__":
    main()
