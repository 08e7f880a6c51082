"""Metrics of one classifier on one set of items, each with the influence of every item on it.

The influence of an item is the derivative of the metric by the item's weight (the infinitesimal jackknife, Efron 1982).
Influences of a metric sum to 0; the sum of their squares estimates the variance that the choice of items brings. Kept
item by item, they let metrics of different models on the same items be compared in pairs, whatever the metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poolaudit.statistics.ranking import average_precision_influences, rank_scores

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A metric and what each item contributes to its uncertainty.

    Attributes:
        value: NaN where the metric is 0 divided by 0.
        influences: float64 (n,), zeros where the value is NaN.
        support: Items that the metric rests on; for recall, the positives.
    """

    value: float
    influences: Floats
    support: int


def recall(truth: Mask, chosen: Mask) -> Measured:
    """Share of the positives that are chosen."""
    return _ratio(truth & chosen, truth)


def precision(truth: Mask, chosen: Mask) -> Measured:
    """Share of the chosen items that are positive; NaN where none is chosen."""
    return _ratio(truth & chosen, chosen)


def f1(truth: Mask, chosen: Mask) -> Measured:
    """Harmonic mean of recall and precision."""
    numerator = 2.0 * (truth & chosen)
    denominator = truth.astype(np.float64) + chosen
    total = denominator.sum()
    if total == 0:
        return _undefined(len(truth))
    value = float(numerator.sum() / total)
    return Measured(value, (numerator - value * denominator) / total, int((truth | chosen).sum()))


def mean(values: Floats) -> Measured:
    """Mean of one number an item: accuracy from hits, loss from losses."""
    n = len(values)
    if n == 0:
        return _undefined(0)
    average = float(np.mean(values))
    return Measured(average, (np.asarray(values, np.float64) - average) / n, n)


def matthews(truth: Mask, chosen: Mask) -> Measured:
    """Matthews correlation of truth and choice; NaN where one of them is constant.

    As a function of the four counts it does not change when all are multiplied, so its derivative by a count is the
    influence of each item counted there.
    """
    hits = float((truth & chosen).sum())
    positives, picked, n = float(truth.sum()), float(chosen.sum()), float(len(truth))
    spread = positives * (n - positives) * picked * (n - picked)
    if spread <= 0:
        return _undefined(len(truth))
    top = n * hits - positives * picked
    value = top / spread**0.5
    influences = np.empty(len(truth))
    for is_positive in (False, True):
        for is_chosen in (False, True):
            p, c = float(is_positive), float(is_chosen)
            top_change = hits + n * p * c - p * picked - c * positives
            log_spread_change = p / positives + (1 - p) / (n - positives) + c / picked + (1 - c) / (n - picked)
            change = top_change / spread**0.5 - value * log_spread_change / 2
            influences[(truth == is_positive) & (chosen == is_chosen)] = change
    return Measured(value, influences, len(truth))


def average_precision(truth: Mask, scores: Floats) -> Measured:
    """Mean precision at the positives' scores; NaN where all items or none are positive."""
    ranked = rank_scores(scores, truth)
    if not ranked.positives or not ranked.negatives:
        return _undefined(len(truth))
    value, influences = average_precision_influences(ranked, truth)
    return Measured(value, influences, ranked.positives)


def average_of(parts: list[Measured]) -> Measured:
    """Unweighted mean over classes; NaN where one of them is."""
    value = float(np.mean([part.value for part in parts]))
    if not np.isfinite(value):
        return _undefined(len(parts[0].influences))
    influences = np.mean([part.influences for part in parts], axis=0)
    return Measured(value, influences, sum(part.support for part in parts))


def _ratio(numerator: Mask, denominator: Mask) -> Measured:
    support = int(denominator.sum())
    if support == 0:
        return _undefined(len(denominator))
    value = float(numerator.sum()) / support
    return Measured(value, (numerator - value * denominator) / support, support)


def _undefined(n: int) -> Measured:
    return Measured(float("nan"), np.zeros(n), 0)
