"""Groups that stand in both splits: from the column `group`, or from a part of the file names that repeats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from poolaudit.evidence.leakage import GroupOverlap

_SEPARATED = re.compile(r"[^A-Za-z0-9]+")
_LETTERS = re.compile(r"[A-Za-z]+")
_DATE = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])?([0-3]\d)?")
_EXAMPLES = 5
# Words that stand for whom or what an item comes from.
_IDENTITIES = frozenset(
    word
    for line in (
        "patient pat subject subj sub user person speaker spk writer author client customer donor animal mouse rat",
        "case study series session sess recording rec record video vid clip scene movie film show track song camera",
        "cam plant tree slide specimen sample individual identity participant volunteer family household actor singer",
        "driver vehicle device machine site group",
    )
    for word in line.split()
)
# A part of a name is an identity where several items share it, but few: neither a counter nor a class.
_LEAST_ITEMS_A_GROUP = 1.5
_LEAST_GROUPS = 8
_MOST_SHARE_OF_A_GROUP = 0.1
_PERMUTATIONS = 199
_SIGNIFICANT = 0.01

Array = np.ndarray[Any, Any]
Column = Sequence[str | None]


def group_overlap(train: Column, test: Column) -> GroupOverlap | None:
    """Overlap of the column `group`; None where it holds nothing on one side."""
    if not any(value is not None for value in train) or not any(value is not None for value in test):
        return None
    return _overlap("column group", train, test, None, True)


def groups_in_names(
    train: Column,
    test: Column,
    labels: tuple[Sequence[int], Sequence[int]],
    descriptors: tuple[Array, Array],
    seed: int,
) -> tuple[GroupOverlap | None, str, tuple[Column, Column] | None]:
    """The first part of the file names that looks like an identity, the reason why there is none, and the identities.

    A part looks like an identity where many values have a few items each, is no date, does not just number the items
    of a class and is not the class itself. It is taken for one where the word before its number says so, or where
    items of different splits that share a value look more alike than chance allows. Only the first such part counts:
    the parts behind an identity number what belongs to it.

    Args:
        labels: Of the training and the test items.
        descriptors: (n, d) of unit length, likewise; n may be a sample from the front.
    """
    if not any(train) or not any(test):
        return None, "the data have no file names and no column group", None
    for name, hint, first, second in _parts(train, test):
        values = [value for value in (*first, *second) if value is not None]
        if len(values) < 0.9 * (len(first) + len(second)):
            continue
        if not _looks_like_identities(values, (first, second), labels):
            continue
        p_value = _likeness((first, second), labels, descriptors, np.random.default_rng(seed))
        certain = _says_so(values, hint) or (p_value is not None and p_value <= _SIGNIFICANT)
        found = _overlap(f"file names, {name}", first, second, p_value, certain)
        return found, "", (first, second)
    return None, "no part of the file names looks like the identity of a patient, recording or user", None


def _overlap(source: str, train: Column, test: Column, p_value: float | None, is_certain: bool) -> GroupOverlap:
    mine = {value for value in test if value is not None}
    shared = mine & {value for value in train if value is not None}
    return GroupOverlap(
        source=source,
        groups=len(mine),
        shared=len(shared),
        test_items=sum(value in shared for value in test if value is not None),
        examples=tuple(sorted(shared)[:_EXAMPLES]),
        p_value=p_value,
        is_certain=is_certain,
    )


def _parts(train: Column, test: Column) -> list[tuple[str, str, list[str | None], list[str | None]]]:
    """Columns that paths fall into, from the left: name, the word before where that is always the same, values."""
    folders = [[[] if not path else path.split("/")[:-1] for path in side] for side in (train, test)]
    words = [[_words(path) for path in side] for side in (train, test)]
    parts = []
    for kind, rows in (("folder", folders), ("word", words)):
        depth = min(max((len(row) for side in rows for row in side), default=0), 12)
        before = ""
        for position in range(depth):
            columns = [[row[position] if len(row) > position else None for row in side] for side in rows]
            distinct = {value for column in columns for value in column}
            parts.append((f"{kind} {position + 1}", before, columns[0], columns[1]))
            before = next(iter(distinct)) or "" if len(distinct) == 1 else ""
    return parts


def _words(path: str | None) -> list[str]:
    if not path:
        return []
    stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return [word for word in _SEPARATED.split(stem) if word]


def _looks_like_identities(
    values: Sequence[str], sides: tuple[Column, Column], labels: tuple[Sequence[int], Sequence[int]]
) -> bool:
    counts, n = Counter(values), len(values)
    if len(counts) < _LEAST_GROUPS or n / len(counts) < _LEAST_ITEMS_A_GROUP:
        return False
    if max(counts.values()) > _MOST_SHARE_OF_A_GROUP * n + 1:
        return False
    if sum(any(c.isdigit() for c in value) or len(value) >= 5 for value in counts) < 0.8 * len(counts):
        return False
    if all(_DATE.fullmatch(value) for value in counts):
        return False
    classes = len({*labels[0], *labels[1]})
    pairs = {pair for side, own in zip(sides, labels, strict=True) for pair in zip(side, own, strict=True)}
    if len(pairs) == len(counts) and len(counts) <= 1.2 * classes:
        return False
    return not all(_numbers_within_class(side, own) for side, own in zip(sides, labels, strict=True))


def _numbers_within_class(values: Column, labels: Sequence[int]) -> bool:
    """True where the part hardly ever repeats within a class of its split: it numbers the items."""
    known = [(value, label) for value, label in zip(values, labels, strict=True) if value is not None]
    return len(set(known)) > 0.95 * len(known)


def _says_so(values: Sequence[str], before: str) -> bool:
    words = Counter(match.group().lower() if (match := _LETTERS.match(value)) else "" for value in values)
    word, count = words.most_common(1)[0]
    return (count > 0.9 * len(values) and word in _IDENTITIES) or before.lower() in _IDENTITIES


def _likeness(
    sides: tuple[Column, Column],
    labels: tuple[Sequence[int], Sequence[int]],
    descriptors: tuple[Array, Array],
    rng: np.random.Generator,
) -> float | None:
    """Chance that items which share a value across the splits look as much alike, by permutation within classes."""
    train, test = (column[: len(d)] for column, d in zip(sides, descriptors, strict=True))
    codes = {value: code for code, value in enumerate(sorted({value for value in train if value is not None}))}
    at = np.array([codes.get(value, -1) if value is not None else -1 for value in train])
    mine = np.array([codes.get(value, -1) if value is not None else -1 for value in test])
    own = np.flatnonzero(mine >= 0)
    if len(own) < 20 or len(codes) < 2:
        return None
    centres = np.zeros((len(codes), descriptors[0].shape[1]))
    np.add.at(centres, at[at >= 0], descriptors[0][at >= 0])
    centres /= np.maximum(np.bincount(at[at >= 0], minlength=len(codes)), 1)[:, None]
    similarity = descriptors[1][own] @ centres.T
    classes = np.asarray(labels[1])[: len(test)][own]
    rows, column = np.arange(len(own)), mine[own]
    seen = similarity[rows, column].mean()
    above = 0
    for _ in range(_PERMUTATIONS):
        order = np.lexsort((rng.random(len(own)), classes))
        shuffled = np.empty_like(column)
        shuffled[np.argsort(classes, kind="stable")] = column[order]
        above += similarity[rows, shuffled].mean() >= seen
    return float((1 + above) / (1 + _PERMUTATIONS))
