"""Custom layers about which the suite must decide, and say why: no slip of their own, yet a strict property fails."""

from __future__ import annotations

import keras
import tensorflow as tf

from specimens.layer_base import (
    GlobalLayer,
    WindowedLayer,
    accumulator,
    highest,
    length_of,
    maximum_over,
    negative_infinity,
    pad_before_and_after,
    serialisable,
)
from specimens.layer_specimen import LayerSpecimen


@serialisable
class AverageByCumulativeSum1D(WindowedLayer):
    """Differences of one float64 cumulative sum."""

    rank = 1

    def pool(self, x):
        k, s, size = self.pool_size[0], self.strides[0], length_of(x, 1)
        pads = pad_before_and_after(size, k, s, self.padding)

        def window_sums(values):
            sums = tf.cumsum(tf.pad(values, [[0, 0], [pads[0] + 1, pads[1]], [0, 0]]), axis=1)
            return (sums[:, k:] - sums[:, :-k])[:, ::s]

        wide = accumulator(x)
        return window_sums(wide) / window_sums(tf.ones_like(wide))


@serialisable
class PlainReduceMax2D(WindowedLayer):
    """`tf.reduce_max` over gathered windows."""

    def pool(self, x):
        cells, present = self.windows(x)
        return tf.reduce_max(tf.where(present, cells, negative_infinity(x)), axis=-2)


@serialisable
class WrappedMaxPool2D(WindowedLayer):
    """A thin wrapper around the framework's own operation."""

    def pool(self, x):
        return keras.ops.max_pool(x, self.pool_size, self.strides, self.padding, data_format="channels_last")


@serialisable
class ChannelMixingAttention1D(GlobalLayer):
    """One score a step from all channels, so channels mix by design."""

    rank = 1

    def build(self, input_shape):
        channels = self.split_shape(input_shape)[2]
        self.query = self.add_weight(shape=(channels,), initializer="ones", name="query", autocast=False)

    def pool(self, x):
        wide = accumulator(x)
        scores = tf.reduce_sum(wide * tf.cast(self.query, wide.dtype), axis=-1, keepdims=True)
        return tf.reduce_sum(tf.nn.softmax(scores, axis=1) * wide, axis=1, keepdims=self.keepdims)


@serialisable
class UnknownDataFormatIsLast1D(GlobalLayer):
    rank = 1

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        known = data_format if data_format == "channels_first" else "channels_last"
        super().__init__(known, keepdims, **kwargs)

    def pool(self, x):
        return tf.reduce_mean(x, axis=1, keepdims=self.keepdims)


@serialisable
class IntegersStayIntegers2D(WindowedLayer):
    def channels_last(self, inputs):
        x = tf.convert_to_tensor(inputs)
        return tf.transpose(x, (0, 2, 3, 1)) if self.data_format == "channels_first" else x

    def formatted(self, y):
        return tf.transpose(y, (0, 3, 1, 2)) if self.data_format == "channels_first" else y

    def pool(self, x):
        cells, present = self.windows(x)
        cells = tf.where(present, cells, x.dtype.min)
        return tf.reduce_max(cells, axis=-2)


@serialisable
class LoopOverStaticSteps1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        if self.padding == "same":
            return highest(*self.windows(x))
        starts = range(0, x.shape[1] - self.pool_size[0] + 1, self.strides[0])
        return tf.stack([maximum_over(x[:, start : start + self.pool_size[0]], axis=1) for start in starts], axis=1)


@serialisable
class AnyRankAccepted2D(keras.layers.Layer):
    """Global maximum over 'everything in the middle', whatever the rank of the input."""

    def call(self, inputs):
        x = tf.cast(inputs, self.compute_dtype)
        return tf.reduce_max(x, axis=[1, 2])

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


# `slip` says what fails and `breaks` which property; the developer did nothing that the definition forbids.
CONTESTED_LAYERS: tuple[LayerSpecimen, ...] = (
    LayerSpecimen(
        "cumulative_sum_1d",
        AverageByCumulativeSum1D,
        "average",
        1,
        "Right for the values of a trained network; an infinity, a NaN or 1e30 spoils every later window.",
        ("nonfinite_locality", "nan_propagation", "infinities"),
    ),
    LayerSpecimen(
        "plain_reduce_max_2d",
        PlainReduceMax2D,
        "max",
        2,
        "Compiled by XLA on a CPU, `tf.reduce_max` may skip a NaN: the framework's fault.",
        ("nan_propagation", "modes_agree"),
    ),
    LayerSpecimen(
        "wrapped_max_pool_2d",
        WrappedMaxPool2D,
        "max",
        2,
        "Inherits whatever the framework's kernel does with NaN, minus infinity and ties.",
        ("nan_propagation", "infinities", "modes_agree"),
    ),
    LayerSpecimen(
        "channel_mixing_attention_1d",
        ChannelMixingAttention1D,
        "unknown",
        1,
        "Mixes channels by design, as a pooling of embeddings does.",
        ("channel_equivariance", "locality"),
    ),
    LayerSpecimen(
        "unknown_data_format_is_last_1d",
        UnknownDataFormatIsLast1D,
        "global_average",
        1,
        "Takes any data format but 'channels_first' for channels last, as many a right layer does.",
        ("refusal",),
    ),
    LayerSpecimen(
        "integers_stay_integers_2d",
        IntegersStayIntegers2D,
        "max",
        2,
        "Integers come out as integers while Keras announces the compute dtype, as for its own maximum.",
        ("integer_inputs",),
    ),
    LayerSpecimen(
        "loop_over_static_steps_1d",
        LoopOverStaticSteps1D,
        "max",
        1,
        "Needs to know the number of steps, and says so by a TypeError only.",
        ("modes_agree",),
    ),
    LayerSpecimen(
        "any_rank_accepted_2d",
        AnyRankAccepted2D,
        "global_max",
        2,
        "Checks no rank, so a volume comes out half pooled, as with most right layers.",
        ("refusal",),
    ),
)
