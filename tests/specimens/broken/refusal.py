"""Slips in what a layer accepts, and with batches of nothing."""

from __future__ import annotations

import tensorflow as tf

from specimens.layer_base import (
    GlobalLayer,
    PoolingLayer,
    WindowedLayer,
    adaptive_windows,
    highest,
    length_of,
    mean,
    serialisable,
    sliding_windows,
)
from specimens.layer_specimen import LayerSpecimen


@serialisable
class AnyWindowAccepted2D(WindowedLayer):
    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(self.repaired(pool_size), self.repaired(strides), padding, data_format, **kwargs)

    def repaired(self, value):
        if value is None:
            return None
        return tuple(max(int(v), 1) for v in (value if isinstance(value, (list, tuple)) else (value, value)))

    def pool(self, x):
        return highest(*self.windows(x))


@serialisable
class FractionsTruncated1D(WindowedLayer):
    rank = 1

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        pool_size, strides = self.whole(pool_size), self.whole(strides)
        super().__init__(pool_size, strides, padding, data_format, **kwargs)

    def whole(self, value):
        return int(value) if isinstance(value, float) else value

    def pool(self, x):
        return mean(*self.windows(x))


@serialisable
class UnknownPaddingIsValid3D(WindowedLayer):
    rank = 3

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, "same" if padding == "same" else "valid", data_format, **kwargs)

    def pool(self, x):
        return mean(*self.windows(x))


@serialisable
class LargeWindowShrinks2D(WindowedLayer):
    def compute_output_shape(self, input_shape):
        batch, spatial, channels = self.split_shape(input_shape)
        lengths = []
        for n, k, s in zip(spatial, self.pool_size, self.strides, strict=True):
            lengths.append(None if n is None else -(-n // s) if self.padding == "same" else (n - min(k, n)) // s + 1)
        return self.joined_shape(batch, lengths, channels)

    def pool(self, x):
        window = [k if x.shape[a + 1] is None else min(k, x.shape[a + 1]) for a, k in enumerate(self.pool_size)]
        return highest(
            *sliding_windows(x, window if self.padding == "valid" else self.pool_size, self.strides, self.padding)
        )


@serialisable
class OutputSizeOfZeroAccepted2D(PoolingLayer):
    def __init__(self, output_size=1, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.output_size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)

    def compute_output_shape(self, input_shape):
        batch, _, channels = self.split_shape(input_shape)
        return self.joined_shape(batch, self.output_size, channels)

    def pool(self, x):
        if min(self.output_size) <= 0:
            return tf.zeros([length_of(x, 0), *(max(size, 0) for size in self.output_size), length_of(x, 3)], x.dtype)
        return highest(*adaptive_windows(x, self.output_size))

    def get_config(self):
        return {**super().get_config(), "output_size": self.output_size}


@serialisable
class NeedsAFirstRow2D(WindowedLayer):
    def pool(self, x):
        probe = highest(*self.windows(x[0][None]))
        cells = highest(*self.windows(x))
        return tf.ensure_shape(cells, [None, *probe.shape[1:]])


@serialisable
class EmptyBatchReshaped1D(GlobalLayer):
    rank = 1

    def pool(self, x):
        rows = tf.reshape(tf.transpose(x, (0, 2, 1)), [-1, length_of(x, 1)])
        y = tf.reshape(tf.reduce_mean(rows, axis=1), [-1, length_of(x, 2)])
        y = tf.cond(tf.equal(tf.shape(x)[0], 0), lambda: tf.zeros([1, length_of(x, 2)], x.dtype), lambda: y)
        return y[:, None] if self.keepdims else y


SPECIMENS = (
    LayerSpecimen(
        "any_window_accepted_2d",
        AnyWindowAccepted2D,
        "max",
        2,
        "A window or stride of 0 or less silently becomes 1.",
        ("refusal",),
    ),
    LayerSpecimen(
        "fractions_truncated_1d",
        FractionsTruncated1D,
        "average",
        1,
        "A window of 2.5 silently becomes 2.",
        ("refusal",),
    ),
    LayerSpecimen(
        "unknown_padding_is_valid_3d",
        UnknownPaddingIsValid3D,
        "average",
        3,
        "Any padding but 'same' is taken for 'valid', a typing error too.",
        ("refusal",),
    ),
    LayerSpecimen(
        "large_window_shrinks_2d",
        LargeWindowShrinks2D,
        "max",
        2,
        "Under VALID a window larger than the input silently shrinks to it.",
        ("refusal",),
    ),
    LayerSpecimen(
        "output_size_of_zero_accepted_2d",
        OutputSizeOfZeroAccepted2D,
        "adaptive_max",
        2,
        "An output size of 0 or less gives an empty output and no exception.",
        ("refusal",),
    ),
    LayerSpecimen(
        "empty_batch_crashes_2d",
        NeedsAFirstRow2D,
        "max",
        2,
        "Looks at the first row of the batch, which an empty batch does not have.",
        ("empty",),
    ),
    LayerSpecimen(
        "empty_batch_gives_a_row_1d",
        EmptyBatchReshaped1D,
        "global_average",
        1,
        "An empty batch gives one row of zeros.",
        ("empty",),
    ),
)
