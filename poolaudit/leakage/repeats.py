"""Repeats within one split: every one verified against an item that is kept, in bursts of any size, never chained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.leakage.items import Items
from poolaudit.leakage.moves import Move
from poolaudit.leakage.nearby import Matches, Searched, together

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]

# A burst shrinks by half and more with every look, so these are hardly ever used up.
_MOST_ROUNDS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """What repeats what.

    Attributes:
        settled: Each repeat once, with the item that is kept for it.
        found: All pairs that were met on the way.
    """

    settled: Matches
    found: Matches


def find_repeats(
    searched: Searched, items: Items, at: Array, distinct: Array, moves: Sequence[Move], tell: Progress
) -> Repeats:
    """The repeats among some items of a split.

    One look shows each item only its nearest copy, so a burst falls into pairs. Those that are still kept are therefore
    looked for once more among what is kept, until they repeat nothing; a repeat whose original has turned out to repeat
    another item is looked for anew, and is kept where none that is kept is its original. Only items that a match has
    touched are looked for again, so a split without repeats costs one look.

    Args:
        at: Items that are looked for.
        distinct: Items of the split without those of the same content as an earlier one; `at` is a part of them.
    """
    kept = np.zeros(len(items), np.bool_)
    kept[distinct] = True

    def look(rows: Array) -> Matches:
        among = searched if kept.all() else searched.among(kept)
        return among.matches(items, rows, rows, moves, tell)

    looks = [look(at)]
    settled = looks[0].once()
    kept[settled.queries] = False
    touched = np.zeros(len(items), np.bool_)
    may_be_asked = np.isin(np.arange(len(items)), at)
    asked = _touched_by(looks[0], touched) & kept & may_be_asked
    for _ in range(_MOST_ROUNDS):
        while asked.any():
            looks.append(look(np.flatnonzero(asked)))
            fresh = looks[-1].once()
            if not len(fresh.queries):
                break
            settled = together([settled, fresh])
            kept[fresh.queries] = False
            asked = _touched_by(looks[-1], touched) & kept & may_be_asked
        stays = kept[settled.originals]
        if stays.all():
            break
        orphans = np.unique(settled.queries[~stays])
        looks.append(look(orphans))
        settled = together([settled.take(np.flatnonzero(stays)), looks[-1]])
        asked = np.zeros(len(items), np.bool_)
        asked[np.setdiff1d(orphans, looks[-1].queries)] = True
        kept |= asked
    return Repeats(settled, together(looks))


def _touched_by(found: Matches, touched: Array) -> Array:
    """(items,) bool: items of these matches, which `touched` takes in, and near misses of any item that it holds."""
    met = np.zeros(len(touched), np.bool_)
    met[found.queries] = met[found.originals] = True
    touched |= met
    missed = touched[found.nearly_originals]
    met[found.nearly_queries[missed]] = True
    return met
