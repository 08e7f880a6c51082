"""The sections of a comparison of two results."""

from __future__ import annotations

from collections.abc import Iterator

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.wording import counted, p_value, percent, points, signed
from poolaudit.findings import Finding
from poolaudit.report.blocks import SYMBOLS, Note, Section, Table
from poolaudit.report.changes import Change
from poolaudit.report.compare import ChangedFinding, Comparison, MovedMetric

_TITLES = {
    Change.NEW: "New findings",
    Change.WORSE: "Worse than before",
    Change.NEWLY_ASSESSED: "Newly assessed, or asked more of",
    Change.NO_LONGER_ASSESSED: "No longer assessed, or asked otherwise (not fixed)",
    Change.NO_LONGER_DECIDED: "No longer decided (not fixed: the data leave it open)",
    Change.UNCHANGED: "Unchanged findings",
    Change.BETTER: "Better than before, still open",
    Change.FIXED: "Fixed",
}


def sections(comparison: Comparison) -> tuple[Section, ...]:
    """Findings by what became of them, then the metrics."""
    tables = tuple(
        _findings(title, comparison.of(change)) for change, title in _TITLES.items() if comparison.of(change)
    )
    silent = len(comparison.of(Change.PASSED_BOTH)), len(comparison.of(Change.NEVER_ASSESSED))
    summary = Note(f"{silent[0]} checks passed in both; {silent[1]} were assessed in neither.")
    return (
        Section("changes", "Checks", (*tables, summary)),
        Section("metrics", "Metrics", tuple(_metrics(comparison)) or (Note("No metric stands in both."),)),
    )


def comparison_in_words(comparison: Comparison) -> str:
    """Whether anything is new or worse, newly assessed and open, or fell away, as sentences."""
    worse = len(comparison.of(Change.NEW, Change.WORSE))
    added = [f for f in comparison.of(Change.NEWLY_ASSESSED) if f.new is not None and f.new.is_open]
    lost = len(comparison.of(Change.NO_LONGER_ASSESSED))
    undecided = len(comparison.of(Change.NO_LONGER_DECIDED))
    parts = []
    if worse:
        parts.append(f"{worse} {'finding is' if worse == 1 else 'findings are'} new or worse than before.")
    if added:
        codes = ", ".join(f.code for f in added)
        parts.append(
            f"{len(added)} newly assessed {'check is' if len(added) == 1 else 'checks are'} not passed ({codes})."
        )
    fell = [m for m in comparison.metrics if m.has_moved and (m.difference.value or 0.0) < 0]
    if not parts:
        parts.append("No finding that was assessed in both is new or worse.")
    if fell:
        shown = "; ".join(f"{m.name} from {percent(m.old.value)} to {percent(m.new.value)}" for m in fell[:3])
        more = f"; and {len(fell) - 3} more" if len(fell) > 3 else ""
        parts.append(f"{len(fell)} {'metric' if len(fell) == 1 else 'metrics'} fell: {shown}{more}.")
    if lost:
        parts.append(
            f"{lost} {'check was' if lost == 1 else 'checks were'} not assessed as before; nothing of that is fixed."
        )
    if undecided:
        parts.append(f"{undecided} {'failure is' if undecided == 1 else 'failures are'} no longer decided.")
    return " ".join(parts)


def change_counts(comparison: Comparison) -> tuple[str, ...]:
    """One line for every kind of change that occurs."""
    moved = sum(metric.has_moved for metric in comparison.metrics)
    counts = ((change.value, len(comparison.of(change))) for change in Change)
    return (
        *(f"{number} {name}" for name, number in counts if number),
        f"{moved} of {len(comparison.metrics)} metrics moved",
    )


def _findings(title: str, findings: tuple[ChangedFinding, ...]) -> Table:
    rows = tuple((f.code, f.title, _standing(f.old), _standing(f.new), _found(f)) for f in findings)
    return Table(title, "", ("Code", "Check", "Before", "Now", "What was found"), rows, "sentences")


def _found(changed: ChangedFinding) -> str:
    finding = changed.new or changed.old
    assert finding is not None
    why = "; ".join(changed.why)
    return f"{why[0].upper()}{why[1:]}. {finding.summary}" if why else finding.summary


def _standing(finding: Finding | None) -> str:
    return "–" if finding is None else f"{SYMBOLS[finding.outcome]} {finding.outcome}, {finding.severity}"


def _reading(metric: MovedMetric) -> str:
    if metric.p_value is None:
        return f"not compared: {metric.difference.reason or 'it was not measured in both'}"
    if not metric.has_moved:
        beside = ", once p is corrected" if _clear_of_zero(metric.difference) else ""
        return f"no evidence of a change{beside}"
    return "fell" if (metric.difference.value or 0.0) < 0 else "rose"


def _clear_of_zero(difference: Estimate) -> bool:
    return difference.low is not None and difference.high is not None and difference.low * difference.high > 0


def _interval_in_points(difference: Estimate) -> str:
    if difference.low is None or difference.high is None:
        return ""
    return f"{signed(difference.low)} to {signed(difference.high)} points"


def _metrics(comparison: Comparison) -> Iterator[Table]:
    if not comparison.metrics:
        return
    rows = tuple(
        (
            m.name,
            percent(m.old.value),
            percent(m.new.value),
            "" if m.difference.value is None else points(m.difference.value),
            _interval_in_points(m.difference),
            "" if m.p_value is None else p_value(m.p_value),
            _reading(m),
        )
        for m in comparison.metrics
    )
    yield Table(
        "Metrics before and now",
        "New minus old, in percentage points. Intervals: Newcombe's hybrid score, each for its metric alone. Tests: "
        f"Fisher's exact; p is Holm-corrected for all that is compared, {counted(len(rows), 'metric')} here, and "
        "decides: an interval clear of zero can stand beside no evidence of a change.",
        ("Metric", "Before", "Now", "Difference", "Interval, not corrected", "p, corrected", "Reading"),
        rows,
        "numbers sentences",
    )
