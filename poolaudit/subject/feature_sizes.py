"""The size of what tells an item's class: stated, or measured on a mask or a box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.errors import InvalidInputError

SIZE_KEYS = ("size", "mask", "box")
Array = npt.NDArray[Any]
Sizes = npt.NDArray[np.float64]


def feature_sizes(arrays: Mapping[str, Array], inputs: Array, source: str) -> tuple[Sizes | None, str | None]:
    """Size of each item's feature in cells, NaN where it has none, and the name of the array it comes from.

    Args:
        arrays: May hold "size" (items,): a length in cells; "mask": (items, ...) of the inputs' spatial shape, not 0
            on the feature; "box": (items, 2 x axes): the first cell along each axis, then one past the last along
            each, so (top, left, bottom, right) for images. Of a mask or box, the size is the side of a square (cube)
            of the same area (volume). Where several are given, the first of these counts.
        inputs: (items, ...).
        source: For messages.

    Raises:
        InvalidInputError: The array has another shape, is not numeric, or holds negative sizes.
    """
    key = next((key for key in SIZE_KEYS if key in arrays), None)
    if key is None:
        return None, None
    array = np.asarray(arrays[key])
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(f"{source}: {key} has dtype {array.dtype}", "numbers")
    n = len(inputs)
    if key == "size":
        if array.shape != (n,):
            raise InvalidInputError(f"{source}: size has shape {array.shape} for {n:,} items", f"({n},): one an item")
        return _checked(array.astype(np.float64), source), "column"
    if key == "mask":
        return _of_masks(array, inputs, source), "mask"
    return _of_boxes(array, n, source), "box"


def _of_masks(array: Array, inputs: Array, source: str) -> Sizes:
    spatial = inputs.shape[1:-1] if inputs.ndim > 2 else inputs.shape[1:]
    allowed = {
        inputs.shape,
        (*inputs.shape[:1], *spatial),
        (*inputs.shape[:1], *spatial, 1),
        (len(inputs), *inputs.shape[2:]),
    }
    if array.shape not in allowed:
        raise InvalidInputError(
            f"{source}: mask has shape {array.shape} for inputs of shape {inputs.shape}",
            f"{(len(inputs), *spatial)}: one value for each place of each item",
        )
    axes = len(spatial)
    on = array != 0
    if array.ndim == inputs.ndim and array.shape == inputs.shape and inputs.ndim > 2:
        on = on.any(axis=-1)
    area = on.reshape(len(on), -1).sum(axis=1).astype(np.float64)
    area[area == 0] = np.nan
    return np.asarray(area ** (1 / axes))


def _of_boxes(array: Array, n: int, source: str) -> Sizes:
    if array.ndim != 2 or len(array) != n or array.shape[1] % 2:
        raise InvalidInputError(
            f"{source}: box has shape {array.shape} for {n:,} items",
            "(items, 2 x axes): the first cell along each axis, then one past the last along each",
        )
    axes = array.shape[1] // 2
    sides = array[:, axes:].astype(np.float64) - array[:, :axes]
    if (sides < 0).any():
        raise InvalidInputError(
            f"{source}: box {int(np.argmax((sides < 0).any(axis=1)))} ends before it begins",
            "the first cell along each axis, then one past the last: (top, left, bottom, right) for images",
        )
    area = sides.prod(axis=1)
    area[area == 0] = np.nan
    return np.asarray(area ** (1 / axes))


def _checked(sizes: Sizes, source: str) -> Sizes:
    if (sizes < 0).any() or np.isinf(sizes).any():
        raise InvalidInputError(
            f"{source}: size holds {sizes[(sizes < 0) | np.isinf(sizes)][0]:g}", "lengths in cells, above 0, or NaN"
        )
    return np.where(sizes == 0, np.nan, sizes)
