"""Two results against each other: what is no longer assessed is never fixed, what moved is tested."""

from __future__ import annotations

import dataclasses

import pytest
from report_examples import HOSTILE, result_of, scored

from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Severity
from poolaudit.report.changes import Change
from poolaudit.report.compare import compare
from poolaudit.report.html import render_comparison_html
from poolaudit.report.markdown import render_comparison_markdown
from poolaudit.results import Acceptance, AuditResult
from specimens.outcomes import scored_counts

BAD = result_of(scored_counts(12, 88, 12, 4_888), "fraud")
GOOD = result_of(scored_counts(960, 40, 40, 4_960), "fraud")


def with_outcome(outcome: Outcome | None, severity: Severity = Severity.MAJOR) -> AuditResult:
    findings = () if outcome is None else (Finding("PA299", "Made to measure", outcome, severity, "A sentence."),)
    return dataclasses.replace(GOOD, findings=findings)


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (Outcome.FAILED, Outcome.PASSED, Change.FIXED),
        (Outcome.UNDECIDED, Outcome.PASSED, Change.FIXED),
        (Outcome.FAILED, Outcome.SKIPPED, Change.NO_LONGER_ASSESSED),
        (Outcome.FAILED, None, Change.NO_LONGER_ASSESSED),
        (Outcome.FAILED, Outcome.CRASHED, Change.NO_LONGER_ASSESSED),
        (Outcome.PASSED, Outcome.CRASHED, Change.NO_LONGER_ASSESSED),
        (Outcome.PASSED, Outcome.SKIPPED, Change.NO_LONGER_ASSESSED),
        (Outcome.PASSED, Outcome.FAILED, Change.NEW),
        (Outcome.PASSED, Outcome.UNDECIDED, Change.NEW),
        (Outcome.UNDECIDED, Outcome.FAILED, Change.WORSE),
        (Outcome.FAILED, Outcome.UNDECIDED, Change.NO_LONGER_DECIDED),
        (Outcome.FAILED, Outcome.FAILED, Change.UNCHANGED),
        (Outcome.CRASHED, Outcome.CRASHED, Change.UNCHANGED),
        (Outcome.CRASHED, Outcome.FAILED, Change.NEWLY_ASSESSED),
        (Outcome.PASSED, Outcome.PASSED, Change.PASSED_BOTH),
        (Outcome.SKIPPED, Outcome.SKIPPED, Change.NEVER_ASSESSED),
        (None, Outcome.SKIPPED, Change.NEVER_ASSESSED),
        (Outcome.SKIPPED, Outcome.FAILED, Change.NEWLY_ASSESSED),
        (None, Outcome.FAILED, Change.NEWLY_ASSESSED),
    ],
)
def test_what_becomes_of_a_check(old: Outcome | None, new: Outcome | None, change: Change) -> None:
    (changed,) = compare(with_outcome(old), with_outcome(new)).findings
    assert changed.change is change


def test_a_heavier_finding_is_worse() -> None:
    (changed,) = compare(
        with_outcome(Outcome.FAILED, Severity.MINOR), with_outcome(Outcome.FAILED, Severity.CRITICAL)
    ).findings
    assert changed.change is Change.WORSE


def test_the_exit_code_looks_at_what_is_new() -> None:
    assert compare(GOOD, BAD).breaks_the_build
    assert not compare(BAD, GOOD).breaks_the_build
    assert not compare(BAD, BAD).breaks_the_build
    assert not compare(with_outcome(Outcome.PASSED), with_outcome(Outcome.FAILED, Severity.MINOR)).breaks_the_build
    accepted = Acceptance("PA299", Outcome.FAILED, Severity.MAJOR, (), "known", "2999-12-31")
    new = dataclasses.replace(with_outcome(Outcome.FAILED), accepted=(accepted,))
    assert not compare(with_outcome(Outcome.PASSED), new).breaks_the_build


def test_moved_metrics_carry_difference_interval_and_test() -> None:
    moved = {metric.name: metric for metric in compare(GOOD, BAD).metrics}
    recall = moved["Recall of 'fraud'"]
    assert recall.has_moved
    assert recall.difference.value == pytest.approx(0.12 - 0.96)
    assert recall.difference.low is not None
    assert recall.difference.high is not None
    assert recall.difference.low < -0.84 < recall.difference.high < 0
    assert recall.p_value is not None
    assert recall.p_value < 1e-6


def test_equal_results_have_moved_nothing() -> None:
    comparison = compare(GOOD, GOOD)
    assert not [metric for metric in comparison.metrics if metric.has_moved]
    assert all(m.difference.value == 0 for m in comparison.metrics)


def test_chance_moves_are_not_called_moves() -> None:
    """Twelve more of 1,000 found, over three metrics: within what chance does."""
    other = result_of(scored_counts(948, 52, 41, 4_959), "fraud")
    assert not [metric.name for metric in compare(GOOD, other).metrics if metric.has_moved]


def test_other_policies_classes_and_scopes_are_said() -> None:
    strict = dataclasses.replace(GOOD, policy=dataclasses.replace(GOOD.policy, good_recall=0.99), scope="conformance")
    notes = " ".join(compare(GOOD, strict).notes)
    assert "policies differ" in notes
    assert "of conformance" in notes
    assert "classes differ" in " ".join(compare(GOOD, result_of(scored(3, 300))).notes)


def test_both_forms_show_the_change_and_keep_names_as_text() -> None:
    hostile = result_of(scored(len(HOSTILE), 3_000, HOSTILE), title=" ".join(HOSTILE))
    html, markdown = render_comparison_html(compare(hostile, hostile)), render_comparison_markdown(compare(GOOD, BAD))
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "READY → NOT READY" in markdown
    assert "New findings" in markdown
    assert "Fixed" in render_comparison_html(compare(BAD, GOOD))
