"""Slips that show only in a graph, with unknown sizes, or compiled."""

from __future__ import annotations

import tensorflow as tf

from specimens.layer_base import (
    AdaptiveLayer,
    GlobalLayer,
    WindowedLayer,
    accumulator,
    mean,
    serialisable,
)
from specimens.layer_specimen import LayerSpecimen


@serialisable
class GraphCountsPadding2D(WindowedLayer):
    def pool(self, x):
        cells, present = self.windows(x)
        if tf.executing_eagerly():
            return mean(cells, present)
        return mean(tf.where(present, cells, 0), tf.ones_like(present))


@serialisable
class NumpyMedian1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        cells, present = self.windows(x)
        wide = tf.where(present, accumulator(cells), float("nan"))
        if tf.executing_eagerly():
            import numpy as np

            return tf.constant(np.nanmedian(wide.numpy(), axis=-2), wide.dtype)
        ordered = tf.sort(accumulator(cells), axis=-2)
        return ordered[..., (self.pool_size[0] - 1) // 2, :]


@serialisable
class UnknownSizePoolsEverything1D(AdaptiveLayer):
    rank = 1

    def pool(self, x):
        if x.shape[1] is None:
            average = tf.reduce_mean(accumulator(x), axis=1, keepdims=True)
            return tf.repeat(average, self.output_size[0], axis=1)
        return mean(*self.windows(x))


@serialisable
class UnknownSizeIsOne3D(GlobalLayer):
    rank = 3

    def pool(self, x):
        cells = 1
        for axis in self.axes:
            cells *= x.shape[axis] or 1
        return tf.reduce_sum(accumulator(x), axis=self.axes, keepdims=self.keepdims) / cells


@serialisable
class GradientLostInGraph2D(WindowedLayer):
    def pool(self, x):
        y = mean(*self.windows(x))
        return y if tf.executing_eagerly() else tf.stop_gradient(y) + 0 * y


@serialisable
class NumpyMax2D(WindowedLayer):
    def pool(self, x):
        cells, present = self.windows(x)
        cells = tf.where(present, cells, x.dtype.min)
        y = tf.numpy_function(lambda array: array.max(axis=-2), [cells], x.dtype)
        y.set_shape([*cells.shape[:-2], cells.shape[-1]])
        return y


SPECIMENS = (
    LayerSpecimen(
        "graph_counts_padding_2d",
        GraphCountsPadding2D,
        "average",
        2,
        "Another branch runs inside tf.function, and it counts padding.",
        ("modes_agree",),
    ),
    LayerSpecimen(
        "numpy_median_when_eager_1d",
        NumpyMedian1D,
        "median",
        1,
        "Uses NumPy when eager, without a gradient, and another convention in a graph.",
        ("modes_agree", "finite_differences", "gradient_mass", "euler"),
    ),
    LayerSpecimen(
        "unknown_size_pools_everything_1d",
        UnknownSizePoolsEverything1D,
        "adaptive_average",
        1,
        "Falls back to the global average where the number of steps is unknown.",
        ("modes_agree",),
    ),
    LayerSpecimen(
        "unknown_size_counts_as_one_3d",
        UnknownSizeIsOne3D,
        "global_average",
        3,
        "Divides by the static size, with 1 for an unknown one.",
        ("modes_agree",),
    ),
    LayerSpecimen(
        "gradient_lost_in_graph_2d",
        GradientLostInGraph2D,
        "average",
        2,
        "The graph branch stops the gradient.",
        ("modes_agree",),
    ),
    LayerSpecimen(
        "numpy_function_2d",
        NumpyMax2D,
        "max",
        2,
        "Leaves TensorFlow for NumPy: no gradient, and XLA refuses.",
        ("modes_agree", "gradient_mass", "finite_differences", "euler"),
    ),
)
