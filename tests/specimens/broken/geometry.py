"""Slips in where windows lie and how many there are."""

from __future__ import annotations

import functools

import keras
import tensorflow as tf

from specimens.layer_base import (
    PoolingLayer,
    WindowedLayer,
    accumulator,
    highest,
    length_of,
    mean,
    negative_infinity,
    output_length,
    positive_sizes,
    serialisable,
    shifted_slices,
    sliding_windows,
)
from specimens.layer_specimen import LayerSpecimen


@serialisable
class StrideIgnoredMax2D(WindowedLayer):
    def pool(self, x):
        return highest(*sliding_windows(x, self.pool_size, self.pool_size, self.padding))


@serialisable
class StridesSwappedMax2D(WindowedLayer):
    def pool(self, x):
        return highest(*sliding_windows(x, self.pool_size, self.strides[::-1], self.padding))


@serialisable
class WindowTransposedAverage2D(WindowedLayer):
    def pool(self, x):
        return mean(*sliding_windows(x, self.pool_size[::-1], self.strides, "same"))[
            :, : self.rows(x), : self.columns(x)
        ]

    def rows(self, x):
        return output_length(x.shape[1], self.pool_size[0], self.strides[0], self.padding)

    def columns(self, x):
        return output_length(x.shape[2], self.pool_size[1], self.strides[1], self.padding)


@serialisable
class LastWindowDropped1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        y = highest(*self.windows(x))
        # Meant for a stride that does not divide the input, done always.
        return y[:, :-1] if self.padding == "valid" and self.strides != self.pool_size else y


@serialisable
class CeilingMax2D(WindowedLayer):
    def compute_output_shape(self, input_shape):
        batch, spatial, channels = self.split_shape(input_shape)
        super().compute_output_shape(input_shape)
        return self.joined_shape(batch, [self.axis_length(n, axis) for axis, n in enumerate(spatial)], channels)

    def axis_length(self, size, axis):
        if size is None or self.padding == "same":
            return output_length(size, self.pool_size[axis], self.strides[axis], self.padding)
        return -(-(size - self.pool_size[axis]) // self.strides[axis]) + 1

    def pool(self, x):
        if self.padding == "same":
            return highest(*self.windows(x))
        pads = [[0, -(length_of(x, axis + 1) - self.pool_size[axis]) % self.strides[axis]] for axis in range(2)]
        x = tf.pad(x, [[0, 0], *pads, [0, 0]], constant_values=negative_infinity(x))
        return highest(*self.windows(x))


@serialisable
class DilationIgnoredMax2D(WindowedLayer):
    def __init__(self, pool_size=2, strides=1, padding="valid", dilation_rate=1, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.dilation_rate = positive_sizes(dilation_rate, self.rank, "dilation_rate")

    def pool(self, x):
        return highest(*self.windows(x))

    def get_config(self):
        return {**super().get_config(), "dilation_rate": self.dilation_rate}


@serialisable
class DepthIgnoredMax3D(WindowedLayer):
    rank = 3

    def pool(self, x):
        return highest(*sliding_windows(x, (1, *self.pool_size[1:]), self.strides, "same"))[:, : self.depth(x)]

    def depth(self, x):
        return output_length(x.shape[1], self.pool_size[0], self.strides[0], self.padding)

    def compute_output_shape(self, input_shape):
        batch, spatial, channels = self.split_shape(input_shape)
        depth = output_length(spatial[0], self.pool_size[0], self.strides[0], self.padding)
        others = [output_length(n, 1, s, "same") for n, s in zip(spatial[1:], self.strides[1:], strict=True)]
        return self.joined_shape(batch, (depth, *others), channels)


@serialisable
class FirstStrideForAllAverage3D(WindowedLayer):
    rank = 3

    def pool(self, x):
        return mean(*sliding_windows(x, self.pool_size, self.strides[:1] * 3, self.padding))


@serialisable
class LastCellForgottenMax3D(WindowedLayer):
    rank = 3

    def pool(self, x):
        slices = shifted_slices(x, self.pool_size, self.strides, self.padding, negative_infinity(x))
        return functools.reduce(tf.maximum, slices[: max(len(slices) - 1, 1)])


@serialisable
class LastCellForgottenAverage1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        cells, present = self.windows(x)
        last = max(self.pool_size[0] - 1, 1)
        return mean(cells[..., :last, :], present[..., :last, :])


@serialisable
class SqueezedMax2D(WindowedLayer):
    def pool(self, x):
        y = highest(*self.windows(x))
        return tf.squeeze(y, axis=2) if y.shape[2] == 1 else y


@serialisable
class SubsampleFromTheMiddle2D(PoolingLayer):
    def __init__(self, strides=2, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.strides = positive_sizes(strides, 2, "strides")

    def compute_output_shape(self, input_shape):
        batch, spatial, channels = self.split_shape(input_shape)
        lengths = [None if n is None else -(-n // s) for n, s in zip(spatial, self.strides, strict=True)]
        return self.joined_shape(batch, lengths, channels)

    def pool(self, x):
        rows, columns = self.strides
        return x[:, rows // 2 :: rows, columns // 2 :: columns]

    def get_config(self):
        return {**super().get_config(), "strides": self.strides}


@serialisable
class ChannelsAsStepsAverage1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        y = mean(*self.windows(tf.transpose(x, (0, 2, 1))))
        return tf.transpose(y, (0, 2, 1))


@serialisable
class UnbalancedBlur2D(WindowedLayer):
    """Weights of a 3 x 3 binomial window, whatever the window."""

    def pool(self, x):
        cells, present = self.windows(x)
        places = tf.range(tf.shape(present)[-2], dtype=tf.int32)[:, None]
        weights = tf.gather(tf.constant([1, 2, 1, 2, 4, 2, 1, 2, 1], tf.float64), places % 9)
        weights = tf.cast(weights / 16, accumulator(cells).dtype)
        return tf.reduce_sum(tf.where(present, accumulator(cells) * weights, 0), axis=-2)


@serialisable
class PlainMaxPairsShifted1D(keras.layers.Layer):
    """Pairs each step with the step after the next window's start; declares nothing but its output shape."""

    def call(self, inputs):
        x = keras.ops.cast(inputs, self.compute_dtype)
        pairs = keras.ops.maximum(x[:, 1:-1:2], x[:, 2::2])
        return keras.ops.concatenate([x[:, :1], pairs], axis=1)

    def compute_output_shape(self, input_shape):
        batch, steps, channels = input_shape
        return (batch, None if steps is None else steps // 2, channels)


SPECIMENS = (
    LayerSpecimen(
        "stride_ignored_2d",
        StrideIgnoredMax2D,
        "max",
        2,
        "Slides by the window, never by the strides.",
        ("shape_inference", "oracle", "locality"),
    ),
    LayerSpecimen(
        "strides_swapped_2d",
        StridesSwappedMax2D,
        "max",
        2,
        "Takes the strides as (width, height).",
        ("shape_inference", "oracle", "locality", "axis_symmetry"),
    ),
    LayerSpecimen(
        "window_transposed_2d",
        WindowTransposedAverage2D,
        "average",
        2,
        "Takes the window as (width, height), and trims the result to the shape it should have.",
        ("oracle", "locality", "modes_agree"),
    ),
    LayerSpecimen(
        "last_window_dropped_1d",
        LastWindowDropped1D,
        "max",
        1,
        "Drops the last window of overlapping ones, by an off-by-one in its end.",
        ("shape_inference", "oracle"),
    ),
    LayerSpecimen(
        "ceiling_instead_of_floor_2d",
        CeilingMax2D,
        "max",
        2,
        "VALID keeps a last partial window, as another framework's ceil mode does.",
        ("oracle", "shape_inference"),
    ),
    LayerSpecimen(
        "dilation_ignored_2d",
        DilationIgnoredMax2D,
        "max",
        2,
        "Accepts a dilation and pools without it.",
        ("oracle", "locality", "shape_inference"),
    ),
    LayerSpecimen(
        "depth_ignored_3d",
        DepthIgnoredMax3D,
        "max",
        3,
        "Pools height and width, and only strides along the depth.",
        ("oracle", "locality"),
    ),
    LayerSpecimen(
        "first_stride_for_all_axes_3d",
        FirstStrideForAllAverage3D,
        "average",
        3,
        "Uses the first stride for all three axes.",
        ("oracle", "shape_inference", "locality"),
    ),
    LayerSpecimen(
        "last_cell_of_window_forgotten_3d",
        LastCellForgottenMax3D,
        "max",
        3,
        "Loops over all cells of the window but the last.",
        ("oracle", "locality", "gradient_support"),
    ),
    LayerSpecimen(
        "last_cell_of_window_forgotten_1d",
        LastCellForgottenAverage1D,
        "average",
        1,
        "Averages all cells of the window but the last.",
        ("oracle", "locality"),
    ),
    LayerSpecimen(
        "output_of_one_squeezed_2d",
        SqueezedMax2D,
        "max",
        2,
        "Squeezes the width away where one column comes out.",
        ("shape_inference", "oracle"),
    ),
    LayerSpecimen(
        "subsample_from_the_middle_2d",
        SubsampleFromTheMiddle2D,
        "subsample",
        2,
        "Starts at half a stride, so the number of outputs is sometimes one less than declared.",
        ("oracle", "shape_inference", "locality"),
    ),
    LayerSpecimen(
        "channels_taken_for_steps_1d",
        ChannelsAsStepsAverage1D,
        "average",
        1,
        "Pools along the channels and leaves the steps alone.",
        ("oracle", "shape_inference", "channel_equivariance", "refusal"),
    ),
    LayerSpecimen(
        "blur_kernel_of_fixed_size_2d",
        UnbalancedBlur2D,
        "blur",
        2,
        "The kernel's weights sum to 1 for a 3 x 3 window only, and at no border.",
        ("oracle", "constant", "gradient_mass"),
    ),
    LayerSpecimen(
        "undeclared_pairs_shape_wrong_1d",
        PlainMaxPairsShifted1D,
        "unknown",
        1,
        "Pairs are one step off; an even number of steps breaks it, an odd one gives one output more than declared.",
        ("shape_inference", "modes_agree"),
    ),
)
