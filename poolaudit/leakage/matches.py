"""From comparisons to matches: one score a pair, and a threshold that the data themselves set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.leakage.layout import Floats
from poolaudit.leakage.verify import Comparison
from poolaudit.leakage.weights import CENTRE, CONSTANT, SPREAD, WEIGHTS

Array = np.ndarray[Any, Any]

_FLOOR = 3e-3
_FARTHEST_CELLS = 8.0
_MOST_GAIN = 2.0
_LEAST_DETAIL = 1.5
FALSE_MATCHES_A_QUERY = 7e-4
_RANGE = (-1.5, 2.5)
_TAIL = (0.90, 0.98)
_UNMOVED_CELLS = 0.75
_CLOSE = 0.03
_SIMILAR_GAIN = 0.35
# Residuals at a middle resolution: the same down to rounding, and as close as copies are at most.
_SAME, _NEAR = 0.02, 0.08
_OFTEN, _NEAR_OFTEN = 0.01, 0.03
_LEAST_PAIRS = 8


def scores(found: Comparison) -> Floats:
    """(queries,) how sure the best candidate of each query is its original; 0 where both are as likely.

    Quadratic logistic regression of copies against nearest distinct items (tests/benchmarks/leakage_fit.py).
    """
    standard = (features(found) - np.array(CENTRE)) / np.array(SPREAD)
    first, second = np.triu_indices(standard.shape[1])
    columns = np.concatenate([standard, standard[:, first] * standard[:, second]], axis=1)
    return np.asarray(columns @ np.array(WEIGHTS) + CONSTANT, np.float32)


def features(found: Comparison) -> Array:
    """(queries, 15) what the score is made of.

    Logarithms of the residuals at four resolutions; how far each lies below that of the next best item; roughness,
    detail, drift, way and contrast of the pair; whether resizing and whether compression explains it.
    """
    levels = np.log(np.clip(found.residuals, _FLOOR, 1.0))
    levels[(found.items < 0) | found.twins] = 0.0
    best = levels[:, 0]
    others = levels[:, 1:].min(axis=1) if levels.shape[1] > 1 else np.zeros_like(best)
    single = (
        found.roughness,
        np.log(np.maximum(found.detail, 0.3)),
        np.minimum(found.drifts[:, 0], _FARTHEST_CELLS),
        np.minimum(found.shifts[:, 0], _FARTHEST_CELLS),
        np.minimum(_contrast(found), _MOST_GAIN),
        found.links[:, 0] == 1,
        found.links[:, 0] == 2,
    )
    return np.concatenate([best, best - others, np.stack(single, axis=1)], axis=1)


def _contrast(found: Comparison) -> Array:
    return np.abs(np.log(np.maximum(found.gains[:, 0], 1e-2)))


@dataclass(frozen=True, slots=True)
class Threshold:
    """The score from which on a pair is a match.

    Attributes:
        value: Within a range around 0, the threshold of the regression.
        words: How it was calibrated.
        is_strict: Distinct training items often are the same once they are moved, as discs and stripes are: then only
            a pair that was not moved and agrees closely is a match.
    """

    value: float
    words: str
    is_strict: bool = False


def calibrate(distinct: Sequence[Comparison]) -> Threshold:
    """The threshold above which distinct items hardly ever score.

    The upper tail of the scores between distinct training items is extended by an exponential through two of its
    quantiles, so that a few per cent of copies among the training items do not count. Nor do pairs that agree closely
    as they lie, however many: a training split with bursts of copies must not hide the copies in the test. Copies are
    nearly the same or far apart, with little between; items of a few parameters, such as discs, come arbitrarily close
    to each other.

    Args:
        distinct: Training items against their nearest other training items.
    """
    told = [~is_plain(part) for part in distinct]
    values = np.concatenate([np.zeros(0), *(scores(part)[rows] for part, rows in zip(distinct, told, strict=True))])
    if len(values) < 50:
        return Threshold(0.0, f"{len(values)} training items are too few to calibrate on; the default was kept")
    left = np.concatenate([part.residuals[rows, 0, 1] for part, rows in zip(distinct, told, strict=True)])
    same = float((left < _SAME).mean())
    between = float((left < _NEAR).mean()) - same
    # A few pairs are no habit.
    often = max(_OFTEN, _LEAST_PAIRS / len(left))
    is_strict = same > often and between > max(0.5 * same, _NEAR_OFTEN)
    apart = ~np.concatenate([agree_as_they_lie(part)[rows] for part, rows in zip(distinct, told, strict=True)])
    judged = values[apart] if not is_strict and apart.sum() >= 50 else values
    low, high = np.quantile(judged, _TAIL)
    slope = (high - low) / np.log((1 - _TAIL[0]) / (1 - _TAIL[1]))
    reached = high + slope * np.log((1 - _TAIL[1]) / FALSE_MATCHES_A_QUERY)
    words = (
        f"{len(values):,} training items against their nearest other training items: a score of {reached:.1f} is "
        f"expected once in {1 / FALSE_MATCHES_A_QUERY:,.0f}"
    )
    if is_strict:
        words += (
            f"; {100 * same:.0f} % of them equal another one once it is moved, so only copies that were not moved "
            "can be told from items that are alike"
        )
    return Threshold(round(float(np.clip(reached, *_RANGE)), 3), words, is_strict)


def matched(found: Comparison, threshold: Threshold) -> Array:
    """(queries,) bool: the best candidate of the query is its original."""
    sure = (scores(found) > threshold.value) & ~is_plain(found) & (found.items[:, 0] >= 0)
    if threshold.is_strict:
        sure &= agree_as_they_lie(found)
    return np.asarray(sure)


def agree_as_they_lie(found: Comparison) -> Array:
    """(queries,) bool: the query agrees closely with its best candidate, and neither was moved."""
    unmoved = (found.shifts[:, 0] < _UNMOVED_CELLS) & ~found.turned[:, 0]
    return np.asarray(unmoved & (found.residuals[:, 0, 2] < _CLOSE) & (_contrast(found) < _SIMILAR_GAIN))


def is_plain(found: Comparison) -> Array:
    """(queries,) bool: the query has too little structure to be told from others."""
    return found.detail < _LEAST_DETAIL
