"""The leakage detectors on evidence alone: guilty, innocent, and what they cannot tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.leakage import (
    CleanSplit,
    GroupOverlap,
    LeakageEvidence,
    LeakImpact,
    MetricWithoutLeak,
    ShortcutProbe,
    SplitComparison,
    Standardisation,
    TimeOverlap,
)
from poolaudit.leakage.impact import measure_impact
from poolaudit.outcomes import Outcome
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.policy import Policy
from poolaudit.results import Evidence
from poolaudit.statistics.intervals import difference_of_rates, wilson
from specimens.outcomes import evidence, from_counts

NONE = Estimate.not_estimable("not measured")
CLEAN = LeakageEvidence(
    test_items=1000,
    train_items=5000,
    test_items_exact=0,
    test_items_near=0,
    test_items_leaked=0,
    effective_test_items=1000,
    layout="images",
    threshold=0.0,
    calibrated_on="1,000 items",
    comparisons=(SplitComparison("test", "train", 1000, 0, 0, 0, 0, True, "exact search"),),
    sensitivity=(),
    pairs=(),
    pairs_left_out=0,
    conflicts=(),
    conflicting_items=0,
    groups=GroupOverlap("column group", 40, 0, 0, (), None, True),
    groups_reason=None,
    times=TimeOverlap("1", "2", "3", "4", 0, 1000),
    times_reason=None,
    shortcuts=(ShortcutProbe("corner pixels", "artefact", wilson(520, 1000), 0.5, "cat"),),
    standardisation=Standardisation("train", "train: mean 0, deviation 1"),
    impact=LeakImpact((), NONE, "no test item is leaked"),
    clean_split=CleanSplit(1000, 0, 0, 0, None),
    low_information_items=0,
)


def metric(everything: tuple[int, int], clean: tuple[int, int], leaked: tuple[int, int]) -> MetricWithoutLeak:
    first, second, third = wilson(*everything), wilson(*clean), wilson(*leaked)
    return MetricWithoutLeak("accuracy", "", first, second, third, difference_of_rates(third, second), 0.001)


def leaky(impact: LeakImpact, leaked: int = 400) -> LeakageEvidence:
    return dataclasses.replace(CLEAN, test_items_exact=leaked, test_items_leaked=leaked, impact=impact)


def changed(**fields: object) -> Callable[[], LeakageEvidence]:
    return lambda: dataclasses.replace(CLEAN, **fields)  # type: ignore[arg-type]


def repeated(exact: int = 0, near: int = 0) -> LeakageEvidence:
    own = SplitComparison("test", "test", 1000, 0, exact, near, 0, True, "exact search")
    comparisons = (*CLEAN.comparisons, own)
    left = 1000 - exact - near
    return dataclasses.replace(CLEAN, comparisons=comparisons, effective_test_items=left, false_match_rate=0.0007)


GUILTY: dict[str, Callable[[], LeakageEvidence]] = {
    "PA401": changed(test_items_near=30, test_items_leaked=30),
    "PA402": changed(groups=GroupOverlap("column group", 40, 12, 300, ("a",), None, True)),
    "PA403": changed(times=TimeOverlap("1", "4", "3", "5", 500, 1000)),
    "PA404": changed(conflicting_items=4),
    "PA405": changed(effective_test_items=900),
    "PA406": changed(shortcuts=(ShortcutProbe("corner pixels", "artefact", wilson(990, 1000), 1e-9, "cat"),)),
    "PA407": changed(standardisation=Standardisation("train and test together", "both: mean 0, deviation 1")),
    "PA408": lambda: leaky(LeakImpact((metric((870, 1000), (470, 600), (400, 400)),), NONE)),
}
UNDECIDED: dict[str, Callable[[], LeakageEvidence]] = {
    "PA401": changed(comparisons=(SplitComparison("test", "train", 1000, 0, 0, 0, 0, False, "not looked for"),)),
    "PA402": changed(groups=GroupOverlap("file names, word 1", 40, 12, 300, ("a",), 0.4, False)),
    "PA405": lambda: repeated(near=1),
    "PA406": changed(shortcuts=(ShortcutProbe("corner pixels", "artefact", wilson(26, 32), 0.01, "cat"),)),
    "PA408": lambda: leaky(LeakImpact((metric((900, 1000), (42, 50), (858, 950)),), NONE), 950),
}
CODES = tuple(d.doc.code for d in all_detectors() if d.doc.code.startswith("PA4"))


def judged(code: str, leakage: LeakageEvidence | None):  # type: ignore[no-untyped-def]
    return all_detectors().get(code)(Evidence(leakage=leakage), Policy())


def test_every_detector_has_a_guilty_specimen() -> None:
    assert set(CODES) == set(GUILTY)


@pytest.mark.parametrize("code", CODES)
def test_guilty_fails(code: str) -> None:
    finding = judged(code, GUILTY[code]())
    assert finding.outcome is Outcome.FAILED, finding.summary
    assert finding.would_change


@pytest.mark.parametrize("code", CODES)
def test_innocent_passes_and_nothing_measured_is_skipped(code: str) -> None:
    predictions = evidence(from_counts(95, 5, 5, 95))
    found = all_detectors().get(code)(dataclasses.replace(predictions, leakage=CLEAN), Policy())
    assert found.outcome is Outcome.PASSED
    assert judged(code, None).outcome is Outcome.SKIPPED


def test_metrics_that_nobody_measured_do_not_hold() -> None:
    """`poolaudit leaks` sees data alone."""
    assert judged("PA408", CLEAN).outcome is Outcome.SKIPPED


@pytest.mark.parametrize("code", sorted(UNDECIDED))
def test_too_little_to_tell_is_undecided(code: str) -> None:
    finding = judged(code, UNDECIDED[code]())
    assert finding.outcome is Outcome.UNDECIDED, finding.summary
    assert finding.would_change


def test_repeats_beyond_chance_and_the_same_content_twice_fail() -> None:
    assert judged("PA405", repeated(near=9)).outcome is Outcome.FAILED
    assert judged("PA405", repeated(exact=1)).outcome is Outcome.FAILED
    assert judged("PA405", repeated(exact=1, near=1)).outcome is Outcome.FAILED


def test_a_natural_difference_in_brightness_passes() -> None:
    probe = ShortcutProbe("mean intensity", "content", wilson(880, 1000), 1e-9, "bag")
    assert judged("PA406", dataclasses.replace(CLEAN, shortcuts=(probe,))).outcome is Outcome.PASSED


def test_few_copies_that_change_nothing_are_minor() -> None:
    few = leaky(LeakImpact((metric((950, 1000), (945, 995), (5, 5)),), NONE), 5)
    assert judged("PA401", few).severity.value == "minor"
    assert judged("PA408", few).outcome is Outcome.PASSED


def test_the_impact_counts_what_it_says() -> None:
    import numpy as np

    labels = np.array([0, 0, 1, 1, 1, 0])
    predicted = np.array([0, 1, 1, 0, 1, 0])
    leaked = np.array([True, False, True, False, False, True])
    impact = measure_impact(labels, predicted, ("a", "b"), leaked, 0.95, NONE)
    accuracy = impact.metrics[0]
    assert (accuracy.all.n, accuracy.clean.n, accuracy.leaked.n) == (6, 3, 3)
    assert accuracy.leaked.value == 1.0
    assert accuracy.clean.value == pytest.approx(1 / 3)
