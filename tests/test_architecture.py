"""The import rule of the house: folders are layers, imports go downwards only, and heavy libraries stay where they belong."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "synthgap"

ALLOWED = {
    "core": set(),
    "vocabulary": {"core"},
    "prompts": {"core", "vocabulary"},
    "metrics": set(),
    "store": {"core"},
    "models": {"core"},
    "execution": {"core"},
    "lab": {"core", "vocabulary", "store", "models", "metrics", "prompts"},
    "stages": {"core", "vocabulary", "prompts", "metrics", "store", "models", "execution"},
    "testing": {"core", "store", "models"},
    "views": {"core", "console"},
    "pipeline": {"core", "prompts", "store", "models", "stages"},
    "studies": set(),
    "review": {"core", "prompts", "store", "stages", "pipeline"},
    "study": {"core", "models", "pipeline", "stages", "store"},
    "commands": {
        "core",
        "vocabulary",
        "prompts",
        "store",
        "execution",
        "models",
        "stages",
        "lab",
        "console",
        "pipeline",
        "study",
        "views",
        "review",
    },
}
"""Which layers each layer may import. ``cli`` stands above all, ``pipeline`` and ``commands`` between the stages and ``cli``."""

HEAVY = {"diffusers", "transformers", "open_clip", "timm"}
METRICS_MAY = {
    "torch",
    "jaxtyping",
    "__future__",
    "collections",
    "dataclasses",
    "functools",
    "itertools",
    "math",
    "operator",
    "typing",
    "warnings",
}


def modules() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Absolute names of everything a file imports, relative imports resolved, also inside functions."""
    package = ["synthgap", *path.relative_to(SRC).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{name}.{alias.name}" for alias in node.names}
    return found


def layer(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "synthgap" else ""


def broken_rules(path: Path, names: set[str]) -> list[str]:
    where = path.relative_to(SRC).parts
    own = where[0] if len(where) > 1 else ""
    if own not in ALLOWED:
        return []
    broken = [n for n in names if layer(n) and layer(n) != own and layer(n) not in ALLOWED[own] | {"__version__"}]
    if own == "stages":
        stage = where[1].removesuffix(".py")
        broken += [
            n for n in names if n.startswith("synthgap.stages.") and n.split(".")[2] != stage and stage != "__init__"
        ]
    return broken


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_imports_go_downwards(path: Path) -> None:
    assert broken_rules(path, imports(path)) == []


def test_the_rule_can_fail() -> None:
    assert broken_rules(SRC / "store" / "x.py", {"synthgap.models.encoder"})
    assert broken_rules(SRC / "stages" / "report.py", {"synthgap.stages.embedding.embed_images"})
    assert not broken_rules(SRC / "store" / "x.py", {"synthgap.core.errors"})


def test_every_layer_has_a_rule() -> None:
    folders = {p.name for p in SRC.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert folders <= set(ALLOWED), f"folders without an import rule: {folders - set(ALLOWED)}"


def test_metrics_are_pure() -> None:
    for path in sorted((SRC / "metrics").glob("*.py")):
        outside = {n.split(".")[0] for n in imports(path) if not n.startswith("synthgap.metrics")}
        outside -= {"scipy"} if path.name == "_symmetric.py" else set()  # for LAPACK, which torch has not all of
        assert outside <= METRICS_MAY, f"{path.name} imports {outside - METRICS_MAY}"


def test_heavy_libraries_stay_in_models() -> None:
    for path in modules():
        if path.relative_to(SRC).parts[0] in {"models", "lab", "testing"}:
            continue
        heavy = {n.split(".")[0] for n in imports(path)} & HEAVY
        assert not heavy, f"{path.relative_to(SRC)} imports {heavy}: only models/ (and the lab's recipe) may"


def test_no_import_cycle() -> None:
    names = {
        ".".join(["synthgap", *p.relative_to(SRC).with_suffix("").parts]).removesuffix(".__init__"): p
        for p in modules()
    }
    graph = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = ast.Module([n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))], [])
        wanted = {f"{n.module}.{a.name}" for n in ast.walk(top) if isinstance(n, ast.ImportFrom) for a in n.names}
        wanted |= {n.module for n in ast.walk(top) if isinstance(n, ast.ImportFrom) and n.module}
        graph[name] = {w for w in wanted if w in names and w != name and not name.startswith(f"{w}.")}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import cycle: {' -> '.join([*trail, name])}"
        if name not in done:
            for child in graph[name]:
                visit(child, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_help_is_quick_and_imports_no_torch() -> None:
    code = (
        "import sys; from synthgap.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules, 'heavy import for --help'"
    )
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = os.times()
    # Processor time, not the clock: a busy machine must not fail the test. It takes 0.3 s here; the aim is half a second.
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 0.8
