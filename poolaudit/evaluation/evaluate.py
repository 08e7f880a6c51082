"""The stage itself: predictions in, evaluation evidence out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from poolaudit.errors import InvalidInputError, listed
from poolaudit.evaluation.calibration import calibration, log_loss
from poolaudit.evaluation.confusion import (
    RankingMetrics,
    class_metrics,
    confusion_matrix,
    no_information_test,
    overall_metrics,
)
from poolaudit.evaluation.grouped import grouped_recall
from poolaudit.evaluation.ranking import (
    no_ranking,
    precision_recall_curve,
    ranking_metrics,
    threshold_in_use,
)
from poolaudit.evaluation.thresholds import advise_threshold, no_advice, recoverable_recall
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import (
    Calibration,
    ClassMetrics,
    EvaluationEvidence,
    InputScaling,
    NotAssessed,
    PrecisionRecallCurve,
    RecoverableRecall,
    ThresholdAdvice,
)
from poolaudit.statistics.ranking import rank_scores
from poolaudit.subject.labels import resolve_class
from poolaudit.subject.predictions import Predictions

MOST_CURVES = 12
_FEWEST_DISTINCT = 10
# Scores that two items share for other reasons: near 1, or written with three decimals.
_SATURATED, _ON_A_GRID, _FEWEST_ROWS = 0.999, 1e-6, 20
WANTED_PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
NO_VALIDATION = (
    "no validation data were given; a threshold chosen on the test split would flatter itself on the same items"
)
NO_PROBABILITIES = "the predictions hold labels only, no probabilities"
NOT_NORMALISED = (
    "the class scores are no probabilities (independent sigmoids or margins), so what they mean as such is unknown"
)

Progress = Callable[[int, int, str], None]


@dataclass(slots=True)
class _ByScore:
    """What the sorted scores of each class give, collected class by class."""

    ranking: list[RankingMetrics] = field(default_factory=list)
    curves: list[PrecisionRecallCurve] = field(default_factory=list)
    recoverable: list[RecoverableRecall] = field(default_factory=list)


def evaluate(
    predictions: Predictions,
    *,
    positive: str | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    validation: Predictions | None = None,
    wanted_precision: float = 0.85,
    wanted_recall: float = 0.85,
    recoverable_at: Sequence[float] = WANTED_PRECISIONS,
    loss: Estimate | None = None,
    input_scaling: InputScaling | None = None,
    head_problem: str | None = None,
    decides_where_known: bool = True,
    contents: Sequence[Hashable] | None = None,
    on_progress: Progress | None = None,
) -> EvaluationEvidence:
    """Measures everything that predictions on the test split can tell; judges nothing.

    Args:
        predictions: Of the test split.
        positive: The class of interest; None judges each class.
        confidence: Coverage of every interval, in (0, 1).
        seed: Of the draws behind intervals.
        validation: Predictions on other data than the test split; only from these is a threshold recommended.
        wanted_precision: What a recommended threshold must reach on the validation items.
        wanted_recall: Likewise.
        recoverable_at: Precisions at which the recoverable recall is diagnosed.
        loss: The model's compiled loss on the test split.
        input_scaling: Passed through to the evidence.
        head_problem: Likewise.
        decides_where_known: Likewise.
        contents: What identifies the content of each item, so that repeats of one item do not pass for many.
        on_progress: Told (steps done, steps in all, what was done).

    Raises:
        InvalidInputError: There are no predictions, `positive` is no class, or the validation split has other
            classes.
    """
    names = predictions.class_names
    _check(predictions, validation)
    if positive is not None:
        positive = names[resolve_class(positive, names)]
    tell = on_progress or (lambda done, total, what: None)
    steps = len(names) + 3
    counts_rng, calibration_rng = np.random.default_rng(seed).spawn(2)
    confusion = confusion_matrix(predictions.labels, predictions.predicted, len(names))
    overall = overall_metrics(confusion, names, confidence, counts_rng)
    tell(1, steps, "confusion matrix")

    plain = class_metrics(confusion, names, [no_ranking(NO_PROBABILITIES)] * len(names), confidence)
    targets = target_classes(plain, positive, wanted_recall)
    curved = curve_classes(plain, positive)
    by_score = _ByScore()
    if predictions.probabilities is None:
        by_score.ranking = [no_ranking(NO_PROBABILITIES)] * len(names)
    else:
        for index, metrics in enumerate(plain):
            _add_class(
                by_score,
                predictions.predicted == index if len(names) == 2 else None,
                predictions.probabilities[:, index],
                predictions.labels == index,
                metrics,
                curved=index in curved,
                recoverable_at=recoverable_at if index in targets else (),
                confidence=confidence,
            )
            tell(2 + index, steps, f"ranking of class {names[index]}")
    losses, calibrated = _calibrate(predictions, confidence, calibration_rng)
    tell(steps - 1, steps, "calibration")
    advice = tuple(
        _advise(predictions, validation, index, wanted_precision, wanted_recall, confidence)
        for index in targets
        if plain[index].support
    )
    tell(steps, steps, "thresholds")
    return EvaluationEvidence(
        n=len(predictions.labels),
        class_names=tuple(names),
        positive=positive,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        head=predictions.stated,
        accuracy=overall.accuracy,
        balanced_accuracy=overall.balanced_accuracy,
        matthews_correlation=overall.matthews_correlation,
        cohens_kappa=overall.cohens_kappa,
        log_loss=losses,
        loss=loss or Estimate.not_estimable("no model was evaluated that carries a compiled loss"),
        per_class=class_metrics(confusion, names, by_score.ranking, confidence),
        averages=overall.averages,
        no_information=no_information_test(confusion, names),
        curves=tuple(by_score.curves),
        calibration=calibrated,
        recoverable_recall=tuple(by_score.recoverable),
        thresholds=advice,
        input_scaling=input_scaling,
        head_problem=head_problem,
        decides_where_known=decides_where_known,
        looked_into_below=wanted_recall,
        grouped=grouped_recall(predictions, confidence, contents),
        not_assessed=(
            *_not_assessed(predictions, plain, positive, curved, targets),
            *(_repeated_rows(predictions) if contents is None and predictions.groups is None else ()),
        ),
    )


def _check(predictions: Predictions, validation: Predictions | None) -> None:
    names = predictions.class_names
    if not len(predictions.labels):
        raise InvalidInputError("The predictions hold no items", "at least one labelled item")
    if validation is not None and tuple(validation.class_names) != tuple(names):
        raise InvalidInputError(
            f"The validation split has the classes {listed(validation.class_names)}",
            f"those of the test split: {listed(names)}",
            "Give both splits with the same classes in the same order.",
        )
    if validation is not None and _same_items(predictions, validation):
        raise InvalidInputError(
            f"The validation data ({validation.source}) are the test data",
            "other items than those of the test split",
            "A threshold chosen on the test items would flatter itself on them; leave the validation data out, or "
            "split the data",
        )


def _same_items(test: Predictions, validation: Predictions) -> bool:
    """Whether both hold the same labels and scores, in whatever order."""
    if len(test) != len(validation):
        return False
    if test.probabilities is None or validation.probabilities is None:
        return False  # no threshold is chosen then
    first = np.column_stack([test.labels, test.probabilities])
    second = np.column_stack([validation.labels, validation.probabilities])
    if len(np.unique(first[:, 1])) < _FEWEST_DISTINCT:
        return False  # scores on a coarse grid agree by chance
    return bool(np.array_equal(first[np.lexsort(first.T)], second[np.lexsort(second.T)]))


def target_classes(metrics: Sequence[ClassMetrics], positive: str | None, wanted_recall: float) -> tuple[int, ...]:
    """Classes whose threshold is looked into: the one of interest, both of two, else those not shown to have it."""
    if positive is not None:
        return tuple(i for i, m in enumerate(metrics) if m.name == positive)
    if len(metrics) == 2:
        return (0, 1)
    short = [i for i, m in enumerate(metrics) if m.recall.low is not None and m.recall.low < wanted_recall]
    return tuple(sorted(_worst_first(short, metrics)[:MOST_CURVES]))


def curve_classes(metrics: Sequence[ClassMetrics], positive: str | None) -> tuple[int, ...]:
    """Classes whose precision-recall curve is drawn: the one of interest, else those of lowest recall."""
    if positive is not None:
        return tuple(i for i, m in enumerate(metrics) if m.name == positive and m.support)
    present = [i for i, m in enumerate(metrics) if m.support]
    return tuple(sorted(_worst_first(present, metrics)[:MOST_CURVES]))


def _worst_first(indices: Sequence[int], metrics: Sequence[ClassMetrics]) -> list[int]:
    return sorted(indices, key=lambda i: (metrics[i].recall.value or 0.0, -metrics[i].support))


def _add_class(
    by_score: _ByScore,
    chosen_of_two: npt.NDArray[np.bool_] | None,
    scores: npt.NDArray[np.float64],
    truth: npt.NDArray[np.bool_],
    metrics: ClassMetrics,
    *,
    curved: bool,
    recoverable_at: Sequence[float],
    confidence: float,
) -> None:
    ranked = rank_scores(scores, truth)
    by_score.ranking.append(ranking_metrics(ranked, confidence))
    if curved:
        threshold = None if chosen_of_two is None else threshold_in_use(scores, chosen_of_two)
        by_score.curves.append(precision_recall_curve(ranked, metrics, threshold))
    if recoverable_at:
        by_score.recoverable.extend(recoverable_recall(metrics.name, ranked, truth, recoverable_at, confidence))


def _calibrate(
    predictions: Predictions, confidence: float, rng: np.random.Generator
) -> tuple[Estimate, Calibration | None]:
    if predictions.probabilities is None:
        return Estimate.not_estimable(NO_PROBABILITIES), None
    if not predictions.normalised:
        return Estimate.not_estimable(NOT_NORMALISED), None
    losses = log_loss(predictions.probabilities, predictions.labels, confidence)
    return losses, calibration(predictions.probabilities, predictions.labels, confidence, rng)


def _advise(
    test: Predictions,
    validation: Predictions | None,
    index: int,
    wanted_precision: float,
    wanted_recall: float,
    confidence: float,
) -> ThresholdAdvice:
    name = test.class_names[index]
    if test.probabilities is None:
        return no_advice(name, NO_PROBABILITIES, wanted_precision, wanted_recall)
    if validation is None:
        return no_advice(name, NO_VALIDATION, wanted_precision, wanted_recall)
    if validation.probabilities is None:
        reason = "the predictions for the validation split hold labels only, no probabilities"
        return no_advice(name, reason, wanted_precision, wanted_recall)
    return advise_threshold(
        name,
        (
            validation.probabilities[:, index],
            validation.labels == index,
            validation.predicted == index,
        ),
        (test.probabilities[:, index], test.labels == index),
        wanted_precision,
        wanted_recall,
        confidence,
    )


def _not_assessed(
    predictions: Predictions,
    metrics: Sequence[ClassMetrics],
    positive: str | None,
    curved: Sequence[int],
    targets: Sequence[int],
) -> tuple[NotAssessed, ...]:
    missing = []
    if predictions.probabilities is None:
        what = "average precision, ROC AUC, log loss, calibration, precision-recall curves, other thresholds"
        return (NotAssessed(what, NO_PROBABILITIES),)
    if not predictions.normalised:
        missing.append(NotAssessed("log loss and calibration", NOT_NORMALISED))
    present = [m.name for m in metrics if m.support]
    absent = [m.name for m in metrics if not m.support]
    if absent:
        missing.append(
            NotAssessed(f"recall and ranking of {listed(absent)}", "no item of the test split is of these classes")
        )
    if positive is None and len(curved) < len(present):
        missing.append(
            NotAssessed(
                f"precision-recall curves of {len(present) - len(curved)} classes",
                f"only the {len(curved)} classes of lowest recall are drawn; name a class of interest to see another",
            )
        )
    if positive is None and len(metrics) > 2 and len(targets) < len(present):
        missing.append(
            NotAssessed(
                f"other thresholds than arg max for {len(present) - len(targets)} classes",
                f"only classes whose recall is not shown to be good are looked into, and at most {MOST_CURVES} of them",
            )
        )
    return tuple(missing)


def _repeated_rows(predictions: Predictions) -> tuple[NotAssessed, ...]:
    """Where rows recur whose scores are so fine that two items hardly share them."""
    scores = predictions.probabilities
    if scores is None:
        return ()
    fine = (scores.max(axis=1) < _SATURATED) & (
        np.abs(scores * 1000 - np.round(scores * 1000)).max(axis=1) > _ON_A_GRID
    )
    rows = scores[fine]
    different = len(np.unique(rows @ np.random.default_rng(0).random(rows.shape[1])))
    if len(rows) < _FEWEST_ROWS or different > len(rows) / 2:
        return ()
    reason = (
        f"only {different:,} of {len(rows):,} rows differ in their scores; if items were repeated, every interval is "
        "too narrow (a column `group` tells which belong together)"
    )
    return (NotAssessed("whether the items are independent", reason),)
