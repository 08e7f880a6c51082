"""A pooling layer of one's own."""

from __future__ import annotations

from typing import Any

import keras


class LogSumExpPooling2D(keras.layers.Layer):
    """Log of the mean of exponentials over 2x2 windows: between average and maximum."""

    def __init__(self, pool_size: int = 2, sharpness: float = 4.0, **others: Any) -> None:
        super().__init__(**others)
        self.pool_size, self.sharpness = pool_size, sharpness

    def call(self, inputs: Any) -> Any:
        size, sharpness = self.pool_size, self.sharpness
        highest = keras.ops.max_pool(inputs, size, size)
        spread = keras.ops.repeat(keras.ops.repeat(highest, size, axis=1), size, axis=2)
        rows, columns = spread.shape[1], spread.shape[2]
        shifted = keras.ops.exp(sharpness * (inputs[:, :rows, :columns] - spread))
        return highest + keras.ops.log(keras.ops.average_pool(shifted, size, size)) / sharpness

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size, "sharpness": self.sharpness}
