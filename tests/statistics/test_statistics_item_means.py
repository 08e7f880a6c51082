"""Means of bounded per-item values, and differences of rates: they cover what they say, and are never certain."""

from __future__ import annotations

import numpy as np
import pytest

from poolaudit.statistics.intervals import difference_of_rates, wilson
from poolaudit.statistics.item_means import bounded_item_mean


@pytest.mark.parametrize("n", [20, 100])
@pytest.mark.parametrize("shape", ["shares of shifts", "nearly all the same", "spread"])
def test_the_mean_over_items_is_covered_about_as_often_as_it_says(shape: str, n: int) -> None:
    rng = np.random.default_rng(0)
    hits, repetitions = 0, 600
    for _ in range(repetitions):
        if shape == "shares of shifts":
            chance = rng.beta(6, 1, n)
            values, truth = rng.binomial(4, chance) / 4, 6 / 7
        elif shape == "nearly all the same":
            values, truth = (rng.random(n) < 0.97).astype(float), 0.97
        else:
            values, truth = rng.random(n), 0.5
        found = bounded_item_mean(values, 0.0, 1.0, rng)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert hits / repetitions > 0.92


def test_equal_values_are_no_certainty_and_no_items_are_a_reason() -> None:
    rng = np.random.default_rng(0)
    same = bounded_item_mean(np.ones(50), 0.0, 1.0, rng)
    assert same.value == same.high == 1.0
    assert same.low is not None
    assert 0.9 < same.low < 1.0
    none = bounded_item_mean(np.zeros(0), 0.0, 1.0, rng, empty="no item was shifted")
    assert none.value is None
    assert none.reason == "no item was shifted"


def test_newcombes_worked_example() -> None:
    """Newcombe 1998, table II, contrast (a): 56/70 against 48/80 by method 10."""
    found = difference_of_rates(wilson(56, 70), wilson(48, 80))
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))


def test_a_difference_of_independent_rates_is_covered() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.binomial(60, 0.9, 2_000), rng.binomial(80, 0.7, 2_000)
    found = [difference_of_rates(wilson(int(a), 60), wilson(int(b), 80)) for a, b in zip(first, second, strict=True)]
    hits = sum(f.low is not None and f.high is not None and f.low <= 0.2 <= f.high for f in found)
    assert 0.935 < hits / 2_000 < 0.975
