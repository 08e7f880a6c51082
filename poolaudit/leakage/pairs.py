"""Pairs of items that show the same, as a reader sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from poolaudit.evidence.leakage import LeakPair
from poolaudit.leakage.items import Items
from poolaudit.leakage.nearby import Matches
from poolaudit.subject.pictures import item_pictures, looks_channels_first
from poolaudit.subject.splits import DataSplit

_PAIRS_PICTURED = 24
_PICTURE_BYTES = 600_000


def pair(
    splits: Mapping[str, DataSplit],
    kind: str,
    link: str,
    distance: float,
    score: float | None,
    first: str,
    a: int,
    second: str,
    b: int,
) -> LeakPair:
    """Item `a` of the split `first` and item `b` of the split `second`."""
    one, other = splits[first], splits[second]
    return LeakPair(
        kind=kind,
        link=link,
        distance=round(distance, 4),
        score=None if score is None else round(score, 2),
        first_split=first,
        first_item=int(a),
        first_name=_name(one, int(a)),
        first_label=one.class_names[one.labels[a]],
        second_split=second,
        second_item=int(b),
        second_name=_name(other, int(b)),
        second_label=other.class_names[other.labels[b]],
    )


def pairs_of(splits: Mapping[str, DataSplit], found: Matches, mine: Items, theirs: Items) -> list[LeakPair]:
    """Each query with its original."""
    return [
        pair(splits, "near", link, float(distance), float(score), mine.name, mine.rows[a], theirs.name, theirs.rows[b])
        for a, b, score, distance, link in zip(
            found.queries, found.originals, found.scores, found.distances, found.links, strict=True
        )
    ]


def conflicts(
    splits: Mapping[str, DataSplit], items: Mapping[str, Items], keys: Mapping[str, list[bytes]]
) -> tuple[list[LeakPair], int]:
    """Pairs of the same content with different labels, and how many items such content has."""
    places: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for name, own in keys.items():
        for at, key in enumerate(own):
            places[key].append((name, int(items[name].rows[at])))
    pairs: list[LeakPair] = []
    conflicting = 0
    for same in places.values():
        if len(same) < 2:
            continue
        labels = [splits[name].class_names[splits[name].labels[at]] for name, at in same]
        if len(set(labels)) < 2:
            continue
        conflicting += len(same)
        other = next(i for i, label in enumerate(labels) if label != labels[0])
        (a_split, a), (b_split, b) = same[0], same[other]
        pairs.append(pair(splits, "exact", "same content, other label", 0.0, None, a_split, a, b_split, b))
    return pairs, conflicting


def worst_first(found: LeakPair) -> tuple[int, int, int, float]:
    """A key to sort by: between test and training first, then other labels, then the same content."""
    between = 0 if (found.first_split, found.second_split) == ("test", "train") else 1
    return between, int(found.first_label == found.second_label), int(found.kind != "exact"), -(found.score or 0.0)


def pictured(pairs: Sequence[LeakPair], splits: Mapping[str, DataSplit]) -> tuple[LeakPair, ...]:
    """The pairs with pictures on the first few, as long as those stay small."""
    shown: list[LeakPair] = []
    used = 0
    for number, one in enumerate(pairs):
        pictures: tuple[str | None, ...] = (None, None)
        if number < _PAIRS_PICTURED and used < _PICTURE_BYTES:
            first, second = (
                splits[one.first_split].inputs[one.first_item],
                splits[one.second_split].inputs[one.second_item],
            )
            channels_first = looks_channels_first(first.shape)
            try:
                pictures = tuple(item_pictures([item], channels_first=channels_first)[0] for item in (first, second))
            except (ValueError, TypeError):
                pictures = (None, None)
            used += sum(len(picture or "") for picture in pictures)
        shown.append(replace(one, first_picture=pictures[0], second_picture=pictures[1]))
    return tuple(shown)


def _name(split: DataSplit, at: int) -> str:
    path = None if split.paths is None else split.paths[at]
    return str(path) if path else f"{split.name} {at}"
