"""The sections of a comparison of two results."""

from __future__ import annotations

from collections.abc import Iterator

from poolaudit.evidence.wording import interval, p_value, percent
from poolaudit.findings import Finding
from poolaudit.report.blocks import SYMBOLS, Note, Section, Table
from poolaudit.report.compare import Change, ChangedFinding, Comparison

_TITLES = {
    Change.NEW: "New findings",
    Change.WORSE: "Worse than before",
    Change.NO_LONGER_ASSESSED: "No longer assessed (not fixed: nothing is known)",
    Change.NEWLY_ASSESSED: "Newly assessed",
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
        Section("metrics", "Metrics", (*(Note(note) for note in comparison.notes), *_metrics(comparison))),
    )


def comparison_in_words(comparison: Comparison) -> str:
    """Whether anything is new or worse, as a sentence."""
    worse = comparison.of(Change.NEW, Change.WORSE)
    lost = comparison.of(Change.NO_LONGER_ASSESSED)
    if worse:
        return f"{len(worse)} {'finding is' if len(worse) == 1 else 'findings are'} new or worse than before."
    if lost:
        return f"Nothing new was found, but {len(lost)} {'check' if len(lost) == 1 else 'checks'} fell away."
    return "Nothing is new or worse than before."


def change_counts(comparison: Comparison) -> tuple[str, ...]:
    """One line for every kind of change that occurs."""
    moved = sum(metric.has_moved for metric in comparison.metrics)
    counts = ((change.value, len(comparison.of(change))) for change in Change)
    return (
        *(f"{number} {name}" for name, number in counts if number),
        f"{moved} of {len(comparison.metrics)} metrics moved",
    )


def _findings(title: str, findings: tuple[ChangedFinding, ...]) -> Table:
    rows = tuple((f.code, f.title, _standing(f.old), _standing(f.new), (f.new or f.old).summary) for f in findings)  # type: ignore[union-attr]
    return Table(title, "", ("Code", "Check", "Before", "Now", "What was found"), rows)


def _standing(finding: Finding | None) -> str:
    return "–" if finding is None else f"{SYMBOLS[finding.outcome]} {finding.outcome}, {finding.severity}"


def _metrics(comparison: Comparison) -> Iterator[Table]:
    if not comparison.metrics:
        return
    rows = tuple(
        (
            m.name,
            percent(m.old.value),
            percent(m.new.value),
            "" if m.difference.value is None else f"{100 * m.difference.value:+.1f} points",
            interval(m.difference, as_percent=True),
            "" if m.p_value is None else p_value(m.p_value),
            "moved" if m.has_moved else "no evidence of a change",
        )
        for m in comparison.metrics
    )
    yield Table(
        "Moved metrics",
        "New minus old. Intervals: Newcombe's hybrid score; tests: Fisher's exact, Holm-corrected over this table.",
        ("Metric", "Before", "Now", "Difference", "Interval", "p, corrected", "Reading"),
        rows,
        "numbers",
    )
