"""Average precision and ROC AUC with intervals, from one sort of the scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from poolaudit.evidence.estimates import Estimate
from poolaudit.statistics.intervals import normal_quantile

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RankedScores:
    """Items sorted by falling score, and the counts above each distinct score.

    Attributes:
        order: Item indices by falling score, shape (n,).
        ends: Position in `order` of the last item of each group of equal scores, shape (g,).
        thresholds: The g distinct scores, falling.
        true_positives: Positives that score at least the threshold, shape (g,).
        predicted_positives: Items that score at least the threshold, shape (g,).
        positives_in_group: Positives that score exactly the threshold, as floats, shape (g,).
        negatives_in_group: Negatives that score exactly the threshold, as floats, shape (g,).
    """

    order: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]
    thresholds: FloatArray
    true_positives: IntArray
    predicted_positives: IntArray
    positives_in_group: FloatArray
    negatives_in_group: FloatArray

    @property
    def positives(self) -> int:
        return int(self.true_positives[-1]) if len(self.true_positives) else 0

    @property
    def negatives(self) -> int:
        return len(self.order) - self.positives


def rank_scores(scores: npt.NDArray[np.floating], is_positive: npt.NDArray[np.bool_]) -> RankedScores:
    """Sorts once; equal scores share one threshold.

    Args:
        scores: Finite scores, higher means more likely positive, shape (n,).
        is_positive: Truth, shape (n,).
    """
    order = np.argsort(scores)[::-1]
    ordered = scores[order]
    ends = np.flatnonzero(ordered[1:] != ordered[:-1])
    ends = np.append(ends, len(ordered) - 1) if len(ordered) else ends
    hits = np.cumsum(is_positive[order].astype(np.int64))
    true_positives, predicted_positives = hits[ends], ends.astype(np.int64) + 1
    positives_in_group = _steps(true_positives)
    return RankedScores(
        order=order,
        ends=ends,
        thresholds=ordered[ends].astype(np.float64),
        true_positives=true_positives,
        predicted_positives=predicted_positives,
        positives_in_group=positives_in_group,
        negatives_in_group=_steps(predicted_positives) - positives_in_group,
    )


def roc_auc(ranked: RankedScores, confidence: float = 0.95) -> Estimate:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties counting half.

    The variance is DeLong's (1988), computed from midranks in O(n log n) after Sun and Xu (2014); the interval is made
    on the logit scale with Student's t at the smaller group's degrees of freedom. Where that variance is 0 or a
    group holds one item, Newcombe's method 5 (2006) takes its place; where every positive outscores every negative
    (or none does), the exact bound from disjoint pairs does: k = min(positives, negatives) pairs, all concordant.
    n counts all items.
    """
    positives, negatives = ranked.positives, ranked.negatives
    n = positives + negatives
    if not positives or not negatives:
        return Estimate.not_estimable(_one_group(positives), n=n)
    in_group, negatives_in_group = ranked.positives_in_group, ranked.negatives_in_group
    negatives_at_least = ranked.predicted_positives - ranked.true_positives
    beaten = (negatives - negatives_at_least + negatives_in_group / 2) / negatives
    beaten_by = (ranked.true_positives - in_group / 2) / positives
    value = min(1.0, _dot(in_group, beaten) / positives)
    # Sums of many floats leave perfect rankings a rounding error below 1.
    top_ties = _dot(in_group, negatives_at_least - negatives_in_group / 2)
    if top_ties == 0.0 or top_ties == float(positives) * negatives:
        pairs = min(positives, negatives)
        bound = float(((1 - confidence) / 2) ** (1 / pairs))
        method = f"exact bound from {pairs:,} disjoint pairs"
        low, high = (bound, 1.0) if top_ties == 0.0 else (0.0, 1 - bound)
        return Estimate(1.0 if top_ties == 0.0 else 0.0, low, high, n, method, confidence)
    if min(positives, negatives) > 1:
        variance = _dot(in_group, (beaten - value) ** 2) / ((positives - 1) * positives)
        variance += _dot(negatives_in_group, (beaten_by - value) ** 2) / ((negatives - 1) * negatives)
        if variance > 1e-18:
            low, high = _logit_interval(value, variance, min(positives, negatives) - 1, confidence)
            return Estimate(value, low, high, n, "DeLong, logit scale, t", confidence)
    low, high = _newcombe(value, positives, negatives, confidence)
    return Estimate(value, low, high, n, "Newcombe method 5", confidence)


def average_precision(ranked: RankedScores, confidence: float = 0.95) -> Estimate:
    """Mean precision at the positives' scores, ties sharing one threshold (as scikit-learn computes it).

    The variance is the infinitesimal jackknife's (Efron 1982): each item's influence is the derivative of average
    precision by the item's weight, which cumulated sums give in O(n log n). The interval is made on the
    logit scale (Boyd, Eng and Page 2013) with Student's t at positives - 1 degrees of freedom. A perfect ranking has no
    influences; its lower end is the product of the exact lower bounds of recall and precision at the separating
    threshold (each m of m, Bonferroni). n counts all items.
    """
    positives, negatives = ranked.positives, ranked.negatives
    n = positives + negatives
    if not positives or not negatives:
        return Estimate.not_estimable(_one_group(positives), n=n)
    in_group, negatives_in_group = ranked.positives_in_group, ranked.negatives_in_group
    precision = ranked.true_positives / ranked.predicted_positives
    last = int(np.searchsorted(ranked.true_positives, positives))
    if ranked.predicted_positives[last] == positives:
        low = float(((1 - confidence) / 4) ** (2 / positives))
        return Estimate(1.0, low, 1.0, n, "exact bounds at the separating threshold", confidence)
    value = _dot(in_group, precision) / positives
    if positives == 1:
        reason = "one positive item gives no interval"
        return Estimate(value, None, None, n, "infinitesimal jackknife, logit scale, t", confidence, reason)
    of_positive, of_negative = _precision_influences(ranked, value)
    variance = _dot(in_group, of_positive**2) + _dot(negatives_in_group, of_negative**2)
    variance *= n / (n - 1)
    low, high = _logit_interval(value, variance, positives - 1, confidence)
    return Estimate(value, low, high, n, "infinitesimal jackknife, logit scale, t", confidence)


def average_precision_influences(ranked: RankedScores, is_positive: npt.NDArray[np.bool_]) -> tuple[float, FloatArray]:
    """Average precision and the influence of each item on it, float64 (n,) in the items' own order.

    Args:
        ranked: Scores with at least one positive and one negative.
        is_positive: Truth, shape (n,).
    """
    precision = ranked.true_positives / ranked.predicted_positives
    value = _dot(ranked.positives_in_group, precision) / ranked.positives
    of_positive, of_negative = _precision_influences(ranked, value)
    group = np.empty(len(ranked.order), dtype=np.intp)
    group[ranked.order] = np.repeat(np.arange(len(ranked.ends)), np.diff(ranked.ends, prepend=-1))
    return value, np.where(is_positive, of_positive[group], of_negative[group])


def _precision_influences(ranked: RankedScores, value: float) -> tuple[FloatArray, FloatArray]:
    """By group of equal scores: the influence of a positive and of a negative there on average precision."""
    precision = ranked.true_positives / ranked.predicted_positives
    per_rank = ranked.positives_in_group / ranked.predicted_positives
    gained = np.cumsum(per_rank[::-1])[::-1]
    lost = np.cumsum((per_rank * precision)[::-1])[::-1]
    return (precision - value + gained - lost) / ranked.positives, -lost / ranked.positives


def _dot(left: FloatArray, right: FloatArray) -> float:
    """Summed product. Not `@`: its threads cost more than the sum where cores are shared, and it rounds worse."""
    return float((left * right).sum())


def _steps(cumulated: IntArray) -> FloatArray:
    steps = np.empty(len(cumulated))
    steps[:1] = cumulated[:1]
    np.subtract(cumulated[1:], cumulated[:-1], out=steps[1:])
    return steps


def _logit_interval(value: float, variance: float, freedom: int, confidence: float) -> tuple[float, float]:
    half = float(special.stdtrit(freedom, 0.5 + confidence / 2)) * math.sqrt(variance) / (value * (1 - value))
    centre = float(special.logit(value))
    low, high = float(special.expit(centre - half)), float(special.expit(centre + half))
    return min(low, value), max(high, value)


def _newcombe(value: float, positives: int, negatives: int, confidence: float) -> tuple[float, float]:
    """Ends t of |value - t| = z sqrt(V(t)), V the Hanley-McNeil variance with the mean group size (Newcombe 2006)."""
    z = normal_quantile(confidence)
    mean_size = (positives + negatives) / 2

    def distance(t: float) -> float:
        shape = (1 - t) / (2 - t) + t / (1 + t)
        variance = t * (1 - t) * (1 + (mean_size - 1) * shape) / (positives * negatives)
        return abs(value - t) - z * math.sqrt(variance)

    ends = []
    for outside in (0.0, 1.0):
        near, far = value, outside
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (middle, far) if distance(middle) < 0 else (near, middle)
        ends.append((near + far) / 2)
    return ends[0], ends[1]


def _one_group(positives: int) -> str:
    return "no item is of this class" if not positives else "every item is of this class"
