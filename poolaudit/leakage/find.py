"""Everything that two or three splits tell about leakage, in one pass."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError
from poolaudit.evidence.evaluation import NotAssessed
from poolaudit.evidence.leakage import LeakageEvidence, LeakPair
from poolaudit.leakage.clusters import Links
from poolaudit.leakage.compared import Compared, Effort, across, within
from poolaudit.leakage.impact import no_impact
from poolaudit.leakage.items import Items, comparable, make_items
from poolaudit.leakage.matches import FALSE_MATCHES_A_QUERY
from poolaudit.leakage.nearby import Searched
from poolaudit.leakage.origins import read_groups, read_times
from poolaudit.leakage.pairs import conflicts, pictured, worst_first
from poolaudit.leakage.repair import Division, divide, divide_again
from poolaudit.leakage.shortcuts import probe_shortcuts
from poolaudit.leakage.standardisation import standardisation_of
from poolaudit.subject.splits import DataSplit

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]

_PAIRS_SHOWN = 60
_CONFLICTS_SHOWN = 20
_LEAST_SEARCHED = 2
_PROBED = 4_000
# Copies within a split do not touch the test as those across do, so they get a part of the time; all of it where items
# are divided anew.
_WITHIN = {"train": Effort(2_500, 2_500), "test": Effort(10_000, 3_000), "validation": Effort(2_500, 2_500)}
_ALL = Effort(sys.maxsize, sys.maxsize)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The evidence, and which test items it means.

    Attributes:
        leaked: (test items,) bool: copies of training items.
        links: Every pair of a test item and its training items; the evidence lists the worst.
        division: The clean split.
    """

    evidence: LeakageEvidence
    leaked: Array
    links: Links
    division: Division


def _silent(done: int, total: int, what: str) -> None:
    pass


def find_in_splits(
    splits: Mapping[str, DataSplit],
    *,
    sample: int | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    new_split: bool = False,
    tell: Progress = _silent,
) -> Found:
    """Copies, groups, times, conflicts and shortcuts in "train" and "test", and copies in "validation" where given.

    Args:
        sample: Look at so many items of each split only, drawn at random; None looks at all.
        new_split: Divide all items anew; then every item of every split is searched in its own split too.
        tell: Takes steps done, steps in all, and the step in words.

    Raises:
        InvalidInputError: A split is missing, or the items of the splits cannot be compared.
    """
    items = _read(splits, sample, seed)
    tell(0, 1, "fingerprints")
    keys = {name: one.keys() for name, one in items.items()}
    searched = _searched(items, seed, tell)
    compared = [
        across(splits, items[first], items[second], keys, searched.get(second), tell)
        for first, second in (("test", "train"), ("validation", "train"), ("test", "validation"))
        if first in items and second in items
    ]
    leak = compared[0]
    own = {
        name: within(splits, items[name], keys[name], searched.get(name), _ALL if new_split else effort, seed, tell)
        for name, effort in _WITHIN.items()
        if name in items
    }
    test, repeats = splits["test"], own["test"].copies
    groups = read_groups(splits, searched.get("train"), items["test"], seed)
    times, times_reason = read_times(splits)
    division = divide(len(test), leak.copies, groups.in_shared, repeats)
    if new_split:
        tell(0, 1, "dividing anew")
        division = divide_again(division, splits, items, [*compared, *own.values()], groups.columns, seed)
    tell(0, 1, "shortcuts")
    few = np.sort(np.random.default_rng(seed + 3).permutation(len(items["test"]))[:_PROBED])
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
    # Training items that repeat each other are counted; the list is for what touches the test.
    pairs: list[LeakPair] = [pair for one in (*compared, own["test"]) for pair in one.pairs]
    pairs.sort(key=worst_first)
    contradictory, conflicting = conflicts(splits, items, keys)
    train = searched.get("train")
    evidence = LeakageEvidence(
        test_items=len(test),
        train_items=len(splits["train"]),
        test_items_exact=leak.comparison.exact,
        test_items_near=leak.comparison.near,
        test_items_leaked=leak.comparison.exact + leak.comparison.near,
        effective_test_items=len(test) - int(repeats.sum()),
        layout=items["test"].layout.words,
        threshold=None if train is None else train.threshold.value,
        calibrated_on="" if train is None else train.threshold.words,
        false_match_rate=None if train is None else FALSE_MATCHES_A_QUERY,
        comparisons=tuple(one.comparison for one in (*compared, *own.values())),
        sensitivity=() if train is None else train.sensitivity(confidence, tell),
        pairs=pictured(pairs[:_PAIRS_SHOWN], splits),
        pairs_left_out=max(len(pairs) - _PAIRS_SHOWN, 0),
        conflicts=pictured(contradictory[:_CONFLICTS_SHOWN], splits),
        conflicting_items=conflicting,
        groups=groups.overlap,
        groups_reason=groups.reason,
        times=times,
        times_reason=times_reason,
        shortcuts=probes,
        standardisation=standardisation_of(splits["train"].inputs, test.inputs),
        impact=no_impact("there is no model; `poolaudit audit MODEL --train DATA --test DATA` measures it"),
        clean_split=division.summary,
        low_information_items=leak.plain,
        leaked_contents=_contents(items["test"].rows, keys["test"], leak.copies),
        not_assessed=_not_assessed(compared, own, sample),
    )
    return Found(evidence, leak.copies, leak.links, division)


def _contents(rows: Array, keys: list[bytes], leaked: Array) -> tuple[str, ...]:
    return tuple(sorted({key.hex()[:16] for row, key in zip(rows.tolist(), keys, strict=True) if leaked[row]}))


def _read(splits: Mapping[str, DataSplit], sample: int | None, seed: int) -> dict[str, Items]:
    if "train" not in splits or "test" not in splits:
        raise InvalidInputError("Leakage needs the training and the test split", 'splits "train" and "test"')
    if sample is not None and sample < 1:
        raise InvalidInputError(f"The sample is {sample}", "a number of items from 1")
    items = {}
    for name, split in splits.items():
        rows = np.arange(len(split))
        if sample is not None and sample < len(split):
            rows = np.sort(np.random.default_rng(seed).permutation(len(split))[:sample])
        items[name] = make_items(name, split.inputs, rows)
    reference = items["train"].layout
    for name, one in items.items():
        if not comparable(one.layout, reference):
            raise InvalidInputError(
                f"The {name} items are {one.layout.words} and the training items {reference.words}",
                "items of one kind",
                "Give both splits in the form the model takes",
            )
    return {name: replace(one, reference=reference) for name, one in items.items()}


def _searched(items: Mapping[str, Items], seed: int, tell: Progress) -> dict[str, Searched]:
    """Every split that holds enough items, ready to be searched; the test by the threshold of the training split."""
    made = {name: Searched(one, seed) for name, one in items.items() if len(one) >= _LEAST_SEARCHED}
    for name, one in made.items():
        if name != "test":
            one.calibrate(tell)
    if "train" not in made:
        return {name: one for name, one in made.items() if name != "test"}
    if "test" in made:
        made["test"].threshold = made["train"].threshold
    return made


def _not_assessed(compared: list[Compared], own: Mapping[str, Compared], sample: int | None) -> tuple[NotAssessed, ...]:
    found = [
        NotAssessed(f"Changed copies within the {name} split", f"compared by {one.comparison.method}")
        for name, one in own.items()
        if ";" in one.comparison.method
    ]
    left_out = sum(one.comparison.left_out for one in compared)
    if left_out:
        found.append(
            NotAssessed(
                f"{left_out:,} items left out of the comparisons", f"a sample of {sample:,} items a split was asked for"
            )
        )
    return tuple(found)
