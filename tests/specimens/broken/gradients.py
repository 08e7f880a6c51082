"""Slips that only the backward pass shows."""

from __future__ import annotations

import tensorflow as tf

from specimens.layer_base import (
    GlobalLayer,
    WindowedLayer,
    accumulator,
    highest,
    mean,
    serialisable,
)
from specimens.layer_specimen import LayerSpecimen


@serialisable
class GradientStopped2D(WindowedLayer):
    def pool(self, x):
        return mean(*self.windows(tf.stop_gradient(x)))


@serialisable
class HalfOfGradientStopped1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        cells, present = self.windows(x)
        average = mean(cells, present)
        centred = mean(cells - tf.cast(average, cells.dtype)[..., None, :], present)
        return tf.stop_gradient(average) / 2 + average / 2 + centred


@serialisable
class GradientDoubled3D(WindowedLayer):
    rank = 3

    def pool(self, x):
        @tf.custom_gradient
        def doubled(y):
            return tf.identity(y), lambda upstream: 2 * upstream

        return doubled(mean(*self.windows(x)))


@tf.custom_gradient
def maximum_with_gradient_to_all_ties(cells):
    peak = tf.reduce_max(cells, axis=-2)

    def backward(upstream):
        return upstream[..., None, :] * tf.cast(cells == peak[..., None, :], cells.dtype)

    return peak, backward


@serialisable
class WholeGradientToEveryTie2D(WindowedLayer):
    def pool(self, x):
        cells, present = self.windows(x)
        return maximum_with_gradient_to_all_ties(tf.where(present, cells, x.dtype.min))


@serialisable
class WholeGradientToEveryTieGlobal1D(GlobalLayer):
    rank = 1

    def pool(self, x):
        y = maximum_with_gradient_to_all_ties(x)
        return y[:, None] if self.keepdims else y


@tf.custom_gradient
def maximum_with_gradient_of_the_average(cells):
    def backward(upstream):
        count = tf.cast(tf.shape(cells)[-2], cells.dtype)
        return tf.broadcast_to(upstream[..., None, :] / count, tf.shape(cells))

    return tf.reduce_max(cells, axis=-2), backward


@serialisable
class MaxWithGradientOfAverage1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        cells, present = self.windows(x)
        return maximum_with_gradient_of_the_average(tf.where(present, cells, x.dtype.min))


@serialisable
class BackwardCountsPadding2D(WindowedLayer):
    def pool(self, x):
        cells, present = self.windows(x)

        @tf.custom_gradient
        def average(cells):
            def backward(upstream):
                size = self.pool_size[0] * self.pool_size[1]
                return tf.where(present, tf.cast(upstream[..., None, :] / size, cells.dtype), 0)

            return mean(cells, present), backward

        return average(cells)


@serialisable
class RootOfZero2D(WindowedLayer):
    def pool(self, x):
        cells, present = self.windows(x)
        return tf.sqrt(mean(tf.square(accumulator(cells)), present))


@serialisable
class UnclippedGeneralisedMean2D(WindowedLayer):
    def __init__(self, pool_size=2, strides=None, padding="valid", p=3.0, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.p = float(p)

    def pool(self, x):
        cells, present = self.windows(x)
        return tf.pow(mean(tf.pow(accumulator(cells), self.p), present), 1 / self.p)

    def get_config(self):
        return {**super().get_config(), "p": self.p}


@serialisable
class GuardedForwardOnly1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        cells, present = self.windows(x)
        average = mean(tf.square(accumulator(cells)), present)
        return tf.where(average > 0, tf.exp(tf.math.log(average) / 2), 0)


@serialisable
class GradientThroughArgmaxOfOtherAxis3D(WindowedLayer):
    rank = 3

    def pool(self, x):
        peak = highest(*self.windows(x))
        average = mean(*self.windows(x))
        return tf.cast(average, x.dtype) + tf.stop_gradient(peak - tf.cast(average, x.dtype))


SPECIMENS = (
    LayerSpecimen(
        "gradient_stopped_2d",
        GradientStopped2D,
        "average",
        2,
        "A stop_gradient left from an experiment cuts the layer off.",
        ("gradient_mass", "adjoint", "finite_differences", "euler"),
    ),
    LayerSpecimen(
        "half_of_the_gradient_stopped_1d",
        HalfOfGradientStopped1D,
        "unknown",
        1,
        "Recombines a stopped and a live copy, so half of the gradient is lost.",
        ("finite_differences",),
    ),
    LayerSpecimen(
        "gradient_doubled_3d",
        GradientDoubled3D,
        "average",
        3,
        "A custom gradient has a factor 2 too many.",
        ("gradient_mass", "adjoint", "finite_differences", "euler"),
    ),
    LayerSpecimen(
        "whole_gradient_to_every_tie_2d",
        WholeGradientToEveryTie2D,
        "max",
        2,
        "Every cell that equals the maximum gets the whole gradient.",
        ("gradient_mass", "gradient_support", "euler"),
    ),
    LayerSpecimen(
        "whole_gradient_to_every_tie_global_1d",
        WholeGradientToEveryTieGlobal1D,
        "global_max",
        1,
        "Every step that equals the maximum gets the whole gradient.",
        ("gradient_mass", "gradient_support", "euler"),
    ),
    LayerSpecimen(
        "maximum_with_gradient_of_the_average_1d",
        MaxWithGradientOfAverage1D,
        "max",
        1,
        "The backward pass was copied from the average.",
        ("gradient_support", "finite_differences", "euler"),
    ),
    LayerSpecimen(
        "backward_pass_counts_padding_2d",
        BackwardCountsPadding2D,
        "average",
        2,
        "The forward pass divides by the cells that exist, the backward pass by the whole window.",
        ("gradient_mass", "adjoint", "finite_differences", "euler"),
    ),
    LayerSpecimen(
        "root_of_zero_2d",
        RootOfZero2D,
        "rms",
        2,
        "The derivative of the square root at 0 makes NaN where a window is all zeros.",
        ("finite_gradient",),
    ),
    LayerSpecimen(
        "root_guarded_in_the_forward_pass_only_1d",
        GuardedForwardOnly1D,
        "rms",
        1,
        "A `where` hides the bad branch from the value; its gradient is still 0 times infinity.",
        ("finite_gradient",),
    ),
    LayerSpecimen(
        "generalised_mean_unclipped_2d",
        UnclippedGeneralisedMean2D,
        "gem",
        2,
        "Does not clip at an epsilon: NaN for negative input, and a NaN gradient at 0.",
        ("finite_gradient", "oracle"),
    ),
    LayerSpecimen(
        "straight_through_maximum_3d",
        GradientThroughArgmaxOfOtherAxis3D,
        "max",
        3,
        "A straight-through trick gives the maximum the gradient of the average.",
        ("gradient_support", "finite_differences"),
    ),
)
