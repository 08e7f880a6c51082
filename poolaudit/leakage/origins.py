"""Groups and times of the splits, from their columns or from their file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.evidence.leakage import GroupOverlap, TimeOverlap
from poolaudit.leakage.groups import group_overlap, groups_in_names
from poolaudit.leakage.items import Items
from poolaudit.leakage.nearby import Searched
from poolaudit.leakage.times import time_overlap
from poolaudit.subject.splits import DataSplit

Array = np.ndarray[Any, Any]
Column = Sequence[str | None]

_SAMPLE = 5_000


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Groups of the training and the test split.

    Attributes:
        overlap: None where there are none; then `reason` says why.
        in_shared: (test items,) bool: the group stands in the training split too.
        columns: Names by split, where they are certain.
    """

    overlap: GroupOverlap | None
    reason: str | None
    in_shared: Array
    columns: Mapping[str, Column]


def read_groups(splits: Mapping[str, DataSplit], searched: Searched | None, test_items: Items, seed: int) -> Groups:
    """From the column `group`, else from file names.

    Args:
        searched: The training split made ready; file names are judged by how much alike items look.
    """
    train, test = splits["train"], splits["test"]
    columns: tuple[Column, Column] | None = None
    found: GroupOverlap | None = None
    reason: str | None = None
    if train.groups is not None and test.groups is not None:
        columns = (list(train.groups), list(test.groups))
        found = group_overlap(*columns)
        reason = None if found else "the column group is empty in one of the splits"
    elif train.paths is None or test.paths is None:
        reason = "the data have neither a column group nor file names"
    elif searched is None or len(searched.items) < len(train) or len(test_items) < len(test):
        reason = "file names are read only where every item is looked at"
    else:
        near = np.concatenate(
            [
                searched.describer.describe(test_items.coarse(slice(start, min(start + 1024, _SAMPLE, len(test)))))
                for start in range(0, min(len(test), _SAMPLE), 1024)
            ]
        )
        found, why, columns = groups_in_names(
            list(train.paths),
            list(test.paths),
            (train.labels.tolist(), test.labels.tolist()),
            (searched.descriptors, near),
            seed,
        )
        reason = why or None
    in_shared = np.zeros(len(test), np.bool_)
    if found is None or columns is None or not found.is_certain:
        return Groups(found, reason, in_shared, {})
    shared = {value for value in columns[0] if value is not None}
    in_shared = np.array([value in shared for value in columns[1]])
    validation = splits.get("validation")
    known = {"train": columns[0], "test": columns[1]}
    if validation is not None and validation.groups is not None:
        known["validation"] = list(validation.groups)
    return Groups(found, reason, in_shared, known)


def read_times(splits: Mapping[str, DataSplit]) -> tuple[TimeOverlap | None, str | None]:
    """From the column `time`, or the reason why there is nothing to say."""
    train, test = splits["train"], splits["test"]
    if train.times is None or test.times is None:
        return None, "the data have no column time"
    found = time_overlap(list(train.times), list(test.times))
    return (None, found) if isinstance(found, str) else (found, None)
