"""Slips in what stands beyond the border."""

from __future__ import annotations

import functools

import tensorflow as tf

from specimens.layer_base import (
    WindowedLayer,
    accumulator,
    highest,
    length_of,
    negative_infinity,
    pad_before_and_after,
    serialisable,
    shifted_slices,
    sliding_windows,
)
from specimens.layer_specimen import LayerSpecimen


@serialisable
class ZeroPaddedMax2D(WindowedLayer):
    def pool(self, x):
        return functools.reduce(tf.maximum, shifted_slices(x, self.pool_size, self.strides, self.padding, 0))


@serialisable
class ZeroPaddedMax3D(ZeroPaddedMax2D):
    rank = 3


@serialisable
class ZeroPaddedMin1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        return functools.reduce(tf.minimum, shifted_slices(x, self.pool_size, self.strides, self.padding, 0))


@serialisable
class AverageDividedByWholeWindow2D(WindowedLayer):
    def pool(self, x):
        slices = shifted_slices(accumulator(x), self.pool_size, self.strides, self.padding, 0)
        return tf.add_n(slices) / len(slices)


@serialisable
class AverageDividedByWholeWindow1D(AverageDividedByWholeWindow2D):
    rank = 1


class OwnPaddingMax(WindowedLayer):
    def pool(self, x):
        pads = [self.axis_padding(length_of(x, axis + 1), axis) for axis in range(self.rank)]
        x = tf.pad(x, [[0, 0], *pads, [0, 0]], constant_values=negative_infinity(x))
        return highest(*sliding_windows(x, self.pool_size, self.strides, "valid"))


@serialisable
class OddCellPaddedBefore1D(OwnPaddingMax):
    rank = 1

    def axis_padding(self, size, axis):
        return reversed(pad_before_and_after(size, self.pool_size[axis], self.strides[axis], self.padding))


@serialisable
class AllPaddingAfter2D(OwnPaddingMax):
    def axis_padding(self, size, axis):
        before, after = pad_before_and_after(size, self.pool_size[axis], self.strides[axis], self.padding)
        return 0, before + after


@serialisable
class HalfWindowPadding3D(OwnPaddingMax):
    rank = 3

    def axis_padding(self, size, axis):
        if self.padding == "valid":
            return pad_before_and_after(size, self.pool_size[axis], self.strides[axis], "valid")
        half = self.pool_size[axis] // 2
        return half, self.pool_size[axis] - 1 - half


@serialisable
class SentinelPaddedMax2D(WindowedLayer):
    def pool(self, x):
        return functools.reduce(tf.maximum, shifted_slices(x, self.pool_size, self.strides, self.padding, -1e4))


@serialisable
class ReflectPaddedAverage1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        pads = pad_before_and_after(length_of(x, 1), self.pool_size[0], self.strides[0], self.padding)
        x = tf.pad(accumulator(x), [[0, 0], pads, [0, 0]], mode="SYMMETRIC")
        cells, _ = sliding_windows(x, self.pool_size, self.strides, "valid")
        return tf.reduce_mean(cells, axis=-2)


SPECIMENS = (
    LayerSpecimen(
        "max_padded_with_zeros_2d",
        ZeroPaddedMax2D,
        "max",
        2,
        "SAME pads a maximum with zeros, which win over negative inputs.",
        ("oracle", "constant", "selection", "bounds", "shift"),
    ),
    LayerSpecimen(
        "max_padded_with_zeros_3d",
        ZeroPaddedMax3D,
        "max",
        3,
        "SAME pads a maximum over volumes with zeros.",
        ("oracle", "constant", "selection", "bounds", "shift"),
    ),
    LayerSpecimen(
        "min_padded_with_zeros_1d",
        ZeroPaddedMin1D,
        "min",
        1,
        "SAME pads a minimum with zeros, which win over positive inputs.",
        ("oracle", "constant", "selection", "bounds", "shift"),
    ),
    LayerSpecimen(
        "average_counts_padding_2d",
        AverageDividedByWholeWindow2D,
        "average",
        2,
        "Divides by the size of the window, so padded zeros count.",
        ("oracle", "constant", "gradient_mass", "shift"),
    ),
    LayerSpecimen(
        "average_counts_padding_1d",
        AverageDividedByWholeWindow1D,
        "average",
        1,
        "Divides by the size of the window, so padded zeros count.",
        ("oracle", "constant", "gradient_mass", "shift"),
    ),
    LayerSpecimen(
        "odd_cell_padded_before_1d",
        OddCellPaddedBefore1D,
        "max",
        1,
        "Where padding is odd, the extra cell goes before the input and not after it.",
        ("oracle", "locality"),
    ),
    LayerSpecimen(
        "all_padding_after_2d",
        AllPaddingAfter2D,
        "max",
        2,
        "All padding goes after the input.",
        ("oracle", "locality"),
    ),
    LayerSpecimen(
        "half_window_padding_3d",
        HalfWindowPadding3D,
        "max",
        3,
        "Pads half a window on both sides whatever the stride, which is SAME for stride 1 only.",
        ("oracle", "locality"),
    ),
    LayerSpecimen(
        "max_padded_with_sentinel_2d",
        SentinelPaddedMax2D,
        "max",
        2,
        "Pads with -10000, 'smaller than any activation', and not with minus infinity.",
        ("infinities", "selection", "oracle", "bounds", "shift"),
    ),
    LayerSpecimen(
        "average_padded_with_mirror_1d",
        ReflectPaddedAverage1D,
        "average",
        1,
        "Mirrors the border into the padding of an average, so border cells count twice.",
        ("oracle", "adjoint"),
    ),
)
