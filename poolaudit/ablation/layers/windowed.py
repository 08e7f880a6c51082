"""What the windowed layers share: their arguments, their output shape, and the pooling at stride 1 behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

Sizes = int | Sequence[int]


class WindowedPooling(keras.layers.Layer):  # type: ignore[misc]
    """A layer that gives exactly the output shape of a Keras pooling layer of the same arguments.

    Args:
        pool_size: Cells of the window an axis; one number for all.
        strides: Steps an axis; None means `pool_size`.
        padding: "valid" or "same", by the rule of Keras and TensorFlow.
        data_format: "channels_last" or "channels_first"; None takes Keras's setting.

    Input shape: `(batch, *spatial, channels)`, or `(batch, channels, *spatial)` for "channels_first".
    Output shape: likewise, with the spatial sizes that pooling gives.

    Raises:
        ValueError: Sizes that are not positive integers, or another padding or data format.
    """

    rank = 2

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = self._sizes(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else self._sizes(strides, "strides")
        self.padding = str(padding).lower()
        if self.padding not in ("valid", "same"):
            raise ValueError(f"padding is {padding!r}; allowed: 'valid' and 'same'")
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(f"data_format is {data_format!r}; allowed: 'channels_last' and 'channels_first'")
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2)

    def _sizes(self, value: Sizes, name: str) -> tuple[int, ...]:
        sizes = (value,) * self.rank if isinstance(value, int) else tuple(value)
        if len(sizes) != self.rank or not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sizes):
            raise ValueError(f"{name} is {value!r}; allowed: a positive integer, or {self.rank} of them")
        return sizes

    def axis(self, number: int) -> int:
        """Tensor axis of a spatial axis."""
        return number + (2 if self.data_format == "channels_first" else 1)

    def output_size(self, number: int, size: Any) -> Any:
        """Output cells of a spatial axis with `size` cells; works on integers and on integer tensors."""
        window, stride = self.pool_size[number], self.strides[number]
        return (size - 1) // stride + 1 if self.padding == "same" else (size - window) // stride + 1

    def offset(self, number: int, size: Any) -> Any:
        """Where, among the outputs at stride 1, the first output of this stride stands.

        At stride 1 TensorFlow's "same" puts `(window - 1) // 2` cells before the first window; at a larger stride it
        pads less, which shifts the first window by the difference.
        """
        if self.padding == "valid":
            return 0
        window, stride = self.pool_size[number], self.strides[number]
        missing = (self.output_size(number, size) - 1) * stride + window - size
        padding = ops.maximum(missing, 0) // 2 if ops.is_tensor(missing) else max(missing, 0) // 2
        return (window - 1) // 2 - padding

    def dense(self, x: Any, reduction: str) -> Any:
        """The pooled map at stride 1: every `strides`-th cell of it, from `offset` on, is what pooling gives."""
        return self._pooled(x, reduction, (1,) * self.rank)

    def strided(self, x: Any, reduction: str) -> Any:
        """Plain pooling with the layer's window, stride and padding."""
        return self._pooled(x, reduction, self.strides)

    def _pooled(self, x: Any, reduction: str, strides: tuple[int, ...]) -> Any:
        self.compute_output_shape(x.shape)  # refuses a window that is larger than the input
        pool = ops.max_pool if reduction == "max" else ops.average_pool
        return pool(x, self.pool_size, strides=strides, padding=self.padding, data_format=self.data_format)

    def size_of(self, x: Any, number: int) -> Any:
        """Cells of a spatial axis: an integer where it is known, else a tensor."""
        return ops.shape(x)[self.axis(number)]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        shape = list(input_shape)
        for number in range(self.rank):
            size = shape[self.axis(number)]
            if size is not None:
                result = self.output_size(number, size)
                if result < 1:
                    raise ValueError(
                        f"{type(self).__name__}: the window {self.pool_size} is larger than the input "
                        f"{tuple(input_shape)} with padding {self.padding!r}"
                    )
                shape[self.axis(number)] = result
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }


def sliced(x: Any, axis: int, start: Any, count: Any, step: int) -> Any:
    """`count` cells of one axis, `step` apart, from `start` on."""
    index: list[Any] = [slice(None)] * len(x.shape)
    index[axis] = slice(start, start + (count - 1) * step + 1, step)
    return x[tuple(index)]


def widened(x: Any) -> tuple[Any, str]:
    """The tensor in at least single precision, and the dtype to come back to: sums of halves lose digits."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return (ops.cast(x, "float32"), dtype) if dtype in ("float16", "bfloat16") else (x, dtype)
