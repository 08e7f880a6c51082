"""Two splits compared, or one with itself: items of the same content, then changed copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.evidence.leakage import LeakPair, SplitComparison
from poolaudit.leakage.clusters import Links
from poolaudit.leakage.items import Items
from poolaudit.leakage.nearby import Matches, Searched
from poolaudit.leakage.pairs import pair, pairs_of
from poolaudit.leakage.repeats import find_repeats
from poolaudit.subject.splits import DataSplit

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]

_PLAIN_LEVELS = 1e-6
# More than any score: what a repeat was settled on comes before other pairs where items are gathered into units.
_SETTLED = 1e3


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What was found.

    Attributes:
        copies: (items of the first split,) bool: copies of an item of the second; within one split, of an earlier item.
        links: Positions in the first and in the second split.
        plain: How many were too plain for more than an exact match.
    """

    comparison: SplitComparison
    pairs: list[LeakPair]
    copies: Array
    links: Links
    plain: int = 0


@dataclass(frozen=True, slots=True)
class Effort:
    """How far a split is searched in itself.

    Attributes:
        items: Most items that are looked for, drawn at random.
        moved_items: Up to so many, copies that were shifted, cropped or rotated a little are looked for too.
    """

    items: int
    moved_items: int


def across(
    splits: Mapping[str, DataSplit],
    mine: Items,
    theirs: Items,
    keys: Mapping[str, list[bytes]],
    searched: Searched | None,
    tell: Progress,
) -> Compared:
    """Items of one split that stand in another.

    Args:
        searched: The other split made ready; None where it is too small to be searched.
    """
    known: dict[bytes, int] = {}
    for at, key in enumerate(keys[theirs.name]):
        known.setdefault(key, at)
    exact = np.array([(at, known[key]) for at, key in enumerate(keys[mine.name]) if key in known], np.int64)
    exact = exact.reshape(-1, 2)
    found = Matches.none()
    method = "not looked for"
    if searched is not None:
        rest = np.setdiff1d(np.arange(len(mine)), exact[:, 0])
        found, method = searched.matches(mine, rest, None, searched.moves, tell), searched.index.words
    return _compared(splits, mine, theirs, exact, found, searched is not None, method)


def within(
    splits: Mapping[str, DataSplit],
    items: Items,
    keys: list[bytes],
    searched: Searched | None,
    effort: Effort,
    seed: int,
    tell: Progress,
) -> Compared:
    """Items that repeat an earlier one of their split.

    Args:
        searched: The same split made ready; None looks for the same content only.
        effort: How far changed copies are looked for.
    """
    first_of: dict[bytes, int] = {}
    exact = []
    for at, key in enumerate(keys):
        if first_of.setdefault(key, at) != at:
            exact.append((at, first_of[key]))
    found, shown, method = Matches.none(), Matches.none(), "same content only"
    if searched is not None:
        distinct = kept = np.array(sorted(first_of.values()), np.int64)
        if len(kept) > effort.items:
            kept = np.sort(np.random.default_rng(seed + 4).permutation(kept)[: effort.items])
        moves = searched.moves if len(kept) <= effort.moved_items else searched.still_moves
        repeats = find_repeats(searched, items, kept, distinct, moves, tell)
        found, shown = repeats.found, repeats.settled
        method = searched.index.words
        if len(kept) < len(first_of):
            method += f"; changed copies of {len(kept):,} items drawn at random"
        if moves is not searched.moves:
            method += "; flips and turns, but no shifts, crops or small rotations"
    return _compared(
        splits, items, items, np.array(exact, np.int64).reshape(-1, 2), found, searched is not None, method, shown
    )


def _compared(
    splits: Mapping[str, DataSplit],
    mine: Items,
    theirs: Items,
    exact: Array,
    found: Matches,
    near_assessed: bool,
    method: str,
    settled: Matches | None = None,
) -> Compared:
    """What was found, as evidence.

    Args:
        settled: Within one split each repeat with the item that is kept for it; those pairs come first in units.
    """
    pairs = [
        pair(splits, "exact", "same content", 0.0, None, mine.name, mine.rows[a], theirs.name, theirs.rows[b])
        for a, b in exact.tolist()
    ]
    shown, first = (found, Matches.none()) if settled is None else (settled, settled)
    pairs += pairs_of(splits, shown, mine, theirs)
    copies = np.zeros(len(splits[mine.name]), np.bool_)
    copies[mine.rows[exact[:, 0]]] = True
    copies[mine.rows[shown.queries]] = True
    links = Links(
        mine.rows[np.concatenate([exact[:, 0], first.queries, found.queries, found.twin_queries])],
        theirs.rows[np.concatenate([exact[:, 1], first.originals, found.originals, found.twins])],
        np.concatenate([np.full(len(exact), np.inf), first.scores + _SETTLED, found.scores, found.twin_scores]),
    )
    comparison = SplitComparison(
        mine.name,
        theirs.name,
        len(mine),
        len(splits[mine.name]) - len(mine),
        len(exact),
        len(shown.queries),
        _flat(mine, exact[:, 0]),
        near_assessed,
        method,
    )
    return Compared(comparison, pairs, copies, links, found.plain)


def _flat(items: Items, at: Array) -> int:
    """How many of these items have no structure at all."""
    flat = 0
    for start in range(0, len(at), 2048):
        values = items.fine(at[start : start + 2048])
        flat += int((values.reshape(len(values), -1).std(axis=1) < _PLAIN_LEVELS).sum())
    return flat
