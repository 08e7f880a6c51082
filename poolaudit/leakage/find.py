"""Everything that two or three splits tell about leakage, in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError
from poolaudit.evidence.evaluation import NotAssessed
from poolaudit.evidence.leakage import (
    GroupOverlap,
    LeakageEvidence,
    LeakPair,
    Sensitivity,
    SplitComparison,
    TimeOverlap,
)
from poolaudit.leakage.groups import group_overlap, groups_in_names
from poolaudit.leakage.impact import no_impact
from poolaudit.leakage.items import Items, comparable, make_items
from poolaudit.leakage.nearby import Matches, Searched
from poolaudit.leakage.repair import Division, divide
from poolaudit.leakage.shortcuts import probe_shortcuts
from poolaudit.leakage.standardisation import standardisation_of
from poolaudit.leakage.times import time_overlap
from poolaudit.subject.pictures import item_pictures
from poolaudit.subject.splits import DataSplit

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]

_PAIRS_SHOWN = 60
_PAIRS_PICTURED = 24
_PICTURE_BYTES = 600_000
_PLAIN_LEVELS = 1e-6
_LEAST_SEARCHED = 2
_PROBED = 4_000


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The evidence, and which test items it means.

    Attributes:
        leaked: (test items,) bool: copies of training items.
        division: The clean split.
    """

    evidence: LeakageEvidence
    leaked: Array
    division: Division


def _silent(done: int, total: int, what: str) -> None:
    pass


def find_in_splits(
    splits: Mapping[str, DataSplit],
    *,
    sample: int | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    tell: Progress = _silent,
) -> Found:
    """Copies, groups, times, conflicts and shortcuts in "train" and "test", and copies in "validation" where given.

    Args:
        sample: Look at so many items of each split only, drawn at random; None looks at all.
        tell: Takes steps done, steps in all, and the step in words.

    Raises:
        InvalidInputError: A split is missing, or the items of the splits cannot be compared.
    """
    if "train" not in splits or "test" not in splits:
        raise InvalidInputError("Leakage needs the training and the test split", 'splits "train" and "test"')
    if sample is not None and sample < 1:
        raise InvalidInputError(f"The sample is {sample}", "a number of items from 1")
    items = {name: _items(split, sample, seed) for name, split in splits.items()}
    for name, one in items.items():
        if not comparable(one.layout, items["train"].layout):
            raise InvalidInputError(
                f"The {name} items are {one.layout.words} and the training items {items['train'].layout.words}",
                "items of one kind",
                "Give both splits in the form the model takes",
            )
    items = {name: replace(one, reference=items["train"].layout) for name, one in items.items()}
    tell(0, 1, "fingerprints")
    keys = {name: one.keys() for name, one in items.items()}
    searched: dict[str, Searched] = {
        name: Searched(items[name], seed)
        for name in ("train", "validation")
        if name in items and len(items[name]) >= _LEAST_SEARCHED
    }
    for made in searched.values():
        made.calibrate(tell)
    comparisons: list[SplitComparison] = []
    pairs: list[LeakPair] = []
    leaked = np.zeros(len(splits["test"]), bool)
    counts = (0, 0)
    plain = 0
    for first, second in (("test", "train"), ("validation", "train"), ("test", "validation")):
        if first in items and second in items:
            found, comparison, low = _across(splits, items, keys, first, second, searched.get(second), tell)
            comparisons.append(comparison)
            pairs += found
            if (first, second) == ("test", "train"):
                leaked[[pair.first_item for pair in found]] = True
                counts, plain = (comparison.exact, comparison.near), low
    repeats, within, twins = _within(splits["test"], items["test"], keys["test"], searched, tell, seed)
    comparisons += within
    comparisons.append(_repeated_content("train", splits["train"], items["train"], keys["train"]))
    conflicts, conflicting = _conflicts(splits, items, keys)
    groups, groups_reason, in_shared = _groups(splits, searched.get("train"), items["test"], seed)
    times, times_reason = _times(splits)
    division = divide(len(splits["test"]), leaked, in_shared, repeats)
    sensitivity: tuple[Sensitivity, ...] = ()
    if "train" in searched:
        sensitivity = searched["train"].sensitivity(confidence, tell)
    test = splits["test"]
    tell(0, 1, "shortcuts")
    few = _some(len(items["test"]), seed)
    rows = items["test"].rows[few]
    probes = probe_shortcuts(
        items["test"].fine(few),
        test.labels[rows],
        test.class_names,
        None if test.paths is None else list(test.paths[rows]),
        rows,
        confidence,
        seed,
    )
    ordered = sorted(pairs + twins, key=_worst_first)
    left_out = sum(comparison.left_out for comparison in comparisons)
    evidence = LeakageEvidence(
        test_items=len(test),
        train_items=len(splits["train"]),
        test_items_exact=counts[0],
        test_items_near=counts[1],
        test_items_leaked=sum(counts),
        effective_test_items=len(test) - int(repeats.sum()),
        layout=items["test"].layout.words,
        threshold=searched["train"].threshold.value if "train" in searched else None,
        calibrated_on=searched["train"].threshold.words if "train" in searched else "",
        comparisons=tuple(comparisons),
        sensitivity=sensitivity,
        pairs=_pictured(ordered[:_PAIRS_SHOWN], splits),
        pairs_left_out=max(len(ordered) - _PAIRS_SHOWN, 0),
        conflicts=_pictured(conflicts[: _PAIRS_SHOWN // 3], splits),
        conflicting_items=conflicting,
        groups=groups,
        groups_reason=groups_reason,
        times=times,
        times_reason=times_reason,
        shortcuts=probes,
        standardisation=standardisation_of(splits["train"].inputs, test.inputs),
        impact=no_impact("there is no model; `poolaudit audit MODEL --train DATA --test DATA` measures it"),
        clean_split=division.summary,
        low_information_items=plain,
        not_assessed=_not_assessed(left_out, sample),
    )
    return Found(evidence, leaked, division)


def _items(split: DataSplit, sample: int | None, seed: int) -> Items:
    rows = np.arange(len(split))
    if sample is not None and sample < len(split):
        rows = np.sort(np.random.default_rng(seed).permutation(len(split))[:sample])
    return make_items(split.name, split.inputs, rows)


def _some(n: int, seed: int) -> Array:
    return np.sort(np.random.default_rng(seed + 3).permutation(n)[:_PROBED])


def _across(
    splits: Mapping[str, DataSplit],
    items: Mapping[str, Items],
    keys: Mapping[str, list[bytes]],
    first: str,
    second: str,
    searched: Searched | None,
    tell: Progress,
) -> tuple[list[LeakPair], SplitComparison, int]:
    known: dict[bytes, int] = {}
    for at, key in enumerate(keys[second]):
        known.setdefault(key, at)
    exact = [(at, known[key]) for at, key in enumerate(keys[first]) if key in known]
    mine, theirs = items[first], items[second]
    pairs = [
        _pair(splits, "exact", "same content", 0.0, None, first, mine.rows[a], second, theirs.rows[b]) for a, b in exact
    ]
    flat = _flat(mine, np.array([a for a, _ in exact], np.int64))
    near, plain, method = 0, 0, "not looked for"
    if searched is not None:
        rest = np.setdiff1d(np.arange(len(mine)), np.array([a for a, _ in exact], np.int64))
        matches = searched.matches(mine, rest, None, False, tell)
        pairs += _pairs_of(splits, matches, mine, theirs)
        near, plain, method = len(matches.queries), matches.plain, searched.index.words
    return (
        pairs,
        SplitComparison(
            first,
            second,
            len(mine),
            len(splits[first]) - len(mine),
            len(exact),
            near,
            flat,
            searched is not None,
            method,
        ),
        plain,
    )


def _pairs_of(splits: Mapping[str, DataSplit], found: Matches, mine: Items, theirs: Items) -> list[LeakPair]:
    return [
        _pair(splits, "near", link, float(distance), float(score), mine.name, mine.rows[a], theirs.name, theirs.rows[b])
        for a, b, score, distance, link in zip(
            found.queries, found.originals, found.scores, found.distances, found.links, strict=True
        )
    ]


def _pair(
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


def _name(split: DataSplit, at: int) -> str:
    path = None if split.paths is None else split.paths[at]
    return str(path) if path else f"{split.name} {at}"


def _within(
    split: DataSplit,
    items: Items,
    keys: list[bytes],
    searched: Mapping[str, Searched],
    tell: Progress,
    seed: int,
) -> tuple[Array, list[SplitComparison], list[LeakPair]]:
    """Test items that repeat an earlier one: the same content, or a copy as it is, flipped or turned."""
    own_split = {split.name: split}
    repeats = np.zeros(len(split), bool)
    first_of: dict[bytes, int] = {}
    exact: list[tuple[int, int]] = []
    for at, key in enumerate(keys):
        if key in first_of:
            exact.append((at, first_of[key]))
        first_of.setdefault(key, at)
    repeats[items.rows[[a for a, _ in exact]]] = True
    pairs = [
        _pair(
            {split.name: split},
            "exact",
            "same content",
            0.0,
            None,
            split.name,
            items.rows[a],
            split.name,
            items.rows[b],
        )
        for a, b in exact
    ]
    flat = _flat(items, np.array([a for a, _ in exact], np.int64))
    near, method, assessed = 0, "exact content only", False
    if "train" in searched and len(items) >= _LEAST_SEARCHED:
        own = Searched(items, seed)
        own.threshold = searched["train"].threshold
        kept = np.array(sorted(first_of.values()), np.int64)
        found = own.matches(items, kept, kept, True, tell)
        for row, (a, b) in enumerate(zip(found.queries.tolist(), found.originals.tolist(), strict=True)):
            # Each pair shows twice; the later item repeats the earlier one, and only where that one is kept.
            if b < a and not repeats[items.rows[a]] and not repeats[items.rows[b]]:
                repeats[items.rows[a]] = True
                near += 1
                pairs.append(
                    _pair(
                        own_split,
                        "near",
                        found.links[row],
                        float(found.distances[row]),
                        float(found.scores[row]),
                        split.name,
                        items.rows[a],
                        split.name,
                        items.rows[b],
                    )
                )
        method, assessed = f"{own.index.words}; flips and turns only", True
    comparison = SplitComparison(
        split.name, split.name, len(items), len(split) - len(items), len(exact), near, flat, assessed, method
    )
    return repeats, [comparison], pairs


def _repeated_content(name: str, split: DataSplit, items: Items, keys: list[bytes]) -> SplitComparison:
    repeated = len(keys) - len(set(keys))
    return SplitComparison(name, name, len(items), len(split) - len(items), repeated, 0, 0, False, "exact content only")


def _flat(items: Items, at: Array) -> int:
    """How many of these items have no structure at all."""
    flat = 0
    for start in range(0, len(at), 2048):
        values = items.fine(at[start : start + 2048])
        flat += int((values.reshape(len(values), -1).std(axis=1) < _PLAIN_LEVELS).sum())
    return flat


def _conflicts(
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
        pairs.append(_pair(splits, "exact", "same content, other label", 0.0, None, a_split, a, b_split, b))
    return pairs, conflicting


def _groups(
    splits: Mapping[str, DataSplit], searched: Searched | None, test_items: Items, seed: int
) -> tuple[GroupOverlap | None, str | None, Array]:
    train, test = splits["train"], splits["test"]
    in_shared = np.zeros(len(test), bool)
    columns: tuple[Sequence[str | None], Sequence[str | None]] | None = None
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
        sample = np.arange(min(len(test), 5000))
        near = np.concatenate(
            [
                searched.describer.describe(test_items.coarse(sample[start : start + 1024]))
                for start in range(0, len(sample), 1024)
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
    if found is not None and columns is not None and found.is_certain:
        shared = {value for value in columns[0] if value is not None}
        in_shared = np.array([value in shared for value in columns[1]])
    return found, reason, in_shared


def _times(splits: Mapping[str, DataSplit]) -> tuple[TimeOverlap | None, str | None]:
    train, test = splits["train"], splits["test"]
    if train.times is None or test.times is None:
        return None, "the data have no column time"
    found = time_overlap(list(train.times), list(test.times))
    return (None, found) if isinstance(found, str) else (found, None)


def _worst_first(pair: LeakPair) -> tuple[int, int, int, float]:
    between = 0 if (pair.first_split, pair.second_split) == ("test", "train") else 1
    return between, int(pair.first_label == pair.second_label), int(pair.kind != "exact"), -(pair.score or 0.0)


def _pictured(pairs: Sequence[LeakPair], splits: Mapping[str, DataSplit]) -> tuple[LeakPair, ...]:
    """The pairs with pictures on the first few, as long as those stay small."""
    shown: list[LeakPair] = []
    used = 0
    for number, pair in enumerate(pairs):
        pictures: tuple[str | None, ...] = (None, None)
        if number < _PAIRS_PICTURED and used < _PICTURE_BYTES:
            first, second = (
                splits[pair.first_split].inputs[pair.first_item],
                splits[pair.second_split].inputs[pair.second_item],
            )
            channels_first = first.ndim >= 3 and first.shape[0] <= 4 < first.shape[-1]
            try:
                pictures = tuple(item_pictures([item], channels_first=channels_first)[0] for item in (first, second))
            except (ValueError, TypeError):
                pictures = (None, None)
            used += sum(len(picture or "") for picture in pictures)
        shown.append(replace(pair, first_picture=pictures[0], second_picture=pictures[1]))
    return tuple(shown)


def _not_assessed(left_out: int, sample: int | None) -> tuple[NotAssessed, ...]:
    found = [
        NotAssessed(
            "Changed copies within the training split",
            "only the same content is looked for there; it does not touch the test",
        )
    ]
    if left_out:
        found.append(
            NotAssessed(
                f"{left_out:,} items left out of the comparisons", f"a sample of {sample:,} items a split was asked for"
            )
        )
    return tuple(found)
