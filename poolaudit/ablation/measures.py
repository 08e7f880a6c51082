"""What one trial's predictions are worth: every metric with the influence of each test item, and whether it learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poolaudit.evidence.ablation import BACKWARDS
from poolaudit.statistics import influence
from poolaudit.statistics.influence import Measured
from poolaudit.statistics.ranking import rank_scores, roc_auc

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MATCHED, AVERAGE_PRECISION, RECALL = "recall_at_matched_precision", "average_precision", "recall"
METRICS = (MATCHED, AVERAGE_PRECISION, RECALL, "precision", "f1", "accuracy", "matthews_correlation", "log_loss")
MOST_CLASSES = 20

LEARNED, COLLAPSED, DEAD, DIVERGED, FAILED = "learned", "collapsed", "dead", "diverged", "failed"

# A precision of exactly 0.85 must count as reaching 0.85 although 0.85 is no binary fraction.
_ROUNDING = 1e-9
_CONSTANT = 1e-4
_ABOVE_GUESSING, _STEP, _WORTH_COMPARING = 0.25, 0.05, 0.2
_CHUNK_VALUES = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What all trials are asked: which items, which classes, at which precision.

    Attributes:
        labels: int64 (n,) of the test items.
        validation_labels: Likewise of the validation items; None where there are none.
        classes: Number of classes.
        targets: Classes of interest; metrics of several are averaged.
        precision: The precision that thresholds chosen on validation data must keep; None where there are none.
        draws: Validation items drawn with replacement, as counts (draws, validation items): how much a threshold owes
            to the items it was chosen on. The same draws for every trial.
    """

    labels: Labels
    validation_labels: Labels | None
    classes: int
    targets: tuple[int, ...]
    precision: float | None
    draws: npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds:
    """Of one class: the one chosen on the validation items, and one for each draw of them, shape (draws,)."""

    chosen: float
    drawn: Floats


@dataclass(frozen=True, slots=True, eq=False)
class TrialMeasures:
    """One trial's metrics.

    Attributes:
        metrics: By name, as in `METRICS`; NaN where 0 is divided by 0.
        matched_draws: Recall at matched precision for each draw of validation items, shape (draws,).
        matched_precision: Precision on the test items at the thresholds chosen on validation data.
        state: "learned", "collapsed" (alive, but its scores rank no better than chance), "dead" (the same answer for
            every item) or "diverged" (NaN or infinite).
        reason: In words, where it did not learn.
    """

    metrics: dict[str, Measured]
    matched_draws: Floats
    matched_precision: float
    state: str
    reason: str = ""


def draw_validation(items: int, rng: np.random.Generator, draws: int = 200) -> npt.NDArray[np.uint16]:
    """Counts of items drawn with replacement, shape (draws, items); fewer draws where there are very many items."""
    if items == 0:
        return np.zeros((0, 0), np.uint16)
    made = max(50, min(draws, 20_000_000 // max(1, items)))
    return rng.multinomial(items, np.full(items, 1 / items), size=made).astype(np.uint16)


def measure_trial(
    probabilities: Floats,
    validation: Floats | None,
    question: Question,
    thresholds: tuple[Thresholds, ...] | None = None,
) -> TrialMeasures:
    """Every metric of a trial.

    Args:
        probabilities: float64 (n, classes) on the test items.
        validation: Likewise on the validation items; None where there are none.
        question: The same for all trials.
        thresholds: What `thresholds_of` gave for these validation items, where it is known; most of the work is in it.
    """
    if not np.isfinite(probabilities).all() or (validation is not None and not np.isfinite(validation).all()):
        return unmeasured(question, DIVERGED, "its outputs are NaN or infinite")
    labels, targets = question.labels, question.targets
    predicted = decide(probabilities)
    truths = [labels == target for target in targets]
    chosen = [predicted == target for target in targets]
    scores = [np.ascontiguousarray(probabilities[:, target]) for target in targets]
    average = influence.average_of
    metrics = {
        RECALL: average([influence.recall(t, c) for t, c in zip(truths, chosen, strict=True)]),
        "precision": average([influence.precision(t, c) for t, c in zip(truths, chosen, strict=True)]),
        "f1": average([influence.f1(t, c) for t, c in zip(truths, chosen, strict=True)]),
        "matthews_correlation": average([influence.matthews(t, c) for t, c in zip(truths, chosen, strict=True)]),
        "accuracy": influence.mean((predicted == labels).astype(np.float64)),
        AVERAGE_PRECISION: average([influence.average_precision(t, s) for t, s in zip(truths, scores, strict=True)]),
        "log_loss": influence.mean(_log_losses(probabilities, labels)),
    }
    if thresholds is None:
        thresholds = thresholds_of(validation, question)
    matched, draws, reached = _matched(scores, truths, thresholds, len(labels))
    metrics[MATCHED] = matched
    state, reason = _state(scores, truths)
    return TrialMeasures(metrics, draws, reached, state, reason)


def decide(probabilities: Floats) -> Labels:
    """Class indices: the second of two classes from 0.5 on, else the highest, the first among ties."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= 0.5).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), np.int64)


def choose_precision(validations: Sequence[Floats], question: Question, good: float) -> float:
    """The precision at which recall is compared, from the baseline's trials on the validation items.

    The baseline's own precision as shipped, but no more than the policy calls good: beyond that the threshold hangs on
    the one or two highest-scoring negatives. And no less than a quarter of the way from the share of the class to 1: at
    a precision that blind guessing reaches, every model has a recall of 1. In between it is lowered until the baseline
    finds a fifth of the class, so that there is something to compare.

    Args:
        validations: Probabilities (n, classes) of each trial.
        question: With validation labels.
        good: What the policy calls a good precision.
    """
    labels = question.validation_labels
    assert labels is not None
    alive = [v for v in validations if any(np.ptp(v[:, target]) >= _CONSTANT for target in question.targets)]
    validations = alive or validations
    shares = [float(np.mean(labels == target)) for target in question.targets]
    lowest = float(np.mean(shares)) + _ABOVE_GUESSING * (1 - float(np.mean(shares)))
    shipped = [value for v in validations if np.isfinite(value := _shipped_precision(v, question))]
    precision = max(lowest, min(good, float(np.median(shipped)) if shipped else good))
    while precision - _STEP > lowest and _held_recall(validations, question, precision) < _WORTH_COMPARING:
        precision -= _STEP
    return precision


def _shipped_precision(validation: Floats, question: Question) -> float:
    assert question.validation_labels is not None
    predicted = decide(validation)
    labels = question.validation_labels
    return float(np.mean([influence.precision(labels == t, predicted == t).value for t in question.targets]))


def _held_recall(validations: Sequence[Floats], question: Question, precision: float) -> float:
    """Median over the trials of the recall on the validation items at this precision."""
    labels = question.validation_labels
    assert labels is not None
    recalls = []
    for probabilities in validations:
        parts = []
        for target in question.targets:
            scores, truth = np.ascontiguousarray(probabilities[:, target]), labels == target
            parts.append(influence.recall(truth, scores >= choose_threshold(scores, truth, precision)).value)
        recalls.append(float(np.mean(parts)))
    return float(np.median(recalls)) if recalls else 0.0


def choose_threshold(scores: Floats, truth: Mask, wanted: float) -> float:
    """The threshold of highest recall that keeps the wanted precision; infinity where none does."""
    ranked = rank_scores(scores, truth)
    keeps = ranked.true_positives >= (wanted - _ROUNDING) * ranked.predicted_positives
    keeps &= ranked.true_positives > 0
    return float(ranked.thresholds[np.flatnonzero(keeps)[-1]]) if keeps.any() else float("inf")


def thresholds_of(validation: Floats | None, question: Question) -> tuple[Thresholds, ...]:
    """The thresholds of each class of interest, whatever the test items; empty where there is nothing to choose on."""
    if validation is None or question.precision is None or question.validation_labels is None:
        return ()
    found = []
    for target in question.targets:
        held, truth = np.ascontiguousarray(validation[:, target]), question.validation_labels == target
        chosen = choose_threshold(held, truth, question.precision)
        found.append(Thresholds(chosen, _drawn_thresholds(held, truth, question.precision, question.draws)))
    return tuple(found)


def _matched(
    scores: list[Floats], truths: list[Mask], thresholds: tuple[Thresholds, ...], items: int
) -> tuple[Measured, Floats, float]:
    if not thresholds:
        return Measured(float("nan"), np.zeros(items), 0), np.zeros(0), float("nan")
    parts, draws, reached = [], [], []
    for score, truth, threshold in zip(scores, truths, thresholds, strict=True):
        chosen = score >= threshold.chosen
        parts.append(influence.recall(truth, chosen))
        reached.append(influence.precision(truth, chosen).value)
        positives = np.sort(score[truth])
        draws.append((len(positives) - np.searchsorted(positives, threshold.drawn)) / max(1, len(positives)))
    defined = [value for value in reached if np.isfinite(value)]
    precision = float(np.mean(defined)) if defined else float("nan")
    return influence.average_of(parts), np.mean(draws, axis=0), precision


def _drawn_thresholds(scores: Floats, truth: Mask, wanted: float, draws: npt.NDArray[np.uint16]) -> Floats:
    """The chosen threshold for each draw of the validation items, shape (draws,)."""
    ranked = rank_scores(scores, truth)
    thresholds = np.empty(len(draws))
    step = max(1, _CHUNK_VALUES // max(1, len(scores)))
    for start in range(0, len(draws), step):
        weights = draws[start : start + step][:, ranked.order].astype(np.int64)
        hits = np.cumsum(weights * truth[ranked.order], axis=1)[:, ranked.ends]
        picked = np.cumsum(weights, axis=1)[:, ranked.ends]
        keeps = (hits >= (wanted - _ROUNDING) * picked) & (hits > 0)
        last = keeps.shape[1] - 1 - keeps[:, ::-1].argmax(axis=1)
        thresholds[start : start + step] = np.where(keeps.any(axis=1), ranked.thresholds[last], np.inf)
    return thresholds


def _state(scores: list[Floats], truths: list[Mask]) -> tuple[str, str]:
    if all(float(np.ptp(score)) < _CONSTANT for score in scores):
        return DEAD, "it gives the same answer for every item"
    is_backwards = False
    for score, truth in zip(scores, truths, strict=True):
        area = roc_auc(rank_scores(score, truth))
        if area.low is None or area.low > 0.5:
            return LEARNED, ""
        is_backwards |= area.high is not None and area.high < 0.5
    if is_backwards:
        return LEARNED, BACKWARDS
    return COLLAPSED, "its scores rank the class of interest no better than chance (ROC AUC 0.5 is in the interval)"


def _log_losses(probabilities: Floats, labels: Labels) -> Floats:
    rows = probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(-np.log(np.clip(rows[np.arange(len(labels)), labels], 1e-7, 1.0)))


def unmeasured(question: Question, state: str, reason: str) -> TrialMeasures:
    """A trial that gave nothing to measure."""
    nothing = Measured(float("nan"), np.zeros(len(question.labels)), 0)
    draws = np.full(len(question.draws) if question.precision is not None else 0, np.nan)
    return TrialMeasures(dict.fromkeys(METRICS, nothing), draws, float("nan"), state, reason)
