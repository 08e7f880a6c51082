"""Intervals for rates, for means, and for means of independent rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from poolaudit.evidence.estimates import Estimate

WILSON = "Wilson score"
CLOPPER_PEARSON = "Clopper-Pearson exact"


def normal_quantile(confidence: float) -> float:
    """Two-sided standard normal quantile: 1.96 for a confidence of 0.95."""
    return float(special.ndtri(0.5 + confidence / 2))


def wilson_limits(successes: float, n: float, confidence: float) -> tuple[float, float]:
    """Ends of the Wilson score interval, in [0, 1]; 0 of n starts at exactly 0, n of n ends at exactly 1.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    z = normal_quantile(confidence)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if successes <= 0 else max(0.0, min(centre - half, rate))
    high = 1.0 if successes >= n else min(1.0, max(centre + half, rate))
    return low, high


def wilson(successes: int, n: int, confidence: float = 0.95, *, empty: str = "no items") -> Estimate:
    """A rate with its Wilson score interval.

    Args:
        successes: From 0 to n.
        n: Number of trials; 0 makes the rate not estimable.
        confidence: Coverage, in (0, 1).
        empty: The reason to give where n is 0.

    Raises:
        ValueError: successes is not within 0..n.
    """
    if n == 0:
        return Estimate.not_estimable(empty, method=WILSON)
    _check_counts(successes, n)
    low, high = wilson_limits(successes, n, confidence)
    return Estimate(successes / n, low, high, n, WILSON, confidence)


def clopper_pearson(successes: int, n: int, confidence: float = 0.95, *, empty: str = "no items") -> Estimate:
    """A rate with the exact interval that never covers less than it says.

    Source: Clopper and Pearson, "The use of confidence or fiducial limits" (1934).

    Raises:
        ValueError: successes is not within 0..n.
    """
    if n == 0:
        return Estimate.not_estimable(empty, method=CLOPPER_PEARSON)
    _check_counts(successes, n)
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(special.betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(special.betaincinv(successes + 1, n - successes, 1 - tail))
    return Estimate(successes / n, low, high, n, CLOPPER_PEARSON, confidence)


def f1_interval(true_positives: int, false_positives: int, false_negatives: int, confidence: float = 0.95) -> Estimate:
    """F1 with an interval that stays honest for small counts and for a perfect score.

    F1 = 2J / (1 + J) rises with J = TP / (TP + FP + FN), and given the number of items that are truly or
    predictedly of the class, TP is binomial with rate J. So the Wilson interval of J, transformed, is an interval
    of F1; n is TP + FP + FN.
    """
    n = true_positives + false_positives + false_negatives
    method = "Wilson score on TP / (TP + FP + FN), transformed"
    if n == 0:
        return Estimate.not_estimable("no item is of this class or predicted as it", method=method)
    low, high = wilson_limits(true_positives, n, confidence)
    share = true_positives / n
    return Estimate(_f1(share), _f1(low), _f1(high), n, method, confidence)


def mean_interval(
    values: npt.NDArray[np.float64],
    confidence: float = 0.95,
    *,
    scale: float = 1.0,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Estimate:
    """Mean of per-item values with Student's t interval (central limit theorem).

    Args:
        values: One finite number an item, shape (n,).
        confidence: Coverage, in (0, 1).
        scale: Multiplies mean and interval.
        lowest: The interval is cut here, where the quantity cannot be lower.
        highest: The interval is cut here, where the quantity cannot be higher.
    """
    n = len(values)
    method = "Student's t on per-item values"
    if n == 0:
        return Estimate.not_estimable("no items", method=method)
    mean = float(values.mean()) * scale
    spread = float(values.std(ddof=1)) * abs(scale) if n > 1 else 0.0
    if n == 1 or spread == 0.0:
        reason = "one item has no spread" if n == 1 else "all items have the same value, so the spread is unknown"
        return Estimate(mean, None, None, n, method, confidence, reason)
    half = float(special.stdtrit(n - 1, 0.5 + confidence / 2)) * spread / math.sqrt(n)
    low, high = max(lowest, mean - half), min(highest, mean + half)
    return Estimate(mean, min(low, mean), max(high, mean), n, method, confidence)


def combine_means(values: Sequence[float], limits: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Mean of independent estimates in [0, 1] and the ends of its interval, from the ends of each.

    The distances from each estimate to its own ends are added in quadrature, so an all-correct class still
    contributes its uncertainty.

    Source: Zou and Donner, "Construction of confidence limits about effect measures" (2008), after Newcombe (1998).

    Raises:
        ValueError: There is no estimate.
    """
    if not values:
        raise ValueError("a mean needs at least one value")
    count = len(values)
    mean = sum(values) / count
    below = math.sqrt(sum((v - low) ** 2 for v, (low, _) in zip(values, limits, strict=True))) / count
    above = math.sqrt(sum((high - v) ** 2 for v, (_, high) in zip(values, limits, strict=True))) / count
    return mean, max(0.0, mean - below), min(1.0, mean + above)


def difference_of_rates(first: Estimate, second: Estimate) -> Estimate:
    """First minus second, two estimated rates of one confidence, in [-1, 1].

    The intervals' distances are added in quadrature as for independent rates. Precision and recall share their hits
    and so tend to rise together; for them the interval is wider than it need be, never narrower.

    Source: Newcombe, "Interval estimation for the difference between independent proportions" (1998), method 10.
    """
    n, method = min(first.n, second.n), "Newcombe, from Wilson intervals"
    ends = (first.value, first.low, first.high, second.value, second.low, second.high)
    if first.value is None or second.value is None or None in ends:
        return Estimate.not_estimable(first.reason or second.reason or "no interval", n=n, method=method)
    p, p_low, p_high, r, r_low, r_high = (float(end) for end in ends if end is not None)
    low = p - r - math.hypot(p - p_low, r_high - r)
    high = p - r + math.hypot(p_high - p, r - r_low)
    return Estimate(p - r, max(-1.0, low), min(1.0, high), n, method, first.confidence)


def _f1(share: float) -> float:
    return 2 * share / (1 + share)


def _check_counts(successes: int, n: int) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"successes={successes} is not within 0..n={n}")
