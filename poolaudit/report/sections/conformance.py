"""The section on the correctness of the layers: counterexamples ready to paste, and all properties tried."""

from __future__ import annotations

from collections import Counter

from poolaudit.evidence.conformance import PropertyResult
from poolaudit.outcomes import Outcome
from poolaudit.report.blocks import SYMBOLS, Note, Replay, Section, Table, badge_of
from poolaudit.results import AuditResult

_REPLAYS_SHOWN = 40


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
            _properties(checked),
        ),
    )


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
    worst_first = [Outcome.FAILED, Outcome.CRASHED, Outcome.UNDECIDED, Outcome.PASSED, Outcome.SKIPPED]
    rows = [
        (
            layer,
            name,
            "; ".join(
                f"{SYMBOLS[outcome]} {outcome}: {', '.join(tried[outcome])}"
                for outcome in worst_first
                if outcome in tried
            ),
            f"{tries[layer, name]:,}",
        )
        for (layer, name), tried in cells.items()
    ]
    return Table(
        "Properties of the layers",
        "Each property was attacked with drawn configurations and inputs in the modes and dtypes named. PASSED means "
        "that no counterexample was found in the number of cases given.",
        ("Layer", "Property", "Outcome by mode and dtype", "Cases"),
        tuple(rows),
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
