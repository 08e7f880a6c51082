"""The items of the class that matters which the model misses, worst first, for people to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from poolaudit.evidence.evaluation import EvaluationEvidence, MissedItem, MissedItems
from poolaudit.subject.predictions import Predictions

_MOST_SHOWN = 24


def missed_items(
    predictions: Predictions,
    evaluation: EvaluationEvidence,
    pictures: Callable[[Sequence[int]], Sequence[str | None]] = lambda indices: [None] * len(indices),
) -> MissedItems | None:
    """The missed items of the class of interest, or of the class with the lowest recall where none is named.

    Worst first: by the score of the true class, lowest first; in the order of the data where there are no scores.

    Args:
        pictures: Base64 PNG of the items at these positions, None where there is none to show.

    Returns:
        None where no item of the class is missed.
    """
    name = evaluation.positive
    if name is None:
        judged = [c for c in evaluation.per_class if c.recall.value is not None]
        name = min(judged, key=lambda c: (c.recall.value or 0.0, c.name)).name
    index = predictions.class_names.index(name)
    missed = np.flatnonzero((predictions.labels == index) & (predictions.predicted != index))
    if not len(missed):
        return None
    if predictions.probabilities is not None:
        missed = missed[np.argsort(predictions.probabilities[missed, index], kind="stable")]
    shown = [int(i) for i in missed[:_MOST_SHOWN]]
    items = tuple(
        MissedItem(
            index=i,
            predicted=predictions.class_names[int(predictions.predicted[i])],
            score=None if predictions.probabilities is None else float(predictions.probabilities[i, index]),
            path=None if predictions.paths is None or predictions.paths[i] is None else str(predictions.paths[i]),
            picture=picture,
        )
        for i, picture in zip(shown, pictures(shown), strict=True)
    )
    return MissedItems(name, len(missed), items)
