"""Everything that follows from the confusion matrix alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from poolaudit.errors import listed
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import AveragedMetrics, ClassMetrics, NoInformationTest
from poolaudit.statistics.binomial import probability_at_least
from poolaudit.statistics.bootstrap import METRICS, bootstrap_counts
from poolaudit.statistics.intervals import combine_means, difference_of_rates, f1_interval, wilson, wilson_limits

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RankingMetrics:
    """Average precision and ROC AUC of one class."""

    average_precision: Estimate
    roc_auc: Estimate


@dataclass(frozen=True, slots=True)
class OverallMetrics:
    """One number for the whole matrix each; fields as in `EvaluationEvidence`."""

    accuracy: Estimate
    balanced_accuracy: Estimate
    matthews_correlation: Estimate
    cohens_kappa: Estimate
    averages: tuple[AveragedMetrics, ...]


def confusion_matrix(labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int) -> Counts:
    """Counts of shape (classes, classes): rows are true classes, columns predicted ones.

    Args:
        labels: True class indices from 0 to classes - 1, shape (n,).
        predicted: Predicted class indices, same shape and range.
        classes: Number of classes.
    """
    cells = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def class_metrics(
    confusion: Counts, names: Sequence[str], ranking: Sequence[RankingMetrics], confidence: float
) -> tuple[ClassMetrics, ...]:
    """Each class against all others. Rates without items to rest on are not estimable, with the reason."""
    n = int(confusion.sum())
    metrics = []
    for index, name in enumerate(names):
        hits = int(confusion[index, index])
        false_positives = int(confusion[:, index].sum()) - hits
        misses = int(confusion[index].sum()) - hits
        rest = n - hits - false_positives - misses
        absent = "no test item is of this class"
        f1 = f1_interval(hits, false_positives, misses, confidence)
        precision = wilson(hits, hits + false_positives, confidence, empty="this class is never predicted")
        recall = wilson(hits, hits + misses, confidence, empty=absent)
        metrics.append(
            ClassMetrics(
                name=name,
                true_positives=hits,
                false_positives=false_positives,
                false_negatives=misses,
                true_negatives=rest,
                precision=precision,
                recall=recall,
                precision_minus_recall=difference_of_rates(precision, recall),
                specificity=wilson(rest, rest + false_positives, confidence, empty="every test item is of this class"),
                f1=f1 if hits + misses else Estimate.not_estimable(absent, method=f1.method),
                average_precision=ranking[index].average_precision,
                roc_auc=ranking[index].roc_auc,
            )
        )
    return tuple(metrics)


def overall_metrics(
    confusion: Counts, names: Sequence[str], confidence: float, rng: np.random.Generator
) -> OverallMetrics:
    """Metrics of the whole matrix.

    Averages never count an undefined class as 0: recall and F1 are averaged over the classes present, precision
    over those present and predicted; where that leaves classes out, the method names them.
    """
    drawn = bootstrap_counts(confusion, METRICS, rng, confidence=confidence)
    n, correct = int(confusion.sum()), int(np.trace(confusion))
    accuracy = wilson(correct, n, confidence)
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present = support > 0
    judged = present & (predicted > 0)
    absent_note = _left_out(names, present, "absent from the test split")
    precision_note = absent_note + _left_out(names, judged | ~present, "never predicted")
    balanced = _widened_rates(drawn["balanced_accuracy"], hits[present], support[present], confidence)
    macro_precision = _widened_rates(drawn["macro_precision"], hits[judged], predicted[judged], confidence)
    macro_f1 = _widened_f1(drawn["macro_f1"], confusion, present, confidence)
    averages = (
        AveragedMetrics(
            "macro",
            precision=_noted(macro_precision, precision_note),
            recall=_noted(balanced, absent_note),
            f1=_noted(macro_f1, absent_note),
        ),
        AveragedMetrics("micro", accuracy, accuracy, accuracy),
        AveragedMetrics(
            "weighted",
            precision=_noted(drawn["weighted_precision"], precision_note),
            recall=accuracy,
            f1=_noted(drawn["weighted_f1"], absent_note),
        ),
    )
    return OverallMetrics(
        accuracy=accuracy,
        balanced_accuracy=_noted(balanced, absent_note),
        matthews_correlation=drawn["matthews_correlation"],
        cohens_kappa=drawn["cohens_kappa"],
        averages=averages,
    )


def no_information_test(confusion: Counts, names: Sequence[str]) -> NoInformationTest:
    """Is accuracy above the share of the most frequent test class? One-sided exact binomial test."""
    support = confusion.sum(axis=1)
    n, majority = int(support.sum()), int(np.argmax(support))
    rate = int(support[majority]) / n
    p_value = 1.0 if rate == 1.0 else probability_at_least(int(np.trace(confusion)), n, rate)
    return NoInformationTest(names[majority], rate, p_value)


def _widened(drawn: Estimate, values: Sequence[float], limits: Sequence[tuple[float, float]]) -> Estimate:
    """The wider of two intervals of a mean over classes.

    The draws know how errors depend on each other and that gains and losses of many classes cancel; the Wilson
    ends of the single classes, combined, know what a rare class without an error may hide. Each alone covers too
    little where the other one is right.
    """
    if drawn.low is None or drawn.high is None:
        return drawn
    _, low, high = combine_means(values, limits)
    return replace(
        drawn,
        low=min(low, drawn.low),
        high=max(high, drawn.high),
        method=f"{drawn.method}; or Wilson score per class, combined (Zou and Donner), where wider",
    )


def _widened_rates(drawn: Estimate, hits: Counts, totals: Counts, confidence: float) -> Estimate:
    pairs = list(zip(hits.tolist(), totals.tolist(), strict=True))
    limits = [wilson_limits(hit, total, confidence) for hit, total in pairs]
    return _widened(drawn, [hit / total for hit, total in pairs], limits) if pairs else drawn


def _widened_f1(drawn: Estimate, confusion: Counts, present: npt.NDArray[np.bool_], confidence: float) -> Estimate:
    values, limits = [], []
    for index in np.flatnonzero(present):
        hits = int(confusion[index, index])
        false_positives = int(confusion[:, index].sum()) - hits
        f1 = f1_interval(hits, false_positives, int(confusion[index].sum()) - hits, confidence)
        if f1.value is not None and f1.low is not None and f1.high is not None:
            values.append(f1.value)
            limits.append((f1.low, f1.high))
    return _widened(drawn, values, limits)


def _left_out(names: Sequence[str], kept: npt.NDArray[np.bool_], why: str) -> str:
    missing = [name for name, keep in zip(names, kept.tolist(), strict=True) if not keep]
    return f"; without {listed(missing, 4)} ({why})" if missing else ""


def _noted(estimate: Estimate, note: str) -> Estimate:
    return replace(estimate, method=estimate.method + note) if note else estimate
