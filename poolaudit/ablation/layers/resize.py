"""Averages a map down to a wished size: what a parameter-matched control puts in front of its head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="poolaudit")
class ResizeAverage(keras.layers.Layer):  # type: ignore[misc]
    """Adaptive average pooling to given sizes: output cell i averages cells floor(i n / m) to ceil((i + 1) n / m).

    Args:
        sizes: Output cells of each spatial axis.
        data_format: "channels_last" or "channels_first"; None takes Keras's setting.

    Input shape: `(batch, *spatial, channels)` with known spatial sizes. Output shape: `(batch, *sizes, channels)`.
    """

    def __init__(self, sizes: Sequence[int], data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sizes = tuple(sizes)
        self.data_format = data_format or keras.config.image_data_format()

    def call(self, inputs: Any) -> Any:
        x = inputs
        for axis, size in enumerate(self.sizes, start=2 if self.data_format == "channels_first" else 1):
            weights = ops.cast(_averaging(int(x.shape[axis]), size), x.dtype)
            x = ops.moveaxis(ops.tensordot(x, weights, axes=[[axis], [0]]), -1, axis)
        return x

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        first = 2 if self.data_format == "channels_first" else 1
        return (*input_shape[:first], *self.sizes, *input_shape[first + len(self.sizes) :])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sizes": self.sizes, "data_format": self.data_format}


def _averaging(cells: int, size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    weights = np.zeros((cells, size))
    for index in range(size):
        start, stop = index * cells // size, -(-(index + 1) * cells // size)
        weights[start:stop, index] = 1 / (stop - start)
    return weights
