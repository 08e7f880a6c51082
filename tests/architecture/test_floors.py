"""The house has floors: a file imports only from lower floors and from its own folder."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import poolaudit

PACKAGE = Path(poolaudit.__file__).parent
FLOORS: dict[str, int] = {
    "version": 0,
    "errors": 0,
    "registry": 0,
    "outcomes": 0,
    "findings": 0,
    "results": 0,
    "policy": 0,
    "requirements": 0,
    "events": 0,
    "evidence": 0,
    "configuration": 0,
    "reference": 1,
    "strategies": 1,
    "statistics": 1,
    "subject": 1,
    "store": 1,
    "geometry": 2,
    "evaluation": 2,
    "conformance": 2,
    "ablation": 2,
    "benchmarks": 2,
    "leakage": 2,
    "pitfalls": 2,
    "audit": 3,
    "baseline": 3,
    "report": 3,
    "cli": 4,
    "pytest_plugin": 4,
    "testing": 4,
    "integrations": 4,
    "__main__": 5,
    "__init__": 5,
}
# Floor 0 is one vocabulary and floor 4 one row of doors; between them neighbours do not know each other.
NEIGHBOURS_APART = {1, 2, 3}


def rooms_imported(source: str) -> set[str]:
    """First part below `poolaudit` of every import in the source, wherever it stands."""
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            names = [module] if module != "poolaudit" else [f"poolaudit.{alias.name}" for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("poolaudit.")}
    return rooms


def broken_rules(room: str, source: str) -> list[str]:
    complaints = []
    for other in sorted(rooms_imported(source) - {room}):
        if other not in FLOORS:
            complaints.append(f"{other} has no floor")
        elif FLOORS[other] > FLOORS[room]:
            complaints.append(f"{room} (floor {FLOORS[room]}) imports {other} (floor {FLOORS[other]})")
        elif FLOORS[other] == FLOORS[room] and FLOORS[room] in NEIGHBOURS_APART:
            complaints.append(f"{room} imports its neighbour {other} on floor {FLOORS[room]}")
    return complaints


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_keeps_to_its_floor(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    room = relative.parts[0].removesuffix(".py")
    assert room in FLOORS, f"{room} has no floor"
    assert broken_rules(room, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("errors", "from poolaudit.subject.data import load_splits"),
        ("subject", "import poolaudit.statistics.intervals"),
        ("evaluation", "def later():\n    from poolaudit.pitfalls import detector"),
        ("store", "from poolaudit import cli"),
        ("report", "from poolaudit.audit import run_audit"),
        ("cli", "from poolaudit.unheard_of import thing"),
    ],
)
def test_the_rule_catches_a_file_that_breaks_it(room: str, source: str) -> None:
    assert broken_rules(room, source)


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("evaluation", "from poolaudit.statistics.intervals import wilson"),
        ("evaluation", "from poolaudit.evaluation.confusion import class_metrics"),
        ("results", "from poolaudit.policy import Policy"),
        ("cli", "import numpy as np\nfrom poolaudit.audit import run_audit"),
    ],
)
def test_the_rule_passes_a_file_that_keeps_it(room: str, source: str) -> None:
    assert broken_rules(room, source) == []
