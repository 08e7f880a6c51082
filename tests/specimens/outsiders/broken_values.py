"""Broken layers in the manner of people who never saw this suite: values, gradients, masks, kinds."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops

from specimens.layer_specimen import LayerSpecimen


class OverlapOverwritesGradient1D(keras.layers.Layer):
    """The backward pass writes each window's gradient to its argmax, and the last window wins."""

    def __init__(self, pool_size=3, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size if isinstance(pool_size, int) else pool_size[0]
        self.strides = strides if isinstance(strides, int) else strides[0]

    def call(self, inputs):
        k, s = self.pool_size, self.strides

        @tf.custom_gradient
        def pool(x):
            frames = tf.signal.frame(x, k, s, axis=1)
            at = tf.argmax(frames, axis=2)

            def backward(upstream):
                outputs = tf.shape(at)[1]
                steps = at + tf.cast(tf.range(outputs)[None, :, None] * s, at.dtype)
                batch = tf.ones_like(steps) * tf.range(tf.shape(x, tf.int64)[0])[:, None, None]
                channel = tf.ones_like(steps) * tf.range(tf.shape(x, tf.int64)[2])[None, None, :]
                where = tf.stack([batch, steps, channel], axis=-1)
                return tf.tensor_scatter_nd_update(tf.zeros_like(x), where, upstream)

            return tf.reduce_max(frames, axis=2), backward

        return pool(inputs)

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size, "strides": self.strides}


class OneHotTimesStopped2D(keras.layers.Layer):
    """Chooses the maximum by a one-hot of the argmax, times an input whose gradient is stopped."""

    def call(self, inputs):
        flat = tf.reshape(inputs, (tf.shape(inputs)[0], -1, inputs.shape[-1]))
        chosen = tf.one_hot(tf.argmax(flat, axis=1), tf.shape(flat)[1], axis=1, dtype=flat.dtype)
        return tf.reduce_sum(chosen * tf.stop_gradient(flat), axis=1)


class ComparedOneByOne1D(keras.layers.Layer):
    """Keeps the best so far by `>`, and a NaN never wins."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs):
        k = self.pool_size if isinstance(self.pool_size, int) else self.pool_size[0]
        frames = tf.signal.frame(inputs, k, k, axis=1)
        best = tf.fill(tf.shape(frames[:, :, 0]), frames.dtype.min)
        for cell in range(k):
            best = tf.where(frames[:, :, cell] > best, frames[:, :, cell], best)
        return best

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size}


class LogOfSum1D(keras.layers.Layer):
    """log-sum-exp without the mean: a constant grows with the window."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs):
        k = self.pool_size if isinstance(self.pool_size, int) else self.pool_size[0]
        return tf.reduce_logsumexp(tf.signal.frame(inputs, k, k, axis=1), axis=2)


class MaskOfFirstItem1D(keras.layers.Layer):
    """The first item's mask is used for the whole batch."""

    supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return tf.reduce_mean(inputs, axis=1)
        chosen = tf.cast(mask[:1, :, None], tf.float32)
        kept = tf.where(chosen > 0, tf.cast(inputs, tf.float32), 0.0)
        return tf.cast(tf.reduce_sum(kept, 1) / tf.maximum(tf.reduce_sum(chosen, 1), 1.0), inputs.dtype)

    def compute_mask(self, inputs, mask=None):
        return None


class NeighboursLeak2D(keras.layers.Layer):
    """Smooths over three cells before it pools; the windows are wider than it says."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs):
        smooth = ops.average_pool(inputs, 3, 1, "same", data_format="channels_last")
        return ops.max_pool(smooth, self.pool_size, self.pool_size, "valid", data_format="channels_last")

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size}


class VarianceCancels2D(keras.layers.Layer):
    """The root of E[x^2] - E[x]^2, which is negative by rounding, and NaN then."""

    def call(self, inputs):
        mean = tf.reduce_mean(inputs, axis=(1, 2))
        return tf.sqrt(tf.reduce_mean(inputs * inputs, axis=(1, 2)) - mean * mean)


class CountedInHalfPrecision1D(keras.layers.Layer):
    """Divides by a sum of ones in the compute dtype; in float16 it ends at 2048."""

    def call(self, inputs):
        total = tf.reduce_sum(tf.cast(inputs, tf.float32), axis=1)
        count = tf.cast(tf.cumsum(tf.ones_like(inputs), axis=1)[:, -1], tf.float32)
        return tf.cast(total / count, inputs.dtype)


class TopTwoOfChannels2D(keras.layers.Layer):
    """Means to average the two largest cells, and takes the two largest channels."""

    def call(self, inputs):
        pooled = tf.reduce_max(inputs, axis=(1, 2))
        best = tf.math.top_k(pooled, 1).values
        return tf.where(pooled >= best, pooled, pooled * 0.5)


class AbsoluteMaximum3D(keras.layers.Layer):
    """Takes the largest magnitude for the maximum."""

    def call(self, inputs):
        largest, lowest = tf.reduce_max(inputs, axis=(1, 2, 3)), tf.reduce_min(inputs, axis=(1, 2, 3))
        return tf.where(largest > -lowest, largest, lowest)


class QuantisedAverage2D(keras.layers.Layer):
    """Averages in steps of 1/256 by way of int32: no gradient."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs):
        steps = tf.cast(tf.cast(inputs * 256, tf.int32), inputs.dtype) / 256
        return ops.average_pool(steps, self.pool_size, data_format="channels_last")

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size}


class ChannelsFirstKeepsdims2D(keras.layers.Layer):
    """keepdims puts the ones behind the channels in either format."""

    def __init__(self, data_format="channels_last", keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.data_format, self.keepdims = data_format, keepdims

    def call(self, inputs):
        axes = (1, 2) if self.data_format == "channels_last" else (2, 3)
        y = tf.reduce_mean(inputs, axis=axes)
        return y[:, None, None] if self.keepdims else y

    def get_config(self):
        return super().get_config() | {"data_format": self.data_format, "keepdims": self.keepdims}


def _specimen(name, layer, like, dims, *breaks):
    return LayerSpecimen(name, layer, like, dims, (layer.__doc__ or "").strip(), breaks)


SPECIMENS = (
    _specimen("outside_overlap_overwrites_gradient_1d", OverlapOverwritesGradient1D, "max", 1, "gradient_support"),
    _specimen("outside_one_hot_times_stopped_2d", OneHotTimesStopped2D, "global_max", 2, "gradient_support"),
    _specimen("outside_compared_one_by_one_1d", ComparedOneByOne1D, "max", 1, "nan_propagation"),
    _specimen("outside_log_of_sum_1d", LogOfSum1D, "lse", 1, "constant", "oracle"),
    _specimen("outside_mask_of_first_item_1d", MaskOfFirstItem1D, "global_average", 1, "mask_is_deletion"),
    _specimen("outside_neighbours_leak_2d", NeighboursLeak2D, "unknown", 2, "locality"),
    _specimen("outside_variance_cancels_2d", VarianceCancels2D, "unknown", 2, "finite_output", "finite_gradient"),
    _specimen("outside_counted_in_half_precision_1d", CountedInHalfPrecision1D, "global_average", 1, "widening"),
    _specimen("outside_top_two_of_channels_2d", TopTwoOfChannels2D, "unknown", 2, "channel_equivariance"),
    _specimen("outside_absolute_maximum_3d", AbsoluteMaximum3D, "global_max", 3, "oracle"),
    _specimen("outside_quantised_average_2d", QuantisedAverage2D, "unknown", 2, "finite_differences"),
    _specimen("outside_channels_first_keepdims_2d", ChannelsFirstKeepsdims2D, "global_average", 2, "data_format"),
)
