"""Row by row, a set of cells of one axis, held as runs; exact, and small for long axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
_MOST_CELLS = 40_000_000


class TooComplexError(Exception):
    """The exact sets would not fit into memory; what depends on them is said to be not known."""


@dataclass(frozen=True, eq=False)
class Runs:
    """`rows` sets of cells out of `range(size)`.

    Attributes:
        low: First cell of each run, shape (rows, most), ascending; places not used hold `size + 1`.
        high: End of each run, exclusive, likewise. Runs of a row neither overlap nor touch, so equal sets are equal.
        size: Length of the axis.
    """

    low: Integers
    high: Integers
    size: int

    @classmethod
    def identity(cls, size: int) -> Runs:
        """Row i holds cell i."""
        cells = np.arange(size, dtype=np.int64)[:, None]
        return cls(cells, cells + 1, size)

    @classmethod
    def full(cls, rows: int, size: int) -> Runs:
        """Each row holds every cell."""
        return cls(np.zeros((rows, 1), np.int64), np.full((rows, 1), size, np.int64), size)

    @classmethod
    def mask(cls, rows: npt.NDArray[np.bool_]) -> Runs:
        """Sets over an axis of one cell: row i holds it where `rows[i]`."""
        used = np.where(rows.ravel(), 0, 2).astype(np.int64)[:, None]
        return cls(used, np.where(used == 0, 1, 2), 1)

    @property
    def rows(self) -> int:
        return len(self.low)

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """Which rows hold any cell, shape (rows,)."""
        return np.asarray(self.low[:, 0] <= self.size)

    def take(self, index: Integers) -> Runs:
        """Row o is the union of rows `index[o]`, shape (out, taps); -1 stands for no row."""
        most = self.low.shape[1]
        if index.size * most > _MOST_CELLS:
            raise TooComplexError
        missing = (index < 0)[:, :, None]
        safe = np.maximum(index, 0)
        low = np.where(missing, self.size + 1, self.low[safe]).reshape(len(index), -1)
        high = np.where(missing, self.size + 1, self.high[safe]).reshape(len(index), -1)
        return _normal(low, high, self.size)

    def along(self, sizes: tuple[int, ...], place: int, index: Integers) -> Runs:
        """`take` along one of the axes that the rows are the cells of, in C order."""
        grid = np.arange(self.rows, dtype=np.int64).reshape(sizes)
        taken = grid.take(np.maximum(index, 0), axis=place)
        shape = [1] * taken.ndim
        shape[place], shape[place + 1] = index.shape
        taken = np.where((index < 0).reshape(shape), -1, taken)
        return self.take(np.moveaxis(taken, place + 1, -1).reshape(-1, index.shape[1]))

    def union_along(self, sizes: tuple[int, ...], place: int) -> Runs:
        """The union over one of the axes that the rows are the cells of."""
        grid = np.moveaxis(np.arange(self.rows, dtype=np.int64).reshape(sizes), place, -1)
        return self.take(grid.reshape(-1, sizes[place]))

    def union(self, other: Runs) -> Runs:
        """Row by row."""
        return _normal(np.hstack([self.low, other.low]), np.hstack([self.high, other.high]), self.size)

    def emptied(self, keep: npt.NDArray[np.bool_]) -> Runs:
        """The rows not in `keep` without cells."""
        keep = keep.ravel()[:, None]
        return _normal(np.where(keep, self.low, self.size + 1), np.where(keep, self.high, self.size + 1), self.size)

    def equals(self, other: Runs) -> bool:
        return np.array_equal(self.low, other.low) and np.array_equal(self.high, other.high)

    def within(self, other: Runs) -> bool:
        """Whether each row is a subset of the other's."""
        return self is other or self.union(other).equals(other)

    def column_counts(self) -> Integers:
        """In how many rows each cell is, shape (size,)."""
        steps = np.zeros(self.size + 2, np.int64)
        np.add.at(steps, self.low.ravel(), 1)
        np.add.at(steps, self.high.ravel(), -1)
        return np.cumsum(steps)[: self.size]

    def dense(self) -> npt.NDArray[np.bool_]:
        """Booleans of shape (rows, size)."""
        steps = np.zeros((self.rows, self.size + 2), np.int8)
        row = np.arange(self.rows)
        for place in range(self.low.shape[1]):
            steps[row, self.low[:, place]] += 1
            steps[row, self.high[:, place]] -= 1
        return np.cumsum(steps, axis=1, dtype=np.int8)[:, : self.size] > 0

    def widest(self) -> int:
        """Cells from the first to the last of a row, both counted, in the widest row."""
        used = np.where(self.low <= self.size, self.high, 0)
        return int(max(0, (used.max(axis=1) - self.low[:, 0]).max(initial=0)))


def _normal(low: Any, high: Any, size: int) -> Runs:
    """Sorts the runs of each row, joins those that overlap or touch, and drops the empty ones."""
    nothing = size + 1
    empty = high <= low
    low, high = np.where(empty, nothing, low), np.where(empty, nothing, high)
    if low.shape[1] > 1:
        order = np.argsort(low, axis=1, kind="stable")
        low, high = np.take_along_axis(low, order, axis=1), np.take_along_axis(high, order, axis=1)
        reach = np.maximum.accumulate(high, axis=1)
        starts = np.ones(low.shape, bool)
        starts[:, 1:] = low[:, 1:] > reach[:, :-1]
        ends = np.ones(low.shape, bool)
        ends[:, :-1] = starts[:, 1:]
        run = np.cumsum(starts, axis=1) - 1
        used = low < nothing
        most = max(1, int((starts & used).sum(axis=1).max(initial=0)))
        first, last = np.nonzero(starts & used), np.nonzero(ends & used)
        joined_low, joined_high = (np.full((len(low), most), nothing, np.int64) for _ in range(2))
        joined_low[first[0], run[first]] = low[first]
        joined_high[last[0], run[last]] = reach[last]
        low, high = joined_low, joined_high
    return Runs(np.asarray(low, np.int64), np.asarray(high, np.int64), size)
