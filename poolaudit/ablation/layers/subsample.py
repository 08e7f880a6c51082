"""Downsampling without pooling: one cell of each window is kept, whatever its value."""

from __future__ import annotations

from typing import Any

import keras

from poolaudit.ablation.layers.windowed import WindowedPooling, sliced


class Subsampling(WindowedPooling):
    """Keeps the middle cell of each window (of an even window the one before the middle) and drops the rest.

    Args:
        pool_size, strides, padding, data_format: As in Keras pooling.
    """

    def call(self, inputs: Any) -> Any:
        self.compute_output_shape(inputs.shape)  # refuses a window that is larger than the input
        x = inputs
        for number, window in enumerate(self.pool_size):
            size = self.size_of(inputs, number)
            offset = (window - 1) // 2 if self.padding == "valid" else self.offset(number, size)
            x = sliced(x, self.axis(number), offset, self.output_size(number, size), self.strides[number])
        return x


@keras.saving.register_keras_serializable(package="poolaudit")
class Subsampling1D(Subsampling):
    __doc__ = Subsampling.__doc__
    rank = 1


@keras.saving.register_keras_serializable(package="poolaudit")
class Subsampling2D(Subsampling):
    __doc__ = Subsampling.__doc__
    rank = 2


@keras.saving.register_keras_serializable(package="poolaudit")
class Subsampling3D(Subsampling):
    __doc__ = Subsampling.__doc__
    rank = 3
