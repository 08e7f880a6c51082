"""Exact tests against SciPy's, and the sample sizes against the intervals and tests they speak about."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from poolaudit.statistics.binomial import (
    holm,
    items_to_decide,
    mcnemar_first_better,
    mcnemar_two_sided,
    probability_at_least,
    probability_at_most,
    smallest_detectable_loss,
)
from poolaudit.statistics.intervals import wilson_limits


@settings(deadline=None)
@given(st.integers(1, 2_000), st.floats(0, 1), st.floats(0.001, 0.999))
def test_one_sided_tests_agree_with_scipy(n, share, rate):
    successes = round(share * n)
    for ours, side in ((probability_at_least, "greater"), (probability_at_most, "less")):
        theirs = stats.binomtest(successes, n, rate, alternative=side).pvalue
        assert ours(successes, n, rate) == pytest.approx(theirs, rel=1e-6, abs=1e-12)


def test_impossible_counts_have_the_obvious_probabilities():
    assert probability_at_least(0, 5, 0.3) == probability_at_most(5, 5, 0.3) == 1.0
    assert probability_at_least(6, 5, 0.3) == probability_at_most(-1, 5, 0.3) == 0.0


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_agrees_with_scipy(only_first, only_second):
    assume(only_first + only_second)
    both = only_first + only_second
    assert mcnemar_two_sided(only_first, only_second) == pytest.approx(
        stats.binomtest(only_first, both).pvalue, rel=1e-9
    )
    assert mcnemar_first_better(only_first, only_second) == pytest.approx(
        stats.binomtest(only_first, both, alternative="greater").pvalue, rel=1e-9
    )


def test_identical_models_do_not_differ():
    assert mcnemar_two_sided(0, 0) == mcnemar_first_better(0, 0) == 1.0


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_monotone_and_between_raw_and_bonferroni(p_values):
    adjusted = holm(p_values)
    for raw, ours in zip(p_values, adjusted, strict=True):
        assert raw <= ours <= min(1.0, len(p_values) * raw) + 1e-15
    order = np.argsort(p_values, kind="stable")
    assert list(np.array(adjusted)[order]) == sorted(adjusted)


def test_holm_on_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    with pytest.raises(ValueError, match="lie in"):
        holm([1.2])


@pytest.mark.parametrize(("successes", "n", "bar"), [(8, 10, 0.7), (12, 100, 0.7), (45, 50, 0.85), (10, 10, 0.85)])
def test_items_to_decide_is_the_first_n_whose_interval_leaves_the_bar_out(successes, n, bar):
    needed = items_to_decide(successes, n, bar)
    rate = successes / n

    def decided(total):
        low, high = wilson_limits(rate * total, total, 0.95)
        return not low <= bar <= high

    assert decided(needed)
    assert needed == 1 or not decided(needed - 1)


def test_no_number_of_items_decides_a_rate_that_equals_the_bar():
    assert items_to_decide(85, 100, 0.85) is None
    assert items_to_decide(0, 0, 0.85) is None


@pytest.mark.parametrize(("n", "rate"), [(20, 0.9), (100, 0.85), (1_000, 0.95), (50, 1.0), (100_000, 0.9)])
def test_the_smallest_detectable_loss_is_found_with_the_promised_power(n, rate):
    loss = smallest_detectable_loss(n, rate)
    critical = int(np.arange(n + 1)[stats.binom.cdf(np.arange(n + 1), n, rate) <= 0.05 + 1e-12].max())
    assert stats.binom.cdf(critical, n, rate - loss) == pytest.approx(0.8, abs=1e-6)


def test_more_positives_see_smaller_losses_and_too_few_see_none():
    losses = [smallest_detectable_loss(n, 0.9) for n in (30, 300, 3_000, 30_000)]
    assert losses == sorted(losses, reverse=True)
    assert smallest_detectable_loss(1, 0.9) is None
    assert smallest_detectable_loss(0, 0.9) is None
    assert smallest_detectable_loss(50, 0.0) is None
