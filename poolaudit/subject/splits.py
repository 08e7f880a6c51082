"""A data split in memory, and the conditions every split must meet before it is audited."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError, listed
from poolaudit.subject.digest import content_sha256, row_chunks

SPLIT_NAMES = ("test", "train", "validation")
Array = np.ndarray[Any, Any]
_CHUNK_BYTES = 16 << 20
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")


def columns_at(table: object, names: Sequence[str], chosen: Array) -> dict[str, Any]:
    """Columns of a table by name, cut down to some rows; a column that is None stays so."""
    columns = {name: getattr(table, name) for name in names}
    return {name: None if column is None else column[chosen] for name, column in columns.items()}


@dataclass(frozen=True, slots=True, eq=False)
class DataSplit:
    """Inputs and labels of one split, with the columns that tell how items belong together.

    Attributes:
        name: "test", "train" or "validation".
        inputs: (n, ...) in the dtype and range they came in; nothing is rescaled.
        labels: int64 (n,), indices into `class_names`.
        class_names: The same tuple for all splits loaded together.
        groups: Object array (n,) of text or None per item: who or what the item comes from. None where not given.
        times: The same for when it was recorded, as written in the source.
        paths: The same for the file it comes from, relative to its source.
        source: Where the split came from; never an absolute path.
        sha256: Over dtype, shape and content of inputs and labels.
        notes: What was done to the data while loading, one sentence each.
        sizes: Size in cells of the feature that tells each item's class, float64 (n,), NaN where not known. None where
            not given.
        size_source: "column", "mask" or "box"; None where no sizes are given.
    """

    name: str
    inputs: Array
    labels: np.ndarray[Any, np.dtype[np.int64]]
    class_names: tuple[str, ...]
    groups: Array | None
    times: Array | None
    paths: Array | None
    source: str
    sha256: str
    notes: tuple[str, ...] = ()
    sizes: np.ndarray[Any, np.dtype[np.float64]] | None = None
    size_source: str | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Items of each class, in the order of `class_names`."""
        return tuple(int(count) for count in np.bincount(self.labels, minlength=len(self.class_names)))

    def rows(self, chosen: Array) -> DataSplit:
        """Some of the items with all their columns, chosen by index or mask; `sha256` stays that of the whole."""
        return replace(self, **columns_at(self, ("inputs", "labels", "groups", "times", "paths", "sizes"), chosen))


@dataclass(frozen=True, slots=True, eq=False)
class RawSplit:
    """What a source held, before labels are mapped onto the classes common to all splits.

    Attributes:
        labels: (n,) integers, whole floats, booleans or text, or one-hot (n, classes).
        class_names: Names of the integer labels 0..K-1, where the source tells them in order.
        classes: Names of classes that exist although no item may bear them (class folders), without an order.
        from_images: The inputs were read from image files.
    """

    inputs: Array
    labels: Array
    source: str
    class_names: tuple[str, ...] | None = None
    classes: tuple[str, ...] = ()
    groups: Array | None = None
    times: Array | None = None
    paths: Array | None = None
    notes: tuple[str, ...] = ()
    from_images: bool = False
    sizes: np.ndarray[Any, np.dtype[np.float64]] | None = None
    size_source: str | None = None


def require_auditable_inputs(inputs: Array, source: str) -> None:
    """Raises InvalidInputError for an empty split, a rank below 2, a dtype without numbers, NaN or infinity."""
    if inputs.dtype.kind not in "biuf":
        raise InvalidInputError(
            f"{source}: the inputs have dtype {inputs.dtype}",
            "integers, booleans or floats",
            "Stack items of equal shape into one numeric array",
        )
    if inputs.ndim < 2:
        raise InvalidInputError(
            f"{source}: the inputs have shape {inputs.shape}, rank {inputs.ndim}",
            "(items, ...), rank 2 or more",
            "Put the items on the first axis and the features or pixels on the others",
        )
    if inputs.shape[0] == 0:
        raise InvalidInputError(f"{source}: the split is empty", "at least one item")
    if 0 in inputs.shape:
        raise InvalidInputError(f"{source}: the inputs have shape {inputs.shape}", "no axis of size 0")
    if inputs.dtype.kind == "f":
        _require_finite(inputs, source)


def require_length(array: Array | None, n: int, what: str, source: str) -> None:
    """Raises InvalidInputError where `array` is given and does not hold one entry an item."""
    if array is not None and (array.ndim == 0 or len(array) != n):
        shape = "a single value" if array.ndim == 0 else f"{len(array):,} entries"
        raise InvalidInputError(f"{source}: {what} has {shape} for {n:,} items", f"{n:,} entries, one an item")


def require_two_classes(split: DataSplit) -> None:
    """Raises InvalidInputError where all items bear one label: recall and precision cannot be judged then."""
    present = [name for name, count in zip(split.class_names, split.class_counts, strict=True) if count]
    if len(present) < 2:
        raise InvalidInputError(
            f"All {len(split):,} items of the {split.name} split ({split.source}) are of class {present[0]!r}",
            "at least two classes: with one, recall and precision cannot be judged",
            "Add items of the other classes",
        )


def check_against_classes(split: DataSplit, n_classes: int, source: str) -> DataSplit:
    """The split with exactly the `n_classes` classes a model tells apart.

    Integer labels that leave the last classes out get their names; anything else must agree.

    Args:
        n_classes: Classes the model tells apart (2 for a single logit).
        source: Name of the model in messages.

    Raises:
        InvalidInputError: Labels outside the model's classes, or named classes that are fewer than its outputs.
    """
    known = len(split.class_names)
    if known == n_classes:
        return split
    numbered = split.class_names == tuple(str(index) for index in range(known))
    if known > n_classes:
        top, low = int(split.labels.max()), int(split.labels.min())
        if top < n_classes and numbered:
            return dataclasses.replace(split, class_names=split.class_names[:n_classes])
        outside = int((split.labels >= n_classes).sum())
        cure = "Check that the model and the data belong together"
        if numbered and low >= 1:
            cure = "Labels count from 0; subtract 1 from each, or pass class names that the labels spell"
        raise InvalidInputError(
            f"{split.source}: the labels name {known} classes, "
            + (f"{outside:,} items are outside the first {n_classes}, " if outside else "")
            + f"and {source} tells {n_classes} classes apart",
            f"labels of {n_classes} classes",
            cure,
        )
    if numbered:
        return dataclasses.replace(split, class_names=tuple(str(index) for index in range(n_classes)))
    raise InvalidInputError(
        f"{split.source}: the data name {known} classes ({listed(split.class_names)}), and {source} tells "
        f"{n_classes} apart; which output belongs to which name cannot be told",
        f"{n_classes} class names in the order of the model's outputs",
        "Pass all class names in the order of the model's outputs",
    )


def check_against_input_shape(split: DataSplit, input_shape: Sequence[int | None], source: str) -> DataSplit:
    """The split in the shape a model takes; a missing channel axis of size 1 is added and noted.

    Args:
        input_shape: The model's, without the batch axis; None where any size goes.
        source: Name of the model in messages.

    Raises:
        InvalidInputError: Rank, size or channel count disagree.
    """
    wanted, given = tuple(input_shape), split.inputs.shape[1:]
    if _fits(given, wanted):
        return split
    if len(given) == len(wanted) - 1 and wanted[-1] in (1, None) and _fits(given, wanted[:-1]):
        return dataclasses.replace(
            split,
            inputs=split.inputs[..., np.newaxis],
            notes=(*split.notes, f"A channel axis of size 1 was added, as {source} takes {_shape(wanted)}."),
        )
    problem, cure = "shape", ""
    if len(given) != len(wanted):
        problem, cure = f"rank {len(given) + 1}", "Give each item the axes the model takes, channels last"
    elif _fits((*given[1:], given[0]), wanted):
        problem, cure = "the channels on the first axis", "Move them to the last one: numpy.moveaxis(x, 1, -1)"
    elif _fits(given[:-1], wanted[:-1]):
        unit = "channel" if wanted[-1] == 1 else "channels"
        problem = f"{given[-1]} channels"
        cure = f"Convert the data to {wanted[-1]} {unit}; among image files a single one in colour makes all of them so"
    elif len(given) == 3:
        problem, cure = f"size {given[0]}x{given[1]}", "Load image files with --resize, or resize the arrays"
    raise InvalidInputError(
        f"{split.source}: the inputs have {problem}: {_shape(given)} an item, and {source} takes {_shape(wanted)}",
        f"items of shape {_shape(wanted)}",
        cure,
    )


def finish_split(
    name: str, raw: RawSplit, labels: np.ndarray[Any, np.dtype[np.int64]], class_names: tuple[str, ...]
) -> DataSplit:
    """A `DataSplit` of inputs that were checked and labels that were mapped onto `class_names`."""
    inputs = raw.inputs
    return DataSplit(
        name=name,
        inputs=inputs,
        labels=labels,
        class_names=class_names,
        groups=group_names(raw.groups),
        times=text_column(raw.times),
        paths=text_column(raw.paths),
        source=raw.source,
        sha256=content_sha256((inputs, labels)),
        notes=raw.notes,
        sizes=raw.sizes,
        size_source=raw.size_source,
    )


def _require_finite(inputs: Array, source: str) -> None:
    bad, first, start = 0, None, 0
    for chunk in row_chunks(inputs, _CHUNK_BYTES):
        finite = np.isfinite(chunk)
        if not finite.all():
            bad += int(chunk.size - finite.sum())
            if first is None:
                where = np.unravel_index(int(finite.argmin()), chunk.shape)
                first = (start + int(where[0]), *(int(axis) for axis in where[1:]))
        start += len(chunk)
    if first is not None:
        raise InvalidInputError(
            f"{source}: {bad:,} input values are NaN or infinite; the first at index {first} is {inputs[first]}",
            "finite numbers",
            "Drop or repair these items; a score computed from them means nothing",
        )


def _fits(given: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(given) == len(wanted) and all(
        size is None or size == have for have, size in zip(given, wanted, strict=True)
    )


def _shape(sizes: Sequence[int | None]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in sizes) + ")"


def text_column(column: Array | None) -> Array | None:
    """An array of any kind as an object array (n,) of text, None where nothing is written."""
    if column is None:
        return None
    if column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8", "replace")
    if column.dtype.kind == "M":  # tolist() of nanoseconds gives bare integers
        column = column.astype(str)
    texts = np.empty(len(column), object)
    texts[:] = [None if str(value) in {"", "nan", "NaT", "None"} else str(value) for value in column.tolist()]
    return texts


def group_names(column: Array | None) -> Array | None:
    """As `text_column`, one name for one group: without blanks around it, and whole numbers without a point.

    A column of whole numbers with a gap is written, and read, as 3.0 instead of 3.
    """
    texts = text_column(column)
    if texts is None:
        return None
    names = {text: None if text is None else _group_name(text) for text in set(texts.tolist())}
    texts[:] = [names[text] for text in texts.tolist()]
    return texts


def _group_name(text: str) -> str | None:
    whole = _WHOLE_NUMBER.fullmatch(text.strip())
    return (whole.group(1) if whole else text.strip()) or None
