"""The kernel a strided convolution starts from when it takes the place of pooling."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="poolaudit")
class AverageKernel(keras.initializers.Initializer):  # type: ignore[misc]
    """A convolution kernel `(*window, channels, channels)` that averages each channel over the window."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        kernel = np.zeros(shape, np.float32)
        kernel[...] = np.eye(shape[-2], shape[-1], dtype=np.float32) / math.prod(shape[:-2])
        return ops.convert_to_tensor(kernel, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {}
