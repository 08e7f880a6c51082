"""Broken layers in the manner of people who never saw this suite: modes, state, batches, training, configuration."""

from __future__ import annotations

import random

import keras
import tensorflow as tf
from keras import ops

from specimens.layer_specimen import LayerSpecimen


class FloorOfTheInputInPython2D(keras.layers.Layer):
    """Reads the lowest value with float(), which a graph does not have."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs):
        low = float(tf.reduce_min(inputs))
        k = self.pool_size
        rows, columns = -inputs.shape[1] % k, -inputs.shape[2] % k
        x = tf.pad(inputs, [[0, 0], [0, rows], [0, columns], [0, 0]], constant_values=low)
        return tf.nn.max_pool2d(x, k, k, "VALID")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        k = self.pool_size
        return (batch, -(-height // k), -(-width // k), channels)

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size}


class FixedBatch2D(keras.layers.Layer):
    """Reshapes to the batch size of the training script."""

    def __init__(self, batch_size=8, **kwargs):
        super().__init__(**kwargs)
        self.batch_size = batch_size

    def call(self, inputs):
        return tf.reduce_mean(tf.reshape(inputs, (self.batch_size, -1, inputs.shape[-1])), axis=1)

    def get_config(self):
        return super().get_config() | {"batch_size": self.batch_size}


class HalvesOfTheBatch2D(keras.layers.Layer):
    """Pools the batch in two halves, to save memory; an odd batch has none."""

    def call(self, inputs):
        return tf.concat([tf.reduce_max(half, axis=(1, 2)) for half in tf.split(inputs, 2)], axis=0)


class SoftmaxOverTheBatch1D(keras.layers.Layer):
    """The weights are normalised over axis 0."""

    def call(self, inputs):
        weights = ops.softmax(inputs, axis=0)
        return ops.sum(weights * inputs, axis=1) / ops.sum(weights, axis=1)


class WindowClippedInBuild2D(keras.layers.Layer):
    """The first input's size limits the window for ever."""

    def __init__(self, pool_size=4, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def build(self, input_shape):
        self.pool_size = min(self.pool_size, input_shape[1], input_shape[2])

    def call(self, inputs):
        return ops.max_pool(inputs, self.pool_size, self.pool_size, "same", data_format="channels_last")

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size}


class TrainingByDefault1D(keras.layers.Layer):
    """`training` is True unless someone says otherwise, and then it draws."""

    def call(self, inputs, training=True):
        y = tf.reduce_mean(inputs, axis=1)
        return tf.nn.dropout(y, 0.5) if training else y


class MaxWhileTraining2D(keras.layers.Layer):
    """Meant as a warm-up: the maximum while training, the average afterwards."""

    def call(self, inputs, training=None):
        return ops.max(inputs, axis=(1, 2)) if training else ops.mean(inputs, axis=(1, 2))


class PythonRandomAtTrace2D(keras.layers.Layer):
    """Draws the corner where it begins with Python's random."""

    def call(self, inputs):
        begin = random.randrange(2)
        return tf.reduce_max(inputs[:, begin:, begin:], axis=(1, 2))


class OnlyFirstSizeSaved2D(keras.layers.Layer):
    """Saves the first window size for both axes."""

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size = (pool_size, pool_size) if isinstance(pool_size, int) else tuple(pool_size)
        self.strides, self.padding = strides or self.pool_size, padding

    def call(self, inputs):
        return ops.average_pool(inputs, self.pool_size, self.strides, self.padding, data_format="channels_last")

    def get_config(self):
        own = {"pool_size": self.pool_size[0], "strides": self.strides, "padding": self.padding}
        return super().get_config() | own


class MethodNotSaved1D(keras.layers.Layer):
    """The way of reducing is a text that the configuration forgets."""

    def __init__(self, method="max", **kwargs):
        super().__init__(**kwargs)
        self.method = method

    def call(self, inputs):
        return {"max": ops.max, "mean": ops.mean}[self.method](inputs, axis=1)

    def get_config(self):
        return super().get_config()


class ShapeNeedsNumbers2D(keras.layers.Layer):
    """Computes its shape with sizes that may be None."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs):
        return ops.max_pool(inputs, self.pool_size, self.pool_size, "valid", data_format="channels_last")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height // self.pool_size, width // self.pool_size, channels)

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size}


class WeightedByFloat32Constant1D(keras.layers.Layer):
    """A float32 constant meets whatever dtype the policy asks for."""

    def call(self, inputs):
        steps = tf.shape(inputs)[1]
        weights = tf.ones((steps,), tf.float32) / tf.cast(steps, tf.float32)
        return tf.einsum("bsc,s->bc", inputs, weights)


class CounterInPython1D(keras.layers.Layer):
    """Counts its calls and warms up with the first: the first output is the plain mean, later ones the maximum."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.calls = 0

    def call(self, inputs):
        self.calls += 1
        return tf.reduce_mean(inputs, 1) if self.calls < 2 else tf.reduce_max(inputs, 1)


class StandardisedByBatch3D(keras.layers.Layer):
    """Subtracts the mean over batch and volume before it pools, and adds it again to the first item only."""

    def call(self, inputs):
        mean = tf.reduce_mean(inputs, axis=(0, 1, 2, 3))
        return tf.reduce_mean(inputs - mean, axis=(1, 2, 3)) + mean * 0.5


def _specimen(name, layer, like, dims, *breaks):
    return LayerSpecimen(name, layer, like, dims, (layer.__doc__ or "").strip(), breaks)


SPECIMENS = (
    _specimen("outside_floor_of_the_input_2d", FloorOfTheInputInPython2D, "unknown", 2, "modes_agree"),
    _specimen("outside_fixed_batch_2d", FixedBatch2D, "global_average", 2, "valid_accepted"),
    _specimen("outside_halves_of_the_batch_2d", HalvesOfTheBatch2D, "global_max", 2, "valid_accepted"),
    _specimen("outside_softmax_over_the_batch_1d", SoftmaxOverTheBatch1D, "unknown", 1, "batch_independence"),
    _specimen("outside_window_clipped_in_build_2d", WindowClippedInBuild2D, "max", 2, "purity"),
    _specimen("outside_training_by_default_1d", TrainingByDefault1D, "global_average", 1, "determinism"),
    _specimen("outside_max_while_training_2d", MaxWhileTraining2D, "global_average", 2, "training_flag"),
    _specimen("outside_python_random_2d", PythonRandomAtTrace2D, "global_max", 2, "determinism", "oracle"),
    _specimen("outside_only_first_size_saved_2d", OnlyFirstSizeSaved2D, "average", 2, "configuration_round_trip"),
    _specimen("outside_method_not_saved_1d", MethodNotSaved1D, "global_max", 1, "configuration_round_trip"),
    _specimen("outside_shape_needs_numbers_2d", ShapeNeedsNumbers2D, "max", 2, "shape_inference"),
    _specimen("outside_float32_constant_1d", WeightedByFloat32Constant1D, "global_average", 1, "valid_accepted"),
    _specimen("outside_counter_in_python_1d", CounterInPython1D, "global_max", 1, "determinism", "purity"),
    _specimen("outside_standardised_by_batch_3d", StandardisedByBatch3D, "global_average", 3, "batch_independence"),
)
