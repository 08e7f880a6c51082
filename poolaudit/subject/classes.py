"""One class mapping for all splits of an audit, so that index 3 means the same class everywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from poolaudit.errors import InvalidInputError, listed
from poolaudit.subject.labels import (
    MAX_CLASSES,
    Codes,
    EncodedLabels,
    all_whole,
    encode_labels,
    natural_order,
    recode,
)
from poolaudit.subject.splits import Array, RawSplit


@dataclass(frozen=True, slots=True, eq=False)
class _Labels:
    """Labels of one split: `indices` where they are integers that nobody named yet, `named` otherwise."""

    source: str
    indices: Codes | None = None
    count: int = 0
    named: EncodedLabels | None = None
    order: tuple[str, ...] | None = None
    classes: tuple[str, ...] = ()


def map_classes(
    raw: Mapping[str, RawSplit], class_names: Sequence[str] | None
) -> tuple[tuple[str, ...], dict[str, Codes], dict[str, tuple[str, ...]]]:
    """The classes common to all splits, the labels of each split as indices into them, and notes on each.

    Integer labels are indices: 0 is the first class. Class names come from `class_names`, else from a source that
    tells them in order; names without an order (class folders, text labels) are sorted as text, as Keras sorts class
    folders. Labels that are all whole numbers written as text count as integers, class folders excepted.

    Raises:
        InvalidInputError: Labels missing, fractional, negative, soft, outside the classes, or integers in one split
            and names in another.
    """
    notes: dict[str, tuple[str, ...]] = {}
    labels: dict[str, _Labels] = {}
    for name, split in raw.items():
        labels[name], notes[name] = _read(split)
    target = _given(class_names) or _declared(labels)
    if target is None:
        target = _derived(labels)
    return target, {name: _onto(split, target) for name, split in labels.items()}, notes


def _read(split: RawSplit) -> tuple[_Labels, tuple[str, ...]]:
    values, notes = split.labels, []
    count = 0
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2:
        count = values.shape[1]
        values = _from_one_hot(values, split.source)
        notes.append(f"Labels were one-hot over {count} classes.")
    if values.ndim != 1:
        raise InvalidInputError(
            f"{split.source}: the labels have shape {split.labels.shape}", "(items,) or one-hot (items, classes)"
        )
    if values.dtype.kind == "b":
        notes.append("Labels were booleans: False is class 0, True is class 1.")
        values = values.astype(np.int64)
    what = f"{split.source}: label"
    encoded = encode_labels(values, what, split.class_names or split.classes)
    integers = values.dtype.kind in "iuf" or (not split.classes and bool(encoded.texts) and all_whole(encoded.texts))
    if not integers:
        order = split.class_names
        if order:
            encoded = EncodedLabels(recode(encoded, order, what), order)
        elif split.classes and list(natural_order(split.classes)) != sorted(split.classes):
            notes.append("Class folders are ordered as text, as Keras does: " + listed(sorted(split.classes)) + ".")
        classes = order or tuple(sorted({*encoded.texts, *split.classes}))
        return _Labels(split.source, named=encoded, order=order, classes=classes), tuple(notes)
    whole = [int(text) for text in encoded.texts]
    if any(abs(number) >= 2**62 for number in whole):
        raise InvalidInputError(f"{what} holds {max(whole, key=abs)}", "small integers that number the classes")
    indices = np.array(whole, np.int64)[encoded.codes]
    if split.class_names:
        codes = _integers_onto(indices, split.class_names, what)
        named = EncodedLabels(codes, split.class_names)
        return _Labels(split.source, named=named, order=split.class_names, classes=split.class_names), tuple(notes)
    if len(indices) and int(indices.min()) < 0:
        raise InvalidInputError(
            f"{what} holds the negative number {int(indices.min())} (first in row {int((indices < 0).argmax()) + 1})",
            "0 for the first class, 1 for the second and so on, or names",
            "For -1/+1 labels map -1 to 0, or use text labels",
        )
    count = max(count, int(indices.max()) + 1 if len(indices) else 0)
    if count > MAX_CLASSES:
        raise InvalidInputError(
            f"{what} goes up to {count - 1:,}",
            f"integers below {MAX_CLASSES:,}: an integer label is the index of a class",
            "Pass labels as text where they are codes",
        )
    return _Labels(split.source, indices=indices, count=count), tuple(notes)


def _from_one_hot(values: Array, source: str) -> Array:
    if values.dtype.kind not in "biuf":
        raise InvalidInputError(f"{source}: the labels have shape {values.shape} and dtype {values.dtype}", "(items,)")
    hot = values == 1
    wrong = (hot.sum(axis=1) != 1) | ((values != 0).sum(axis=1) != 1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidInputError(
            f"{source}: the labels have {values.shape[1]} columns and {int(wrong.sum()):,} rows that are not one-hot "
            f"(first in row {row + 1}: {listed(map(str, values[row].tolist()))})",
            "a single 1 among zeros in each row, or one label an item",
            "Multi-label and soft-label data cannot be audited; take one class an item",
        )
    return np.asarray(hot.argmax(axis=1), np.int64)


def _given(class_names: Sequence[str] | None) -> tuple[str, ...] | None:
    if class_names is None:
        return None
    if isinstance(class_names, str):
        raise InvalidInputError(f"The class names are the single text {class_names!r}", "a sequence of names")
    names = tuple(str(name) for name in class_names)
    return require_distinct(names, "The class names")


def require_distinct(names: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Raises InvalidInputError where a class name is empty, occurs twice, or fewer than two are given."""
    if len(set(names)) != len(names) or "" in names or len(names) < 2:
        raise InvalidInputError(f"{what} are {listed(names)}", "at least two names, none empty, each once")
    return names


def _declared(labels: Mapping[str, _Labels]) -> tuple[str, ...] | None:
    orders = sorted({split.order for split in labels.values() if split.order}, key=len)
    if not orders:
        return None
    longest = orders[-1]
    for order in orders:
        if longest[: len(order)] != order:
            raise InvalidInputError(
                f"The splits name their classes in different orders: {listed(order)} and {listed(longest)}",
                "the same class names in the same order",
                "Pass the class names in the order of the model's outputs",
            )
    return longest


def _derived(labels: Mapping[str, _Labels]) -> tuple[str, ...]:
    named = [split for split in labels.values() if split.named is not None]
    if not named:
        return tuple(str(index) for index in range(max((split.count for split in labels.values()), default=0)))
    numbered = [split for split in labels.values() if split.named is None]
    if numbered:
        raise InvalidInputError(
            f"The labels of {numbered[0].source} are integers and those of {named[0].source} are names",
            "integers in all splits, or names in all splits",
            "Pass the class names in the order of the model's outputs, so that each integer has its name",
        )
    return tuple(sorted({name for split in named for name in split.classes}))


def _onto(split: _Labels, target: tuple[str, ...]) -> Codes:
    what = f"{split.source}: label"
    if split.named is not None:
        used = np.bincount(split.named.codes, minlength=len(split.named.texts)) > 0
        if not used.all():
            texts = tuple(text for text, is_used in zip(split.named.texts, used, strict=True) if is_used)
            codes = (np.cumsum(used) - 1)[split.named.codes]
            return recode(dataclasses.replace(split.named, codes=codes, texts=texts), target, what)
        return recode(split.named, target, what)
    assert split.indices is not None
    return _integers_onto(split.indices, target, what)


def _integers_onto(indices: Codes, target: tuple[str, ...], what: str) -> Codes:
    """Integers as names where the class names are numbers that include them all, otherwise as indices."""
    values, codes = np.unique(indices, return_inverse=True)
    encoded = EncodedLabels(codes.reshape(-1).astype(np.int64), tuple(str(value) for value in values.tolist()))
    if all_whole(target):
        return recode(encoded, target, what)
    outside = (indices < 0) | (indices >= len(target))
    if outside.any():
        raise InvalidInputError(
            f"{what}: {int(outside.sum()):,} labels are outside the classes: "
            f"{listed(str(value) for value in np.unique(indices[outside]).tolist())} "
            f"(first in row {int(outside.argmax()) + 1})",
            f"0 to {len(target) - 1}, for {listed(target)}",
        )
    return indices
