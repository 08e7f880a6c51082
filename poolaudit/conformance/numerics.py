"""Comparison of arrays with the tolerances of the catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolaudit.conformance.case import cast
from poolaudit.conformance.violations import Violation

TOLERANCES = {"float16": 6e-3, "bfloat16": 5e-2, "float32": 1e-5, "float64": 1e-10}
"""Allowed error relative to 1 + the largest finite magnitude of the expected array."""


def tolerance_of(dtype: str) -> float:
    """The tolerance of a dtype or of a mixed policy's compute dtype."""
    return TOLERANCES[dtype.removeprefix("mixed_")]


def formula_dtype(reduction: str | None, dtype: str) -> str:
    """The dtype whose tolerance holds against the definition: a root may keep an epsilon of 1e-7 below it."""
    return "float32" if reduction in ("rms", "gem") and dtype == "float64" else dtype


def as_float64(array: Any) -> NDArray[np.float64]:
    widened: NDArray[np.float64] = np.asarray(array).astype(np.float64)
    return widened


def shown(array: Any, limit: int = 40) -> str:
    """An array as text, shortened where it is long."""
    values = as_float64(array)
    flat = values.ravel()
    text = np.array2string(values, precision=7, separator=", ", threshold=limit, edgeitems=3)
    return text if flat.size <= limit else f"shape {values.shape}: {text}"


def same_values(observed: Any, expected: Any, dtype: str, factor: float = 1.0) -> NDArray[np.bool_]:
    """Where two arrays of one shape agree: the same NaN, the same infinity, or close."""
    left, right = as_float64(observed), as_float64(expected)
    with np.errstate(all="ignore"):
        finite = np.isfinite(right)
        largest = float(np.max(np.abs(right[finite]), initial=0.0))
        near = np.abs(left - right) <= factor * tolerance_of(dtype) * (1.0 + largest)
        same: NDArray[np.bool_] = near | (left == right) | (np.isnan(left) & np.isnan(right))
    return same


def demand_same(observed: Any, expected: Any, dtype: str, what: str, factor: float = 1.0) -> None:
    """Raises Violation where shapes or values differ."""
    left, right = np.asarray(observed), np.asarray(expected)
    if left.shape != right.shape:
        raise Violation(f"shape {left.shape}", f"shape {right.shape}", what)
    same = same_values(left, right, dtype, factor)
    if not bool(same.all()):
        at = tuple(int(i) for i in np.argwhere(~same)[0])
        detail = f"at {list(at)}: {float(left[at])!r} and not {float(right[at])!r}" if at else ""
        raise Violation(shown(left), shown(right), f"{what}; {detail}")


def demand_bitwise(observed: Any, expected: Any, what: str) -> None:
    """Raises Violation where two arrays are not equal, NaN taken as equal to NaN."""
    left, right = np.asarray(observed), np.asarray(expected)
    if left.shape != right.shape:
        raise Violation(f"shape {left.shape}", f"shape {right.shape}", what)
    if not np.array_equal(as_float64(left), as_float64(right), equal_nan=True):
        raise Violation(shown(left), shown(right), what)


def largest_finite(dtype: str) -> float:
    """The greatest finite value of a floating dtype."""
    import ml_dtypes

    finfo: Any = ml_dtypes.finfo
    return float(finfo(cast(0, dtype.removeprefix("mixed_")).dtype).max)
