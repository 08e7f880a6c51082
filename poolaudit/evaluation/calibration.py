"""Log loss, Brier score, reliability bins and expected calibration error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import Calibration, ReliabilityBin
from poolaudit.statistics.intervals import mean_interval, wilson

Probabilities = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

BINS = 15
_RESAMPLES = 10_000
_ROUNDED = 1e-6
_MOST_ROUNDED = 0.05


def log_loss(probabilities: Probabilities, labels: Labels, confidence: float) -> Estimate:
    """Mean of -ln(probability of the true class), in nats.

    Probabilities of 0 would make it infinite; they are raised to the machine epsilon (2.2e-16), as scikit-learn
    does, and the method tells how many items that concerns.

    Args:
        probabilities: Rows sum to 1, shape (n, classes).
        labels: True class indices, shape (n,).
        confidence: Coverage of the interval.
    """
    smallest = float(np.finfo(np.float64).eps)
    of_truth = _probability_of(probabilities, labels)
    clipped = int(np.count_nonzero(of_truth < smallest))
    estimate = mean_interval(-np.log(np.clip(of_truth, smallest, 1.0)), confidence, lowest=0.0)
    if not clipped:
        return estimate
    note = f"{estimate.method}; {clipped:,} items gave the true class probability 0, counted as 2.2e-16"
    return replace(estimate, method=note)


def tempered_losses(probabilities: Probabilities, labels: Labels) -> npt.NDArray[np.float64] | None:
    """Log losses in nats, shape (n,), after scaling by the one temperature that makes their mean smallest.

    What is left is what the answers know of the classes, whatever their confidence (Guo et al. 2017). None where the
    rows do not sum to 1, or where more than a twentieth of them is rounded to 0 and 1: their temperature is lost.

    Args:
        probabilities: Shape (n, classes).
        labels: True class indices, shape (n,).
    """
    if not len(labels) or not np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-3):
        return None
    if np.mean(probabilities.max(axis=1) >= 1.0 - _ROUNDED) > _MOST_ROUNDED:
        return None
    logits = np.log(np.clip(probabilities, float(np.finfo(np.float32).tiny), 1.0))

    def losses(log_scale: float) -> npt.NDArray[np.float64]:
        return np.asarray(-_probability_of(log_softmax(logits * np.exp(log_scale), axis=1), labels))

    best = minimize_scalar(lambda log_scale: float(losses(log_scale).mean()), bounds=(-6.0, 6.0), method="bounded")
    return losses(float(best.x))


def calibration(
    probabilities: Probabilities, labels: Labels, confidence: float, rng: np.random.Generator
) -> Calibration:
    """Brier score, reliability in 15 equal-width bins of the top probability, and expected calibration error.

    The calibration error's interval comes from 10,000 draws of right and wrong answers within the bins
    (Bayesian bootstrap on counts), reflected about the estimate: draws err upwards from the estimate as the estimate
    does from the truth, so reflection corrects for it to first order. It is cut to [0, 1] and holds the estimate.

    Sources: Brier (1950); Naeini, Cooper and Hauskrecht (2015); Guo et al. (2017) for the 15 bins.
    """
    classes = probabilities.shape[1]
    of_truth = _probability_of(probabilities, labels)
    squared = np.einsum("ij,ij->i", probabilities, probabilities) - 2 * of_truth + 1
    brier = mean_interval(
        np.maximum(squared, 0.0),
        confidence,
        scale=0.5 if classes == 2 else 1.0,
        lowest=0.0,
        highest=1.0 if classes == 2 else 2.0,
    )
    top, right = _top_probability(probabilities, labels)
    index = np.minimum((top * BINS).astype(np.int64), BINS - 1)
    totals = np.bincount(index, minlength=BINS)
    hits = np.bincount(index, weights=right, minlength=BINS).astype(np.int64)
    sums = np.asarray(np.bincount(index, weights=top, minlength=BINS), dtype=np.float64)
    bins = tuple(
        ReliabilityBin(
            low=b / BINS,
            high=(b + 1) / BINS,
            n=int(totals[b]),
            mean_confidence=min(1.0, float(sums[b]) / int(totals[b])),
            accuracy=wilson(int(hits[b]), int(totals[b]), confidence),
        )
        for b in np.flatnonzero(totals).tolist()
    )
    return Calibration(brier, _calibration_error(totals, hits, sums, confidence, rng), bins)


def _calibration_error(
    totals: Labels, hits: Labels, sums: Probabilities, confidence: float, rng: np.random.Generator
) -> Estimate:
    used = totals > 0
    n = int(totals.sum())
    right, wrong, stated = hits[used], (totals - hits)[used], sums[used] / totals[used]
    value = float(np.abs(stated - right / totals[used]) @ totals[used]) / n
    prior = 1.0 / len(right)
    drawn_right = rng.standard_gamma((right + prior)[:, None], size=(len(right), _RESAMPLES))
    drawn = drawn_right + rng.standard_gamma((wrong + prior)[:, None], size=(len(right), _RESAMPLES))
    errors = np.abs(stated[:, None] * drawn - drawn_right).sum(axis=0) / drawn.sum(axis=0)
    tail = (1 - confidence) / 2
    lowest, highest = np.quantile(errors, [tail, 1 - tail]).tolist()
    low, high = max(0.0, 2 * value - highest), min(1.0, 2 * value - lowest)
    method = f"{BINS} equal-width bins, Bayesian bootstrap on counts, {_RESAMPLES:,} resamples, reflected percentile"
    return Estimate(value, min(low, value), max(high, value), n, method, confidence)


def _probability_of(probabilities: Probabilities, labels: Labels) -> Probabilities:
    if probabilities.shape[1] == 2:
        return np.where(labels == 1, probabilities[:, 1], probabilities[:, 0])
    return np.asarray(np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0])


def _top_probability(probabilities: Probabilities, labels: Labels) -> tuple[Probabilities, npt.NDArray[np.bool_]]:
    if probabilities.shape[1] == 2:
        second = probabilities[:, 1] > probabilities[:, 0]
        return np.maximum(probabilities[:, 0], probabilities[:, 1]), second == (labels == 1)
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
