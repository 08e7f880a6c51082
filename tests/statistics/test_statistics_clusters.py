"""Rates of grouped items: exact cases by hand, coverage by simulation, and what the groups teach."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from poolaudit.statistics.clusters import rate_by_group
from poolaudit.statistics.intervals import wilson


def rate(hits: list[int], items: list[int]):
    return rate_by_group(np.array(hits), np.array(items))


def test_answers_all_alike_count_by_group() -> None:
    """Nothing speaks against each group being one answer: its likelihood is the rate to the power of the groups."""
    found = rate([24] * 5, [24] * 5)
    expected = math.exp(-stats.chi2.ppf(0.95, 1) / 2 / 5)
    assert (found.value, found.high, found.n) == (1.0, 1.0, 5)
    assert found.low == pytest.approx(expected, abs=1e-3)
    assert rate([0] * 5, [24] * 5).high == pytest.approx(1 - expected, abs=1e-3)


def test_groups_that_answer_as_their_items_do_cost_nothing() -> None:
    found, plain = rate([48, 47] * 10, [50] * 20), wilson(950, 1000)
    assert plain.low is not None
    assert plain.high is not None
    assert found.low == pytest.approx(plain.low, abs=0.003)
    assert found.high == pytest.approx(plain.high, abs=0.003)


def test_groups_that_are_right_or_wrong_as_a_whole_count_once() -> None:
    found, by_group = rate([15] * 30 + [0] * 10, [15] * 40), wilson(30, 40)
    assert by_group.low is not None
    assert by_group.high is not None
    assert found.low == pytest.approx(by_group.low, abs=0.03)
    assert found.high == pytest.approx(by_group.high, abs=0.03)


def test_one_group_tells_nothing_of_others() -> None:
    assert rate([9], [10]).reason == "all items are of one group"
    assert rate([], []).reason == "no items"
    with pytest.raises(ValueError, match="hits"):
        rate([3], [2])


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=2, max_size=12))
def test_the_share_lies_in_its_interval(groups: list[tuple[int, float]]) -> None:
    items = [count for count, _ in groups]
    hits = [round(share * count) for count, share in groups]
    found = rate(hits, items)
    assert found.value == pytest.approx(sum(hits) / sum(items))
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    turned = rate([m - h for h, m in zip(hits, items, strict=True)], items)
    assert turned.low == pytest.approx(1 - found.high, abs=2e-3)


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize(("groups", "items", "truth"), [(5, 24, 0.9), (10, 30, 0.8), (30, 10, 0.95)])
def test_the_interval_covers(groups: int, items: int, truth: float, correlation: float) -> None:
    rng = np.random.default_rng(0)
    covered, draws = 0, 150
    for _ in range(draws):
        own = np.full(groups, truth)
        if correlation:
            spread = (1 - correlation) / correlation
            own = rng.beta(truth * spread, (1 - truth) * spread, groups)
        found = rate_by_group(rng.binomial(items, own), np.full(groups, items))
        covered += found.low <= truth <= found.high
    assert covered / draws >= 0.86, "measured with more draws: 88 to 100 %"
