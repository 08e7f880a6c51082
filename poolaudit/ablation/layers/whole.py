"""What the layers that pool over all of space share."""

from __future__ import annotations

from typing import Any

import keras


class WholePooling(keras.layers.Layer):  # type: ignore[misc]
    """A layer that pools over all spatial axes, with the arguments and shapes of Keras's global pooling.

    Args:
        data_format: "channels_last" or "channels_first"; None takes Keras's setting.
        keepdims: The pooled axes stay, with size 1.

    Input shape: `(batch, *spatial, channels)`. Output shape: `(batch, channels)`, or with `keepdims` the input's rank.
    """

    rank = 2

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(f"data_format is {data_format!r}; allowed: 'channels_last' and 'channels_first'")
        self.keepdims = keepdims
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2)

    @property
    def axes(self) -> tuple[int, ...]:
        first = 2 if self.data_format == "channels_first" else 1
        return tuple(range(first, first + self.rank))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        pooled = dict.fromkeys(self.axes, 1)
        shape = [pooled.get(axis, size) for axis, size in enumerate(input_shape)]
        return tuple(shape) if self.keepdims else tuple(s for axis, s in enumerate(shape) if axis not in pooled)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format, "keepdims": self.keepdims}
