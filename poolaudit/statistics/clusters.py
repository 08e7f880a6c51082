"""Rates of items that come in groups, such as several recordings of one patient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from poolaudit.evidence.estimates import Estimate
from poolaudit.statistics.intervals import normal_quantile

BETA_BINOMIAL = "profile likelihood, beta-binomial by group"
_FEWEST_GROUPS = 2
# Correlation within a group: from none to nearly one, closer together at both ends.
_CORRELATIONS = np.concatenate([[0.0], special.expit(np.linspace(-9.0, 9.0, 37))])
_SMALLEST_RATE = 1e-9

Counts = npt.NDArray[np.int64]


def rate_by_group(hits: Counts, items: Counts, confidence: float = 0.95) -> Estimate:
    """A rate whose interval allows the answers within a group to be alike.

    The hits of a group are beta-binomial: each group has a rate of its own around the common one, and how far these lie
    apart is learned from the groups. Where all answers are alike, nothing tells whether groups or items are, and the
    interval is that of the groups. Sources: Williams, "The analysis of binary responses from toxicological experiments"
    (1975); Wilks, "The large-sample distribution of the likelihood ratio" (1938).

    Args:
        hits: Of each group, (k,), from 0 to `items`.
        items: Of each group, (k,), at least 1.
        confidence: Coverage, in (0, 1).

    Returns:
        The share of hits among all items with its interval; n is the number of groups. Not estimable with one group.

    Raises:
        ValueError: A count is out of its range.
    """
    if len(hits) != len(items) or np.any(items < 1) or np.any(hits < 0) or np.any(hits > items):
        raise ValueError("hits are from 0 to the items of each group, which are at least 1")
    groups = len(items)
    if groups < _FEWEST_GROUPS:
        reason = "all items are of one group" if groups else "no items"
        return Estimate.not_estimable(reason, n=groups, method=BETA_BINOMIAL)
    value = float(hits.sum() / items.sum())
    pairs, counts = np.unique(np.stack([hits, items], axis=1), axis=0, return_counts=True)
    reach = normal_quantile(confidence) ** 2 / 2

    def profile(rate: float) -> float:
        return float(_log_likelihoods(rate, pairs, counts).max())

    best = _best_rate(profile, value)
    top = profile(best)

    def beyond(rate: float) -> float:
        return top - profile(rate) - reach

    ends = _SMALLEST_RATE, 1 - _SMALLEST_RATE
    low = 0.0 if hits.sum() == 0 or beyond(ends[0]) <= 0 else float(optimize.brentq(beyond, ends[0], best, xtol=1e-7))
    full = hits.sum() == items.sum() or beyond(ends[1]) <= 0
    high = 1.0 if full else float(optimize.brentq(beyond, best, ends[1], xtol=1e-7))
    return Estimate(value, min(low, value), max(high, value), groups, BETA_BINOMIAL, confidence)


def _best_rate(profile: Callable[[float], float], value: float) -> float:
    """Where the profile is highest: near the share of hits, which groups of unequal size only move a little."""
    start = min(max(value, _SMALLEST_RATE), 1 - _SMALLEST_RATE)
    around = special.expit(special.logit(start) + np.linspace(-3.0, 3.0, 61))
    heights = [profile(float(rate)) for rate in around]
    at = int(np.argmax(heights))
    low, high = around[max(at - 1, 0)], around[min(at + 1, len(around) - 1)]
    found = optimize.minimize_scalar(lambda r: -profile(r), bounds=(low, high), method="bounded")
    return float(found.x) if -found.fun >= heights[at] else float(around[at])


def _log_likelihoods(rate: float, pairs: Counts, counts: Counts) -> npt.NDArray[np.float64]:
    """At each correlation, without the binomial coefficients, (correlations,)."""
    hits, items = (pairs[:, i].astype(np.float64) for i in (0, 1))
    alone = special.xlogy(hits, rate) + special.xlog1py(items - hits, -rate)
    spread = (1 - _CORRELATIONS[1:, None]) / _CORRELATIONS[1:, None]
    a, b = rate * spread, (1 - rate) * spread
    together = special.betaln(hits + a, items - hits + b) - special.betaln(a, b)
    return np.concatenate([[float(alone @ counts)], together @ counts])
