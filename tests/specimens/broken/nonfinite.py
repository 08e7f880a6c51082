"""Slips with NaN, infinities, and reductions that are almost right."""

from __future__ import annotations

import functools

import keras
import numpy as np
import tensorflow as tf

from specimens.layer_base import (
    AdaptiveLayer,
    GlobalLayer,
    WindowedLayer,
    accumulator,
    highest,
    length_of,
    maximum_over,
    mean,
    negative_infinity,
    output_length,
    pad_before_and_after,
    serialisable,
    shifted_slices,
)
from specimens.layer_specimen import LayerSpecimen


@serialisable
class NanSilenced2D(WindowedLayer):
    def pool(self, x):
        return highest(*self.windows(tf.where(tf.math.is_nan(x), tf.zeros_like(x), x)))


@serialisable
class NanIgnoredAverage3D(GlobalLayer):
    rank = 3

    def pool(self, x):
        wide = accumulator(x)
        known = ~tf.math.is_nan(wide)
        total = tf.reduce_sum(tf.where(known, wide, 0), axis=self.axes, keepdims=self.keepdims)
        return total / tf.reduce_sum(tf.cast(known, wide.dtype), axis=self.axes, keepdims=self.keepdims)


@serialisable
class PaddingMultipliedAway1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        cells, present = self.windows(x)
        exists = tf.cast(present, accumulator(cells).dtype)
        return tf.reduce_sum(accumulator(cells) * exists, axis=-2) / tf.reduce_sum(exists, axis=-2)


@serialisable
class AdaptiveByMatrixProduct1D(AdaptiveLayer):
    rank = 1

    def pool(self, x):
        n, m = length_of(x, 1), self.output_size[0]
        number, place = tf.range(m, dtype=tf.int64)[:, None], tf.range(n, dtype=tf.int64)
        inside = (place >= number * n // m) & (place < -(-(number + 1) * n // m))
        weights = tf.cast(inside, accumulator(x).dtype)
        return tf.einsum("mn,bnc->bmc", weights / tf.reduce_sum(weights, axis=1, keepdims=True), accumulator(x))


@serialisable
class OneLongCumulativeSum1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        k, s, size = self.pool_size[0], self.strides[0], length_of(x, 1)
        pads = pad_before_and_after(size, k, s, self.padding)

        def window_sums(values):
            sums = tf.cumsum(tf.pad(values, [[0, 0], [pads[0] + 1, pads[1]], [0, 0]]), axis=1)
            return (sums[:, k:] - sums[:, :-k])[:, ::s]

        wide = tf.cast(x, tf.float32)
        return window_sums(wide) / window_sums(tf.ones_like(wide))


@serialisable
class MedianCountsPadding2D(WindowedLayer):
    def pool(self, x):
        cells, present = self.windows(x)
        ordered = tf.sort(tf.where(present, accumulator(cells), 0), axis=-2)
        size = self.pool_size[0] * self.pool_size[1]
        return (ordered[..., (size - 1) // 2, :] + ordered[..., size // 2, :]) / 2


@serialisable
class MedianOneTooLow1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        cells, present = self.windows(x)
        ordered = tf.sort(tf.where(present, accumulator(cells), np.inf), axis=-2)
        place = tf.range(tf.shape(present)[-2])[:, None]
        count = tf.reduce_sum(tf.cast(present, tf.int32), axis=-2, keepdims=True)
        middle = tf.maximum(count // 2 - 1, 0)
        return tf.reduce_sum(tf.where(place == middle, ordered, 0), axis=-2)


@serialisable
class MinWithoutOuterMinus2D(WindowedLayer):
    def pool(self, x):
        y = highest(*self.windows(-x))
        return -y if self.padding == "valid" else y


@serialisable
class CentredAverage1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        cells, present = self.windows(x)
        start = cells[..., :1, :]
        return mean(cells - start, present) + accumulator(start[..., 0, :])


@serialisable
class OutputsClipped2D(WindowedLayer):
    def pool(self, x):
        return tf.clip_by_value(highest(*self.windows(x)), -6, 6)


@serialisable
class OutputsRectified3D(GlobalLayer):
    rank = 3

    def pool(self, x):
        return tf.nn.relu(maximum_over(x, axis=self.axes, keepdims=self.keepdims))


@serialisable
class PatchesByConvolution2D(WindowedLayer):
    def pool(self, x):
        pads = [
            pad_before_and_after(length_of(x, axis + 1), self.pool_size[axis], self.strides[axis], self.padding)
            for axis in range(2)
        ]
        x = tf.pad(x, [[0, 0], *pads, [0, 0]], constant_values=negative_infinity(x))
        patches = tf.image.extract_patches(x, [1, *self.pool_size, 1], [1, *self.strides, 1], [1] * 4, "VALID")
        cells = self.pool_size[0] * self.pool_size[1]
        lengths = [output_length(x.shape[a + 1], self.pool_size[a], self.strides[a], "valid") for a in range(2)]
        lengths = [length_of(patches, a + 1) if n is None else n for a, n in enumerate(lengths)]
        return tf.reduce_max(tf.reshape(patches, [length_of(x, 0), *lengths, cells, length_of(x, 3)]), axis=-2)


@serialisable
class UnboundedMixture2D(WindowedLayer):
    def build(self, input_shape):
        initial = keras.initializers.Constant(1.5)
        self.alpha = self.add_weight(shape=(), initializer=initial, name="alpha", autocast=False)

    def pool(self, x):
        cells, present = self.windows(x)
        average = mean(cells, present)
        alpha = tf.cast(self.alpha, average.dtype)
        return alpha * tf.cast(highest(cells, present), average.dtype) + (1 - alpha) * average


@serialisable
class DifferenceOfNeighbours1D(WindowedLayer):
    """Adds a trace of the cell before the window."""

    rank = 1

    def pool(self, x):
        before = tf.concat([x[:, :1], x[:, :-1]], axis=1)
        slices = shifted_slices(x, self.pool_size, self.strides, self.padding, negative_infinity(x))
        leak = shifted_slices(before, self.pool_size, self.strides, self.padding, 0)[0]
        return functools.reduce(tf.maximum, slices) + leak / 8


SPECIMENS = (
    LayerSpecimen(
        "nan_silenced_2d",
        NanSilenced2D,
        "max",
        2,
        "Replaces NaN by 0 'to be safe', so a diverged network looks healthy.",
        ("nan_propagation",),
    ),
    LayerSpecimen(
        "nan_ignored_3d",
        NanIgnoredAverage3D,
        "global_average",
        3,
        "Averages as nanmean does.",
        ("nan_propagation",),
    ),
    LayerSpecimen(
        "padding_multiplied_away_1d",
        PaddingMultipliedAway1D,
        "average",
        1,
        "Multiplies clipped border cells by 0, and 0 times infinity is NaN.",
        ("infinities", "nan_propagation", "nonfinite_locality"),
    ),
    LayerSpecimen(
        "adaptive_by_matrix_product_1d",
        AdaptiveByMatrixProduct1D,
        "adaptive_average",
        1,
        "Multiplies by a matrix of weights, so infinity and NaN reach every window as 0 times infinity.",
        ("nonfinite_locality", "nan_propagation", "infinities"),
    ),
    LayerSpecimen(
        "one_long_cumulative_sum_1d",
        OneLongCumulativeSum1D,
        "average",
        1,
        "Differences of one float32 cumulative sum: a huge value or an infinity spoils all later windows.",
        ("nonfinite_locality", "nan_propagation", "oracle", "infinities"),
    ),
    LayerSpecimen(
        "median_counts_padding_2d",
        MedianCountsPadding2D,
        "median",
        2,
        "Padded zeros take part in the order.",
        ("oracle", "constant", "shift", "bounds"),
    ),
    LayerSpecimen(
        "median_one_too_low_1d",
        MedianOneTooLow1D,
        "median",
        1,
        "Takes the cell below the middle of odd windows.",
        ("oracle",),
    ),
    LayerSpecimen(
        "minimum_without_outer_minus_2d",
        MinWithoutOuterMinus2D,
        "min",
        2,
        "Under SAME the minimum is max(-x), not -max(-x).",
        ("oracle", "selection", "constant", "bounds", "monotone"),
    ),
    LayerSpecimen(
        "infinities_cancel_1d",
        CentredAverage1D,
        "average",
        1,
        "Subtracts a cell before averaging, and infinity minus infinity is NaN.",
        ("infinities", "nonfinite_locality"),
    ),
    LayerSpecimen(
        "outputs_clipped_2d",
        OutputsClipped2D,
        "max",
        2,
        "Clips its outputs to 6, as the activation before it does.",
        ("oracle", "selection", "shift", "scale", "bounds", "infinities"),
    ),
    LayerSpecimen(
        "outputs_rectified_3d",
        OutputsRectified3D,
        "global_max",
        3,
        "Applies a ReLU inside the pooling.",
        ("oracle", "selection", "shift", "bounds", "constant"),
    ),
    LayerSpecimen(
        "patches_by_convolution_2d",
        PatchesByConvolution2D,
        "max",
        2,
        "Pads patches with minus infinity; XLA extracts patches by a convolution, and 0 times infinity is NaN.",
        ("modes_agree", "nonfinite_locality", "nan_propagation"),
    ),
    LayerSpecimen(
        "mixture_unbounded_2d",
        UnboundedMixture2D,
        "mixed",
        2,
        "The weight of the maximum is not kept in [0, 1] and has become 1.5.",
        ("bounds", "monotone", "non_expansive", "oracle"),
    ),
    LayerSpecimen(
        "reads_the_cell_before_the_window_1d",
        DifferenceOfNeighbours1D,
        "unknown",
        1,
        "An index one too low lets the cell before the window leak in.",
        ("locality", "nonfinite_locality", "gradient_support"),
    ),
)
