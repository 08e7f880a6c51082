"""Receptive fields without borders: from where to where each cell of an endless map would see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
_NOWHERE = 1 << 60


@dataclass(frozen=True, eq=False)
class Phases:
    """Where the cells of an operation's output read along an axis, as if the input had no ends.

    Output cell `i * len(taps) + r` reads the input cells `i * step + taps[r]`. A window has one phase; a transposed
    convolution or an upsampling by s has s phases and step 1.
    """

    step: int
    taps: tuple[Integers, ...]

    @classmethod
    def window(cls, size: int, stride: int, dilation: int, before: int) -> Phases:
        return cls(stride, (np.arange(size, dtype=np.int64) * dilation - before,))

    @classmethod
    def transposed(cls, size: int, stride: int, dilation: int, before: int) -> Phases:
        """Output o reads input i wherever `o = i * stride - before + t * dilation` for a tap t."""
        taps = []
        for phase in range(stride):
            moved = phase + before - np.arange(size, dtype=np.int64) * dilation
            taps.append(moved[moved % stride == 0] // stride)
        return cls(1, tuple(taps))

    @classmethod
    def repeat(cls, times: int) -> Phases:
        return cls(1, (np.zeros(1, np.int64),) * times)


@dataclass(frozen=True, eq=False)
class Hull:
    """Cell `i * len(low) + r` sees from `low[r] + i * shift` to `high[r] + i * shift`, both counted.

    The period is 1 behind windows alone; maps that were enlarged have one entry a phase, so nothing is rounded.
    """

    low: Integers
    high: Integers
    shift: int

    @classmethod
    def identity(cls) -> Hull:
        return cls(np.zeros(1, np.int64), np.zeros(1, np.int64), 1)

    @property
    def period(self) -> int:
        return len(self.low)

    @property
    def stride(self) -> Fraction:
        """Input cells from one output cell to the next, on average."""
        return Fraction(self.shift, self.period)

    @property
    def size(self) -> int:
        """Input cells from the first to the last that the widest cell sees."""
        return int(max(0, (self.high - self.low).max() + 1))

    @property
    def start(self) -> int:
        """First input cell that output cell 0 sees; negative where it looks into padding."""
        return int(self.low[0])

    def then(self, phases: Phases) -> Hull:
        """The hull behind a further operation."""
        turns = self.period // math.gcd(self.period, phases.step)
        period = len(phases.taps) * turns
        low, high = np.full(period, _NOWHERE, np.int64), np.full(period, -_NOWHERE, np.int64)
        for cell in range(period):
            turn, phase = divmod(cell, len(phases.taps))
            seen = turn * phases.step + phases.taps[phase]
            if len(seen):
                moved = (seen // self.period) * self.shift
                low[cell] = (self.low[seen % self.period] + moved).min()
                high[cell] = (self.high[seen % self.period] + moved).max()
        low, high = np.where(low > _NOWHERE // 2, _NOWHERE, low), np.where(high < -_NOWHERE // 2, -_NOWHERE, high)
        return Hull(low, high, self.shift * (phases.step * turns // self.period))

    def union(self, other: Hull) -> Hull | None:
        """What either sees; None where the two do not stay beside each other."""
        if self.stride != other.stride:
            return None
        period = math.lcm(self.period, other.period)
        a, b = self._unrolled(period), other._unrolled(period)
        return Hull(np.minimum(a.low, b.low), np.maximum(a.high, b.high), a.shift)

    def _unrolled(self, period: int) -> Hull:
        turns = period // self.period
        moved = np.repeat(np.arange(turns, dtype=np.int64) * self.shift, self.period)
        return Hull(np.tile(self.low, turns) + moved, np.tile(self.high, turns) + moved, self.shift * turns)
