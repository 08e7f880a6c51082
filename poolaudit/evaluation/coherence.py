"""What stored evidence of an evaluation cannot say, because the evaluation would have measured otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

import numpy as np

from poolaudit.evaluation.confusion import RankingMetrics, class_metrics, no_information_test
from poolaudit.evaluation.evaluate import (
    NO_PROBABILITIES,
    NOT_NORMALISED,
    WANTED_PRECISIONS,
    curve_classes,
    target_classes,
)
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import ClassMetrics, EvaluationEvidence, PrecisionRecallCurve, RecoverableRecall
from poolaudit.statistics.bootstrap import METRICS, margins_of
from poolaudit.statistics.intervals import wilson

_ROUNDING = 1e-6
# Thinned curves give average precision back within 0.011 (3,000 drawn rankings); one with a piece cut out does not.
_THINNING = 0.03


def contradictions_in(
    evaluation: EvaluationEvidence, confidence: float, wanted_recall: float, *, with_curves: bool = True
) -> Iterator[str]:
    """What contradicts the confusion matrix, and what is missing although the rest says that it was measured.

    Args:
        evaluation: Its counts fit each other (`store.consistency`).
        confidence: Coverage that the intervals must have.
        wanted_recall: The bar that chose which classes' thresholds were looked into, where the evidence does not say:
            a result that was judged again by another policy was not measured again.
        with_curves: Whether precision-recall curves were to be drawn.
    """
    yield from _in_intervals(evaluation, confidence)
    yield from _in_averages(evaluation)
    yield from _about_all_items(evaluation, confidence)
    yield from _in_groups(evaluation, confidence)
    if any(c.roc_auc.reason == NO_PROBABILITIES for c in evaluation.per_class):
        yield from _scores_without_scores(evaluation)
    else:
        yield from _missing_scores(evaluation, wanted_recall, with_curves)


def _in_intervals(evaluation: EvaluationEvidence, confidence: float) -> Iterator[str]:
    """Intervals that follow from the confusion matrix, made again."""
    counts = np.array(evaluation.confusion, np.int64)
    names = evaluation.class_names
    unknown = Estimate.not_estimable("not compared")
    again = class_metrics(counts, names, [RankingMetrics(unknown, unknown)] * len(names), confidence)
    if not _agree(evaluation.accuracy, wilson(int(np.trace(counts)), evaluation.n, confidence)):
        yield "the interval of the accuracy is not that of its counts"
    for given, made in zip(evaluation.per_class, again, strict=True):
        for metric in ("recall", "precision", "specificity", "precision_minus_recall", "f1"):
            if not _agree(getattr(given, metric), getattr(made, metric)):
                yield f"{metric.replace('_', ' ')} of {given.name!r} is not that of its counts"
    test, made_test = evaluation.no_information, no_information_test(counts, names)
    differs = abs(test.p_value - made_test.p_value) > _ROUNDING or abs(test.rate - made_test.rate) > _ROUNDING
    if test.majority_class != made_test.majority_class or differs:
        yield "the test against the most frequent class is not that of the confusion matrix"
    margins = margins_of(counts)
    stated = {name: getattr(evaluation, name) for name in ("balanced_accuracy", "matthews_correlation", "cohens_kappa")}
    for average in evaluation.averages:
        stated |= {f"{average.average}_{metric}": getattr(average, metric) for metric in ("precision", "f1")}
    for name, estimate in stated.items():
        if name in METRICS and not _is_value(estimate, float(np.ravel(METRICS[name](margins))[0])):
            yield f"{name.replace('_', ' ')} is not that of the confusion matrix"


def _in_averages(evaluation: EvaluationEvidence) -> Iterator[str]:
    """Averages of recall are metrics of their own, by another name."""
    recalls = {"macro": evaluation.balanced_accuracy, "micro": evaluation.accuracy, "weighted": evaluation.accuracy}
    if [average.average for average in evaluation.averages] != list(recalls):
        yield f"the averages over the classes are not {', '.join(recalls)}"
        return
    for average in evaluation.averages:
        if not _agree(average.recall, recalls[average.average]):
            yield f"the {average.average} average of recall is not that of the confusion matrix"


def _about_all_items(evaluation: EvaluationEvidence, confidence: float) -> Iterator[str]:
    """What cannot be made again without the scores must at least be of these items, and lie in its own interval."""
    stated = {name: getattr(evaluation, name) for name in ("balanced_accuracy", "cohens_kappa", "log_loss")}
    stated["matthews_correlation"] = evaluation.matthews_correlation
    for c in evaluation.per_class:
        stated |= {f"ROC AUC of {c.name!r}": c.roc_auc, f"average precision of {c.name!r}": c.average_precision}
    for average in evaluation.averages:
        stated |= {f"{average.average}_{name}": getattr(average, name) for name in ("precision", "recall", "f1")}
    if evaluation.calibration is not None:
        stated["brier_score"] = evaluation.calibration.brier_score
        stated["calibration_error"] = evaluation.calibration.expected_calibration_error
    for name, estimate in stated.items():
        if estimate.value is None:
            continue
        what = name.replace("_", " ")
        if estimate.n != evaluation.n or abs(estimate.confidence - confidence) > _ROUNDING:
            yield f"the {what} is of other items, or its interval of another confidence, than the rest"
        low, high = estimate.low, estimate.high
        if low is not None and high is not None and not low - _ROUNDING <= estimate.value <= high + _ROUNDING:
            yield f"the {what} lies outside its interval"


def _in_groups(evaluation: EvaluationEvidence, confidence: float) -> Iterator[str]:
    """Recall by groups is the same share of the same items."""
    by_name = {c.name: c for c in evaluation.per_class}
    for grouped in evaluation.grouped or ():
        metrics, recall = by_name.get(grouped.class_name), grouped.recall
        if metrics is None or grouped.items != metrics.support or not 0 < recall.n < grouped.items:
            yield f"the groups of {grouped.class_name!r} do not hold its test items"
        elif recall.value is not None and (
            metrics.recall.value is None
            or not _is_value(recall, metrics.recall.value)
            or abs(recall.confidence - confidence) > _ROUNDING
        ):
            yield f"the recall of {grouped.class_name!r} by groups is not its recall"


def _scores_without_scores(evaluation: EvaluationEvidence) -> Iterator[str]:
    ranked = [c.name for c in evaluation.per_class if c.roc_auc.reason != NO_PROBABILITIES]
    rests = ranked or evaluation.curves or evaluation.recoverable_recall or evaluation.calibration is not None
    if rests or evaluation.log_loss.value is not None:
        yield "the predictions are said to hold no probabilities, and something rests on them"


def _missing_scores(evaluation: EvaluationEvidence, wanted_recall: float, with_curves: bool) -> Iterator[str]:
    classes = evaluation.per_class
    for c in classes:
        if 0 < c.support < evaluation.n and None in (c.roc_auc.value, c.average_precision.value):
            yield f"ROC AUC or average precision of {c.name!r} is missing"
    if (evaluation.calibration is None) != (evaluation.log_loss.value is None):
        yield "of calibration and log loss one is missing"
    if evaluation.calibration is None and evaluation.log_loss.reason != NOT_NORMALISED:
        yield "the calibration is missing"
    bars = {advice.wanted_recall for advice in evaluation.thresholds if advice.wanted_recall is not None}
    if evaluation.looked_into_below is not None:
        bars.add(evaluation.looked_into_below)
    if len(bars) > 1:
        yield "classes are said to have been looked into below more than one recall"
        return
    bar = next(iter(bars), wanted_recall)
    targets = {classes[index].name for index in target_classes(classes, evaluation.positive, bar)}
    looked_into = {r.class_name for r in evaluation.recoverable_recall}
    if targets != looked_into:
        yield _difference("what other thresholds could reach", looked_into, targets)
    by_name = {c.name: c for c in classes}
    asked = {a.wanted_precision for a in evaluation.thresholds if a.wanted_precision is not None}
    yield from _in_precisions(evaluation.recoverable_recall, asked.union(WANTED_PRECISIONS) if with_curves else set())
    for recoverable in evaluation.recoverable_recall:
        if recoverable.class_name in by_name:
            yield from _in_recoverable(recoverable, by_name[recoverable.class_name], evaluation.n)
    if not with_curves:
        return
    drawn = {curve.class_name for curve in evaluation.curves}
    expected = {classes[index].name for index in curve_classes(classes, evaluation.positive)}
    if drawn != expected:
        yield _difference("the precision-recall curve", drawn, expected)
        return
    for curve in evaluation.curves:
        yield from _in_curve(curve, by_name[curve.class_name], evaluation.n)


def _in_precisions(found: Sequence[RecoverableRecall], asked: Collection[float]) -> Iterator[str]:
    """Every class is looked into at the same precisions, and a higher one never lets more be found."""
    of_class: dict[str, list[RecoverableRecall]] = {}
    precisions: tuple[float, ...] = ()
    for recoverable in found:
        of_class.setdefault(recoverable.class_name, []).append(recoverable)
    for name, entries in of_class.items():
        wanted = tuple(entry.wanted_precision for entry in entries)
        precisions = precisions or wanted
        if wanted != precisions or list(wanted) != sorted({*wanted, *asked}):
            yield f"what other thresholds could reach for {name!r} is not given at each precision"
        recalls = [entry.recall.value for entry in entries if entry.recall.value is not None]
        if any(after > before + _ROUNDING for before, after in pairwise(recalls)):
            yield f"what other thresholds could reach for {name!r} rises with the precision demanded"


def _in_recoverable(recoverable: RecoverableRecall, metrics: ClassMetrics, items: int) -> Iterator[str]:
    name = f"what other thresholds could reach for {metrics.name!r}"
    recall, precision = recoverable.recall, recoverable.precision
    if recall.value is None:
        if min(metrics.support, items - metrics.support) > 1:
            yield f"{name} is missing"
        return
    hits = round(recall.value * metrics.support)
    if not _agree(recall, wilson(hits, metrics.support, recall.confidence)):
        yield f"{name} is no share of its items"
    if precision.value is None:
        if hits:
            yield f"{name} lacks its precision"
    elif not _agree(precision, wilson(hits, precision.n, precision.confidence)):
        yield f"{name} has a precision that is not that of its recall"


def _in_curve(curve: PrecisionRecallCurve, metrics: ClassMetrics, items: int) -> Iterator[str]:
    name = f"the precision-recall curve of {metrics.name!r}"
    counts = [(point.true_positives, point.true_positives + point.false_positives) for point in curve.points]
    if not counts or counts[-1] != (metrics.support, items):
        yield f"{name} does not end where every item is predicted as the class"
        return
    hits, chosen = np.array(counts, np.float64).T
    if (np.diff(hits, prepend=0) < 0).any() or (np.diff(chosen, prepend=0) <= 0).any() or (hits > chosen).any():
        yield f"{name} runs backwards"
        return
    rates = np.array([(point.precision, point.recall) for point in curve.points], np.float64).T
    if np.abs(rates - (hits / chosen, hits / metrics.support)).max() > _ROUNDING:
        yield f"{name} has other rates than its counts"
    others = items - metrics.support
    if others and metrics.roc_auc.value is not None:
        # Between two points of it the ROC curve runs up and to the right, by whatever way.
        steps, before = np.diff(chosen - hits, prepend=0) / others, np.concatenate([[0.0], hits[:-1]])
        least, most = (float((steps * found).sum()) / metrics.support for found in (before, hits))
        if not least - _ROUNDING <= metrics.roc_auc.value <= most + _ROUNDING:
            yield f"{name} is not that of its ROC AUC"
    area = float((np.diff(hits, prepend=0) / metrics.support * hits / chosen).sum())
    if metrics.average_precision.value is not None and abs(area - metrics.average_precision.value) > _THINNING:
        yield f"{name} is not that of its average precision"


def _difference(what: str, given: Collection[str], expected: Collection[str]) -> str:
    missing, added = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
    return (
        f"{what} is missing for {missing[0]!r}" if missing else f"{what} is given for {added[0]!r}, which was not asked"
    )


def _is_value(given: Estimate, made: float) -> bool:
    return given.value is None or np.isnan(made) or abs(given.value - made) <= _ROUNDING


def _agree(given: Estimate, made: Estimate) -> bool:
    pairs = ((given.value, made.value), (given.low, made.low), (given.high, made.high))
    return given.n == made.n and all(
        (first is None) == (second is None) and abs((first or 0.0) - (second or 0.0)) <= _ROUNDING
        for first, second in pairs
    )
