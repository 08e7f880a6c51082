"""Right pooling layers as most people write them: a constructor and `call`, no more checks than needed."""

from __future__ import annotations

import keras
import tensorflow as tf

from specimens.layer_specimen import LayerSpecimen


class CroppedMax2D(keras.layers.Layer):
    """Crops what the window does not divide, reshapes, reduces. Nothing but `pool_size`; no shape, no configuration."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(pool_size, int) or pool_size < 1:
            raise ValueError(f"pool_size must be a positive integer, got {pool_size!r}")
        self.pool_size = pool_size

    def call(self, inputs):
        k = self.pool_size
        batch, height, width, channels = tf.unstack(tf.shape(inputs))
        x = inputs[:, : height // k * k, : width // k * k]
        x = tf.reshape(x, (batch, height // k, k, width // k, k, inputs.shape[-1] or channels))
        return tf.reduce_max(x, axis=(2, 4))


class OpsAverage2D(keras.layers.Layer):
    """Hands its arguments to `keras.ops`; the constructor keeps them as they are."""

    def __init__(self, pool_size=2, strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.padding = pool_size, strides, padding

    def call(self, inputs):
        return keras.ops.average_pool(inputs, self.pool_size, self.strides, self.padding, data_format="channels_last")

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }


class RootOfAverage1D(keras.layers.Layer):
    """Root mean square by the framework's average of squares, with the usual epsilon under the root."""

    def __init__(self, pool_size=2, strides=None, padding="valid", epsilon=1e-7, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.AveragePooling1D(pool_size, strides, padding, dtype="float32")
        self.pool_size, self.strides, self.padding, self.epsilon = pool_size, strides, padding, epsilon

    def call(self, inputs):
        squares = tf.square(tf.cast(inputs, tf.float32))
        return tf.cast(tf.sqrt(self.inner(squares) + self.epsilon), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return self.inner.compute_output_shape(input_shape)

    def get_config(self):
        own = {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "epsilon": self.epsilon,
        }
        return {**super().get_config(), **own}


class WrappedMax2D(keras.layers.Layer):
    """Owns a layer of Keras and calls it."""

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.pool = keras.layers.MaxPooling2D(pool_size, strides, padding, data_format, dtype=self.dtype_policy)

    def call(self, inputs):
        return self.pool(inputs)

    def compute_output_shape(self, input_shape):
        return self.pool.compute_output_shape(input_shape)

    def get_config(self):
        inner = self.pool.get_config()
        names = ("pool_size", "strides", "padding", "data_format")
        return {**super().get_config(), **{name: inner[name] for name in names}}


class MinByInheritance2D(keras.layers.MaxPooling2D):
    """Inherits everything from Keras and turns the sign around."""

    def call(self, inputs):
        return -super().call(-inputs)


class GlobalGeneralisedMean2D(keras.layers.Layer):
    """The form found in most retrieval code, with a learned exponent and a cast for mixed precision."""

    def __init__(self, p=3.0, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.p, self.epsilon = p, epsilon

    def build(self, input_shape):
        self.exponent = self.add_weight(name="p", shape=(), initializer=keras.initializers.Constant(self.p))

    def call(self, inputs):
        x = tf.maximum(tf.cast(inputs, tf.float32), self.epsilon)
        p = tf.cast(self.exponent, tf.float32)
        return tf.cast(tf.reduce_mean(x**p, axis=(1, 2)) ** (1 / p), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "p": self.p, "epsilon": self.epsilon}


class AttentionOverSteps1D(keras.layers.Layer):
    """A score a channel and step, soft-maxed over the steps."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="random_normal")

    def call(self, inputs):
        scores = keras.ops.softmax(inputs * keras.ops.cast(self.scale, inputs.dtype), axis=1)
        return keras.ops.sum(scores * inputs, axis=1)


class RunningMean1D(keras.layers.Layer):
    """Differences of one float64 running sum, VALID only."""

    def __init__(self, pool_size=3, strides=1, **kwargs):
        super().__init__(**kwargs)
        if pool_size < 1 or strides < 1 or pool_size != int(pool_size) or strides != int(strides):
            raise ValueError("pool_size and strides must be positive integers")
        self.pool_size, self.strides = int(pool_size), int(strides)

    def call(self, inputs):
        k = self.pool_size
        tf.debugging.assert_greater_equal(tf.shape(inputs)[1], k, "the window does not fit")
        sums = tf.cumsum(tf.pad(tf.cast(inputs, tf.float64), [[0, 0], [1, 0], [0, 0]]), axis=1)
        return tf.cast((sums[:, k:] - sums[:, :-k])[:, :: self.strides] / k, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size, "strides": self.strides}


class GlobalAverageWithFlag1D(keras.layers.Layer):
    """Takes `training`, as many base classes demand, and needs it for nothing."""

    def call(self, inputs, training=None):
        return tf.cast(tf.reduce_mean(tf.cast(inputs, self._wide(inputs)), axis=1), self.compute_dtype)

    def _wide(self, inputs):
        return tf.float64 if inputs.dtype == tf.float64 else tf.float32


def global_max_in_a_sequential():
    """A model of one layer, as factories in projects return it."""
    return keras.Sequential([keras.layers.GlobalMaxPooling2D()])


def strided_average_then_subtract_nothing(pool_size=2, strides=None, padding="valid"):
    """A factory: the layer of Keras under the project's own defaults."""
    return keras.layers.AveragePooling1D(pool_size, strides, padding, name="pool")


class WideMax2D(keras.layers.MaxPooling2D):
    """Keras's maximum, in float32 for half precision: its lowest number is another one."""

    def call(self, inputs):
        wide = tf.cast(inputs, tf.float32) if inputs.dtype in (tf.float16, tf.bfloat16) else inputs
        return tf.cast(super().call(wide), inputs.dtype)


SPECIMENS = (
    LayerSpecimen("wide_max_2d", WideMax2D, "max", 2, "Inherits Keras's layer, computes in float32."),
    LayerSpecimen("cropped_max_2d", CroppedMax2D, "max", 2, "No compute_output_shape, no get_config, any int only."),
    LayerSpecimen("ops_average_2d", OpsAverage2D, "average", 2, "Delegates, without a shape of its own."),
    LayerSpecimen("root_of_average_1d", RootOfAverage1D, "rms", 1, "Adds an epsilon under the root."),
    LayerSpecimen("wrapped_max_2d", WrappedMax2D, "max", 2, "Owns Keras's layer."),
    LayerSpecimen("min_by_inheritance_2d", MinByInheritance2D, "min", 2, "Inherits Keras's layer."),
    LayerSpecimen("global_generalised_mean_2d", GlobalGeneralisedMean2D, "global_gem", 2, "Learned exponent."),
    LayerSpecimen("attention_over_steps_1d", AttentionOverSteps1D, "unknown", 1, "Weights of random start."),
    LayerSpecimen("running_mean_1d", RunningMean1D, "average", 1, "One long float64 sum."),
    LayerSpecimen("global_average_with_flag_1d", GlobalAverageWithFlag1D, "global_average", 1, "Takes `training`."),
    LayerSpecimen("global_max_in_a_sequential", global_max_in_a_sequential, "global_max", 2, "A model, not a layer."),
    LayerSpecimen(
        "average_from_a_factory", strided_average_then_subtract_nothing, "average", 1, "Keras's own, by a function."
    ),
)
