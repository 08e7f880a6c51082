"""What identifies an item: its exact content, and a short descriptor that copies share."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from poolaudit.leakage.degradations import sharpening
from poolaudit.leakage.layout import Floats, Layout, Levels
from poolaudit.leakage.moves import Move, sampling

Array = np.ndarray[Any, Any]

# Harmonics along one axis, by the number of moving axes.
_HARMONICS = {1: 24, 2: 9, 3: 5}
_TAPER = 0.35
_WHITENING = 0.7
_MOST_DIMENSIONS = 96


def content_keys(items: Array, layout: Layout, levels: Levels) -> list[bytes]:
    """16 bytes an item that agree where the content does, whatever its dtype, its scale or repeated grey channels."""
    values = np.moveaxis(items, 1, -1) if layout.first else items
    if levels.whole:
        # 16-bit levels are not whole on the scale of 255; those of 8 bits are, up to the rounding of floats.
        values = np.rint(levels.apply(values)).astype(np.uint8)
    else:
        values = values.astype(np.float32) + np.float32(0.0)  # -0.0 and 0.0 are one content
    values = values.reshape(len(items), -1, layout.channels)
    grey = (values == values[..., :1]).all(axis=(1, 2)) if layout.channels in (3, 4) else np.zeros(len(items), np.bool_)
    # An opaque fourth channel says nothing.
    keys = []
    for row, is_grey in zip(values, grey, strict=True):
        kept = np.ascontiguousarray(row[:, 0] if is_grey or layout.channels == 1 else row)
        keys.append(hashlib.blake2b(kept.data, digest_size=16).digest())
    return keys


@dataclass(frozen=True, slots=True, eq=False)
class Describer:
    """Low frequencies of the middle of an item, without its mean and its contrast.

    The window fades towards the edges, because what enters there when a copy is shifted or turned is unknown.

    Attributes:
        projection: (dimensions, places) applied to an item on the coarse grid.
    """

    layout: Layout
    projection: Array
    _moved: dict[Move, Array] = field(default_factory=dict)

    def describe(self, coarse: Floats, move: Move | None = None) -> Floats:
        """(n, dimensions) of unit length; zero for items without structure."""
        rows = coarse.reshape(len(coarse), -1)
        found = rows @ self._map(move)
        length = np.sqrt(np.einsum("nd,nd->n", found, found))[:, None]
        return np.ascontiguousarray(found / np.maximum(length, 1e-3), np.float32)

    def _map(self, move: Move | None) -> Array:
        """(places, dimensions): the projection after the move, made once."""
        if move is None or not (move.moves or move.sharpened):
            return np.asarray(self.projection.T, np.float32)
        if move not in self._moved:
            if move.sharpened:
                moved = self._sharpened()
            else:
                moved = sampling(self.layout.coarse, self.layout.rank, move).T @ self.projection.T
            self._moved[move] = np.asarray(moved, np.float32)
        return self._moved[move]

    def _sharpened(self) -> Array:
        layout = self.layout
        found: Array = self.projection.reshape(-1, *layout.coarse)
        for axis in range(layout.rank):
            matrix = sharpening(layout.sizes[axis], layout.coarse[axis])
            if matrix is not None:
                found = np.moveaxis(np.moveaxis(found, 1 + axis, -1) @ matrix, -1, 1 + axis)
        return np.asarray(found.reshape(len(self.projection), -1).T)


def fit_describer(coarse: Floats, layout: Layout) -> Describer:
    """A describer whose dimensions are weighed by how much they vary among these items."""
    grid, rank = layout.coarse, layout.rank
    window = np.ones(grid, np.float64)
    for axis in range(rank):
        x = (np.arange(grid[axis]) + 0.5) / grid[axis]
        rise = np.sin(np.pi / 2 * np.minimum(np.minimum(x, 1 - x) / _TAPER, 1.0)) ** 2
        window *= rise.reshape(-1, *(1,) * (len(grid) - 1 - axis))
    waves = [_cosines(grid[axis], min(_HARMONICS[rank], grid[axis])) for axis in range(rank)]
    limit = max(len(wave) for wave in waves)
    kept = np.eye(int(np.prod(grid[rank:], dtype=int)))
    rows = []
    for orders in itertools.product(*(range(len(wave)) for wave in waves)):
        if any(orders) and sum(orders) <= limit:
            pattern = waves[0][orders[0]]
            for axis in range(1, rank):
                pattern = np.multiply.outer(pattern, waves[axis][orders[axis]])
            rows += [np.multiply.outer(pattern.ravel(), channel).ravel() for channel in kept]
    flat = window.ravel()
    plain = np.stack(rows) * flat
    # Subtracting the windowed mean is part of the map, so that a brighter copy has the same descriptor.
    projection = plain - plain.sum(axis=1, keepdims=True) * (flat / flat.sum())
    spread = (coarse.reshape(len(coarse), -1) @ projection.T).std(axis=0)
    weight = np.where(spread > 0, np.maximum(spread, 1e-3 * spread.max(initial=1e-9)) ** -_WHITENING, 0.0)
    projection = projection * weight[:, None]
    if len(projection) > _MOST_DIMENSIONS:
        projection = projection[np.argsort(-spread * weight)[:_MOST_DIMENSIONS]]
    return Describer(layout, projection)


def _cosines(cells: int, harmonics: int) -> Array:
    places = np.arange(cells) + 0.5
    return np.cos(np.pi * places[None] * np.arange(harmonics)[:, None] / cells)
