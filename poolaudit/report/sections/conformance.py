"""The section on the correctness of the layers: counterexamples ready to paste, and all properties tried."""

from __future__ import annotations

from collections import Counter

from poolaudit.evidence.conformance import PropertyResult
from poolaudit.outcomes import Outcome
from poolaudit.report.blocks import SYMBOLS, Note, Replay, Section, Table, badge_of
from poolaudit.results import AuditResult

_REPLAYS_SHOWN = 40
_COLUMNS = 8
_WORST_FIRST = (Outcome.FAILED, Outcome.CRASHED, Outcome.UNDECIDED, Outcome.PASSED, Outcome.SKIPPED)


def section(result: AuditResult) -> Section | None:
    checked = result.evidence.conformance
    if checked is None:
        return None
    # The layers' own failures before the framework's.
    broken = sorted((r for r in checked if r.counterexample), key=lambda r: r.known_divergence is not None)
    left_out = len(broken) - _REPLAYS_SHOWN
    return Section(
        "conformance",
        "Correctness of the pooling layers",
        (
            *(_replay(r) for r in broken[:_REPLAYS_SHOWN]),
            *([Note(f"{left_out} further counterexamples stand in result.json.")] if left_out > 0 else []),
            *_matrices(checked),
            _properties(checked),
        ),
    )


def _matrices(results: tuple[PropertyResult, ...]) -> tuple[Table, ...]:
    """Properties against layers: the worst outcome over modes and dtypes in each cell."""
    layers = list(dict.fromkeys(r.layer for r in results))
    names = list(dict.fromkeys(r.property for r in results))
    cells: dict[tuple[str, str], list[PropertyResult]] = {}
    for r in results:
        cells.setdefault((r.layer, r.property), []).append(r)
    from poolaudit.conformance.model import property_titles

    titles = property_titles()
    tables = []
    for start in range(0, len(layers), _COLUMNS):
        shown = layers[start : start + _COLUMNS]
        rows = tuple(
            (titles.get(name, ""), name, *(_worst(cells.get((layer, name), [])) for layer in shown)) for name in names
        )
        part = "" if len(layers) <= _COLUMNS else f", layers {start + 1} to {start + len(shown)} of {len(layers)}"
        tables.append(
            Table(
                f"Layers against properties{part}",
                "The worst outcome over all modes and dtypes. Empty: the property says nothing about such a layer.",
                ("What holds", "Property", *shown),
                rows,
                "matrix",
            )
        )
    return tuple(tables)


def _worst(results: list[PropertyResult]) -> str:
    own = [r.outcome for r in results if r.known_divergence is None]
    worst = next((outcome for outcome in _WORST_FIRST if outcome in own), None)
    if any(r.known_divergence for r in results) and worst in (None, Outcome.PASSED, Outcome.SKIPPED):
        return "✗ the framework's"
    return "" if worst is None else f"{SYMBOLS[worst]} {worst.value.lower()}"


def _properties(results: tuple[PropertyResult, ...]) -> Table:
    """A row a layer and property; every mode and dtype tried stands in it under its outcome."""
    cells: dict[tuple[str, str], dict[Outcome, list[str]]] = {}
    for r in results:
        known = " (known divergence of the framework)" if r.known_divergence else ""
        tried = cells.setdefault((r.layer, r.property), {})
        tried.setdefault(r.outcome, []).append(f"{r.mode} {r.dtype}{known}")
    tries = Counter[tuple[str, str]]()
    for r in results:
        tries[r.layer, r.property] += r.examples
    rows = [
        (
            layer,
            name,
            "; ".join(
                f"{SYMBOLS[outcome]} {outcome}: {', '.join(tried[outcome])}"
                for outcome in _WORST_FIRST
                if outcome in tried
            ),
            f"{tries[layer, name]:,}",
        )
        for (layer, name), tried in cells.items()
    ]
    return Table(
        "Properties by mode and dtype",
        "Each property was attacked with drawn configurations and inputs in the modes and dtypes named. PASSED means "
        "that no counterexample was found in the number of cases given.",
        ("Layer", "Property", "Outcome by mode and dtype", "Cases"),
        tuple(rows),
        is_folded=True,
    )


def _replay(result: PropertyResult) -> Replay:
    case = result.counterexample
    assert case is not None
    return Replay(
        heading=f"{result.property} of {result.layer} ({result.mode}, {result.dtype})",
        badge=badge_of(result.outcome),
        known=result.known_divergence or "",
        case=case.configuration,
        observed=case.observed,
        expected=case.expected,
        script=case.snippet,
    )
