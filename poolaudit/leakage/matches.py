"""From comparisons to matches: one score a pair, and a threshold that the data themselves set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.leakage.layout import Floats
from poolaudit.leakage.verify import Comparison

Array = np.ndarray[Any, Any]

# Logistic regression of copies against nearest distinct items on garments, photographs, digits, faces, signals and
# shaded blobs (docs/methods.md). Weights of: the residuals at four resolutions; how far below those of the next best
# item they lie; roughness, and roughness times that; detail, and detail times that.
_WEIGHTS = np.array(
    (
        *(2.142, -0.857, -1.12, -1.122, 4.081, -0.49, -3.632, -3.57, 1.595),
        *(-0.327, 0.317, 0.495, -0.497, -1.873, -1.174, -0.647, 0.227, 1.207),
    )
)
_CONSTANT = -5.16
_FLOOR = 3e-3
# A pair this close under the best explanation is a match even if other items are as close: copies among training items.
_SAME = np.array([0.035, 0.02, 0.015])
_LEAST_DETAIL = 1.5
_SURE_DETAIL = 8.0
_FALSE_MATCHES_A_QUERY = 1.5e-3
_RANGE = (-1.0, 2.5)
_TAIL = (0.80, 0.97)
_OFTEN = 0.01
_UNMOVED_CELLS = 0.75
_CLOSE = 0.03


def scores(found: Comparison) -> Floats:
    """(queries,) how sure the best candidate of each query is its original; 0 where both are as likely."""
    return np.asarray(_features(found) @ _WEIGHTS + _CONSTANT, np.float32)


def _features(found: Comparison) -> Array:
    levels = np.log(np.clip(found.residuals, _FLOOR, 1.0))
    levels[found.items < 0] = 0.0
    best = levels[:, 0]
    others = levels[:, 1:].min(axis=1) if levels.shape[1] > 1 else np.zeros_like(best)
    apart = best - others
    rough = found.roughness[:, None]
    detail = np.log(np.maximum(found.detail, 0.3))[:, None]
    return np.concatenate([best, apart, rough, rough * apart, detail, detail * apart], axis=1)


@dataclass(frozen=True, slots=True)
class Threshold:
    """The score from which on a pair is a match.

    Attributes:
        value: Within a range around 0, the threshold of the regression.
        words: How it was calibrated.
        is_strict: Distinct training items often match each other once they are moved, as stripes do: then a pair that
            had to be moved must agree closely.
    """

    value: float
    words: str
    is_strict: bool = False


def calibrate(distinct: Floats) -> Threshold:
    """The threshold above which distinct items hardly ever score.

    The upper tail of the scores between distinct training items is extended by an exponential through two of its
    quantiles, so that a few per cent of copies among the training items do not count.

    Args:
        distinct: (n,) scores of training items against their nearest other training items.
    """
    if len(distinct) < 50:
        return Threshold(0.0, f"{len(distinct)} training items are too few to calibrate on; the default was kept")
    low, high = np.quantile(distinct, _TAIL)
    slope = (high - low) / np.log((1 - _TAIL[0]) / (1 - _TAIL[1]))
    reached = high + slope * np.log((1 - _TAIL[1]) / _FALSE_MATCHES_A_QUERY)
    value = float(np.clip(reached, *_RANGE))
    return Threshold(
        round(value, 3),
        f"{len(distinct):,} training items against their nearest other training items: a score of "
        f"{reached:.1f} is expected once in {1 / _FALSE_MATCHES_A_QUERY:,.0f}",
        is_strict=bool((distinct > value).mean() > _OFTEN),
    )


def matched(found: Comparison, threshold: Threshold) -> Array:
    """(queries,) bool: the best candidate of the query is its original."""
    plain = found.detail < _LEAST_DETAIL
    sure = scores(found) > threshold.value
    same = (found.residuals[:, 0, :3] < _SAME).all(axis=1) & (found.detail > _SURE_DETAIL)
    if threshold.is_strict:
        sure &= (found.shifts[:, 0] < _UNMOVED_CELLS) | (found.residuals[:, 0, 2] < _CLOSE)
    return np.asarray((sure | same) & ~plain & (found.items[:, 0] >= 0))


def is_plain(found: Comparison) -> Array:
    """(queries,) bool: the query has too little structure to be told from others."""
    return found.detail < _LEAST_DETAIL
