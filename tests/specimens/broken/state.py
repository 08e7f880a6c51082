"""Slips with state, randomness and the training flag."""

from __future__ import annotations

import keras
import tensorflow as tf

from specimens.layer_base import (
    AdaptiveLayer,
    GlobalLayer,
    WindowedLayer,
    accumulator,
    highest,
    mean,
    serialisable,
)
from specimens.layer_specimen import LayerSpecimen


@serialisable
class RunningMaximum2D(WindowedLayer):
    def build(self, input_shape):
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen", autocast=False)

    def pool(self, x):
        if 0 not in x.shape:
            self.seen.assign(tf.maximum(tf.convert_to_tensor(self.seen), tf.cast(tf.reduce_max(x), tf.float32)))
        y = highest(*self.windows(x))
        return tf.minimum(y, tf.cast(tf.convert_to_tensor(self.seen), y.dtype) * 0.9 + 1)


@serialisable
class FirstSizeRemembered1D(AdaptiveLayer):
    rank = 1

    def __init__(self, output_size=1, data_format=None, **kwargs):
        super().__init__(output_size, data_format, **kwargs)
        self.steps = None

    def pool(self, x):
        if self.steps is None:
            self.steps = x.shape[1]
        return mean(*self.windows(x[:, : self.steps]))


@serialisable
class FirstDivisorRemembered3D(GlobalLayer):
    rank = 3

    def build(self, input_shape):
        sizes = self.split_shape(input_shape)[1]
        self.cells = 1
        for size in sizes:
            self.cells *= size or 1

    def pool(self, x):
        return tf.reduce_sum(accumulator(x), axis=self.axes, keepdims=self.keepdims) / self.cells


@serialisable
class AlwaysRandom2D(WindowedLayer):
    def pool(self, x):
        return mean(*self.windows(x * tf.random.uniform(tf.shape(x), 0.9, 1.1, x.dtype)))


class StochasticMax(WindowedLayer):
    """Drops cells at random while training."""

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def noisy(self, training):
        return training

    def call(self, inputs, training=False):
        x = self.channels_last(inputs)
        if self.noisy(training):
            x = keras.random.dropout(x, 0.3, seed=self.seed_generator)
        return self.formatted(highest(*self.windows(x)))


@serialisable
class TrainingInverted1D(StochasticMax):
    rank = 1

    def noisy(self, training):
        return not training


@serialisable
class TrainingIgnored3D(StochasticMax):
    rank = 3

    def noisy(self, training):
        return True


@serialisable
class RandomOffset2D(WindowedLayer):
    """Shifts the windows by a random cell, as augmentation; also at inference."""

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.seed_generator = keras.random.SeedGenerator(7)

    def pool(self, x):
        shift = keras.random.randint((), 0, 2, seed=self.seed_generator)
        return highest(*self.windows(tf.roll(x, shift, axis=1)))


@serialisable
class WeightMadeInEveryCall1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        kernel = keras.initializers.RandomNormal(1.0, 0.1)(shape=(*self.pool_size, 1))
        cells, present = self.windows(x)
        wide = accumulator(cells)
        return mean(wide * tf.cast(kernel, wide.dtype), present)


@serialisable
class TensorOfFirstCallKept2D(WindowedLayer):
    """Caches a tensor; the cached one belongs to the batch, the dtype or the graph of the first call."""

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.cache = {}

    def pool(self, x):
        if "floor" not in self.cache:
            self.cache["floor"] = tf.reduce_min(x)
        return highest(*self.windows(tf.maximum(x, self.cache["floor"])))


SPECIMENS = (
    LayerSpecimen(
        "running_maximum_2d",
        RunningMaximum2D,
        "max",
        2,
        "Keeps the largest value seen and limits later outputs by it.",
        ("purity", "oracle", "batch_independence"),
    ),
    LayerSpecimen(
        "first_size_remembered_1d",
        FirstSizeRemembered1D,
        "adaptive_average",
        1,
        "Cuts every input to the number of steps of the first call.",
        ("purity", "modes_agree"),
    ),
    LayerSpecimen(
        "first_divisor_remembered_3d",
        FirstDivisorRemembered3D,
        "global_average",
        3,
        "Computes the divisor in build, so another size gives another multiple; an unknown size counts as 1.",
        ("purity", "modes_agree", "oracle"),
    ),
    LayerSpecimen(
        "always_random_2d",
        AlwaysRandom2D,
        "average",
        2,
        "Adds noise without asking whether it is training.",
        ("determinism", "oracle"),
    ),
    LayerSpecimen(
        "training_flag_inverted_1d",
        TrainingInverted1D,
        "max",
        1,
        "Drops cells when it is not training.",
        ("determinism", "oracle"),
    ),
    LayerSpecimen(
        "training_flag_ignored_3d",
        TrainingIgnored3D,
        "max",
        3,
        "Takes the training flag and drops cells whatever it says.",
        ("determinism", "oracle"),
    ),
    LayerSpecimen(
        "random_offset_at_inference_2d",
        RandomOffset2D,
        "unknown",
        2,
        "A seeded random offset of the windows also at inference: reproducible across processes, not across calls.",
        ("determinism", "locality"),
    ),
    LayerSpecimen(
        "weight_made_in_every_call_1d",
        WeightMadeInEveryCall1D,
        "unknown",
        1,
        "Draws its kernel anew in every call.",
        ("determinism", "configuration_round_trip"),
    ),
    LayerSpecimen(
        "tensor_of_first_call_kept_2d",
        TensorOfFirstCallKept2D,
        "max",
        2,
        "Caches a minimum of the first call's data.",
        ("purity", "modes_agree", "oracle", "batch_independence"),
    ),
)
