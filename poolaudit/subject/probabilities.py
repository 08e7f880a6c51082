"""Probabilities as one float64 matrix, the conditions they must meet, and the decisions made from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError
from poolaudit.subject.columns import as_floats
from poolaudit.subject.labels import Codes, resolve_class
from poolaudit.subject.splits import Array

SUM_TOLERANCE = 1e-3
# Float32 rounding carries a softmax this far beyond [0, 1].
_RANGE_TOLERANCE = 1e-6
Probabilities = np.ndarray[Any, np.dtype[np.float64]]


def probability_matrix(columns: dict[str, Any], names: list[str], source: str) -> Probabilities:
    """The columns called `names` side by side, (n, len(names)).

    Raises:
        InvalidInputError: No numbers, missing, NaN or infinite ones, or values outside [0, 1].
    """
    matrix = np.empty((len(columns["label"]), len(names)))
    for index, name in enumerate(names):
        matrix[:, index] = _numbers(columns[name], name, source)
    return in_unit_interval(matrix, names, source)


def in_unit_interval(matrix: Probabilities, names: Sequence[str], source: str) -> Probabilities:
    """The matrix, with float32 rounding beyond 0 and 1 clipped.

    Raises:
        InvalidInputError: NaN, infinity, or values outside [0, 1]; count, first row and column are told.
    """
    low, high = matrix.min(), matrix.max()
    if low >= 0.0 and high <= 1.0:
        return matrix
    finite = np.isfinite(matrix)
    if not finite.all():
        row, column = divmod(int(finite.argmin()), matrix.shape[1])
        raise InvalidInputError(
            f"{source}: {int(matrix.size - finite.sum()):,} scores are missing, NaN or infinite; the first is in row "
            f"{row + 1} ({names[column]})",
            "a number in [0, 1] in each row",
            "Repair the rows; leaving them out would hide where the model fails",
        )
    outside = (matrix < -_RANGE_TOLERANCE) | (matrix > 1.0 + _RANGE_TOLERANCE)
    if outside.any():
        row, column = divmod(int(outside.argmax()), matrix.shape[1])
        raise InvalidInputError(
            f"{source}: {int(outside.sum()):,} scores are outside [0, 1], from {low:.6g} to {high:.6g}; the first is "
            f"{matrix[row, column]:.6g} in row {row + 1} ({names[column]})",
            "probabilities in [0, 1]; logits and decision values are not taken, as their threshold is not known",
            "Apply the sigmoid or softmax first",
        )
    return np.asarray(np.clip(matrix, 0.0, 1.0))


def require_sum_one(matrix: Probabilities, source: str) -> None:
    """Raises InvalidInputError where a row does not sum to 1 within 1e-3; count and worst row are told."""
    sums = matrix @ np.ones(matrix.shape[1])
    gaps = np.abs(sums - 1.0)
    wrong = int((gaps > SUM_TOLERANCE).sum())
    if wrong:
        worst = int(gaps.argmax())
        raise InvalidInputError(
            f"{source}: in {wrong:,} of {len(sums):,} rows the probabilities do not sum to 1; the worst is row "
            f"{worst + 1} with {sums[worst]:.6g}",
            f"rows that sum to 1 within {SUM_TOLERANCE:g}",
            "Write all classes, and probabilities rather than logits or independent scores",
        )


def beside_complement(column: Array, names: tuple[str, ...], name: str) -> Probabilities:
    """The probabilities of two classes from those of the class `name`."""
    index = resolve_class(name, names)
    matrix = np.empty((len(column), 2))
    matrix[:, index] = column
    matrix[:, 1 - index] = 1.0 - column
    return matrix


def decide(probabilities: Probabilities, names: tuple[str, ...], positive: int | None) -> tuple[Codes, str]:
    """Decisions and the rule behind them: 0.5 on the positive of two classes (the second by default), else arg max."""
    if len(names) == 2:
        index = 1 if positive is None else positive
        chosen = probabilities[:, index] >= 0.5
        predicted = np.where(chosen, index, 1 - index).astype(np.int64)
        return predicted, f"{names[index]} is predicted where its probability is at least 0.5"
    highest = "the class with the highest probability is predicted, the first among ties"
    return probabilities.argmax(axis=1).astype(np.int64, copy=False), highest


def _numbers(column: Any, name: str, source: str) -> Array:
    if isinstance(column, np.ndarray):
        if column.dtype.kind not in "biuf":
            raise InvalidInputError(f"{source}: {name} has dtype {column.dtype}", "probabilities in [0, 1]")
        return column
    import pyarrow.types as types

    kind = column.type
    if not any(test(kind) for test in (types.is_floating, types.is_integer, types.is_decimal, types.is_boolean)):
        raise InvalidInputError(f"{source}: {name} holds {kind}", "probabilities in [0, 1]")
    return as_floats(column)
