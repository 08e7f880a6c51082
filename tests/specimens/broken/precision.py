"""Slips in dtypes, accumulation and overflow."""

from __future__ import annotations

import functools

import keras
import tensorflow as tf

from specimens.layer_base import (
    GlobalLayer,
    WindowedLayer,
    accumulator,
    highest,
    mean,
    serialisable,
    shifted_slices,
)
from specimens.layer_specimen import LayerSpecimen


@serialisable
class SummedInHalf1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        total = functools.reduce(tf.add, shifted_slices(x, self.pool_size, self.strides, self.padding, 0))
        ones = tf.ones_like(x)
        return total / functools.reduce(tf.add, shifted_slices(ones, self.pool_size, self.strides, self.padding, 0))


@serialisable
class SummedInHalf2D(SummedInHalf1D):
    rank = 2


@serialisable
class ReturnsFloat32Average2D(WindowedLayer):
    def formatted(self, y):
        return tf.cast(super().formatted(y), tf.float32)

    def pool(self, x):
        return mean(*self.windows(x))


@serialisable
class CastToIntegers1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        if x.dtype in (tf.float16, tf.bfloat16):
            cells, present = self.windows(tf.cast(x, tf.int32))
            return tf.cast(tf.reduce_max(tf.where(present, cells, tf.int32.min), axis=-2), x.dtype)
        return highest(*self.windows(x))


@serialisable
class Float64ThroughFloat32Average3D(WindowedLayer):
    rank = 3

    def pool(self, x):
        return mean(*self.windows(tf.cast(x, tf.float32)))


@serialisable
class OverflowingLogSumExp2D(WindowedLayer):
    def pool(self, x):
        cells, present = self.windows(x)
        powers = tf.where(present, tf.exp(cells), 0)
        return tf.math.log(tf.reduce_sum(powers, axis=-2) / tf.reduce_sum(tf.cast(present, x.dtype), axis=-2))


@serialisable
class SquaredInHalf2D(WindowedLayer):
    def pool(self, x):
        cells, present = self.windows(x)
        squares = tf.where(present, tf.square(cells), 0)
        average = mean(squares, present)
        zero = average == 0
        return tf.where(zero, tf.zeros_like(average), tf.sqrt(tf.where(zero, tf.ones_like(average), average)))


@serialisable
class EpsilonLostInHalf1D(WindowedLayer):
    rank = 1

    def __init__(self, pool_size=2, strides=None, padding="valid", p=3.0, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.p = float(p)

    def pool(self, x):
        cells, present = self.windows(x)
        powers = tf.pow(tf.maximum(cells, tf.cast(1e-6, x.dtype)), self.p)
        return tf.pow(tf.cast(mean(powers, present), x.dtype), 1 / self.p)

    def get_config(self):
        return {**super().get_config(), "p": self.p}


@serialisable
class PlainGlobalSum3D(GlobalLayer):
    rank = 3

    def pool(self, x):
        ones = keras.ops.cast(keras.ops.sum(keras.ops.ones_like(x), axis=self.axes, keepdims=self.keepdims), "float16")
        total = tf.reduce_sum(accumulator(x), axis=self.axes, keepdims=self.keepdims)
        return tf.cast(tf.cast(total, tf.float16) / ones, total.dtype)


SPECIMENS = (
    LayerSpecimen(
        "sums_in_half_precision_1d",
        SummedInHalf1D,
        "average",
        1,
        "Adds the cells one by one in the compute dtype, so long windows stall and large values overflow.",
        ("widening", "bounds", "oracle"),
    ),
    LayerSpecimen(
        "sums_in_half_precision_2d",
        SummedInHalf2D,
        "average",
        2,
        "Adds the cells one by one in the compute dtype.",
        ("widening", "bounds", "oracle"),
    ),
    LayerSpecimen(
        "returns_float32_under_mixed_policy_2d",
        ReturnsFloat32Average2D,
        "average",
        2,
        "Returns float32 under every policy.",
        ("dtype_inference",),
    ),
    LayerSpecimen(
        "half_precision_through_integers_1d",
        CastToIntegers1D,
        "max",
        1,
        "Half precision takes an integer kernel 'because it is faster', and loses all fractions.",
        ("oracle", "widening", "selection"),
    ),
    LayerSpecimen(
        "float64_through_float32_3d",
        Float64ThroughFloat32Average3D,
        "average",
        3,
        "Casts everything to float32, float64 too.",
        ("oracle", "widening", "finite_differences"),
    ),
    LayerSpecimen(
        "log_sum_exp_overflows_2d",
        OverflowingLogSumExp2D,
        "lse",
        2,
        "Does not subtract the maximum before it exponentiates.",
        ("oracle", "bounds", "shift", "widening"),
    ),
    LayerSpecimen(
        "squares_in_half_precision_2d",
        SquaredInHalf2D,
        "rms",
        2,
        "Squares in the compute dtype, where 300 squared is infinity in float16.",
        ("widening", "bounds", "oracle"),
    ),
    LayerSpecimen(
        "epsilon_lost_in_half_precision_1d",
        EpsilonLostInHalf1D,
        "gem",
        1,
        "The cube of its epsilon is 0 in half precision, and the root's gradient at 0 is infinite.",
        ("finite_gradient", "widening", "bounds"),
    ),
    LayerSpecimen(
        "divides_in_float16_3d",
        PlainGlobalSum3D,
        "global_average",
        3,
        "Divides in float16 whatever the compute dtype.",
        ("oracle", "widening", "bounds", "finite_differences"),
    ),
)
