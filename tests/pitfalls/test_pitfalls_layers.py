"""PA1xx: what property-based tests of the layers mean for a release. Guilty and innocent results are real ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from poolaudit.evidence.conformance import PropertyResult
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.policy import Policy
from poolaudit.results import Evidence

PASSED = PropertyResult("MyPool", "oracle", Outcome.PASSED, "eager", "float32", examples=60)
FAILED = replace(PASSED, outcome=Outcome.FAILED)
KNOWN = replace(FAILED, known_divergence="max-pool-drops-nan")


def judged(code: str, *results: PropertyResult):
    return all_detectors().get(code)(Evidence(conformance=results), Policy())


@pytest.mark.parametrize(
    ("results", "outcome", "severity"),
    [
        ((PASSED,), Outcome.PASSED, Severity.CRITICAL),
        ((PASSED, FAILED), Outcome.FAILED, Severity.CRITICAL),
        ((PASSED, KNOWN), Outcome.PASSED, Severity.CRITICAL),
        ((PASSED, replace(PASSED, outcome=Outcome.CRASHED, reason="no answer")), Outcome.CRASHED, Severity.MAJOR),
        ((PASSED, replace(PASSED, outcome=Outcome.UNDECIDED, reason="cut off")), Outcome.UNDECIDED, Severity.MAJOR),
        ((replace(PASSED, outcome=Outcome.SKIPPED, reason="refuses"),), Outcome.SKIPPED, Severity.CRITICAL),
        ((), Outcome.SKIPPED, Severity.CRITICAL),
    ],
)
def test_correctness_of_the_layers(results: tuple[PropertyResult, ...], outcome: Outcome, severity: Severity) -> None:
    finding = judged("PA100", *results)
    assert (finding.outcome, finding.severity) == (outcome, severity)


def test_the_frameworks_defects_are_counted_apart_and_never_critical() -> None:
    assert judged("PA199", PASSED).outcome is Outcome.PASSED
    assert judged("PA199", FAILED).outcome is Outcome.PASSED
    found = judged("PA199", PASSED, KNOWN)
    assert (found.outcome, found.severity) == (Outcome.FAILED, Severity.MINOR)


def test_layers_that_were_not_checked_are_not_called_correct() -> None:
    for code in ("PA100", "PA199"):
        assert all_detectors().get(code)(Evidence(), Policy()).outcome is Outcome.SKIPPED
