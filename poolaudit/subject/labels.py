"""Labels of any spelling - integers, whole floats, booleans, text - as codes and texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.subject.columns import factorised

MAX_CLASSES = 10_000
_MAX_NAME_LENGTH = 200
_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0*)?")
_MISSING = frozenset({"", "nan", "NaN", "NAN", "NaT", "<NA>", "null", "NULL"})
_BOOLEANS = {"false": ("0", "False", "false", "FALSE"), "true": ("1", "True", "true", "TRUE")}

Codes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedLabels:
    """One label per item.

    Attributes:
        codes: int64 (n,), indices into `texts`.
        texts: The distinct labels that occur, as text; whole numbers without a decimal point.
    """

    codes: Codes
    texts: tuple[str, ...]


def encode_labels(column: Any, what: str, known: Sequence[str] = ()) -> EncodedLabels:
    """Codes and texts of an Arrow column (or NumPy array) of labels; no Python work per row.

    Args:
        column: Integers, whole floats, booleans or text.
        what: Name of the column in messages, for example "label in predictions.csv".
        known: Class names that are given elsewhere; "nan" among them makes "nan" a label.

    Raises:
        InvalidInputError: Labels are missing, fractional, of another type, or more than 10,000 distinct ones.
    """
    codes, values = _factorised_array(column, what) if isinstance(column, np.ndarray) else _factorised(column, what)
    used = np.bincount(codes, minlength=len(values)) > 0 if len(codes) else np.zeros(len(values), bool)
    if int(used.sum()) > MAX_CLASSES:
        raise InvalidInputError(
            f"{what} holds {int(used.sum()):,} distinct values",
            f"at most {MAX_CLASSES:,} classes",
            "Is this column an identifier or a measured value rather than a class?",
        )
    return _compact(codes, values, used, what, known)


def canonical_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts with "1.0" written "1", where all of them are whole numbers; otherwise unchanged."""
    given = tuple(texts)
    matches = [_WHOLE.fullmatch(text) for text in given]
    if all(matches):
        return tuple(match.group(1) for match in matches if match)
    return given


def natural_order(texts: Iterable[str]) -> tuple[str, ...]:
    """Distinct texts, sorted as numbers where all are whole numbers, otherwise as text."""
    distinct = set(texts)
    if all_whole(distinct):
        return tuple(sorted(distinct, key=lambda text: (int(text.split(".")[0]), text)))
    return tuple(sorted(distinct))


def all_whole(texts: Iterable[str]) -> bool:
    """Is each text a whole number without leading zeros?"""
    return all(_WHOLE.fullmatch(text) for text in texts)


def find_class(name: str, class_names: Sequence[str]) -> int | None:
    """Index of the class called `name`; "1.0" finds "1", and true/false find 1/0; None where there is none."""
    return _find(name, {known: index for index, known in enumerate(class_names)})


def resolve_class(name: str, class_names: Sequence[str]) -> int:
    """Index of the class called `name`.

    Raises:
        InvalidInputError: There is no such class; the text names the closest one.
    """
    index = find_class(str(name), class_names)
    if index is None:
        raise InvalidInputError(
            f"There is no class {name!r}", listed(class_names), did_you_mean(str(name), class_names)
        )
    return index


def recode(labels: EncodedLabels, class_names: Sequence[str], what: str) -> Codes:
    """Labels as int64 indices into `class_names`.

    Raises:
        InvalidInputError: Labels that are none of the classes; count, first row and closest name are told.
    """
    positions = {known: index for index, known in enumerate(class_names)}
    found = [_find(text, positions) for text in labels.texts]
    unknown = [text for text, index in zip(labels.texts, found, strict=True) if index is None]
    if unknown:
        lost = np.isin(labels.codes, [labels.texts.index(text) for text in unknown])
        raise InvalidInputError(
            f"{what}: {int(lost.sum()):,} labels are outside the classes: {listed(unknown)} "
            f"(first in row {int(lost.argmax()) + 1})",
            listed(class_names),
            did_you_mean(unknown[0], class_names),
        )
    return np.array([index for index in found if index is not None], np.int64)[labels.codes]


def _find(name: str, positions: Mapping[str, int]) -> int | None:
    spellings = [name]
    match = _WHOLE.fullmatch(name)
    if match:
        spellings += [match.group(1), f"{match.group(1)}.0"]
    for same in _BOOLEANS.values():
        if name in same:
            spellings += same
    return next((positions[spelling] for spelling in spellings if spelling in positions), None)


def _factorised(column: Any, what: str) -> tuple[Codes, list[Any]]:
    import pyarrow.types as types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    tests = (types.is_integer, types.is_boolean, types.is_floating, types.is_decimal)
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    if not any(test(kind) for test in (*tests, *texts)):
        raise InvalidInputError(f"{what} holds {kind}", "integers, booleans or text")
    if column.null_count:
        missing = np.array(column.is_null().to_pylist())
        raise _missing(what, int(missing.sum()), int(missing.argmax()))
    if types.is_decimal(kind):
        column = column.cast("float64")
    return factorised(column)


def _factorised_array(column: np.ndarray[Any, Any], what: str) -> tuple[Codes, list[Any]]:
    if column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8", "replace")
    if column.dtype.kind not in "biufU":
        raise InvalidInputError(f"{what} has dtype {column.dtype}", "integers, booleans or text")
    if column.dtype.kind != "U":
        distinct, codes = np.unique(column, return_inverse=True)
        return codes.reshape(-1).astype(np.int64, copy=False), distinct.tolist()
    rows = column.tolist()  # a dictionary is faster than sorting text
    positions = {text: index for index, text in enumerate(dict.fromkeys(rows))}
    return np.fromiter(map(positions.__getitem__, rows), np.int64, len(rows)), list(positions)


def _compact(
    codes: Codes, values: list[Any], used: np.ndarray[Any, Any], what: str, known: Sequence[str]
) -> EncodedLabels:
    texts: list[str] = []
    positions: dict[str, int] = {}
    renumbered = np.zeros(max(1, len(values)), np.int64)
    occurring = [index for index in range(len(values)) if used[index]]
    spelled = canonical_texts(_text(values[index], what, partial(np.equal, codes, index), known) for index in occurring)
    for index, text in zip(occurring, spelled, strict=True):
        renumbered[index] = positions.setdefault(text, len(texts))
        if positions[text] == len(texts):
            texts.append(text)
    return EncodedLabels(renumbered[codes], tuple(texts))


def _text(value: Any, what: str, rows: Callable[[], Any], known: Sequence[str]) -> str:
    if isinstance(value, float):
        if not np.isfinite(value):
            raise _missing(what, int(rows().sum()), int(rows().argmax()))
        if value != int(value):
            raise InvalidInputError(
                f"{what} holds the fraction {value} (first in row {int(rows().argmax()) + 1})",
                "whole numbers, booleans or text",
                "Is this column a score rather than a class?",
            )
        text = str(int(value))
    else:
        text = str(value)
    if len(text) > _MAX_NAME_LENGTH:
        raise InvalidInputError(
            f"{what} holds a value of {len(text):,} characters (first in row {int(rows().argmax()) + 1})",
            f"class names of at most {_MAX_NAME_LENGTH} characters",
            "Is this column a text rather than a class?",
        )
    if text in _MISSING and text not in known:
        raise _missing(what, int(rows().sum()), int(rows().argmax()))
    return text


def _missing(what: str, count: int, first: int) -> InvalidInputError:
    return InvalidInputError(
        f"{what} is missing in {count:,} rows (first in row {first + 1})",
        "a label in each row",
        "Drop the rows without a label, or label them",
    )
