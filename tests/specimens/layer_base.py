"""What sound and broken specimen layers share: checked arguments, data format, shapes, configuration, windows."""

from __future__ import annotations

import functools
import itertools
import math

import keras
import numpy as np
import tensorflow as tf

serialisable = keras.saving.register_keras_serializable("poolaudit_specimens")

# An index table of this many taps an axis is the largest these layers care to build.
LARGEST_WINDOW = 1 << 16
INT32_MAX = 2**31 - 1


def positive_sizes(value, rank, name, largest=INT32_MAX):
    """`rank` positive integers from one integer or a sequence; anything else is a ValueError."""
    entries = tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank
    if len(entries) != rank:
        raise ValueError(f"`{name}` must be one integer or {rank} of them, got {value!r}")
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, (int, np.integer)) or not 0 < entry <= largest:
            raise ValueError(f"`{name}` must hold integers from 1 to {largest}, got {value!r}")
    return tuple(int(entry) for entry in entries)


def one_of(value, allowed, name):
    """`value`, if it is allowed; else a ValueError that names what is."""
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(allowed)}, got {value!r}")
    return value


def output_length(size, window, stride, padding, dilation=1):
    """Output cells along one axis; None where the size is None."""
    if size is None:
        return None
    span = (window - 1) * dilation + 1
    if padding == "same":
        return -(-size // stride)
    if size < span:
        raise ValueError(f"A window spanning {span} cells does not fit into {size} under padding 'valid'")
    return (size - span) // stride + 1


class PoolingLayer(keras.layers.Layer):
    """Casts to the compute dtype, pools channels last in `pool`, and gives the data format back."""

    rank = 2

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        if data_format is None:
            data_format = keras.config.image_data_format()
        self.data_format = one_of(data_format, ("channels_last", "channels_first"), "data_format")
        if not tf.as_dtype(self.compute_dtype).is_floating:
            raise ValueError(f"{type(self).__name__} computes in floating point, not in {self.compute_dtype}")
        self.input_spec = keras.layers.InputSpec(ndim=self.rank + 2)

    def call(self, inputs):
        return self.formatted(self.pool(self.channels_last(inputs)))

    def pool(self, x):
        raise NotImplementedError

    def channels_last(self, inputs):
        x = tf.cast(inputs, self.compute_dtype)
        return tf.transpose(x, (0, *range(2, self.rank + 2), 1)) if self.data_format == "channels_first" else x

    def formatted(self, y):
        if self.data_format == "channels_first" and y.shape.rank == self.rank + 2:
            y = tf.transpose(y, (0, self.rank + 1, *range(1, self.rank + 1)))
        return tf.cast(y, self.compute_dtype)

    def split_shape(self, input_shape):
        """Batch, spatial sizes and channels of an input shape."""
        batch, *others = input_shape
        if self.data_format == "channels_first":
            return batch, tuple(others[1:]), others[0]
        return batch, tuple(others[:-1]), others[-1]

    def joined_shape(self, batch, spatial, channels):
        if self.data_format == "channels_first":
            return (batch, channels, *spatial)
        return (batch, *spatial, channels)

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format}


class WindowedLayer(PoolingLayer):
    """A window slides with a stride."""

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.pool_size = positive_sizes(pool_size, self.rank, "pool_size", LARGEST_WINDOW)
        self.strides = self.pool_size if strides is None else positive_sizes(strides, self.rank, "strides")
        self.padding = one_of(padding, ("valid", "same"), "padding")

    def compute_output_shape(self, input_shape):
        batch, spatial, channels = self.split_shape(input_shape)
        lengths = [
            output_length(n, k, s, self.padding) for n, k, s in zip(spatial, self.pool_size, self.strides, strict=True)
        ]
        return self.joined_shape(batch, lengths, channels)

    def windows(self, x):
        return sliding_windows(x, self.pool_size, self.strides, self.padding)

    def get_config(self):
        own = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return {**super().get_config(), **own}


class AdaptiveLayer(PoolingLayer):
    """Windows follow from the wished output size."""

    def __init__(self, output_size=1, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.output_size = positive_sizes(output_size, self.rank, "output_size", LARGEST_WINDOW)

    def compute_output_shape(self, input_shape):
        batch, _, channels = self.split_shape(input_shape)
        return self.joined_shape(batch, self.output_size, channels)

    def windows(self, x):
        return adaptive_windows(x, self.output_size)

    def get_config(self):
        return {**super().get_config(), "output_size": self.output_size}


class GlobalLayer(PoolingLayer):
    """One window holds the whole input."""

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.keepdims = bool(keepdims)

    @property
    def axes(self):
        return tuple(range(1, self.rank + 1))

    def compute_output_shape(self, input_shape):
        batch, _, channels = self.split_shape(input_shape)
        return self.joined_shape(batch, (1,) * self.rank, channels) if self.keepdims else (batch, channels)

    def get_config(self):
        return {**super().get_config(), "keepdims": self.keepdims}


def accumulator(x):
    """`x` in a type wide enough to sum in: float32 for half precision, float64 for the others."""
    return tf.cast(x, tf.float32 if x.dtype in (tf.float16, tf.bfloat16) else tf.float64)


def length_of(x, axis):
    """The static length of an axis, else a scalar int64 tensor."""
    return x.shape[axis] if x.shape[axis] is not None else tf.shape(x, out_type=tf.int64)[axis]


def pad_before_and_after(size, window, stride, padding, dilation=1):
    """Cells of padding on both sides of an axis by TensorFlow's rule; size may be a tensor."""
    span = (window - 1) * dilation + 1
    if padding == "valid":
        if isinstance(size, int):
            output_length(size, window, stride, padding, dilation)
        else:
            tf.debugging.assert_greater_equal(size, tf.cast(span, size.dtype), "the window does not fit into the input")
        return 0, 0
    missing = (-(-size // stride) - 1) * stride + span - size
    missing = max(missing, 0) if isinstance(size, int) else tf.maximum(missing, 0)
    return missing // 2, missing - missing // 2


def sliding_windows(x, window, strides, padding, dilation=None):
    """The cells of every window and which of them exist.

    Returns:
        Cells `(batch, *outputs, cells, channels)` and presence `(*outputs, cells, 1)`; what stands in an absent
        cell is arbitrary.
    """
    tables = []
    for axis, (k, s, d) in enumerate(zip(window, strides, dilation or (1,) * len(window), strict=True)):
        size = length_of(x, axis + 1)
        before, after = pad_before_and_after(size, k, s, padding, d)
        outputs = (size + before + after - (k - 1) * d - 1) // s + 1
        index = tf.range(outputs, dtype=tf.int64)[:, None] * s - before + tf.range(k, dtype=tf.int64) * d
        tables.append((index, (index >= 0) & (index < size)))
    return gathered(x, tables)


def adaptive_windows(x, output_size):
    """As `sliding_windows`, from floor(i n / m) to ceil((i + 1) n / m)."""
    tables = []
    for axis, outputs in enumerate(output_size):
        size = length_of(x, axis + 1)
        number = tf.range(outputs, dtype=tf.int64)[:, None]
        start, stop = number * size // outputs, -(-(number + 1) * size // outputs)
        index = start + tf.range(-(-size // outputs) + 1, dtype=tf.int64)
        tables.append((index, index < stop))
    return gathered(x, tables)


def gathered(x, tables):
    rank = len(tables)
    present = tf.ones([1] * (2 * rank), tf.bool)
    for axis in reversed(range(rank)):
        index, exists = tables[axis]
        x = tf.gather(x, tf.clip_by_value(index, 0, length_of_int64(x, axis + 1) - 1), axis=axis + 1)
        shape = [1] * (2 * rank)
        shape[2 * axis], shape[2 * axis + 1] = length_of(exists, 0), length_of(exists, 1)
        present = present & tf.reshape(exists, shape)
    order = [*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)]
    x = tf.transpose(x, (0, *(axis + 1 for axis in order), 2 * rank + 1))
    present = tf.transpose(present, order)
    outputs = [length_of(present, axis) for axis in range(rank)]
    cells = product([length_of(present, axis) for axis in range(rank, 2 * rank)])
    cells_shape = [length_of(x, 0), *outputs, cells, length_of(x, 2 * rank + 1)]
    return tf.reshape(x, cells_shape), tf.reshape(present, [*outputs, cells, 1])


def length_of_int64(x, axis):
    return tf.cast(length_of(x, axis), tf.int64)


def product(lengths):
    if all(isinstance(length, int) for length in lengths):
        return math.prod(lengths)
    total = tf.constant(1, tf.int64)
    for length in lengths:
        total = total * length
    return total


def highest(cells, present):
    """Maximum over the present cells; NaN wherever a window holds one."""
    return maximum_over(tf.where(present, cells, negative_infinity(cells)), axis=-2)


def maximum_over(x, axis, keepdims=False):
    """`tf.reduce_max`, and NaN where a NaN is: compiled by XLA on a CPU, `tf.reduce_max` alone may skip it."""
    peak = tf.reduce_max(x, axis=axis, keepdims=keepdims)
    holds_nan = tf.reduce_any(tf.math.is_nan(x), axis=axis, keepdims=keepdims)
    return tf.where(holds_nan, tf.constant(math.nan, x.dtype), peak)


def maximum_of(slices):
    """Elementwise maximum of several tensors; NaN where one has a NaN, in XLA too."""
    holds_nan = functools.reduce(tf.logical_or, map(tf.math.is_nan, slices))
    peak = functools.reduce(tf.maximum, slices)
    return tf.where(holds_nan, tf.constant(math.nan, peak.dtype), peak)


def negative_infinity(x):
    return tf.constant(-math.inf, x.dtype)


def mean(cells, present):
    """Average over the present cells, summed in a wide type."""
    wide = tf.where(present, accumulator(cells), 0)
    count = tf.reduce_sum(tf.cast(present, wide.dtype), axis=-2)
    # Only float64 itself can overflow here; a power of two costs no precision.
    huge = tf.reduce_any(tf.math.is_finite(wide) & (tf.abs(wide) > wide.dtype.max / 2**17), axis=-2, keepdims=True)
    down = tf.where(huge, tf.constant(2.0**-17, wide.dtype), 1)
    return tf.reduce_sum(wide * down, axis=-2) / count / tf.squeeze(down, -2)


def power_mean(magnitudes, present, p):
    """(mean of magnitudes ** p) ** (1 / p) over the present cells, without overflow; gradient 0 where all are 0."""
    wide = tf.where(present, accumulator(magnitudes), 0)
    p = tf.cast(p, wide.dtype)
    # The result does not depend on the peak, so the peak needs no gradient.
    peak = tf.stop_gradient(tf.reduce_max(wide, axis=-2, keepdims=True))
    peak = tf.where(tf.math.is_finite(peak) & (peak > 0), peak, 1)
    count = tf.reduce_sum(tf.cast(present, wide.dtype), axis=-2)
    powers = tf.where(present, tf.pow(wide / peak, p), 0)
    average = tf.reduce_sum(powers, axis=-2) / count
    all_zero = average == 0
    root = tf.pow(tf.where(all_zero, tf.ones_like(average), average), 1 / p)
    return tf.where(all_zero, tf.zeros_like(root), root) * tf.squeeze(peak, -2)


def log_mean_exponential(cells, present, sharpness):
    """log(mean(exp(r x))) / r over the present cells, without overflow."""
    wide = tf.where(present, accumulator(cells) * sharpness, -math.inf)
    count = tf.reduce_sum(tf.cast(present, wide.dtype), axis=-2)
    return (tf.reduce_logsumexp(wide, axis=-2) - tf.math.log(count)) / sharpness


def shifted_slices(x, window, strides, padding, fill, dilation=None):
    """One strided slice of the padded input for every cell of the window, each of the output's shape."""
    dilation = dilation or (1,) * len(window)
    pads, outputs = [], []
    for axis, (k, s, d) in enumerate(zip(window, strides, dilation, strict=True)):
        size = length_of(x, axis + 1)
        before, after = pad_before_and_after(size, k, s, padding, d)
        pads.append([before, after])
        outputs.append((size + before + after - (k - 1) * d - 1) // s + 1)
    padded = tf.pad(x, [[0, 0], *pads, [0, 0]], constant_values=fill)
    slices = []
    for offsets in itertools.product(*map(range, window)):
        starts = [offset * d for offset, d in zip(offsets, dilation, strict=True)]
        parts = [slice(start, start + (n - 1) * s + 1, s) for start, n, s in zip(starts, outputs, strides, strict=True)]
        slices.append(padded[(slice(None), *parts, slice(None))])
    return slices
