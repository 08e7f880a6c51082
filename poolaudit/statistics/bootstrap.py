"""Intervals for metrics of a whole confusion matrix, by drawing matrices from the counts alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poolaudit.evidence.estimates import Estimate

Array = npt.NDArray[np.float64]

_MOST_GAMMA_DRAWS = 20_000_000
_FEWEST_RESAMPLES = 1_000
_CHUNK_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Margins:
    """All that the metrics here need of one or many confusion matrices; arrays of shape (classes, draws).

    Attributes:
        correct: The diagonal.
        truth: Row sums, the support of each class.
        predicted: Column sums.
        judged: Classes present and predicted in the observed matrix, shape (classes, 1): those with a precision to
            average. Draws keep the observed matrix's, so that every draw averages the same classes.
    """

    correct: Array
    truth: Array
    predicted: Array
    judged: npt.NDArray[np.bool_]


Metric = Callable[[Margins], Array]


def margins_of(confusion: npt.NDArray[np.int64]) -> Margins:
    """The margins of one confusion matrix, shape (classes, 1); rows are true classes."""
    counts = np.asarray(confusion, dtype=np.float64)
    truth, predicted = counts.sum(axis=1)[:, None], counts.sum(axis=0)[:, None]
    return Margins(np.diag(counts)[:, None].copy(), truth, predicted, (truth > 0) & (predicted > 0))


def balanced_accuracy(margins: Margins) -> Array:
    """Mean recall over the classes present; NaN without any."""
    return _mean_over_defined(margins.correct, margins.truth)


def matthews_correlation(margins: Margins) -> Array:
    """Matthews correlation for any number of classes; NaN where truth or prediction is constant.

    Source: Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient" (2004).
    """
    n = margins.truth.sum(axis=0)
    correct, truth, predicted = (
        margins.correct.sum(axis=0) / n,
        margins.truth / n,
        margins.predicted / n,
    )
    covariance = correct - (truth * predicted).sum(axis=0)
    spread = (1 - (truth**2).sum(axis=0)) * (1 - (predicted**2).sum(axis=0))
    # A share of 1 leaves a rounding residue instead of 0.
    return _divide(covariance, np.sqrt(np.where(spread > 1e-14, spread, 0.0)))


def cohens_kappa(margins: Margins) -> Array:
    """Agreement beyond chance; NaN where truth and prediction are the same constant.

    Source: Cohen, "A coefficient of agreement for nominal scales" (1960).
    """
    n = margins.truth.sum(axis=0)
    observed = margins.correct.sum(axis=0) / n
    expected = (margins.truth / n * (margins.predicted / n)).sum(axis=0)
    return _divide(observed - expected, np.where(1 - expected > 1e-14, 1 - expected, 0.0))


def macro_f1(margins: Margins) -> Array:
    """Mean F1 over the classes present."""
    f1 = _f1_by_class(margins)
    return np.asarray(np.nanmean(np.where(margins.truth > 0, f1, np.nan), axis=0))


def weighted_f1(margins: Margins) -> Array:
    """F1 averaged with the classes' support."""
    f1 = np.nan_to_num(_f1_by_class(margins))
    return _divide((f1 * margins.truth).sum(axis=0), margins.truth.sum(axis=0))


def macro_precision(margins: Margins) -> Array:
    """Mean precision over the classes present that are predicted at least once."""
    return _mean_over_defined(margins.correct, np.where(margins.judged, margins.predicted, 0.0))


def weighted_precision(margins: Margins) -> Array:
    """Precision averaged with support, over the classes that are predicted at least once."""
    precision = _divide(margins.correct, margins.predicted, otherwise=0.0)
    weight = np.where(margins.judged, margins.truth, 0.0)
    return _divide((precision * weight).sum(axis=0), weight.sum(axis=0))


def accuracy(margins: Margins) -> Array:
    """Share of items predicted right; the same as micro precision, recall and F1."""
    return _divide(margins.correct.sum(axis=0), margins.truth.sum(axis=0))


METRICS: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "matthews_correlation": matthews_correlation,
    "cohens_kappa": cohens_kappa,
    "macro_precision": macro_precision,
    "macro_f1": macro_f1,
    "weighted_precision": weighted_precision,
    "weighted_f1": weighted_f1,
}


def bootstrap_counts(
    confusion: npt.NDArray[np.int64],
    metrics: Mapping[str, Metric],
    rng: np.random.Generator,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> dict[str, Estimate]:
    """Metrics of a confusion matrix, each with a percentile interval from draws on its counts.

    The draws are those of the Bayesian bootstrap (Rubin 1981): each cell's share is drawn from a Dirichlet
    distribution of the counts. It costs the same for a million items as for a hundred. Each class present adds a
    prior of 1/K item to its correct cell and 1/K item spread over its errors (for two classes Jeffreys' prior
    in each row), two items in all: errors that a small test split happened not to show stay possible, so a
    perfect matrix has no interval of zero width, and no draw loses a class (no 0/0). The interval is widened,
    where needed, to hold the point estimate.

    Args:
        confusion: Counts, shape (classes, classes), rows true, columns predicted.
        metrics: Name to function of the margins; see `METRICS`.
        rng: Source of the draws.
        resamples: Draws wanted; above 2,000 occupied cells fewer are made, at least 1,000, and the method says so.
        confidence: Coverage, in (0, 1).
    """
    counts = np.asarray(confusion, dtype=np.int64)
    n = int(counts.sum())
    if n == 0:
        return {name: Estimate.not_estimable("no items") for name in metrics}
    point_margins = margins_of(counts)
    occupied = int(np.count_nonzero(counts)) + 2 * len(counts)
    made = min(resamples, max(_FEWEST_RESAMPLES, _MOST_GAMMA_DRAWS // occupied))
    method = f"Bayesian bootstrap on counts, {made:,} resamples, percentile"
    drawn: dict[str, list[Array]] = {name: [] for name in metrics}
    size = max(1, min(made, _CHUNK_BYTES // (8 * occupied)))
    for start in range(0, made, size):
        draws = _draw_margins(counts, point_margins.judged, rng, min(size, made - start))
        for name, metric in metrics.items():
            drawn[name].append(metric(draws))
    tail = (1 - confidence) / 2
    estimates = {}
    for name, metric in metrics.items():
        value = float(metric(point_margins)[0])
        if not np.isfinite(value):
            estimates[name] = Estimate.not_estimable(_undefined(counts), n=n, method=method)
            continue
        sample = np.concatenate(drawn[name])
        low, high = np.quantile(sample[np.isfinite(sample)], [tail, 1 - tail])
        estimates[name] = Estimate(value, min(float(low), value), max(float(high), value), n, method, confidence)
    return estimates


def _draw_margins(
    counts: npt.NDArray[np.int64], judged: npt.NDArray[np.bool_], rng: np.random.Generator, size: int
) -> Margins:
    classes = len(counts)
    present = counts.sum(axis=1) > 0
    off_diagonal = ~np.eye(classes, dtype=bool)
    prior = 1.0 / classes
    truth = np.zeros((classes, size))
    predicted = np.zeros((classes, size))

    correct = rng.standard_gamma((np.diag(counts) + prior * present)[:, None], size=(classes, size))
    truth += correct
    predicted += correct

    rows, columns = np.nonzero((counts > 0) & off_diagonal)
    if len(rows):
        share = prior / (classes - 1)
        errors = rng.standard_gamma((counts[rows, columns] + share)[:, None], size=(len(rows), size))
        _add_segments(truth, errors, rows)
        order = np.argsort(columns, kind="stable")
        _add_segments(predicted, errors[order], columns[order])

    # Errors never seen: one draw a row for all its empty cells together, spread evenly over them.
    empty = (counts == 0) & off_diagonal & present[:, None]
    n_empty = empty.sum(axis=1)
    rows = np.flatnonzero(n_empty)
    if len(rows):
        shape = prior * n_empty[rows] / (classes - 1)
        unseen = rng.standard_gamma(shape[:, None], size=(len(rows), size))
        truth[rows] += unseen
        predicted += (empty[rows] / n_empty[rows, None]).T @ unseen
    return Margins(correct, truth, predicted, judged)


def _add_segments(target: Array, values: Array, index: npt.NDArray[np.intp]) -> None:
    """Adds rows of `values` to the rows of `target` named by the sorted `index`."""
    starts = np.flatnonzero(np.concatenate(([True], index[1:] != index[:-1])))
    target[index[starts]] += np.add.reduceat(values, starts, axis=0)


def _f1_by_class(margins: Margins) -> Array:
    return _divide(2 * margins.correct, margins.truth + margins.predicted)


def _mean_over_defined(numerator: Array, denominator: Array) -> Array:
    rates = _divide(numerator, denominator, otherwise=0.0)
    return _divide(rates.sum(axis=0), (denominator > 0).sum(axis=0))


def _divide(numerator: Array, denominator: Array, otherwise: float = np.nan) -> Array:
    result = np.full(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), otherwise)
    return np.asarray(np.divide(numerator, denominator, out=result, where=denominator > 0))


def _undefined(counts: npt.NDArray[np.int64]) -> str:
    if np.count_nonzero(counts.sum(axis=1)) < 2:
        return "the labels hold one class only"
    if np.count_nonzero(counts.sum(axis=0)) < 2:
        return "one class only is ever predicted"
    return "0 divided by 0 on these counts"
