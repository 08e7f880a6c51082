"""Recall where the test items of a class come in groups, or occur several times."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from poolaudit.evidence.evaluation import GroupedRecall
from poolaudit.statistics.clusters import rate_by_group
from poolaudit.subject.predictions import Predictions


def grouped_recall(
    predictions: Predictions, confidence: float, contents: Sequence[Hashable] | None = None
) -> tuple[GroupedRecall, ...] | None:
    """The recall of each class of which some group holds several test items; None where there is no group.

    Args:
        predictions: An item without a group is a group of its own.
        confidence: Coverage of the intervals.
        contents: What identifies the content of each item; where no groups are named, equal items are one group.
    """
    named: Sequence[Hashable] | None = None if predictions.groups is None else predictions.groups.tolist()
    if named is None and contents is not None and len(set(contents)) < len(contents):
        named = contents
    if named is None:
        return None
    by = "content" if named is contents else "group"
    numbers: dict[object, int] = {}
    groups = np.array(
        [
            numbers.setdefault(position if name is None else str(name), len(numbers))
            for position, name in enumerate(named)
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
        found.append(GroupedRecall(name, int(items.sum()), rate_by_group(hits, items, confidence), by))
    return tuple(found)
