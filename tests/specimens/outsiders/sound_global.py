"""Right layers in the manner of people who never saw this suite: global, adaptive, pyramid, masked, with weights."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops

from specimens.layer_specimen import LayerSpecimen


def wide(inputs):
    return tf.cast(inputs, tf.float64 if inputs.dtype == tf.float64 else tf.float32)


class TopThreeMean1D(keras.layers.Layer):
    """The mean of the three largest steps, of fewer where there are fewer."""

    def __init__(self, k=3, **kwargs):
        super().__init__(**kwargs)
        self.k = k

    def call(self, inputs):
        turned = tf.transpose(wide(inputs), (0, 2, 1))
        best = tf.math.top_k(turned, tf.minimum(self.k, tf.shape(turned)[-1])).values
        return tf.cast(tf.reduce_mean(best, axis=-1), inputs.dtype)

    def get_config(self):
        return super().get_config() | {"k": self.k}


class Pyramid1D(keras.layers.Layer):
    """Adaptive maxima at three scales, one after the other."""

    def __init__(self, levels=(1, 2, 3), **kwargs):
        super().__init__(**kwargs)
        self.levels = tuple(levels)

    def call(self, inputs):
        size = inputs.shape[1]
        if size is None:
            raise ValueError("the number of steps must be known")
        parts = []
        for bins in self.levels:
            for i in range(bins):
                parts.append(ops.max(inputs[:, i * size // bins : -(-(i + 1) * size // bins)], axis=1))
        return ops.concatenate(parts, axis=-1)

    def get_config(self):
        return super().get_config() | {"levels": self.levels}


class AdaptiveAverage1D(keras.layers.Layer):
    """Windows by exact integers, gathered from differences of nothing: one mean a bin."""

    def __init__(self, target_size, **kwargs):
        super().__init__(**kwargs)
        size = target_size if isinstance(target_size, int) else target_size[0]
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"target_size must be a positive integer, got {target_size!r}")
        self.target_size = size

    def call(self, inputs):
        size = inputs.shape[1]
        if size is None:
            raise ValueError("the number of steps must be known")
        m = self.target_size
        bins = [wide(inputs[:, i * size // m : -(-(i + 1) * size // m)]) for i in range(m)]
        return tf.cast(tf.stack([tf.reduce_mean(one, axis=1) for one in bins], axis=1), inputs.dtype)

    def get_config(self):
        return super().get_config() | {"target_size": self.target_size}


class MaskedMean1D(keras.layers.Layer):
    """Selects with where, sums in float32, divides by at least one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return tf.cast(tf.reduce_mean(wide(inputs), axis=1), inputs.dtype)
        keep = tf.cast(mask, tf.bool)[:, :, None]
        x = wide(inputs)
        total = tf.reduce_sum(tf.where(keep, x, tf.zeros_like(x)), axis=1)
        count = tf.reduce_sum(tf.cast(keep, x.dtype), axis=1)
        return tf.cast(total / tf.maximum(count, 1), inputs.dtype)

    def compute_mask(self, inputs, mask=None):
        return None


class GlobalAverageEitherFormat2D(keras.layers.Layer):
    """Axes and kept dimensions from the data format."""

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        self.keepdims = keepdims

    def call(self, inputs):
        axes = (2, 3) if self.data_format == "channels_first" else (1, 2)
        return ops.mean(inputs, axis=axes, keepdims=self.keepdims)

    def get_config(self):
        return super().get_config() | {"data_format": self.data_format, "keepdims": self.keepdims}


class GlobalLogSumExp2D(keras.layers.Layer):
    """log of the mean of exponentials, with a sharpness r."""

    def __init__(self, r=4.0, **kwargs):
        super().__init__(**kwargs)
        self.r = r

    def call(self, inputs):
        x = wide(inputs)
        count = tf.cast(tf.shape(x)[1] * tf.shape(x)[2], x.dtype)
        y = (tf.reduce_logsumexp(self.r * x, axis=(1, 2)) - tf.math.log(count)) / self.r
        return tf.cast(y, inputs.dtype)

    def get_config(self):
        return super().get_config() | {"r": self.r}


class GatedMixture2D(keras.layers.Layer):
    """Maximum and average, mixed by a learned gate."""

    def build(self, input_shape):
        self.gate = self.add_weight(name="gate", shape=(), initializer="zeros")

    def call(self, inputs):
        share = ops.cast(ops.sigmoid(self.gate), inputs.dtype)
        return share * ops.max(inputs, axis=(1, 2)) + (1 - share) * ops.mean(inputs, axis=(1, 2))


class GlobalMedian1D(keras.layers.Layer):
    """The middle of the sorted steps; the mean of both middles where the number is even."""

    def call(self, inputs):
        x = tf.sort(inputs, axis=1)
        size = tf.shape(x)[1]
        low, high = x[:, (size - 1) // 2], x[:, size // 2]
        return low * 0.5 + high * 0.5


class GlobalRootMeanSquare3D(keras.layers.Layer):
    """The root of the mean square, with an epsilon under it."""

    def call(self, inputs):
        x = wide(inputs)
        return tf.cast(tf.sqrt(tf.reduce_mean(x * x, axis=(1, 2, 3)) + 1e-12), inputs.dtype)


class LastStep1D(keras.layers.Layer):
    """Keeps the last step that the mask leaves."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return inputs[:, -1]
        steps = tf.range(tf.shape(inputs)[1])[None]
        last = tf.reduce_max(tf.where(mask, steps, tf.zeros_like(steps)), axis=1)
        return tf.gather(inputs, last, batch_dims=1)

    def compute_mask(self, inputs, mask=None):
        return None


class StochasticWhileTraining1D(keras.layers.Layer):
    """One step drawn while training, the mean at inference."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=None):
        if not training:
            return ops.mean(inputs, axis=1)
        at = keras.random.randint((), 0, ops.shape(inputs)[1], seed=self.generator)
        return ops.take(inputs, at, axis=1)

    def get_config(self):
        return super().get_config() | {"seed": self.seed}


def adaptive_max_by_function(output_size, data_format="channels_last"):
    """Keras's own, handed out by a function."""
    return keras.layers.AdaptiveMaxPooling3D(output_size, data_format=data_format)


def _specimen(name, layer, like, dims):
    return LayerSpecimen(name, layer, like, dims, (layer.__doc__ or "").strip())


SPECIMENS = (
    _specimen("outside_top_three_mean_1d", TopThreeMean1D, "unknown", 1),
    _specimen("outside_pyramid_1d", Pyramid1D, "spp", 1),
    _specimen("outside_adaptive_average_1d", AdaptiveAverage1D, "adaptive_average", 1),
    _specimen("outside_masked_mean_1d", MaskedMean1D, "global_average", 1),
    _specimen("outside_global_average_either_format_2d", GlobalAverageEitherFormat2D, "global_average", 2),
    _specimen("outside_global_log_sum_exp_2d", GlobalLogSumExp2D, "global_lse", 2),
    _specimen("outside_gated_mixture_2d", GatedMixture2D, "global_mixed", 2),
    _specimen("outside_global_median_1d", GlobalMedian1D, "global_median", 1),
    _specimen("outside_global_root_mean_square_3d", GlobalRootMeanSquare3D, "global_rms", 3),
    _specimen("outside_last_step_1d", LastStep1D, "unknown", 1),
    _specimen("outside_stochastic_while_training_1d", StochasticWhileTraining1D, "unknown", 1),
    _specimen("outside_adaptive_max_by_function_3d", adaptive_max_by_function, "adaptive_max", 3),
)
