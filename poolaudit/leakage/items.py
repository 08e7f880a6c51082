"""A split as the search sees it: read in batches, brought onto working grids, never copied whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.leakage.fingerprints import content_keys
from poolaudit.leakage.layout import Floats, Layout, Levels, brightness, on_grid, read_layout, read_levels

Array = np.ndarray[Any, Any]

_BATCH_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """Items of a split, or a sample of them.

    Attributes:
        name: "test", "train" or "validation".
        inputs: (n, ...) as loaded; a memory map serves as well.
        rows: Positions that are looked at, rising.
        layout: Of these inputs.
        reference: Layout whose grids all splits share.
    """

    name: str
    inputs: Array
    rows: Array
    layout: Layout
    levels: Levels
    reference: Layout

    def __len__(self) -> int:
        return len(self.rows)

    def coarse(self, at: Array | slice) -> Floats:
        return self._on(self.reference.coarse, at)

    def fine(self, at: Array | slice) -> Floats:
        return self._on(self.reference.fine, at)

    def batches(self) -> Iterator[slice]:
        """Slices of `rows` small enough to be held as floats."""
        size = max(1, _BATCH_BYTES // (4 * int(np.prod(self.inputs.shape[1:]))))
        for start in range(0, len(self.rows), size):
            yield slice(start, min(start + size, len(self.rows)))

    def keys(self) -> list[bytes]:
        """Content keys of all items looked at."""
        found: list[bytes] = []
        for batch in self.batches():
            found += content_keys(self._values(batch), self.layout, self.levels)
        return found

    def _values(self, at: Array | slice) -> Array:
        rows = self.rows[at]
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and isinstance(at, slice):
            return self.inputs[int(rows[0]) : int(rows[-1]) + 1]
        return np.asarray(self.inputs[rows])

    def _on(self, grid: tuple[int, ...], at: Array | slice) -> Floats:
        values = brightness(self._values(at), self.layout, self.levels)
        return on_grid(values, grid, self.layout.rank)


def make_items(name: str, inputs: Array, rows: Array, reference: Layout | None = None) -> Items:
    """The items of a split; `reference` is the layout of the split they are compared with."""
    layout = read_layout(inputs.shape[1:])
    return Items(name, inputs, rows, layout, read_levels(inputs), reference or layout)


def comparable(first: Layout, second: Layout) -> bool:
    """Can items of these layouts be brought onto one grid?"""
    return (
        first.rank == second.rank
        and len(first.fine) == len(second.fine)
        and first.fine[first.rank :] == second.fine[second.rank :]
    )
