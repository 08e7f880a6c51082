"""Recall where the test items of a class come in groups."""

from __future__ import annotations

import numpy as np

from poolaudit.evidence.evaluation import GroupedRecall
from poolaudit.statistics.clusters import rate_by_group
from poolaudit.subject.predictions import Predictions


def grouped_recall(predictions: Predictions, confidence: float) -> tuple[GroupedRecall, ...] | None:
    """The recall of each class of which some group holds several test items; None where no groups are named.

    An item without a group is a group of its own.
    """
    if predictions.groups is None:
        return None
    numbers: dict[object, int] = {}
    groups = np.array(
        [
            numbers.setdefault(position if name is None else str(name), len(numbers))
            for position, name in enumerate(predictions.groups)
        ],
        np.int64,
    )
    right = predictions.predicted == predictions.labels
    found = []
    for index, name in enumerate(predictions.class_names):
        of_class = predictions.labels == index
        _, position, items = np.unique(groups[of_class], return_inverse=True, return_counts=True)
        if not len(items) or items.max() == 1:
            continue
        hits = np.bincount(position, weights=right[of_class], minlength=len(items)).astype(np.int64)
        found.append(GroupedRecall(name, int(items.sum()), rate_by_group(hits, items, confidence)))
    return tuple(found)
