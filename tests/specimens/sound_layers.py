"""Custom pooling layers without a mistake, each built in its own way: none of them may be accused of anything."""

from __future__ import annotations

import functools
import math

import keras
import numpy as np
import tensorflow as tf

from specimens.layer_base import (
    AdaptiveLayer,
    GlobalLayer,
    PoolingLayer,
    WindowedLayer,
    accumulator,
    adaptive_windows,
    highest,
    length_of,
    log_mean_exponential,
    maximum_of,
    maximum_over,
    mean,
    negative_infinity,
    output_length,
    pad_before_and_after,
    positive_sizes,
    power_mean,
    serialisable,
    shifted_slices,
    sliding_windows,
)
from specimens.layer_specimen import LayerSpecimen
from specimens.outsiders import sound_global, sound_windows


@serialisable
class MaxFromPatches2D(WindowedLayer):
    """Gathers the windows as patches and reduces; shares the gradient among ties."""

    def pool(self, x):
        return highest(*self.windows(x))


@serialisable
class MaxFromPatches1D(MaxFromPatches2D):
    rank = 1


@serialisable
class MaxFromSlices1D(WindowedLayer):
    """Folds `maximum` over strided slices; of tied cells the first gets the whole gradient."""

    rank = 1

    def pool(self, x):
        return maximum_of(shifted_slices(x, self.pool_size, self.strides, self.padding, negative_infinity(x)))


@serialisable
class MaxFromSlices2D(MaxFromSlices1D):
    rank = 2


@serialisable
class MaxFromSlices3D(MaxFromSlices1D):
    rank = 3


@serialisable
class SeparableMax3D(WindowedLayer):
    """Takes the maximum along one axis after the other."""

    rank = 3

    def pool(self, x):
        for axis in range(self.rank):
            window, strides = [1] * self.rank, [1] * self.rank
            window[axis], strides[axis] = self.pool_size[axis], self.strides[axis]
            x = highest(*sliding_windows(x, window, strides, self.padding))
        return x


@serialisable
class DilatedMax2D(WindowedLayer):
    """Reads every `dilation_rate`-th cell."""

    def __init__(self, pool_size=2, strides=1, padding="valid", dilation_rate=1, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.dilation_rate = positive_sizes(dilation_rate, self.rank, "dilation_rate", 1 << 16)

    def compute_output_shape(self, input_shape):
        batch, spatial, channels = self.split_shape(input_shape)
        settings = zip(spatial, self.pool_size, self.strides, self.dilation_rate, strict=True)
        lengths = [output_length(n, k, s, self.padding, d) for n, k, s, d in settings]
        return self.joined_shape(batch, lengths, channels)

    def pool(self, x):
        return highest(*sliding_windows(x, self.pool_size, self.strides, self.padding, self.dilation_rate))

    def get_config(self):
        return {**super().get_config(), "dilation_rate": self.dilation_rate}


@serialisable
class MinAsNegatedMax2D(WindowedLayer):
    """min(x) = -max(-x)."""

    def pool(self, x):
        cells, present = self.windows(-x)
        return -highest(cells, present)


@serialisable
class MinAsNegatedMax1D(MinAsNegatedMax2D):
    rank = 1


@serialisable
class AverageFromPatches3D(WindowedLayer):
    rank = 3

    def pool(self, x):
        return mean(*self.windows(x))


@serialisable
class AverageFromPatches1D(AverageFromPatches3D):
    rank = 1


@serialisable
class AverageByDepthwiseConvolution2D(WindowedLayer):
    """Convolves with ones and divides by the number of cells that exist.

    Sums in float32, as the convolution does; so data near the largest float32 overflow, which data of a trained
    network never do.
    """

    def pool(self, x):
        wide = tf.cast(x, tf.float32) if x.dtype in (tf.float16, tf.bfloat16) else x
        if 0 in (x.shape[0], x.shape[-1]):
            return mean(*self.windows(x))
        kernel = tf.ones([*self.pool_size, x.shape[-1], 1], wide.dtype)
        ones = tf.ones([1, length_of(x, 1), length_of(x, 2), 1], wide.dtype)
        count = self.convolved(ones, tf.ones([*self.pool_size, 1, 1], wide.dtype))
        return self.convolved(wide, kernel) / count

    def convolved(self, x, kernel):
        pads = [
            pad_before_and_after(length_of(x, axis + 1), self.pool_size[axis], self.strides[axis], self.padding)
            for axis in range(2)
        ]
        x = tf.pad(x, [[0, 0], *pads, [0, 0]])
        # The op refuses unequal strides, so the stride is applied afterwards.
        dense = tf.nn.depthwise_conv2d(x, kernel, strides=(1, 1, 1, 1), padding="VALID")
        return dense[:, :: self.strides[0], :: self.strides[1], :]


@serialisable
class AverageByBlockedSums1D(WindowedLayer):
    """Running sums that restart every `pool_size` cells (van Herk, 1992).

    A window is the end of one block and the start of the next, so neither a huge value nor an infinity reaches a
    window that does not hold it, which it does in one long cumulative sum.
    """

    rank = 1

    def pool(self, x):
        k, s, size = self.pool_size[0], self.strides[0], length_of(x, 1)
        before, after = pad_before_and_after(size, k, s, self.padding)
        padded_size = size + before + after
        fill = -padded_size % k
        x = tf.pad(accumulator(x), [[0, 0], [before, after + fill], [0, 0]])
        here = tf.pad(tf.ones([1, size, 1], x.dtype), [[0, 0], [before, after + fill], [0, 0]])
        return (self.window_sums(x, padded_size) / self.window_sums(here, padded_size))[:, ::s]

    def window_sums(self, x, padded_size):
        k = self.pool_size[0]
        shape = [length_of(x, 0), length_of(x, 1), length_of(x, 2)]
        blocks = tf.reshape(x, [shape[0], shape[1] // k, k, shape[2]])
        from_start = tf.reshape(tf.cumsum(blocks, axis=2), shape)
        to_end = tf.reshape(tf.cumsum(blocks, axis=2, reverse=True), shape)
        first = tf.range(padded_size - k + 1)
        aligned = tf.equal(first % k, 0)[None, :, None]
        starts = from_start[:, k - 1 : padded_size]
        return to_end[:, : padded_size - k + 1] + tf.where(aligned, tf.zeros_like(starts), starts)


@serialisable
class SeparableAverage2D(WindowedLayer):
    """Means along the rows, then along the columns: every row of a window has as many cells as the others."""

    def pool(self, x):
        wide = accumulator(x)
        wide = mean(*sliding_windows(wide, (self.pool_size[0], 1), (self.strides[0], 1), self.padding))
        return mean(*sliding_windows(wide, (1, self.pool_size[1]), (1, self.strides[1]), self.padding))


@serialisable
class ValidOnlyAverage1D(PoolingLayer):
    """Sums slices in its own dtype; knows no padding, and says so."""

    rank = 1

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        if padding != "valid":
            raise ValueError(f"This layer never pads: `padding` must be 'valid', got {padding!r}")
        self.pool_size = positive_sizes(pool_size, 1, "pool_size", 1 << 12)
        self.strides = self.pool_size if strides is None else positive_sizes(strides, 1, "strides")

    def compute_output_shape(self, input_shape):
        batch, spatial, channels = self.split_shape(input_shape)
        length = output_length(spatial[0], self.pool_size[0], self.strides[0], "valid")
        return self.joined_shape(batch, (length,), channels)

    def pool(self, x):
        wide = accumulator(x)
        slices = shifted_slices(wide, self.pool_size, self.strides, "valid", 0)
        return tf.add_n(slices) / len(slices)

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size, "strides": self.strides}


@serialisable
class ChannelsLastOnlyMax2D(MaxFromSlices2D):
    """Refuses the data format it was not written for."""

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format="channels_last", **kwargs):
        if data_format not in (None, "channels_last"):
            raise ValueError(f"`data_format` must be 'channels_last', got {data_format!r}; transpose the input first")
        super().__init__(pool_size, strides, padding, "channels_last", **kwargs)


class MedianLayer(WindowedLayer):
    def middle(self, lower, upper):
        # Halved first: two large cells of one sign would overflow.
        return tf.where(lower == upper, lower, lower / 2 + upper / 2)

    def pool(self, x):
        cells, present = self.windows(x)
        wide = accumulator(cells)
        ordered = tf.sort(tf.where(present, wide, math.inf), axis=-2)
        count = tf.reduce_sum(tf.cast(present, tf.int32), axis=-2, keepdims=True)
        place = tf.range(tf.shape(present)[-2])[:, None]
        lower = tf.reduce_sum(tf.where(place == (count - 1) // 2, ordered, 0), axis=-2)
        upper = tf.reduce_sum(tf.where(place == count // 2, ordered, 0), axis=-2)
        holds_nan = tf.reduce_any(present & tf.math.is_nan(wide), axis=-2)
        return tf.where(holds_nan, tf.constant(math.nan, wide.dtype), self.middle(lower, upper))


@serialisable
class Median2D(MedianLayer):
    """Of an even window, the mean of the two middle cells."""


@serialisable
class LowerMedian1D(MedianLayer):
    """Of an even window, the lower of the two middle cells: the other convention."""

    rank = 1

    def middle(self, lower, upper):
        return lower


@serialisable
class RootMeanSquare2D(WindowedLayer):
    def pool(self, x):
        cells, present = self.windows(x)
        return power_mean(tf.abs(cells), present, 2.0)


@serialisable
class RootMeanSquare1D(RootMeanSquare2D):
    rank = 1


class GeneralisedMeanLayer(WindowedLayer):
    """Clips at an epsilon, so that no root or power of a negative number is taken."""

    def __init__(self, pool_size=2, strides=None, padding="valid", p=3.0, epsilon=1e-6, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        if not p > 0 or not epsilon > 0:
            raise ValueError(f"`p` and `epsilon` must be positive, got {p!r} and {epsilon!r}")
        self.p, self.epsilon = float(p), float(epsilon)

    def pool(self, x):
        cells, present = self.windows(x)
        return power_mean(tf.maximum(accumulator(cells), self.epsilon), present, self.exponent)

    @property
    def exponent(self):
        return self.p

    def get_config(self):
        return {**super().get_config(), "p": self.p, "epsilon": self.epsilon}


@serialisable
class GeneralisedMean2D(GeneralisedMeanLayer):
    pass


@serialisable
class GeneralisedMean3D(GeneralisedMeanLayer):
    rank = 3


@serialisable
class LearnedGeneralisedMean2D(GeneralisedMeanLayer):
    """The exponent is a weight that starts at `p` (Radenovic, Tolias and Chum, 2018)."""

    def build(self, input_shape):
        initial = keras.initializers.Constant(self.p)
        self.learned_p = self.add_weight(shape=(), initializer=initial, name="p", autocast=False)

    @property
    def exponent(self):
        return self.learned_p


class LogSumExpLayer(WindowedLayer):
    def __init__(self, pool_size=2, strides=None, padding="valid", sharpness=1.0, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        if not sharpness > 0:
            raise ValueError(f"`sharpness` must be positive, got {sharpness!r}")
        self.sharpness = float(sharpness)

    def pool(self, x):
        return log_mean_exponential(*self.windows(x), self.sharpness)

    def get_config(self):
        return {**super().get_config(), "sharpness": self.sharpness}


@serialisable
class LogSumExp1D(LogSumExpLayer):
    rank = 1


@serialisable
class LogSumExp2D(LogSumExpLayer):
    pass


class BlurLayer(WindowedLayer):
    """Binomial weights, renormalised over the cells that exist."""

    def pool(self, x):
        cells, present = self.windows(x)
        weights = accumulator(tf.constant(self.binomial(), tf.float64))
        weights = tf.cast(weights, accumulator(cells).dtype)
        terms = tf.where(present, accumulator(cells) * weights, 0)
        return tf.reduce_sum(terms, axis=-2) / tf.reduce_sum(tf.where(present, weights, 0), axis=-2)

    def binomial(self):
        axes = [np.array([math.comb(k - 1, i) / 2 ** (k - 1) for i in range(k)]) for k in self.pool_size]
        return functools.reduce(np.multiply.outer, axes).reshape(-1, 1)


@serialisable
class Blur2D(BlurLayer):
    pass


@serialisable
class Blur1D(BlurLayer):
    rank = 1


@serialisable
class ReflectingBlur2D(PoolingLayer):
    """A 3 x 3 blur whose border mirrors the inside (Zhang, 2019), so the weights there are unusual."""

    def __init__(self, strides=2, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.strides = positive_sizes(strides, 2, "strides")

    def compute_output_shape(self, input_shape):
        batch, spatial, channels = self.split_shape(input_shape)
        if any(size is not None and size < 2 for size in spatial):
            raise ValueError(f"Mirroring needs at least 2 cells an axis, got {spatial}")
        lengths = [None if n is None else -(-n // s) for n, s in zip(spatial, self.strides, strict=True)]
        return self.joined_shape(batch, lengths, channels)

    def pool(self, x):
        for axis in (1, 2):
            if x.shape[axis] is not None and x.shape[axis] < 2:
                raise ValueError(f"Mirroring needs at least 2 cells an axis, got shape {x.shape}")
        # `tf.pad(mode="REFLECT")` fails on an empty batch.
        wide = accumulator(x)
        wide = tf.concat([wide[:, 1:2], wide, wide[:, -2:-1]], axis=1)
        wide = tf.concat([wide[:, :, 1:2], wide, wide[:, :, -2:-1]], axis=2)
        cells, _ = sliding_windows(wide, (3, 3), self.strides, "valid")
        weights = tf.constant([[1.0], [2], [1], [2], [4], [2], [1], [2], [1]], wide.dtype) / 16
        return tf.reduce_sum(cells * weights, axis=-2)

    def get_config(self):
        return {**super().get_config(), "strides": self.strides}


@serialisable
class Mixed2D(WindowedLayer):
    """Half maximum, half average (Lee, Gallagher and Tu, 2016)."""

    def pool(self, x):
        cells, present = self.windows(x)
        return accumulator(highest(cells, present)) / 2 + mean(cells, present) / 2


@serialisable
class LearnedMixed1D(WindowedLayer):
    """The weight of the maximum is a sigmoid of a weight that starts at 0."""

    rank = 1

    def build(self, input_shape):
        self.logit = self.add_weight(shape=(), initializer="zeros", name="logit", autocast=False)

    def pool(self, x):
        cells, present = self.windows(x)
        average = mean(cells, present)
        alpha = tf.sigmoid(tf.cast(self.logit, average.dtype))
        return alpha * tf.cast(highest(cells, present), average.dtype) + (1 - alpha) * average


@serialisable
class Subsample2D(PoolingLayer):
    """Keeps every `strides`-th cell."""

    def __init__(self, strides=2, data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        self.strides = positive_sizes(strides, self.rank, "strides")

    def compute_output_shape(self, input_shape):
        batch, spatial, channels = self.split_shape(input_shape)
        lengths = [None if n is None else -(-n // s) for n, s in zip(spatial, self.strides, strict=True)]
        return self.joined_shape(batch, lengths, channels)

    def pool(self, x):
        return x[(slice(None), *(slice(None, None, s) for s in self.strides), slice(None))]

    def get_config(self):
        return {**super().get_config(), "strides": self.strides}


@serialisable
class Subsample1D(Subsample2D):
    rank = 1


@serialisable
class AdaptiveMax2D(AdaptiveLayer):
    def pool(self, x):
        return highest(*self.windows(x))


@serialisable
class AdaptiveMax1D(AdaptiveMax2D):
    rank = 1


@serialisable
class AdaptiveAverage2D(AdaptiveLayer):
    def pool(self, x):
        return mean(*self.windows(x))


@serialisable
class AdaptiveAverage3D(AdaptiveAverage2D):
    rank = 3


@serialisable
class StaticAdaptiveAverage1D(AdaptiveLayer):
    """Averages Python slices, so it needs the number of steps, and says so where it is unknown."""

    rank = 1

    def compute_output_shape(self, input_shape):
        self.known_size(self.split_shape(input_shape)[1][0])
        return super().compute_output_shape(input_shape)

    def pool(self, x):
        n, m = self.known_size(x.shape[1]), self.output_size[0]
        wide = accumulator(x)
        parts = [wide[:, i * n // m : -(-(i + 1) * n // m)] for i in range(m)]
        return tf.stack([tf.reduce_mean(part, axis=1) for part in parts], axis=1)

    def known_size(self, size):
        if size is None:
            raise ValueError("This layer needs a known number of steps; give `keras.Input` a full shape")
        return size


@serialisable
class SpatialPyramid2D(PoolingLayer):
    """Maxima over 1, 2 x 2, 4 x 4 bins, concatenated (He et al., 2014)."""

    def __init__(self, levels=(1, 2, 4), data_format=None, **kwargs):
        super().__init__(data_format=data_format, **kwargs)
        if isinstance(levels, int) or not levels:
            raise ValueError(f"`levels` must be a sequence of positive integers, got {levels!r}")
        self.levels = positive_sizes(levels, len(levels), "levels", 1 << 12)

    def compute_output_shape(self, input_shape):
        batch, _, channels = self.split_shape(input_shape)
        return (batch, None if channels is None else channels * sum(level**2 for level in self.levels))

    def pool(self, x):
        channels = length_of(x, 3)
        parts = [highest(*adaptive_windows(x, (level, level))) for level in self.levels]
        flat = [
            tf.reshape(part, [length_of(x, 0), level**2 * channels])
            for part, level in zip(parts, self.levels, strict=True)
        ]
        return tf.concat(flat, axis=1)

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}


@serialisable
class GlobalMax2D(GlobalLayer):
    def pool(self, x):
        return maximum_over(x, axis=self.axes, keepdims=self.keepdims)


@serialisable
class GlobalMax3D(GlobalMax2D):
    rank = 3


@serialisable
class GlobalAverage3D(GlobalLayer):
    rank = 3

    def pool(self, x):
        return tf.reduce_mean(accumulator(x), axis=self.axes, keepdims=self.keepdims)


@serialisable
class GlobalAverageByMatrixProduct2D(GlobalLayer):
    """Multiplies by a row of ones. Sums float32 in float32, as matrix products do."""

    def pool(self, x):
        wide = tf.cast(x, tf.float32) if x.dtype in (tf.float16, tf.bfloat16) else x
        size = length_of(x, 1) * length_of(x, 2)
        cells = tf.reshape(wide, [length_of(x, 0), size, length_of(x, 3)])
        sums = tf.einsum("bnc,n->bc", cells, tf.ones([size], wide.dtype))
        average = sums / tf.cast(size, wide.dtype)
        return average[:, None, None, :] if self.keepdims else average


@serialisable
class MaskedGlobalAverage1D(GlobalLayer):
    """A mask deletes steps; of a sequence without a step left the average is 0."""

    rank = 1

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        x = accumulator(self.channels_last(inputs))
        if mask is None:
            return self.formatted(tf.reduce_mean(x, axis=1, keepdims=self.keepdims))
        mask = tf.cast(mask, tf.bool)[:, :, None]
        total = tf.reduce_sum(tf.where(mask, x, 0), axis=1, keepdims=self.keepdims)
        count = tf.reduce_sum(tf.cast(mask, x.dtype), axis=1, keepdims=self.keepdims)
        return self.formatted(total / tf.maximum(count, 1))

    def compute_mask(self, inputs, mask=None):
        return None


@serialisable
class MaskedGlobalMax1D(GlobalLayer):
    """A mask deletes steps; of a sequence without a step left the maximum is 0."""

    rank = 1

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        x = self.channels_last(inputs)
        if mask is None:
            return self.formatted(maximum_over(x, axis=1, keepdims=self.keepdims))
        mask = tf.cast(mask, tf.bool)[:, :, None]
        peak = maximum_over(tf.where(mask, x, negative_infinity(x)), axis=1, keepdims=self.keepdims)
        return self.formatted(tf.where(tf.reduce_any(mask, axis=1, keepdims=self.keepdims), peak, 0))

    def compute_mask(self, inputs, mask=None):
        return None


@serialisable
class MaskedMax1D(WindowedLayer):
    """Windows keep their place; one without an unmasked step gives 0 and is masked itself."""

    rank = 1

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        cells, present = self.windows(self.channels_last(inputs))
        if mask is None:
            return self.formatted(highest(cells, present))
        present = present & self.mask_windows(mask)
        return self.formatted(tf.where(tf.reduce_any(present, axis=-2), highest(cells, present), 0))

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else tf.reduce_any(self.mask_windows(mask), axis=(-2, -1))

    def mask_windows(self, mask):
        flags, present = self.windows(tf.cast(mask, tf.bool)[:, :, None])
        return flags & present


@serialisable
class StochasticPooling2D(WindowedLayer):
    """Draws a cell by its share of the window while training; else the expectation (Zeiler and Fergus, 2013)."""

    def __init__(self, pool_size=2, strides=None, padding="valid", seed=None, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        cells, present = self.windows(self.channels_last(inputs))
        cells = tf.where(present, tf.nn.relu(accumulator(cells)), 0)
        peak = tf.stop_gradient(tf.reduce_max(cells, axis=-2, keepdims=True))
        scale = tf.where(tf.math.is_finite(peak) & (peak > 0), peak, 1)
        total = tf.reduce_sum(cells / scale, axis=-2, keepdims=True)
        share = cells / scale / tf.where(total == 0, tf.ones_like(total), total)
        if not training:
            return self.formatted(tf.reduce_sum(tf.where(share > 0, share * cells, cells * 0), axis=-2))
        noise = keras.random.uniform(tf.shape(share), minval=1e-7, dtype="float32", seed=self.seed_generator)
        # Gumbel's trick: the largest log share plus noise is a draw by share.
        score = tf.math.log(tf.maximum(share, 1e-30)) - tf.math.log(-tf.math.log(tf.cast(noise, share.dtype)))
        drawn = tf.argmax(score, axis=-2)[..., None, :] == tf.range(tf.shape(cells, tf.int64)[-2])[:, None]
        return self.formatted(tf.reduce_sum(tf.where(drawn, cells, 0), axis=-2))

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@serialisable
class SoftmaxAttention2D(WindowedLayer):
    """Cells weighted by the softmax of themselves over the window (SoftPool: Stergiou et al., 2021)."""

    def pool(self, x):
        cells, present = self.windows(x)
        wide = accumulator(cells)
        weights = tf.nn.softmax(tf.where(present, wide, -math.inf), axis=-2)
        return tf.reduce_sum(tf.where(present, weights * wide, 0), axis=-2)


@serialisable
class GlobalAttention1D(GlobalLayer):
    """A learned weight a channel scores each step; the softmax of the scores weighs them."""

    rank = 1

    def build(self, input_shape):
        channels = self.split_shape(input_shape)[2]
        self.scale = self.add_weight(shape=(channels,), initializer="ones", name="scale", autocast=False)

    def pool(self, x):
        wide = accumulator(x)
        weights = tf.nn.softmax(wide * tf.cast(self.scale, wide.dtype), axis=1)
        return tf.reduce_sum(weights * wide, axis=1, keepdims=self.keepdims)


@serialisable
class LearnedStridedFilter1D(WindowedLayer):
    """A learned filter a channel, as in a strided depthwise convolution: channels may differ, but do not mix."""

    rank = 1

    def build(self, input_shape):
        shape = (*self.pool_size, self.split_shape(input_shape)[2])
        self.kernel = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel", autocast=False)

    def pool(self, x):
        cells, present = self.windows(x)
        wide = accumulator(cells)
        return tf.reduce_sum(tf.where(present, wide * tf.cast(self.kernel, wide.dtype), 0), axis=-2)


@serialisable
class LpSum2D(WindowedLayer):
    """(sum of |x| ** p) ** (1 / p), not divided by the number of cells: constants grow."""

    def __init__(self, pool_size=2, strides=None, padding="valid", p=2.0, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        if not p >= 1:
            raise ValueError(f"`p` must be at least 1, got {p!r}")
        self.p = float(p)

    def pool(self, x):
        cells, present = self.windows(x)
        average = power_mean(tf.abs(cells), present, self.p)
        count = tf.reduce_sum(tf.cast(present, average.dtype), axis=-2)
        return average * tf.pow(count, 1 / self.p)

    def get_config(self):
        return {**super().get_config(), "p": self.p}


@serialisable
class Range2D(WindowedLayer):
    """Maximum less minimum: of a constant it is 0, and no input value need come out."""

    def pool(self, x):
        cells, present = self.windows(x)
        return highest(cells, present) + highest(-cells, present)


@serialisable
class PlainGlobalAverage1D(keras.layers.Layer):
    """A dozen lines as most people write them: `keras.ops`, channels last, no arguments."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs):
        x = keras.ops.cast(inputs, self.compute_dtype)
        return keras.ops.mean(x, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])


@serialisable
class PlainMaxPairs1D(keras.layers.Layer):
    """Keeps the larger of two neighbouring steps, in `keras.ops`; the window is a constant of the layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def call(self, inputs):
        x = keras.ops.cast(inputs, self.compute_dtype)
        if x.shape[1] is not None and x.shape[1] < 2:
            raise ValueError(f"Two steps are needed, got {x.shape[1]}")
        return keras.ops.maximum(x[:, :-1:2], x[:, 1::2])

    def compute_output_shape(self, input_shape):
        batch, steps, channels = input_shape
        if steps is not None and steps < 2:
            raise ValueError(f"Two steps are needed, got {steps}")
        return (batch, None if steps is None else steps // 2, channels)


def sound(layer, like, slip):
    """A class is named for what it does; one without spatial rank of its own works on sequences."""
    return LayerSpecimen(layer.__name__, layer, like, getattr(layer, "rank", 1), slip)


SOUND_LAYERS: tuple[LayerSpecimen, ...] = (
    sound(MaxFromPatches1D, "max", "Shares the gradient among tied cells."),
    sound(MaxFromPatches2D, "max", "Shares the gradient among tied cells."),
    sound(MaxFromSlices1D, "max", "Gives the gradient of a tie to one cell."),
    sound(MaxFromSlices2D, "max", "Gives the gradient of a tie to one cell."),
    sound(MaxFromSlices3D, "max", "Gives the gradient of a tie to one cell."),
    sound(SeparableMax3D, "max", "Splits ties axis by axis, so unevenly, but convexly."),
    sound(DilatedMax2D, "max", "Windows have holes."),
    sound(ChannelsLastOnlyMax2D, "max", "Refuses channels_first."),
    sound(MaskedMax1D, "max", "Takes a mask; a window without a step gives 0."),
    sound(PlainMaxPairs1D, "unknown", "Has no pool_size, strides or data_format; its window is a constant."),
    sound(MinAsNegatedMax1D, "min", "Gives -0.0 where another gives 0.0."),
    sound(MinAsNegatedMax2D, "min", "Gives -0.0 where another gives 0.0."),
    sound(AverageFromPatches1D, "average", "Divides by the cells that exist."),
    sound(AverageFromPatches3D, "average", "Divides by the cells that exist."),
    sound(AverageByDepthwiseConvolution2D, "average", "Sums in float32 and in another order."),
    sound(AverageByBlockedSums1D, "average", "Cumulative sums round differently."),
    sound(SeparableAverage2D, "average", "Rounds twice."),
    sound(ValidOnlyAverage1D, "average", "Refuses padding 'same'."),
    sound(Median2D, "median", "Even windows give the mean of the two middle cells."),
    sound(LowerMedian1D, "median", "Even windows give the lower middle cell."),
    sound(RootMeanSquare1D, "rms", "Has no gradient mass of 1; its gradient at 0 is 0 by choice."),
    sound(RootMeanSquare2D, "rms", "Has no gradient mass of 1; its gradient at 0 is 0 by choice."),
    sound(GeneralisedMean2D, "gem", "Clips at an epsilon."),
    sound(GeneralisedMean3D, "gem", "Clips at an epsilon."),
    sound(LearnedGeneralisedMean2D, "gem", "Its exponent is a weight."),
    sound(LogSumExp1D, "lse", "Is not homogeneous."),
    sound(LogSumExp2D, "lse", "Is not homogeneous."),
    sound(Mixed2D, "mixed", "Neither maximum nor average."),
    sound(LearnedMixed1D, "mixed", "Its mixture is a weight."),
    sound(Blur1D, "blur", "Cells of a window weigh differently."),
    sound(Blur2D, "blur", "Cells of a window weigh differently."),
    sound(ReflectingBlur2D, "unknown", "Border cells count twice."),
    sound(Subsample1D, "subsample", "Ignores most of its input."),
    sound(Subsample2D, "subsample", "Ignores most of its input."),
    sound(AdaptiveMax1D, "adaptive_max", "Windows overlap and differ in size."),
    sound(AdaptiveMax2D, "adaptive_max", "Windows overlap and differ in size."),
    sound(AdaptiveAverage2D, "adaptive_average", "Windows overlap and differ in size."),
    sound(AdaptiveAverage3D, "adaptive_average", "Windows overlap and differ in size."),
    sound(StaticAdaptiveAverage1D, "adaptive_average", "Refuses an unknown number of steps."),
    sound(SpatialPyramid2D, "spp", "Output has another rank than the input."),
    sound(GlobalMax2D, "global_max", "Shares the gradient among tied cells."),
    sound(GlobalMax3D, "global_max", "Shares the gradient among tied cells."),
    sound(GlobalAverage3D, "global_average", "Sums in float64."),
    sound(GlobalAverageByMatrixProduct2D, "global_average", "Sums in float32 and in another order."),
    sound(MaskedGlobalAverage1D, "global_average", "Takes a mask; a fully masked row gives 0."),
    sound(MaskedGlobalMax1D, "global_max", "Takes a mask; a fully masked row gives 0."),
    sound(PlainGlobalAverage1D, "global_average", "Has no data_format and no keepdims."),
    sound(StochasticPooling2D, "unknown", "Random while training, and only then."),
    sound(SoftmaxAttention2D, "unknown", "Weights depend on the data."),
    sound(GlobalAttention1D, "unknown", "Weights depend on the data and on a weight a channel."),
    sound(LearnedStridedFilter1D, "unknown", "Channels have different filters."),
    sound(LpSum2D, "unknown", "Constants are not preserved."),
    sound(Range2D, "unknown", "Constants become 0."),
    *sound_windows.SPECIMENS,
    *sound_global.SPECIMENS,
)
