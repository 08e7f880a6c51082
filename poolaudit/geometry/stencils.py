"""Which cells along an axis each output cell of an operation reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from poolaudit.configuration.windows import same_padding, window_span
from poolaudit.geometry.hulls import Phases

Index = npt.NDArray[np.int64]
Stencil = tuple[Index, Phases | None]


def window(
    size: int, outputs: int, window: int, stride: int, dilation: int = 1, before: int = 0
) -> tuple[Index, Phases]:
    """A sliding window: output o reads `o * stride - before + t * dilation` wherever that lies in the input."""
    origin = np.arange(outputs, dtype=np.int64)[:, None] * stride - before
    index = origin + np.arange(window, dtype=np.int64) * dilation
    return _inside(index, size), Phases.window(window, stride, dilation, before)


def transposed(size: int, outputs: int, window: int, stride: int, dilation: int, before: int) -> tuple[Index, Phases]:
    """The transpose of a sliding window: input i adds to the outputs `i * stride - before + t * dilation`."""
    moved = np.arange(outputs, dtype=np.int64)[:, None] + before - np.arange(window, dtype=np.int64) * dilation
    index = np.where(moved % stride == 0, moved // stride, -1)
    return _inside(index, size), Phases.transposed(window, stride, dilation, before)


def padding_before(padding: str, size: int, window: int, stride: int, dilation: int) -> int:
    """Cells put in front of an axis under "SAME" (TensorFlow's rule) or "VALID"."""
    if padding != "SAME":
        return 0
    return same_padding(size, window, stride, dilation)[0] if size + window_span(window, dilation) > 0 else 0


def pick(index: Sequence[int] | Index) -> Stencil:
    """Each output cell is one cell of the input, or none where -1."""
    column = np.asarray(index, np.int64)[:, None]
    steps = np.diff(column[:, 0])
    if len(column) > 1 and (column >= 0).all() and (steps == steps[0]).all() and steps[0] > 0:
        return column, Phases.window(1, int(steps[0]), 1, -int(column[0, 0]))
    return column, None


def padded(size: int, before: int, after: int) -> tuple[Index, Phases]:
    """Cells that hold a constant put in front and behind."""
    index = np.arange(-before, size + after, dtype=np.int64)[:, None]
    return _inside(index, size), Phases.window(1, 1, 1, before)


def nearest(size: int, outputs: int, *, align_corners: bool, half_pixel_centers: bool) -> Stencil:
    """TensorFlow's ResizeNearestNeighbor."""
    scale = _scale(size, outputs, align_corners)
    cells = np.arange(outputs, dtype=np.float32)
    place = (cells + np.float32(0.5)) * scale if half_pixel_centers else cells * scale
    index = (np.round(place) if align_corners else np.floor(place)).astype(np.int64)
    if outputs % size == 0 and not align_corners:
        return np.clip(index, 0, size - 1)[:, None], Phases.repeat(outputs // size)
    return np.clip(index, 0, size - 1)[:, None], None


def bilinear(size: int, outputs: int, *, align_corners: bool, half_pixel_centers: bool) -> Stencil:
    """TensorFlow's ResizeBilinear, in its own single precision; a neighbour of weight 0 is not read."""
    scale = _scale(size, outputs, align_corners)
    cells = np.arange(outputs, dtype=np.float32)
    place = cells * scale
    if half_pixel_centers:
        place = (cells + np.float32(0.5)) * scale - np.float32(0.5)
    floor = np.floor(place)
    low = np.clip(floor.astype(np.int64), 0, size - 1)
    high = np.clip(floor.astype(np.int64) + 1, 0, size - 1)
    weight = place - floor
    return np.stack([low, np.where(weight == 0, -1, high)], axis=1), None


def prefix(size: int, *, exclusive: bool = False, reverse: bool = False) -> Stencil:
    """Each cell reads itself and all cells before it, or behind it where `reverse`."""
    row, column = np.arange(size)[:, None], np.arange(size)[None, :]
    kept = (column >= row if reverse else column <= row) & ~(exclusive & (column == row))
    return np.where(kept, column, -1), None


def _scale(size: int, outputs: int, align_corners: bool) -> np.float32:
    above, below = (size - 1, outputs - 1) if align_corners and outputs > 1 else (size, outputs)
    scale: np.float32 = np.float32(above) / np.float32(below)
    return scale


def _inside(index: Index, size: int) -> Index:
    return np.where((index >= 0) & (index < size), index, -1)
