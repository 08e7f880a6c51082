"""Intervals against SciPy's, and at the ends where a careless one lies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from poolaudit.statistics.intervals import clopper_pearson, combine_means, f1_interval, mean_interval, wilson


@st.composite
def counts(draw):
    n = draw(st.integers(1, 5_000))
    return draw(st.integers(0, n)), n


@settings(deadline=None)
@given(counts(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_and_clopper_pearson_agree_with_scipy(count, confidence):
    successes, n = count
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        estimate = ours(successes, n, confidence)
        theirs = stats.binomtest(successes, n).proportion_ci(confidence, method=method)
        assert estimate.value == successes / n
        assert estimate.n == n
        assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
        assert estimate.low <= estimate.value <= estimate.high


def test_a_perfect_rate_is_not_certain():
    assert wilson(100, 100).high == 1.0
    assert wilson(100, 100).low == pytest.approx(0.963, abs=1e-3)
    assert clopper_pearson(0, 10).low == 0.0
    assert clopper_pearson(0, 10).high == pytest.approx(0.3085, abs=1e-4)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_no_items_give_no_rate_but_a_reason(interval):
    estimate = interval(0, 0, empty="this class is never predicted")
    assert estimate.value is None
    assert estimate.reason == "this class is never predicted"


@pytest.mark.parametrize("successes", [-1, 11])
def test_impossible_counts_are_refused(successes):
    with pytest.raises(ValueError, match=r"within 0\.\.n=10"):
        wilson(successes, 10)


def test_textbook_f1():
    estimate = f1_interval(85, 10, 15)
    assert estimate.value == pytest.approx(0.872, abs=5e-4)
    assert estimate.n == 110
    assert 0.80 < estimate.low < 0.872 < estimate.high < 0.93


def test_f1_of_a_class_never_met_is_not_estimable_and_perfect_f1_is_not_certain():
    assert f1_interval(0, 0, 0).value is None
    perfect = f1_interval(5, 0, 0)
    assert perfect.value == perfect.high == 1.0
    assert 0.5 < perfect.low < 0.8


def test_f1_interval_covers_what_it_says():
    rng = np.random.default_rng(4)
    cells = np.array([0.09, 0.02, 0.03, 0.86])
    truth = 2 * 0.09 / (2 * 0.09 + 0.02 + 0.03)
    covered = 0
    for hits, false_positives, misses, _ in rng.multinomial(100, cells, size=1_000):
        estimate = f1_interval(int(hits), int(false_positives), int(misses))
        covered += estimate.low <= truth <= estimate.high
    assert 0.93 <= covered / 1_000 <= 0.98


@settings(deadline=None)
@given(st.lists(st.floats(0, 50), min_size=2, max_size=60).filter(lambda x: np.std(x) > 1e-3))
def test_mean_interval_agrees_with_scipy(values):
    estimate = mean_interval(np.array(values))
    theirs = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx(theirs, rel=1e-7, abs=1e-9)


def test_mean_interval_is_cut_where_the_quantity_ends():
    estimate = mean_interval(np.array([0.0, 0.0, 1.0]), lowest=0.0, highest=1.0)
    assert (estimate.low, estimate.high) == (0.0, 1.0)


@pytest.mark.parametrize("values", [[], [0.3], [0.3, 0.3, 0.3]])
def test_a_mean_without_spread_has_no_interval_but_a_reason(values):
    estimate = mean_interval(np.array(values))
    assert estimate.low is None
    assert estimate.reason


def test_combined_means():
    mean, low, high = combine_means([0.8, 1.0], [(0.7, 0.9), (0.9, 1.0)])
    assert mean == pytest.approx(0.9)
    assert low == pytest.approx(0.9 - math.hypot(0.1, 0.1) / 2)
    assert high == pytest.approx(0.95)
    with pytest.raises(ValueError, match="at least one"):
        combine_means([], [])
