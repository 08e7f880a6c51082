"""Means of bounded per-item values: the item is the unit, however often each was measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from poolaudit.evidence.estimates import Estimate

_RESAMPLES = 4_000
_METHOD = "Bayesian bootstrap by item"


def bounded_item_mean(
    values: npt.NDArray[np.float64],
    lowest: float,
    highest: float,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    empty: str = "no items",
) -> Estimate:
    """The mean of one value an item, with a percentile interval over draws of the items' weights.

    The draws are those of the Bayesian bootstrap (Rubin 1981). Half an item at each bound is added as a prior, as
    Jeffreys' is for a rate: items that happen not to be among these stay possible, so values that are all equal
    have no interval of zero width.

    Args:
        values: Shape (n,), each within the bounds; for an item measured several times, its mean.
        lowest: The lowest value an item can have.
        highest: The highest.
        rng: Source of the draws.
        confidence: Coverage, in (0, 1).
        empty: The reason to give where there is no item.
    """
    n = len(values)
    if n == 0:
        return Estimate.not_estimable(empty, method=_METHOD)
    distinct, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    shapes = np.concatenate([counts, [0.5, 0.5]])
    places = np.concatenate([distinct, [lowest, highest]])
    weights = rng.standard_gamma(shapes[:, None], size=(len(shapes), _RESAMPLES))
    draws = (places @ weights) / weights.sum(axis=0)
    mean = float(np.mean(values))
    tail = (1 - confidence) / 2
    low, high = (float(end) for end in np.quantile(draws, [tail, 1 - tail]))
    return Estimate(mean, min(low, mean), max(high, mean), n, _METHOD, confidence)
