"""A new division of all items into the same splits: units stay whole, classes keep their shares."""

from __future__ import annotations

from typing import Any

import numpy as np

from poolaudit.leakage.clusters import Units

Array = np.ndarray[Any, Any]

LEFT_OUT = -1


def redivide(old: Array, labels: Array, units: Units, rng: np.random.Generator) -> Array:
    """(n,) number of the new split of each item, LEFT_OUT for those that would link two: every unit in one split, each
    split with its old size and the classes' shares in all items.

    Units of several items are placed first, the largest of them first, where they exceed the wanted numbers by class
    least, and where most of their items stood if that leaves a choice. Single items then fill each class up exactly as
    far as there are enough of them; they stay where they are if there is room. scikit-learn's StratifiedGroupKFold
    works the same way, but makes folds of equal size only and takes seconds a thousand units.

    Args:
        old: (n,) number of the split of each item, 0 for training.
        labels: (n,) classes from 0.
        rng: Chooses which single items move.
    """
    splits, classes = int(old.max()) + 1, int(labels.max()) + 1
    need = _wanted(old, labels, splits, classes)
    sizes = np.bincount(units.unit)
    new = np.full(len(old), LEFT_OUT)
    shared = np.flatnonzero(sizes[units.unit] > 1)
    members = np.split(
        shared[np.argsort(units.unit[shared], kind="stable")],
        np.cumsum(sizes[sizes > 1])[:-1],
    )
    for rows in sorted((m for m in members if len(m)), key=lambda m: (-len(m), int(m[0]))):
        held = np.bincount(labels[rows], minlength=classes)
        beyond = np.maximum(held - np.maximum(need, 0), 0).sum(axis=1)
        stay = np.bincount(old[rows], minlength=splits)
        chosen = int(np.lexsort((-stay, beyond))[0])
        new[rows] = chosen
        need[chosen] -= held
    single = np.flatnonzero(sizes[units.unit] == 1)
    for label in range(classes):
        _fill(new, single[labels[single] == label], old, np.maximum(need[:, label], 0), rng)
    return _cut(new, old, units)


def _wanted(old: Array, labels: Array, splits: int, classes: int) -> Array:
    """(splits, classes) whole numbers of items whose sums over the splits are those of the classes."""
    shares = np.bincount(old, minlength=splits) / len(old)
    totals = np.bincount(labels, minlength=classes)
    exact = shares[:, None] * totals
    wanted = np.floor(exact).astype(np.int64)
    for label in range(classes):
        rest = totals[label] - wanted[:, label].sum()
        wanted[np.argsort(wanted[:, label] - exact[:, label], kind="stable")[:rest], label] += 1
    return wanted


def _fill(new: Array, rows: Array, old: Array, need: Array, rng: np.random.Generator) -> None:
    rows = rng.permutation(rows)
    placed = np.zeros(len(rows), np.bool_)
    room = need.copy()
    for split in range(len(need)):
        own = np.flatnonzero(old[rows] == split)[: room[split]]
        new[rows[own]], placed[own] = split, True
        room[split] -= len(own)
    rest = rows[~placed]
    # The smallest splits first: units that went too far elsewhere must not leave the test without a class.
    for split in np.argsort(need, kind="stable"):
        new[rest[: room[split]]] = split
        rest = rest[room[split] :]
    new[rest] = old[rest]


def _cut(new: Array, old: Array, units: Units) -> Array:
    """Leaves one of two linked items out that came into different splits: that of the larger split."""
    size = np.bincount(new[new >= 0], minlength=int(old.max()) + 1)
    for a, b in units.loose.tolist():
        if a == LEFT_OUT or b == LEFT_OUT:
            continue
        if new[a] >= 0 and new[b] >= 0 and new[a] != new[b]:
            new[a if size[new[a]] >= size[new[b]] else b] = LEFT_OUT
    return new
