"""The query as its candidate explains it: by gain, offset and blur, or after resizing or compression."""

from __future__ import annotations

from typing import Any

import numpy as np

from poolaudit.leakage.align import Frame, misfit, solve
from poolaudit.leakage.degradations import (
    JPEG_QUALITIES,
    along_axes,
    blocks_of_frequencies,
    blurring,
    compressed,
    resized,
)
from poolaudit.leakage.layout import Floats

Array = np.ndarray[Any, Any]


def fit_levels(flat: Floats, values: Floats, inside: Array, frame: Frame) -> tuple[Floats, Floats]:
    """The best prediction from the item by gain, offset and a mild blur or sharpening, and the gain."""
    grid = values.reshape(-1, *frame.shape)
    softer = [blurred(grid, sigma, frame).reshape(len(values), -1) for sigma in (0.7, 1.4)]
    one = _fitted(flat, values[:, None], inside)
    three = _fitted(flat, np.stack([values, *softer], axis=1), inside)
    weight = inside.astype(np.float32)
    deviation = np.einsum("mp,mp->m", (values - _mean(values, weight)) ** 2, weight)
    gain = np.einsum("mp,mp->m", (one - _mean(one, weight)) ** 2, weight) / np.maximum(deviation, 1e-3)
    return three, np.sqrt(gain)


def _fitted(flat: Floats, columns: Floats, inside: Array) -> Floats:
    """Gain and offset by least squares, with levels cut off at black and white as image files cut them."""
    weight = inside.astype(np.float32)
    columns = np.concatenate([columns, np.ones_like(columns[:, :1])], axis=1)
    low, high = flat.min(axis=1, keepdims=True), flat.max(axis=1, keepdims=True)
    within = weight * ((flat > low + 1.5) & (flat < high - 1.5))
    enough = within.sum(axis=1) > np.maximum(0.08 * weight.sum(axis=1), 8 * columns.shape[1])
    plain = _predicted(columns, flat, weight, low, high)
    if not enough.any():
        return plain
    cut = _predicted(columns[enough], flat[enough], within[enough], low[enough], high[enough])
    error = np.einsum("mp,mp->m", (flat[enough] - cut) ** 2, weight[enough])
    better = error < np.einsum("mp,mp->m", (flat[enough] - plain[enough]) ** 2, weight[enough])
    plain[np.flatnonzero(enough)[better]] = cut[better]
    return plain


def _predicted(columns: Floats, flat: Floats, weight: Floats, low: Floats, high: Floats) -> Floats:
    found = solve(columns, flat, weight, ridge=1e-5)
    return np.asarray(np.clip(np.matmul(found[:, None], columns)[:, 0], low, high), np.float32)


def fit_degraded(flat: Floats, values: Floats, inside: Array, unmoved: Array, frame: Frame) -> tuple[Floats, Array]:
    """The degraded item that explains the query best, fitted to it, and which degradation it was."""
    weight = inside.astype(np.float32)
    best, link = values.copy(), np.zeros(len(flat), np.int8)
    least = np.full(len(flat), np.inf, np.float32)

    def offer(rows: Array, degraded: Floats, kind: int) -> None:
        left = misfit(flat[rows], degraded, weight[rows])
        better = left < least[rows]
        best[rows[better]], link[rows[better]], least[rows[better]] = degraded[better], kind, left[better]

    rows = np.arange(len(flat))
    grid = values.reshape(-1, *frame.shape)
    for small in resized(grid, frame.rank, frame.shape):
        offer(rows, small.reshape(len(flat), -1), 1)
    if frame.rank == 2 and len(frame.shape) == 2 and min(frame.cells) == 1.0:
        rows = np.flatnonzero(unmoved)
        if len(rows):
            height, width = frame.shape
            frequencies = blocks_of_frequencies(grid[rows])
            for quality in JPEG_QUALITIES:
                offer(rows, compressed(frequencies, quality, (height, width)).reshape(len(rows), -1), 2)
    return _fitted(flat, best[:, None], inside), link


def blurred(grid: Floats, sigma: float, frame: Frame) -> Floats:
    """(m, *grid) smoothed along the moving axes; `sigma` in cells."""
    if sigma == 0.0:
        return grid
    return along_axes(grid, tuple(blurring(frame.shape[axis], sigma) for axis in range(frame.rank)))


def _mean(values: Floats, weight: Floats) -> Floats:
    return np.asarray(
        (np.einsum("mp,mp->m", values, weight) / np.maximum(weight.sum(axis=1), 1.0))[:, None], np.float32
    )
