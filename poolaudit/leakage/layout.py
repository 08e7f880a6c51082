"""How items are laid out, and their brightness on a working grid of a common size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError

Array = np.ndarray[Any, Any]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Cells of a working grid along each moving axis, by the number of moving axes.
_COARSE = {1: 64, 2: 16, 3: 10}
_FINE = {1: 256, 2: 48, 3: 16}
_MOST_CHANNELS = 16
_SAMPLE = 4096


@dataclass(frozen=True, slots=True)
class Layout:
    """What the axes of an item mean.

    Attributes:
        rank: Axes along which an item can be shifted: 1 (signals), 2 (images) or 3 (volumes).
        sizes: Length of each of them.
        channels: Values at each place; colour of an image becomes brightness, other channels are kept.
        first: The channels are on the first axis.
    """

    rank: int
    sizes: tuple[int, ...]
    channels: int
    first: bool = False

    @property
    def words(self) -> str:
        kind = {1: "signals", 2: "images", 3: "volumes"}[self.rank]
        return f"{kind} of {'×'.join(map(str, self.sizes))} with {self.channels} channel{'s'[: self.channels != 1]}"

    def grid(self, cells: dict[int, int]) -> tuple[int, ...]:
        """Shape of a working grid: the moving axes, then the channels of signals and volumes."""
        kept = () if self.channels == 1 or self._is_colour else (self.channels,)
        return (*(min(size, cells[self.rank]) for size in self.sizes), *kept)

    @property
    def coarse(self) -> tuple[int, ...]:
        return self.grid(_COARSE)

    @property
    def fine(self) -> tuple[int, ...]:
        return self.grid(_FINE)

    @property
    def _is_colour(self) -> bool:
        return self.rank == 2 and self.channels in (2, 3, 4)


def read_layout(shape: tuple[int, ...]) -> Layout:
    """The layout of items of this shape, channels last unless only the first axis can hold them.

    Raises:
        InvalidInputError: More than three moving axes.
    """
    if len(shape) == 1:
        return Layout(1, shape, 1)
    if len(shape) == 2:
        # A short last axis holds channels of a signal; two long ones span an image.
        if shape[1] <= _MOST_CHANNELS and shape[0] > 2 * shape[1]:
            return Layout(1, shape[:1], shape[1])
        return Layout(2, shape, 1)
    if len(shape) == 3:
        if shape[2] <= _MOST_CHANNELS:
            return Layout(2, shape[:2], shape[2])
        if shape[0] <= 4:
            return Layout(2, shape[1:], shape[0], first=True)
        return Layout(3, shape, 1)
    if len(shape) == 4:
        if shape[3] <= _MOST_CHANNELS:
            return Layout(3, shape[:3], shape[3])
        if shape[0] <= 4:
            return Layout(3, shape[1:], shape[0], first=True)
    raise InvalidInputError(
        f"The items have shape {shape}", "signals, images or volumes: one to three axes, and channels"
    )


@dataclass(frozen=True, slots=True)
class Levels:
    """The affine map of a split's values onto levels from 0 to 255.

    Attributes:
        whole: All values looked at become whole levels, so they were stored with 8 bits once.
    """

    low: float
    high: float
    whole: bool

    def apply(self, values: Array) -> Floats:
        scaled = (values.astype(np.float32) - np.float32(self.low)) * np.float32(255.0 / (self.high - self.low))
        return np.asarray(scaled, np.float32)


def read_levels(inputs: Array) -> Levels:
    """The map of these inputs, from their dtype and from an even sample of their values."""
    if inputs.dtype == np.uint8:
        return Levels(0.0, 255.0, True)
    if inputs.dtype == np.bool_:
        return Levels(0.0, 1.0, True)
    rows = np.unique(np.linspace(0, len(inputs) - 1, min(len(inputs), _SAMPLE)).astype(np.int64))
    values = np.asarray(inputs[rows], np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if inputs.dtype.kind == "f" and low >= -1.0 and high <= 1.0 and high > 0.0:
        least = 0.0 if low >= 0.0 else -1.0
        return Levels(least, 1.0, _are_levels(finite, least, 1.0))
    if low >= 0.0 and 127.0 < high <= 255.0:
        return Levels(0.0, 255.0, _are_levels(finite, 0.0, 255.0))
    return Levels(low, high if high > low else low + 1.0, False)


def _are_levels(values: Array, low: float, high: float) -> bool:
    """True where the values are those of 8 bits, up to the rounding of floats."""
    levels = (values.ravel()[:400_000] - low) * (255.0 / (high - low))
    return bool(np.abs(levels - np.rint(levels)).max(initial=0.0) < 0.01)


def brightness(items: Array, layout: Layout, levels: Levels) -> Floats:
    """(n, *sizes) levels, or (n, *sizes, channels) where the channels are kept; NaN and infinity become the middle."""
    values = levels.apply(items)
    if layout.first:
        values = np.moveaxis(values, 1, -1)
    if layout.channels == 1:
        values = values.reshape(len(items), *layout.sizes)
    elif layout.rank == 2 and layout.channels == 3:
        values = values @ _LUMA
    elif layout.rank == 2 and layout.channels == 4:
        values = values[..., :3] @ _LUMA
    elif layout.rank == 2 and layout.channels == 2:
        values = values[..., 0]
    if not np.isfinite(values).all():
        values = np.nan_to_num(values, nan=127.5, posinf=255.0, neginf=0.0)
    return np.ascontiguousarray(values, np.float32)


def on_grid(values: Floats, grid: tuple[int, ...], rank: int) -> Floats:
    """(n, *grid): each moving axis averaged down to the grid's cells."""
    for axis in range(rank):
        size, cells = values.shape[1 + axis], grid[axis]
        if size != cells:
            moved = np.moveaxis(values, 1 + axis, -1) @ averaging(size, cells).T
            values = np.moveaxis(moved, -1, 1 + axis)
    return np.ascontiguousarray(values, np.float32)


def averaging(size: int, cells: int) -> Floats:
    """(cells, size): a triangle filter that leaves no aliasing when a signal is made shorter."""
    width = max(size / cells, 1.0)
    centres = (np.arange(cells) + 0.5) * size / cells - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(size)[None] - centres[:, None]) / width)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
