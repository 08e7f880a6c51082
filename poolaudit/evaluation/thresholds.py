"""Thresholds: what another one could reach (a diagnosis), and one chosen elsewhere than on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import RecoverableRecall, ThresholdAdvice
from poolaudit.statistics.intervals import wilson
from poolaudit.statistics.ranking import RankedScores, rank_scores

Scores = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

# A precision of exactly 0.85 must count as reaching 0.85 although 0.85 is no binary fraction.
_ROUNDING = 1e-9
# More divisions than 100 move the medians by less than an item; a million items take a third of a second a class.
_FEWEST_DIVISIONS, _MOST_DIVISIONS, _ITEMS_DIVIDED = 4, 100, 2_000_000


def recoverable_recall(
    class_name: str,
    ranked: RankedScores,
    is_positive: Mask,
    precisions: Sequence[float],
    confidence: float,
) -> tuple[RecoverableRecall, ...]:
    """Recall that moving the threshold could reach at each wanted precision, by repeated two-fold cross-fitting.

    Positives and negatives are each divided into halves. On one half the threshold of highest recall that keeps the
    wanted precision is chosen and judged on the other half, then the other way round, and the counts are added. Where
    no threshold keeps the precision on a half, nothing in the other half is predicted positive. One division can be
    lucky, so the medians over many are taken (Chernozhukov et al. 2018, definition 3.3). The divisions are always the
    same: the diagnosis of the same items never changes with a seed.

    Args:
        class_name: The class whose score is thresholded.
        ranked: Its scores.
        is_positive: Truth in the items' original order, shape (n,).
        precisions: Wanted precisions, each in (0, 1).
        confidence: Coverage of the Wilson intervals.
    """
    if min(ranked.positives, ranked.negatives) < 2:
        missing = Estimate.not_estimable("cross-fitting needs at least 2 items of the class and 2 others")
        return tuple(RecoverableRecall(class_name, wanted, missing, missing) for wanted in precisions)
    divisions = _divisions(len(is_positive))
    rng = np.random.default_rng(0)
    truth = is_positive[ranked.order]
    counts = np.array([_cross_fitted_counts(ranked, truth, precisions, rng) for _ in range(divisions)])
    results = []
    for wanted, (hits, chosen) in zip(precisions, np.median(counts, axis=0).astype(int).tolist(), strict=True):
        recall = wilson(hits, ranked.positives, confidence)
        precision = wilson(hits, chosen, confidence, empty="no threshold keeps this precision")
        results.append(
            RecoverableRecall(class_name, wanted, _cross_fitted(recall, divisions), _cross_fitted(precision, divisions))
        )
    return tuple(results)


def _divisions(items: int) -> int:
    """How many divisions are affordable: an odd number, so that the median is one of them."""
    return max(_FEWEST_DIVISIONS, min(_MOST_DIVISIONS, _ITEMS_DIVIDED // items)) // 2 * 2 + 1


def _cross_fitted_counts(
    ranked: RankedScores, truth: Mask, precisions: Sequence[float], rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Items found and items predicted positive at each wanted precision, of one division into halves.

    Args:
        ranked: Scores.
        truth: In the order of the falling scores, shape (n,).
        precisions: Wanted precisions.
        rng: Draws the division.
    """
    half = np.empty(len(truth), dtype=np.int64)
    for stratum in (truth, ~truth):
        side = np.zeros(int(np.count_nonzero(stratum)), dtype=np.int8)
        side[: len(side) // 2] = 1
        rng.shuffle(side)
        half[stratum] = side
    first = (np.cumsum(half * truth)[ranked.ends], np.cumsum(half)[ranked.ends])
    second = (ranked.true_positives - first[0], ranked.predicted_positives - first[1])
    counts = [(0, 0)] * len(precisions)
    for fit, (judge_hits, judge_chosen) in ((first, second), (second, first)):
        best = _best_precision_from_below(*fit)
        for place, wanted in enumerate(precisions):
            from_below = int(np.searchsorted(best, wanted - _ROUNDING))
            if from_below < len(best):
                hits, chosen = counts[place]
                counts[place] = hits + int(judge_hits[-1 - from_below]), chosen + int(judge_chosen[-1 - from_below])
    return counts


def choose_threshold(ranked: RankedScores, wanted_precision: float, wanted_recall: float) -> float | None:
    """The threshold of highest F1 among those that reach both wanted rates; None where there is none.

    Items with a score of at least the threshold are predicted positive.
    """
    precision = ranked.true_positives / ranked.predicted_positives
    recall = ranked.true_positives / max(1, ranked.positives)
    reaches = (precision >= wanted_precision - _ROUNDING) & (recall >= wanted_recall - _ROUNDING)
    if not reaches.any():
        return None
    f1 = 2 * ranked.true_positives / (ranked.positives + ranked.predicted_positives)
    return float(ranked.thresholds[int(np.where(reaches, f1, -1.0).argmax())])


def no_advice(class_name: str, reason: str, wanted_precision: float, wanted_recall: float) -> ThresholdAdvice:
    """No threshold is recommended, and why."""
    return ThresholdAdvice(
        class_name,
        threshold=None,
        chosen_on=None,
        precision=None,
        recall=None,
        reason=reason,
        wanted_precision=wanted_precision,
        wanted_recall=wanted_recall,
    )


def advise_threshold(
    class_name: str,
    validation: tuple[Scores, Mask, Mask],
    test: tuple[Scores, Mask],
    wanted_precision: float,
    wanted_recall: float,
    confidence: float,
) -> ThresholdAdvice:
    """A threshold chosen on validation items alone and judged on test items alone.

    Args:
        class_name: The class whose score is thresholded.
        validation: Scores, truth and shipped predictions of the validation items.
        test: Scores and truth of the test items.
        wanted_precision: To be reached on the validation items.
        wanted_recall: To be reached on the validation items.
        confidence: Coverage of the Wilson intervals on the test items.
    """
    scores, truth, shipped = validation
    items = f"{len(scores):,} items"
    positives = int(np.count_nonzero(truth))
    if not positives:
        return no_advice(
            class_name,
            f"the validation split ({items}) holds no item of this class",
            wanted_precision,
            wanted_recall,
        )
    shipped_hits = int(np.count_nonzero(truth & shipped))
    if (
        shipped_hits >= wanted_recall * positives
        and shipped_hits >= wanted_precision * np.count_nonzero(shipped)
        and shipped_hits
    ):
        return no_advice(
            class_name,
            f"none is needed: on the validation split ({items}) the predictions as shipped already reach "
            f"precision {wanted_precision:.2f} and recall {wanted_recall:.2f}",
            wanted_precision,
            wanted_recall,
        )
    ranked = rank_scores(scores, truth)
    threshold = choose_threshold(ranked, wanted_precision, wanted_recall)
    if threshold is None:
        return no_advice(
            class_name,
            f"no threshold reaches recall {wanted_recall:.2f} at precision {wanted_precision:.2f} on the "
            f"validation split ({items}); {_best_recall(ranked, wanted_precision)}",
            wanted_precision,
            wanted_recall,
        )
    test_scores, test_truth = test
    chosen = test_scores >= threshold
    hits = int(np.count_nonzero(chosen & test_truth))
    return ThresholdAdvice(
        class_name,
        threshold=threshold,
        chosen_on=f"validation split, {items}",
        precision=wilson(
            hits,
            int(np.count_nonzero(chosen)),
            confidence,
            empty="no test item scores as high as this threshold",
        ),
        recall=wilson(hits, int(np.count_nonzero(test_truth)), confidence, empty="no test item is of this class"),
        wanted_precision=wanted_precision,
        wanted_recall=wanted_recall,
    )


def _best_precision_from_below(hits: Counts, chosen: Counts) -> Scores:
    """Highest precision met so far when the thresholds are walked from the lowest up: never falls."""
    precision = hits / np.maximum(chosen, 1)
    return np.asarray(np.maximum.accumulate(precision[::-1]))


def _best_recall(ranked: RankedScores, wanted_precision: float) -> str:
    keeps = ranked.true_positives >= (wanted_precision - _ROUNDING) * ranked.predicted_positives
    if not keeps.any():
        return "no threshold reaches this precision at all"
    best = int(ranked.true_positives[keeps].max()) / ranked.positives
    return f"the highest recall at this precision is {best:.2f}"


def _cross_fitted(estimate: Estimate, divisions: int) -> Estimate:
    return replace(estimate, method=f"two-fold cross-fitting, median of {divisions} divisions, {estimate.method}")
