"""Fill the template: one self-contained file whose security policy forbids it to ask for anything outside itself."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from synthgap.core.counting import counted
from synthgap.stages.report import formats

TEMPLATES = Path(__file__).parent / "templates"
_QUOTED = re.compile(r"`([^`]+)`|(?<!\w)'((?:[^']|'(?=\w))+)'(?!\w)")


def with_code(text: str) -> Markup:
    """Escape a text and set what stands in backticks or single quotes as code; an apostrophe within a word is none.

    >>> with_code("say 'a <b> crane' in the crow's nest")
    Markup('say <code>a &lt;b&gt; crane</code> in the crow&#39;s nest')
    """
    parts, done = [], 0
    for found in _QUOTED.finditer(text):
        parts += [escape(text[done : found.start()]), Markup("<code>{}</code>").format(found[1] or found[2])]
        done = found.end()
    return Markup("").join([*parts, escape(text[done:])])


def json_block(value: Any) -> Markup:
    """Compact JSON that can stand inside a ``<script>`` element: nothing in it can close the element.

    NaN must be gone by now: it is not JSON, and the page would fail to read it.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _sort_key(value: float) -> str:
    """A number for a ``data-`` attribute; empty for NaN, which the page sorts last."""
    return f"{value:.6g}" if math.isfinite(value) else ""


def _policy(script: str) -> str:
    """Only this page's own script may run, and nothing may be loaded: hostile names stay text even if escaping failed."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def render(view: dict[str, Any]) -> str:
    """The page as text; the same view gives the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "code": with_code,
        "percent": formats.percent,
        "number": formats.number,
        "ratio": formats.ratio,
        "count": formats.count,
        "counted": counted,
        "sortkey": _sort_key,
        "jsonblock": json_block,
    }
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    template = environment.get_template("report.html.j2")
    return template.render(view | {"style": Markup(style), "script": Markup(script), "policy": _policy(script)})
