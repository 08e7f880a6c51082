"""Slips among batch, channels and data format."""

from __future__ import annotations

import tensorflow as tf

from specimens.layer_base import (
    GlobalLayer,
    WindowedLayer,
    accumulator,
    highest,
    length_of,
    maximum_over,
    mean,
    serialisable,
)
from specimens.layer_specimen import LayerSpecimen


@serialisable
class MaxOverChannelsToo2D(WindowedLayer):
    def pool(self, x):
        y = highest(*self.windows(x))
        return tf.broadcast_to(tf.reduce_max(y, axis=-1, keepdims=True), tf.shape(y))


@serialisable
class ChannelMeanRemoved1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        y = mean(*self.windows(x))
        return y - tf.reduce_mean(y, axis=-1, keepdims=True) + y[..., :1]


@serialisable
class ScaledByBatchMaximum2D(WindowedLayer):
    def pool(self, x):
        peak = tf.reduce_max(tf.abs(x))
        return mean(*self.windows(x / tf.where(peak > 0, peak, 1)))


@serialisable
class GlobalAverageOverBatch1D(GlobalLayer):
    rank = 1

    def pool(self, x):
        y = tf.reduce_mean(accumulator(x), axis=(0, 1), keepdims=True)
        y = tf.repeat(y, length_of(x, 0), axis=0)
        return y if self.keepdims else y[:, 0]


@serialisable
class WindowsRunIntoNextRow1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        shifted = tf.concat([x[1:, :1], x[-1:, -1:]], axis=0)
        y = highest(*self.windows(x))
        return tf.concat([y[:, :-1], tf.maximum(y[:, -1:], shifted)], axis=1)


@serialisable
class FirstRowIsTheBaseline2D(WindowedLayer):
    def pool(self, x):
        y = highest(*self.windows(x))
        return y - tf.reduce_mean(y[:1], axis=(1, 2), keepdims=True)


@serialisable
class BatchOfOneSpecial3D(WindowedLayer):
    rank = 3

    def pool(self, x):
        cells, present = self.windows(x)
        return accumulator(highest(cells, present)) if length_of(x, 0) == 1 else mean(cells, present)


@serialisable
class RowsSorted1D(GlobalLayer):
    rank = 1

    def pool(self, x):
        return tf.sort(maximum_over(x, axis=1, keepdims=self.keepdims), axis=0)


@serialisable
class NotTransposedBack2D(WindowedLayer):
    def formatted(self, y):
        return tf.cast(y, self.compute_dtype)

    def pool(self, x):
        return highest(*self.windows(x))


@serialisable
class DataFormatIgnored2D(WindowedLayer):
    def call(self, inputs):
        return tf.cast(mean(*self.windows(tf.cast(inputs, self.compute_dtype))), self.compute_dtype)


@serialisable
class ReshapedForTransposed3D(WindowedLayer):
    rank = 3

    def channels_last(self, inputs):
        x = tf.cast(inputs, self.compute_dtype)
        if self.data_format == "channels_last":
            return x
        return tf.reshape(x, [length_of(x, 0), *(length_of(x, axis) for axis in (2, 3, 4)), length_of(x, 1)])

    def pool(self, x):
        return highest(*self.windows(x))


@serialisable
class ChannelsInterleaved2D(WindowedLayer):
    def pool(self, x):
        y = highest(*self.windows(x))
        return tf.concat([y[..., ::2], y[..., 1::2]], axis=-1)


@serialisable
class KeepdimsForgottenInShape2D(GlobalLayer):
    def compute_output_shape(self, input_shape):
        batch, _, channels = self.split_shape(input_shape)
        return (batch, channels)

    def pool(self, x):
        return maximum_over(x, axis=self.axes, keepdims=self.keepdims)


@serialisable
class KeepdimsInWrongFormat3D(GlobalLayer):
    rank = 3

    def formatted(self, y):
        return tf.cast(y, self.compute_dtype)

    def pool(self, x):
        return tf.reduce_mean(accumulator(x), axis=self.axes, keepdims=self.keepdims)


@serialisable
class HardCodedSize2D(GlobalLayer):
    def pool(self, x):
        return tf.reduce_sum(accumulator(x), axis=self.axes, keepdims=self.keepdims) / 49


@serialisable
class FlattenedGlobalMax1D(GlobalLayer):
    rank = 1

    def pool(self, x):
        steps, channels = length_of(x, 1), length_of(x, 2)
        rows = tf.reshape(x, [length_of(x, 0), channels, steps])
        y = maximum_over(rows, axis=2)
        return y[:, None] if self.keepdims else y


SPECIMENS = (
    LayerSpecimen(
        "maximum_over_channels_too_2d",
        MaxOverChannelsToo2D,
        "max",
        2,
        "Reduces over the channels as well and broadcasts.",
        ("oracle", "channel_equivariance", "locality"),
    ),
    LayerSpecimen(
        "channels_mixed_1d",
        ChannelMeanRemoved1D,
        "unknown",
        1,
        "Removes the mean over the channels and adds the first channel.",
        ("channel_equivariance",),
    ),
    LayerSpecimen(
        "scaled_by_batch_maximum_2d",
        ScaledByBatchMaximum2D,
        "unknown",
        2,
        "Divides by the largest magnitude of the whole batch.",
        ("batch_independence", "locality", "finite_differences"),
    ),
    LayerSpecimen(
        "global_average_over_the_batch_1d",
        GlobalAverageOverBatch1D,
        "global_average",
        1,
        "Averages over the batch too and repeats the result.",
        ("batch_independence", "oracle"),
    ),
    LayerSpecimen(
        "windows_run_into_the_next_row_1d",
        WindowsRunIntoNextRow1D,
        "max",
        1,
        "The last window of a row also reads the first step of the next row of the batch.",
        ("batch_independence", "oracle", "locality"),
    ),
    LayerSpecimen(
        "first_row_is_the_baseline_2d",
        FirstRowIsTheBaseline2D,
        "unknown",
        2,
        "Subtracts the mean of the batch's first row from every row, so the order of rows matters.",
        ("batch_independence", "locality"),
    ),
    LayerSpecimen(
        "batch_of_one_special_3d",
        BatchOfOneSpecial3D,
        "average",
        3,
        "A batch of one takes another path, left from debugging, which gives the maximum.",
        ("batch_independence", "oracle"),
    ),
    LayerSpecimen(
        "rows_sorted_1d",
        RowsSorted1D,
        "global_max",
        1,
        "Sorts along the batch and not along the channels.",
        ("batch_independence", "oracle"),
    ),
    LayerSpecimen(
        "not_transposed_back_2d",
        NotTransposedBack2D,
        "max",
        2,
        "channels_first comes out channels last, while the declared shape is right.",
        ("data_format", "shape_inference", "oracle"),
    ),
    LayerSpecimen(
        "data_format_ignored_2d",
        DataFormatIgnored2D,
        "average",
        2,
        "Stores data_format and pools axes 1 and 2 regardless.",
        ("data_format", "shape_inference", "oracle"),
    ),
    LayerSpecimen(
        "reshaped_for_transposed_3d",
        ReshapedForTransposed3D,
        "max",
        3,
        "Brings channels_first into channels last by a reshape.",
        ("data_format", "oracle", "channel_equivariance"),
    ),
    LayerSpecimen(
        "channels_interleaved_2d",
        ChannelsInterleaved2D,
        "max",
        2,
        "Puts even channels before odd ones when it joins two halves.",
        ("channel_equivariance", "oracle"),
    ),
    LayerSpecimen(
        "keepdims_forgotten_in_shape_2d",
        KeepdimsForgottenInShape2D,
        "global_max",
        2,
        "compute_output_shape does not know keepdims.",
        ("shape_inference",),
    ),
    LayerSpecimen(
        "keepdims_in_wrong_format_3d",
        KeepdimsInWrongFormat3D,
        "global_average",
        3,
        "channels_first with keepdims puts the kept axes where channels last has them.",
        ("shape_inference", "data_format", "oracle"),
    ),
    LayerSpecimen(
        "size_hard_coded_2d",
        HardCodedSize2D,
        "global_average",
        2,
        "Divides by 49, the 7 x 7 of the one network it was written for.",
        ("oracle", "constant", "gradient_mass"),
    ),
    LayerSpecimen(
        "flattened_global_max_1d",
        FlattenedGlobalMax1D,
        "global_max",
        1,
        "Reshapes steps and channels where it means to transpose them.",
        ("oracle", "channel_equivariance"),
    ),
)
