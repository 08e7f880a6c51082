"""Anti-aliased pooling: pool at every place, blur, and only then subsample (Zhang, 2019)."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from poolaudit.ablation.layers.windowed import Sizes, WindowedPooling, sliced, widened


class BlurPooling(WindowedPooling):
    """Max or average pooling at stride 1, then a binomial blur with the stride (Zhang, "Making convolutional networks
    shift-invariant again", 2019).

    At the border the blur leaves cells outside out and divides by the weights that are left, so that a constant stays
    a constant and maps smaller than the filter work; Zhang reflects there. An output reads the cells of its window and
    those of its neighbours up to `filter_size // 2` cells away. With `filter_size` 1 the layer is plain
    pooling.

    Args:
        pool_size, strides, padding, data_format: As in Keras pooling.
        filter_size: Taps of the blur an axis: 3 is (1, 2, 1) / 4. Axes with stride 1 are not blurred.
        reduction: "max" or "average": what happens inside the window.
    """

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        filter_size: int = 3,
        reduction: str = "max",
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        if not isinstance(filter_size, int) or filter_size < 1:
            raise ValueError(f"filter_size is {filter_size!r}; allowed: a positive integer")
        if reduction not in ("max", "average"):
            raise ValueError(f"reduction is {reduction!r}; allowed: 'max' and 'average'")
        self.filter_size, self.reduction = filter_size, reduction

    def call(self, inputs: Any) -> Any:
        x, dtype = widened(self.dense(inputs, self.reduction))
        for number in range(self.rank):
            size = self.size_of(inputs, number)
            x = self._blurred(x, number, self.offset(number, size), self.output_size(number, size))
        return ops.cast(x, dtype)

    def _blurred(self, x: Any, number: int, offset: Any, count: Any) -> Any:
        """The map blurred along one axis, at the places of the outputs only."""
        axis, stride = self.axis(number), self.strides[number]
        taps = self.filter_size if stride > 1 else 1
        before = (taps - 1) // 2
        weights = [math.comb(taps - 1, tap) / 2 ** (taps - 1) for tap in range(taps)]
        present = ops.ones((ops.shape(x)[axis],), dtype=x.dtype)
        padded, inside = _with_zeros(x, axis, before, taps), _with_zeros(present, 0, before, taps)
        total = share = None
        for tap, weight in enumerate(weights):
            cells = weight * sliced(padded, axis, offset + tap, count, stride)
            part = weight * sliced(inside, 0, offset + tap, count, stride)
            total, share = (cells, part) if total is None else (total + cells, share + part)
        shape = [1] * len(x.shape)
        shape[axis] = -1
        return total / ops.reshape(share, shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filter_size": self.filter_size, "reduction": self.reduction}


def _with_zeros(x: Any, axis: int, before: int, taps: int) -> Any:
    if taps == 1:
        return x
    width = [(0, 0)] * len(x.shape)
    width[axis] = (before, taps - 1 - before)
    return ops.pad(x, width)


@keras.saving.register_keras_serializable(package="poolaudit")
class BlurPooling1D(BlurPooling):
    __doc__ = BlurPooling.__doc__
    rank = 1


@keras.saving.register_keras_serializable(package="poolaudit")
class BlurPooling2D(BlurPooling):
    __doc__ = BlurPooling.__doc__
    rank = 2


@keras.saving.register_keras_serializable(package="poolaudit")
class BlurPooling3D(BlurPooling):
    __doc__ = BlurPooling.__doc__
    rank = 3
