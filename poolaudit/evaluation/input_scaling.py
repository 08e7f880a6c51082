"""Are the data scaled as the model expects? Tried out: predict, rescale, predict again, compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import wilcoxon

from poolaudit.evaluation.calibration import tempered_losses
from poolaudit.evidence.evaluation import InputScaling, ScalingTrial
from poolaudit.statistics.binomial import mcnemar_first_better

Inputs = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]
Rescaling = Callable[[Inputs], Inputs]
Answers = tuple[npt.NDArray[np.integer], npt.NDArray[np.float64] | None]


def check_input_scaling(
    answer: Callable[[Inputs], Answers],
    inputs: Inputs,
    labels: Labels,
    n_classes: int,
    seed: int,
    max_items: int = 500,
) -> InputScaling:
    """The model's answers on the data as given and under each rescaling that makes sense for their range.

    The p-values are not corrected for their number; whoever judges them corrects.

    Args:
        answer: Inputs to predicted class indices, shape (n,), and class probabilities, shape (n, classes), or None.
        inputs: Test inputs, shape (n, ...), numbers.
        labels: True class indices, shape (n,).
        n_classes: Number of classes.
        seed: Draws the subsample.
        max_items: At most this many items are tried, drawn in the classes' proportions.
    """
    chosen = stratified_subsample(labels, max_items, np.random.default_rng(seed))
    sample, truth = inputs[chosen], labels[chosen]
    low, high = float(np.min(inputs)), float(np.max(inputs))
    answered, probabilities = answer(sample)
    given_right = np.asarray(answered) == truth
    given_losses = _losses(probabilities, truth)
    balanced = _balanced_accuracy(given_right, truth, n_classes)
    trials = [ScalingTrial("x", balanced, 0, 0, None, _mean(given_losses))]
    as_float = sample.astype(np.float32)
    for name, rescale in sensible_rescalings(low, high):
        answered, probabilities = answer(rescale(as_float))
        right, losses = np.asarray(answered) == truth, _losses(probabilities, truth)
        gained = int(np.count_nonzero(right & ~given_right))
        lost = int(np.count_nonzero(given_right & ~right))
        score = _balanced_accuracy(right, truth, n_classes)
        lower = None if losses is None or given_losses is None else _is_lower(losses, given_losses)
        trials.append(ScalingTrial(name, score, gained, lost, mcnemar_first_better(gained, lost), _mean(losses), lower))
    return InputScaling(len(chosen), low, high, tuple(trials))


def _losses(probabilities: npt.NDArray[np.float64] | None, truth: Labels) -> npt.NDArray[np.float64] | None:
    return None if probabilities is None else tempered_losses(probabilities, truth)


def _mean(losses: npt.NDArray[np.float64] | None) -> float | None:
    return None if losses is None else float(losses.mean())


def _is_lower(losses: npt.NDArray[np.float64], given: npt.NDArray[np.float64]) -> float:
    if np.array_equal(losses, given):
        return 1.0
    return float(wilcoxon(losses, given, alternative="less").pvalue)


def sensible_rescalings(low: float, high: float) -> tuple[tuple[str, Rescaling], ...]:
    """The rescalings worth a try for inputs in [low, high], by name.

    Data that look like bytes, like shares in [0, 1] or like [-1, 1] are turned into each other. Non-negative data
    with another maximum are also divided by it. Data that are standardised (negative and beyond 1) have no
    obvious other scale: none is tried.
    """
    if low >= 0 and high > 1.5:
        byte_like: list[tuple[str, Rescaling]] = []
        if high <= 255:
            byte_like += [("x / 255", lambda x: x / 255), ("x / 127.5 - 1", lambda x: x / 127.5 - 1)]
        if not 200 <= high <= 255:
            byte_like.append((f"x / {high:g}", lambda x: x / high))
        return tuple(byte_like)
    if low >= 0 and high > 0:
        return (("x * 255", lambda x: x * 255), ("2 x - 1", lambda x: 2 * x - 1))
    if -1.5 <= low < 0 and high <= 1.5:
        return (("(x + 1) / 2", lambda x: (x + 1) / 2), ("(x + 1) * 127.5", lambda x: (x + 1) * 127.5))
    return ()


def stratified_subsample(labels: Labels, max_items: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Sorted indices of at most `max_items` items, classes in proportion and each class represented if it fits."""
    if len(labels) <= max_items:
        return np.arange(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = rng.permutation(np.flatnonzero(labels == label))
        place[of_class] = np.arange(len(of_class)) / len(of_class)
    return np.sort(np.argsort(place, kind="stable")[:max_items])


def _balanced_accuracy(right: npt.NDArray[np.bool_], truth: Labels, n_classes: int) -> float:
    support = np.bincount(truth, minlength=n_classes)
    hits = np.bincount(truth[right], minlength=n_classes)
    present = support > 0
    return float(np.mean(hits[present] / support[present]))
