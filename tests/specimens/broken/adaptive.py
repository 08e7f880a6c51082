"""Slips in adaptive windows and pyramids."""

from __future__ import annotations

import tensorflow as tf

from specimens.layer_base import (
    AdaptiveLayer,
    PoolingLayer,
    accumulator,
    adaptive_windows,
    gathered,
    highest,
    length_of,
    length_of_int64,
    mean,
    positive_sizes,
    serialisable,
)
from specimens.layer_specimen import LayerSpecimen


class OwnWindows(AdaptiveLayer):
    def windows(self, x):
        tables = []
        for axis, outputs in enumerate(self.output_size):
            size = length_of_int64(x, axis + 1)
            start, stop = self.bounds(size, outputs, tf.range(outputs, dtype=tf.int64)[:, None])
            index = start + tf.range(size, dtype=tf.int64)
            tables.append((index, (index < stop) & (index < size)))
        return gathered(x, tables)


@serialisable
class RoundedStepAverage2D(OwnWindows):
    def bounds(self, size, outputs, number):
        step = tf.cast(size, tf.float32) / outputs
        start = tf.cast(tf.round(tf.cast(number, tf.float32) * step), tf.int64)
        stop = tf.cast(tf.round(tf.cast(number + 1, tf.float32) * step), tf.int64)
        start = tf.minimum(start, size - 1)
        return start, tf.maximum(stop, start + 1)

    def pool(self, x):
        return mean(*self.windows(x))


@serialisable
class TailDroppedAverage1D(OwnWindows):
    rank = 1

    def bounds(self, size, outputs, number):
        chunk = tf.maximum(size // outputs, 1)
        start = tf.minimum(number * chunk, size - 1)
        return start, start + chunk

    def pool(self, x):
        return mean(*self.windows(x))


@serialisable
class FloorOnBothSidesMax1D(OwnWindows):
    rank = 1

    def bounds(self, size, outputs, number):
        start, stop = number * size // outputs, (number + 1) * size // outputs
        return start, tf.maximum(stop, start + 1)

    def pool(self, x):
        return highest(*self.windows(x))


@serialisable
class EqualStridesMax2D(OwnWindows):
    """Stride n // m and window n - (m - 1) * stride, as many answers on forums say."""

    def bounds(self, size, outputs, number):
        stride = size // outputs
        start = number * stride
        return start, start + size - (outputs - 1) * stride

    def pool(self, x):
        return highest(*self.windows(x))


@serialisable
class SizeReversed3D(AdaptiveLayer):
    rank = 3

    def pool(self, x):
        return mean(*adaptive_windows(x, self.output_size[::-1]))


@serialisable
class SizesOfOneAxis2D(AdaptiveLayer):
    def pool(self, x):
        return highest(*adaptive_windows(x, self.output_size[:1] * 2))


class Pyramid(PoolingLayer):
    def __init__(self, levels=(1, 2, 4), data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.levels = positive_sizes(levels, len(levels), "levels", 1 << 12)

    def compute_output_shape(self, input_shape):
        batch, _, channels = self.split_shape(input_shape)
        return (batch, None if channels is None else channels * sum(level**2 for level in self.levels))

    def flat(self, x, level):
        part = highest(*adaptive_windows(x, (level, level)))
        return tf.reshape(part, [length_of(x, 0), level**2 * length_of(x, 3)])

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}


@serialisable
class LevelsReversed2D(Pyramid):
    def pool(self, x):
        return tf.concat([self.flat(x, level) for level in self.levels[::-1]], axis=1)


@serialisable
class PyramidCropsTheRest2D(Pyramid):
    def pool(self, x):
        parts = []
        for level in self.levels:
            sizes = [tf.maximum(length_of(x, axis) // level, 1) * level for axis in (1, 2)]
            parts.append(self.flat(x[:, : sizes[0], : sizes[1]], level))
        return tf.concat(parts, axis=1)


@serialisable
class PyramidOfSums2D(Pyramid):
    def pool(self, x):
        parts = []
        for level in self.levels:
            cells, present = adaptive_windows(x, (level, level))
            average = tf.reduce_sum(tf.where(present, accumulator(cells), 0), axis=-2)
            parts.append(tf.reshape(average, [length_of(x, 0), level**2 * length_of(x, 3)]))
        return tf.concat(parts, axis=1)


SPECIMENS = (
    LayerSpecimen(
        "rounded_step_2d",
        RoundedStepAverage2D,
        "adaptive_average",
        2,
        "Rounds float multiples of n / m for both ends, so windows never overlap and halves go to even.",
        ("adaptive_windows", "oracle", "locality"),
    ),
    LayerSpecimen(
        "tail_dropped_1d",
        TailDroppedAverage1D,
        "adaptive_average",
        1,
        "Cuts equal chunks of n // m and drops the rest.",
        ("adaptive_windows", "oracle", "locality"),
    ),
    LayerSpecimen(
        "floor_at_both_ends_1d",
        FloorOnBothSidesMax1D,
        "adaptive_max",
        1,
        "Ends a window where the next starts, not at the ceiling.",
        ("adaptive_windows", "oracle", "locality"),
    ),
    LayerSpecimen(
        "equal_strides_2d",
        EqualStridesMax2D,
        "adaptive_max",
        2,
        "Uses one stride and one window for all outputs, which is right only where m divides n.",
        ("adaptive_windows", "oracle", "locality"),
    ),
    LayerSpecimen(
        "output_size_reversed_3d",
        SizeReversed3D,
        "adaptive_average",
        3,
        "Takes output_size in the order of the columns first.",
        ("shape_inference", "oracle", "adaptive_windows"),
    ),
    LayerSpecimen(
        "output_size_of_one_axis_2d",
        SizesOfOneAxis2D,
        "adaptive_max",
        2,
        "Uses the first output size for both axes.",
        ("shape_inference", "oracle", "adaptive_windows"),
    ),
    LayerSpecimen(
        "pyramid_levels_reversed_2d",
        LevelsReversed2D,
        "spp",
        2,
        "Concatenates the levels from the last to the first.",
        ("oracle",),
    ),
    LayerSpecimen(
        "pyramid_crops_the_rest_2d",
        PyramidCropsTheRest2D,
        "spp",
        2,
        "Crops rows and columns that a level does not divide.",
        ("oracle", "locality"),
    ),
    LayerSpecimen(
        "pyramid_of_sums_2d",
        PyramidOfSums2D,
        "spp",
        2,
        "Sums its bins; neither a maximum nor an average.",
        ("oracle", "non_expansive"),
    ),
)
