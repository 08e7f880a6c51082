"""Pooling layers as most people write them, each with one slip."""

from __future__ import annotations

import keras
import tensorflow as tf

from specimens.layer_specimen import LayerSpecimen


class WrapperForgetsStrides2D(keras.layers.Layer):
    """The strides never reach the inner layer."""

    def __init__(self, pool_size=2, strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.padding = pool_size, strides, padding
        self.inner = keras.layers.MaxPooling2D(pool_size, padding=padding)

    def call(self, inputs):
        return self.inner(inputs)

    def get_config(self):
        own = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return {**super().get_config(), **own}


class EpsilonNotSaved1D(keras.layers.Layer):
    """get_config misses epsilon."""

    def __init__(self, pool_size=2, epsilon=1e-7, **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.epsilon = pool_size, epsilon
        self.inner = keras.layers.AveragePooling1D(pool_size, dtype="float32")

    def call(self, inputs):
        squares = tf.square(tf.cast(inputs, tf.float32))
        return tf.cast(tf.sqrt(self.inner(squares) + self.epsilon), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size}


class AverageTimesArea2D(keras.layers.Layer):
    """Meant to undo the division, and scales with the whole window at borders too; declared an average."""

    def __init__(self, pool_size=2, padding="same", **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.padding = pool_size, padding

    def call(self, inputs):
        ones = tf.ones_like(inputs)
        counts = tf.nn.avg_pool2d(ones, self.pool_size, 1, "SAME")
        return tf.nn.avg_pool2d(inputs, self.pool_size, 1, "SAME") * counts + 0.01

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size, "padding": self.padding}


class MeanOfAllAxes2D(keras.layers.Layer):
    """Reduces the channels as well."""

    def call(self, inputs):
        return keras.ops.mean(inputs, axis=(1, 2, 3))[:, None] * keras.ops.ones_like(inputs[:, 0, 0])


class StaticBatch1D(keras.layers.Layer):
    """Reshapes with the batch of the first trace."""

    def call(self, inputs):
        return tf.reduce_max(tf.reshape(inputs, (inputs.shape[0] or 1, -1, inputs.shape[-1])), axis=1)


class IntegerOnlySize2D(keras.layers.Layer):
    """One integer is used for the rows, and the columns stay whole."""

    def __init__(self, pool_size=(2, 2), **kwargs):
        super().__init__(**kwargs)
        self.pool_size = (pool_size, 1) if isinstance(pool_size, int) else tuple(pool_size)

    def call(self, inputs):
        return keras.ops.max_pool(inputs, self.pool_size, self.pool_size, "valid", data_format="channels_last")

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size}


class SumInsteadOfMean1D(keras.layers.Layer):
    """Forgets the division."""

    def call(self, inputs):
        return tf.reduce_sum(inputs, axis=1)


class TopOfFlattened2D(keras.layers.Layer):
    """top_k over the wrong axis: the channels of a pixel."""

    def call(self, inputs):
        flat = tf.reshape(inputs, (tf.shape(inputs)[0], -1, inputs.shape[-1]))
        return tf.sort(tf.math.top_k(flat, 1).values[:, : inputs.shape[-1], 0] + tf.zeros_like(flat[:, 0]), axis=1)


class DropsInInference1D(keras.layers.Layer):
    """Calls dropout with training=True."""

    def call(self, inputs):
        return tf.reduce_mean(tf.nn.dropout(inputs, 0.1), axis=1)


class RoundedGradient2D(keras.layers.Layer):
    """Rounds to integers on the way, which kills the gradient and the fractions."""

    def call(self, inputs):
        return tf.reduce_mean(tf.round(inputs * 255) / 255, axis=(1, 2))


class SoftPoolUnstable2D(keras.layers.Layer):
    """exp without subtracting the maximum."""

    def call(self, inputs):
        weights = tf.exp(inputs)
        return tf.reduce_sum(inputs * weights, axis=(1, 2)) / tf.reduce_sum(weights, axis=(1, 2))


class CenterOfBatch1D(keras.layers.Layer):
    """Normalises by the batch's standard deviation."""

    def call(self, inputs):
        return tf.reduce_max(inputs / (tf.math.reduce_std(inputs) + 1e-3), axis=1)


class AnnouncesFloats1D(keras.layers.Layer):
    """Announces float32 itself, and returns integers where integers came."""

    def call(self, inputs):
        return tf.reduce_max(inputs, axis=1)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((inputs.shape[0], inputs.shape[2]), dtype="float32")


class StumblesOverOneChannel1D(keras.layers.Layer):
    """Looks at the second channel, which a grey signal does not have."""

    def call(self, inputs):
        channels = tf.unstack(inputs, axis=-1)
        return tf.stack([tf.reduce_max(channels[number], axis=1) for number in (0, 1, *range(2, len(channels)))], 1)


class OffsetAverage1D(keras.layers.Layer):
    """Adds a bias that nobody asked for."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.AveragePooling1D(pool_size)

    def call(self, inputs):
        return self.inner(inputs) + 0.5


class CleansInputMax2D(keras.layers.MaxPooling2D):
    """Makes 0 of NaN before the maximum; Keras's own maximum loses NaN too, but gives another number."""

    def call(self, inputs):
        return super().call(tf.where(tf.math.is_nan(inputs), tf.zeros_like(inputs), inputs))


SPECIMENS = (
    LayerSpecimen("cleans_input_max_2d", CleansInputMax2D, "max", 2, "", ("nan_propagation",)),
    LayerSpecimen("announces_floats_1d", AnnouncesFloats1D, "global_max", 1, "", ("integer_inputs",)),
    LayerSpecimen("stumbles_over_one_channel_1d", StumblesOverOneChannel1D, "global_max", 1, "", ("valid_accepted",)),
    LayerSpecimen("offset_average_1d", OffsetAverage1D, "average", 1, "", ("oracle", "linear", "constant")),
    LayerSpecimen("wrapper_forgets_strides_2d", WrapperForgetsStrides2D, "max", 2, "", ("oracle", "shape_inference")),
    LayerSpecimen("epsilon_not_saved_1d", EpsilonNotSaved1D, "rms", 1, "", ("configuration_round_trip",)),
    LayerSpecimen("average_times_area_2d", AverageTimesArea2D, "average", 2, "", ("oracle", "constant")),
    LayerSpecimen("mean_of_all_axes_2d", MeanOfAllAxes2D, "unknown", 2, "", ("channel_equivariance",)),
    LayerSpecimen("static_batch_1d", StaticBatch1D, "global_max", 1, "", ("modes_agree", "shape_inference", "empty")),
    LayerSpecimen("integer_only_size_2d", IntegerOnlySize2D, "max", 2, "", ("scalar_sizes",)),
    LayerSpecimen("sum_instead_of_mean_1d", SumInsteadOfMean1D, "global_average", 1, "", ("oracle", "constant")),
    LayerSpecimen("top_of_flattened_2d", TopOfFlattened2D, "global_max", 2, "", ("oracle", "channel_equivariance")),
    LayerSpecimen("drops_in_inference_1d", DropsInInference1D, "global_average", 1, "", ("determinism", "oracle")),
    LayerSpecimen("rounded_gradient_2d", RoundedGradient2D, "global_average", 2, "", ("oracle", "gradient_mass")),
    LayerSpecimen("soft_pool_unstable_2d", SoftPoolUnstable2D, "unknown", 2, "", ("finite_output",)),
    LayerSpecimen("center_of_batch_1d", CenterOfBatch1D, "unknown", 1, "", ("batch_independence",)),
)
