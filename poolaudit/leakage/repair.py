"""A clean split: what the model may be tested on as it is, and how to divide all items anew."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError
from poolaudit.evidence.leakage import CleanSplit, NewSplit
from poolaudit.leakage.clusters import join, units_of
from poolaudit.leakage.compared import Compared
from poolaudit.leakage.items import Items
from poolaudit.leakage.resplit import LEFT_OUT, redivide
from poolaudit.store.atomic import write_atomically
from poolaudit.subject.splits import DataSplit

Array = np.ndarray[Any, Any]
Column = Sequence[str | None]

# What makes a cell a formula in a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

# Training comes first, then the others as they are compared with it.
_ORDER = ("train", "test", "validation")


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """Where items may go.

    Attributes:
        clean: Positions of the clean test items, rising.
        summary: For the evidence.
        anew: By old split, for each of its items the new split, "" where it is left out. Empty where not asked for.
        units: By old split, for each of its items the number of what must stay together.
    """

    clean: Array
    summary: CleanSplit
    anew: Mapping[str, tuple[str, ...]]
    units: Mapping[str, tuple[int, ...]]


def divide(n: int, copies: Array, in_shared_group: Array, repeats: Array) -> Division:
    """The test items without copies, shared groups and repeats.

    Args:
        copies, in_shared_group, repeats: (n,) bool.
    """
    clean = ~copies & ~in_shared_group & ~repeats
    summary = CleanSplit(
        test_items=int(clean.sum()),
        removed_copies=int(copies.sum()),
        removed_groups=int((in_shared_group & ~copies).sum()),
        removed_repeats=int((repeats & ~copies & ~in_shared_group).sum()),
        written=None,
    )
    return Division(np.flatnonzero(clean), summary, {}, {})


def divide_again(
    division: Division,
    splits: Mapping[str, DataSplit],
    items: Mapping[str, Items],
    compared: Sequence[Compared],
    groups: Mapping[str, Column],
    seed: int,
) -> Division:
    """The division with all items that were looked at divided anew.

    Args:
        compared: Every split with every other and with itself.
        groups: Names by split, where there are groups.
    """
    names = [name for name in _ORDER if name in splits]
    start = dict(zip(names, np.cumsum([0, *(len(splits[name]) for name in names)]), strict=False))
    n = sum(len(splits[name]) for name in names)
    links = join(
        [
            replace(
                one.links,
                first=one.links.first + start[one.comparison.first],
                second=one.links.second + start[one.comparison.second],
            )
            for one in compared
        ]
    )
    owners: list[str | None] = []
    for name in names:
        owners += groups.get(name) or [None] * len(splits[name])
    units = units_of(n, links, owners if groups else None)
    old = np.repeat(np.arange(len(names)), [len(splits[name]) for name in names])
    labels = np.concatenate([splits[name].labels for name in names])
    looked_at = np.sort(np.concatenate([items[name].rows + start[name] for name in names]))
    place = np.full(n, LEFT_OUT)
    place[looked_at] = np.arange(len(looked_at))
    _, unit = np.unique(units.unit[looked_at], return_inverse=True)
    found = redivide(
        old[looked_at],
        labels[looked_at],
        replace(units, unit=unit, loose=place[units.loose]),
        np.random.default_rng(seed),
    )
    new = np.full(n, LEFT_OUT)
    new[looked_at] = found
    ends = [*start.values(), n]
    words = [*names, ""]
    return replace(
        division,
        summary=replace(division.summary, anew=_summary(names, old, new, labels, units.unit)),
        anew={
            name: tuple(words[at] for at in new[low:high].tolist())
            for name, low, high in zip(names, ends[:-1], ends[1:], strict=True)
        },
        units={
            name: tuple(units.unit[low:high].tolist())
            for name, low, high in zip(names, ends[:-1], ends[1:], strict=True)
        },
    )


def _summary(names: Sequence[str], old: Array, new: Array, labels: Array, unit: Array) -> NewSplit:
    sizes = np.bincount(unit)
    kept = new != LEFT_OUT
    classes = int(labels.max()) + 1
    everywhere = np.bincount(labels[kept], minlength=classes) / max(int(kept.sum()), 1)
    differences = [
        np.abs(np.bincount(labels[new == at], minlength=classes) / (new == at).sum() - everywhere).max()
        for at in range(len(names))
        if (new == at).any()
    ]
    return NewSplit(
        items=tuple((name, int((new == at).sum())) for at, name in enumerate(names)),
        moved=int((kept & (new != old)).sum()),
        kept_together=int((sizes[unit] > 1).sum()),
        largest_unit=int(sizes.max(initial=0)),
        left_out=int((~kept).sum()),
        share_difference=round(float(max(differences, default=0.0)), 6),
    )


def write_division(path: Path, division: Division, splits: Mapping[str, DataSplit]) -> CleanSplit:
    """Writes the clean split.

    `.csv`: one row an item, with the split it stands in (`from`), its `index` there, `path`, `label`, `clean_test`
    ("yes" for test items that the model as it is may be tested on), `unit` (items of one number stay together) and the
    new `split`, empty where the item is left out.

    `.npz`: positions: `clean_test`, and `NEW_from_OLD` for every pair of splits, such as `test_from_train`.

    Raises:
        InvalidInputError: Another ending, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        content = _manifest(division, splits)
    elif suffix == ".npz":
        content = _positions(division)
    else:
        raise InvalidInputError(
            f"The clean split shall be written to {path.name!r}", ".csv (a manifest) or .npz (indices)"
        )
    write_atomically(path, content)
    return replace(division.summary, written=path.name)


def _manifest(division: Division, splits: Mapping[str, DataSplit]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["from", "index", "path", "label", "clean_test", "unit", "split"])
    clean = set(division.clean.tolist())
    for name, new in division.anew.items():
        split, units = splits[name], division.units[name]
        for at, where in enumerate(new):
            path = "" if split.paths is None else split.paths[at] or ""
            is_clean = "" if name != "test" else "yes" if at in clean else "no"
            label = split.class_names[split.labels[at]]
            writer.writerow([name, at, _as_path(path), _as_text(label), is_clean, units[at], where])
    return stream.getvalue().encode(errors="replace")


def _as_path(path: str) -> str:
    """The same path, written so that no spreadsheet takes it for a formula."""
    return f"./{path}" if path.startswith(_FORMULA) else path


def _as_text(label: str) -> str:
    """The label; one that a spreadsheet would take for a formula gets the apostrophe that marks text there."""
    try:
        float(label)
    except ValueError:
        return f"'{label}" if label.startswith(_FORMULA) else label
    return label


def _positions(division: Division) -> bytes:
    arrays: dict[str, Any] = {"clean_test": division.clean}
    for old, where in division.anew.items():
        column = np.array(where)
        for new in division.anew:
            arrays[f"{new}_from_{old}"] = np.flatnonzero(column == new)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
