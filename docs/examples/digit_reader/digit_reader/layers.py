"""A layer of our own, between the average, which drowns a small stroke, and the maximum, which trusts a cell."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("digit_reader")
class GlobalLogSumExpPooling2D(keras.layers.Layer):
    """(batch, height, width, channels) to (batch, channels): the logarithm of the mean exponential over the map."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs: Any) -> Any:
        # Half precision loses what a sum over many cells needs.
        wide = inputs if inputs.dtype == "float64" else ops.cast(inputs, "float32")
        highest = ops.max(wide, axis=(1, 2), keepdims=True)
        mean = ops.mean(ops.exp(wide - highest), axis=(1, 2))
        return ops.cast(ops.log(mean) + highest[:, 0, 0], self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (input_shape[0], input_shape[3])
