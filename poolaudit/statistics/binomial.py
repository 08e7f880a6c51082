"""Exact binomial tests, correction for many tests, and how many items a decision needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import special

from poolaudit.statistics.intervals import normal_quantile


def probability_at_least(successes: int, n: int, rate: float) -> float:
    """P(X >= successes) for X binomial(n, rate): the one-sided exact p-value of "the rate is higher"."""
    if successes <= 0:
        return 1.0
    if successes > n:
        return 0.0
    return float(special.betainc(successes, n - successes + 1, rate))


def probability_at_most(successes: int, n: int, rate: float) -> float:
    """P(X <= successes) for X binomial(n, rate): the one-sided exact p-value of "the rate is lower"."""
    if successes < 0:
        return 0.0
    if successes >= n:
        return 1.0
    return float(special.betainc(n - successes, successes + 1, 1.0 - rate))


def mcnemar_two_sided(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two models differ, from the items that only one of them gets right.

    Two identical models have no such items and give 1.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions" (1947).
    """
    discordant = only_first + only_second
    return min(1.0, 2 * probability_at_most(min(only_first, only_second), discordant, 0.5))


def mcnemar_first_better(only_first: int, only_second: int) -> float:
    """Exact one-sided p-value that the first model is right more often; identical models give 1."""
    return probability_at_least(only_first, only_first + only_second, 0.5)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values, in the order given, that keep the family-wise error at the level they are read at.

    Source: Holm, "A simple sequentially rejective multiple test procedure" (1979).

    Raises:
        ValueError: A p-value is outside [0, 1].
    """
    if any(not 0.0 <= p <= 1.0 for p in p_values):
        raise ValueError(f"p-values lie in [0, 1], not {list(p_values)}")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def items_to_decide(successes: int, n: int, bar: float, confidence: float = 0.95) -> int | None:
    """Smallest total number of items at which the Wilson interval of the same observed rate leaves out the bar.

    Compare it with n: what exceeds n is still missing. None where there are no items or the rate equals the bar,
    which no number of items decides.
    """
    if n == 0 or math.isclose(successes / n, bar, abs_tol=1e-12):
        return None
    z = normal_quantile(confidence)
    # The Wilson interval holds exactly the bars with (rate - bar)^2 <= z^2 bar (1 - bar) / n.
    return math.floor(z * z * bar * (1 - bar) / (successes / n - bar) ** 2) + 1


def smallest_detectable_loss(n: int, rate: float, confidence: float = 0.95, power: float = 0.8) -> float | None:
    """The smallest drop below `rate` that an exact one-sided test on n items finds with the given power.

    Args:
        n: Items the rate is measured on; for recall, the positives.
        rate: The rate to hold, in [0, 1].
        confidence: One minus the test's level.
        power: Chance of noticing the drop.

    Returns:
        The drop, in (0, rate]; None where n is too small for the test to notice even a rate of 0.
    """
    level = 1 - confidence
    if n <= 0 or rate <= 0.0 or probability_at_most(0, n, rate) > level:
        return None
    low, high = 0, n - 1
    while low < high:
        middle = (low + high + 1) // 2
        if probability_at_most(middle, n, rate) <= level:
            low = middle
        else:
            high = middle - 1
    # The rate at which X <= low has exactly the wanted power: P(X <= k) = I_{1-p}(n - k, k + 1).
    lost_rate = 1.0 - float(special.betaincinv(n - low, low + 1, power))
    return rate - lost_rate


def median_ranks(n: int, confidence: float) -> tuple[int, int] | None:
    """Positions from 0, among n sorted values, between which the median of their distribution lies; None for too few.

    The narrowest symmetric pair whose coverage, exact and whatever the distribution, is at least `confidence`.

    Source: David and Nagaraja, Order Statistics, 3rd edition (2003), section 7.1.
    """
    best = None
    for low in range(n // 2):
        if 1 - 2 * probability_at_most(low, n, 0.5) < confidence:
            break
        best = low
    return None if best is None else (best, n - 1 - best)
