"""Predictions built to measure: counts, confusion matrices, and scores that are right or wrong in a known way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from poolaudit.evaluation.evaluate import evaluate
from poolaudit.evidence.evaluation import EvaluationEvidence
from poolaudit.results import Evidence
from poolaudit.subject.predictions import Predictions

FRAUD = ("genuine", "fraud")


def predictions(
    labels: npt.ArrayLike,
    predicted: npt.ArrayLike,
    names: Sequence[str],
    probabilities: npt.NDArray[np.float64] | None = None,
) -> Predictions:
    return Predictions(
        labels=np.asarray(labels, np.int64),
        predicted=np.asarray(predicted, np.int64),
        probabilities=probabilities,
        class_names=tuple(names),
        groups=None,
        times=None,
        paths=None,
        source="made.npz",
        sha256="0" * 64,
        stated="Made to measure.",
        normalised=probabilities is not None,
    )


def from_confusion(confusion: npt.ArrayLike, names: Sequence[str] | None = None) -> Predictions:
    """Predicted labels alone, with exactly these counts; rows are true classes."""
    counts = np.asarray(confusion)
    truth, predicted = np.indices(counts.shape)
    names = names or [f"class {index}" for index in range(len(counts))]
    return predictions(np.repeat(truth.ravel(), counts.ravel()), np.repeat(predicted.ravel(), counts.ravel()), names)


def from_counts(tp: int, fn: int, fp: int, tn: int, names: Sequence[str] = FRAUD) -> Predictions:
    """Two classes, the second one positive; predicted labels alone."""
    return from_confusion([[tn, fp], [fn, tp]], names)


def from_scores(
    scores: npt.ArrayLike, truth: npt.ArrayLike, threshold: float = 0.5, names: Sequence[str] = FRAUD
) -> Predictions:
    """Two classes; the second is predicted from `threshold` on."""
    scores = np.asarray(scores, np.float64)
    return predictions(np.asarray(truth, np.int64), scores >= threshold, names, np.column_stack([1.0 - scores, scores]))


def scored_counts(tp: int, fn: int, fp: int, tn: int, seed: int = 0) -> Predictions:
    """These counts, with scores that agree with the decisions and rank nothing within them."""
    rng = np.random.default_rng(seed)
    truth = np.repeat([1, 1, 0, 0], [tp, fn, fp, tn])
    chosen = np.repeat([True, False, True, False], [tp, fn, fp, tn])
    return from_scores(np.where(chosen, rng.uniform(0.51, 1, len(truth)), rng.uniform(0, 0.49, len(truth))), truth)


def save_scored(file: Path, tp: int, fn: int, fp: int, tn: int) -> None:
    """These counts as a file of predictions, of the classes "fine" and "fraud"."""
    made = scored_counts(tp, fn, fp, tn)
    assert made.probabilities is not None
    np.savez(file, label=np.array(["fine", "fraud"])[made.labels], p_fraud=made.probabilities[:, 1])


def save_overlapping(file: Path, items: int) -> None:
    """A CSV of classes a and b, three tenths of it b, whose scores overlap."""
    rng = np.random.default_rng(0)
    labels = rng.random(items) < 0.3
    scores = np.clip(rng.normal(0.3 + 0.4 * labels, 0.15), 0, 1)
    rows = [f"{'ab'[int(label)]},{1 - score:.6f},{score:.6f}" for label, score in zip(labels, scores, strict=True)]
    file.write_text("label,p_a,p_b\n" + "\n".join(rows) + "\n")


def save_good_and_bad(folder: Path) -> None:
    """`good.npz`, and `bad.npz` of 98 % accuracy that finds 12 % of the fraud."""
    save_scored(folder / "good.npz", 950, 50, 50, 8950)
    save_scored(folder / "bad.npz", 24, 176, 24, 9776)


def diagonal(classes: int, items: int, recall: float, missed: int | None = None) -> npt.NDArray[np.int64]:
    """A confusion matrix with `items` a class; errors spread over the other classes in turn.

    Args:
        missed: The one class of which nothing is found.
    """
    counts = np.zeros((classes, classes), np.int64)
    for truth in range(classes):
        hits = 0 if truth == missed else round(items * recall)
        counts[truth, truth] = hits
        others = [column for column in range(classes) if column != truth]
        for error in range(items - hits):
            counts[truth, others[error % len(others)]] += 1
    return counts


def evidence(given: Predictions, positive: str | None = None, **options: object) -> Evidence:
    """What the real evaluation measures."""
    return Evidence(evaluation=evaluation(given, positive, **options))


def evaluation(given: Predictions, positive: str | None = None, **options: object) -> EvaluationEvidence:
    return evaluate(given, positive=positive, **options)  # type: ignore[arg-type]
