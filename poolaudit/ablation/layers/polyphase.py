"""Adaptive polyphase pooling: the phase of the grid is chosen by the input, not fixed (Chaman and Dokmanic, 2021)."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from poolaudit.ablation.layers.windowed import Sizes, WindowedPooling, sliced


class PolyphasePooling(WindowedPooling):
    """Pooling at stride 1, of which each item keeps the grid of cells with the largest energy (Chaman and Dokmanic,
    "Truly shift-invariant convolutional neural networks", 2021).

    A stride of s leaves s grids an axis; the one with the largest sum of squares over space and channels is kept, so
    that a shifted input gives a shifted output. Where the size is no multiple of the stride, the last cell is repeated.

    Args:
        pool_size, strides, padding, data_format: As in Keras pooling.
        reduction: "max" or "average": what happens inside the window.
    """

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        reduction: str = "max",
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        if reduction not in ("max", "average"):
            raise ValueError(f"reduction is {reduction!r}; allowed: 'max' and 'average'")
        self.reduction = reduction

    def call(self, inputs: Any) -> Any:
        x = self.dense(inputs, self.reduction)
        counts = []
        for number, stride in enumerate(self.strides):
            size, axis = self.size_of(inputs, number), self.axis(number)
            count, offset = self.output_size(number, size), self.offset(number, size)
            last = ops.shape(x)[axis] - 1
            cells = ops.minimum(ops.arange(count * stride) + offset, last)
            x = ops.take(x, cells, axis=axis)
            counts.append(count)
        grids = [self._grid(x, phase, counts) for phase in range(math.prod(self.strides))]
        wide = [ops.cast(grid, "float32") for grid in grids]
        energies = [ops.sum(grid * grid, axis=tuple(range(1, self.rank + 2))) for grid in wide]
        chosen = ops.argmax(ops.stack(energies, axis=1), axis=1)
        kept = grids[0]
        for phase, grid in enumerate(grids[1:], start=1):
            mine = ops.reshape(ops.equal(chosen, phase), (-1, *[1] * (self.rank + 1)))
            kept = ops.where(mine, grid, kept)
        return kept

    def _grid(self, x: Any, phase: int, counts: list[Any]) -> Any:
        for number, stride in enumerate(self.strides):
            phase, start = divmod(phase, stride)
            x = sliced(x, self.axis(number), start, counts[number], stride)
        return x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reduction": self.reduction}


@keras.saving.register_keras_serializable(package="poolaudit")
class PolyphasePooling1D(PolyphasePooling):
    __doc__ = PolyphasePooling.__doc__
    rank = 1


@keras.saving.register_keras_serializable(package="poolaudit")
class PolyphasePooling2D(PolyphasePooling):
    __doc__ = PolyphasePooling.__doc__
    rank = 2


@keras.saving.register_keras_serializable(package="poolaudit")
class PolyphasePooling3D(PolyphasePooling):
    __doc__ = PolyphasePooling.__doc__
    rank = 3
