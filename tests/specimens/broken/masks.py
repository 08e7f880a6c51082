"""Slips in what a mask of steps means."""

from __future__ import annotations

import tensorflow as tf

from specimens.layer_base import GlobalLayer, WindowedLayer, accumulator, highest, serialisable
from specimens.layer_specimen import LayerSpecimen


class MaskedGlobalLayer(GlobalLayer):
    rank = 1

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        x = accumulator(self.channels_last(inputs))
        flags = tf.ones_like(x[:, :, :1], tf.bool) if mask is None else tf.cast(mask, tf.bool)[:, :, None]
        y = self.masked(x, flags)
        return self.formatted(y if self.keepdims else y[:, 0])

    def compute_mask(self, inputs, mask=None):
        return None

    def masked(self, x, flags):
        total = tf.reduce_sum(tf.where(flags, x, 0), axis=1, keepdims=True)
        return total / tf.maximum(self.count(flags, x), 1)

    def count(self, flags, x):
        return tf.reduce_sum(tf.cast(flags, x.dtype), axis=1, keepdims=True)


@serialisable
class MaskIgnored1D(MaskedGlobalLayer):
    def masked(self, x, flags):
        return tf.reduce_mean(x, axis=1, keepdims=True)


@serialisable
class MaskedStepsCounted1D(MaskedGlobalLayer):
    def masked(self, x, flags):
        return tf.reduce_mean(tf.where(flags, x, 0), axis=1, keepdims=True)


@serialisable
class MaskMultiplied1D(MaskedGlobalLayer):
    def masked(self, x, flags):
        return tf.reduce_sum(x * tf.cast(flags, x.dtype), axis=1, keepdims=True) / tf.maximum(self.count(flags, x), 1)


@serialisable
class MaskedMaxFilledWithZero1D(MaskedGlobalLayer):
    def masked(self, x, flags):
        return tf.reduce_max(tf.where(flags, x, 0), axis=1, keepdims=True)


@serialisable
class FullyMaskedIsNan1D(MaskedGlobalLayer):
    def masked(self, x, flags):
        return tf.reduce_sum(tf.where(flags, x, 0), axis=1, keepdims=True) / self.count(flags, x)


@serialisable
class MaskInverted1D(MaskedGlobalLayer):
    def masked(self, x, flags):
        return super().masked(x, ~flags)


@serialisable
class MaskedMaxWithSmallSentinel1D(MaskedGlobalLayer):
    def masked(self, x, flags):
        return tf.reduce_max(x - 1e6 * (1 - tf.cast(flags, x.dtype)), axis=1, keepdims=True)


@serialisable
class MaskSurvivesTheSteps1D(MaskedGlobalLayer):
    def compute_mask(self, inputs, mask=None):
        return mask


@serialisable
class MaskOfInputLength1D(WindowedLayer):
    rank = 1

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        cells, present = self.windows(self.channels_last(inputs))
        if mask is not None:
            flags, _ = self.windows(tf.cast(mask, tf.bool)[:, :, None])
            present = present & flags
        return self.formatted(tf.where(tf.reduce_any(present, axis=-2), highest(cells, present), 0))


SPECIMENS = (
    LayerSpecimen(
        "mask_supported_but_ignored_1d",
        MaskIgnored1D,
        "global_average",
        1,
        "Declares that it supports masks, takes one, and does not look at it.",
        ("mask_is_deletion", "mask_honesty"),
    ),
    LayerSpecimen(
        "masked_steps_counted_1d",
        MaskedStepsCounted1D,
        "global_average",
        1,
        "Leaves masked steps out of the sum and in the divisor.",
        ("mask_is_deletion",),
    ),
    LayerSpecimen(
        "mask_multiplied_1d",
        MaskMultiplied1D,
        "global_average",
        1,
        "Multiplies by the mask, so a NaN or infinity under it comes through.",
        ("mask_is_deletion",),
    ),
    LayerSpecimen(
        "masked_maximum_filled_with_zero_1d",
        MaskedMaxFilledWithZero1D,
        "global_max",
        1,
        "Fills masked steps with 0, which wins over negative steps.",
        ("mask_is_deletion",),
    ),
    LayerSpecimen(
        "fully_masked_is_nan_1d",
        FullyMaskedIsNan1D,
        "global_average",
        1,
        "Divides by the number of steps left, also when that is 0.",
        ("fully_masked", "mask_is_deletion"),
    ),
    LayerSpecimen(
        "mask_inverted_1d",
        MaskInverted1D,
        "global_average",
        1,
        "Takes True for 'masked', as another framework does.",
        ("mask_is_deletion", "oracle"),
    ),
    LayerSpecimen(
        "masked_maximum_with_small_sentinel_1d",
        MaskedMaxWithSmallSentinel1D,
        "global_max",
        1,
        "Subtracts a million from masked steps, so a large, infinite or NaN step under the mask still wins.",
        ("mask_is_deletion",),
    ),
    LayerSpecimen(
        "mask_survives_the_steps_1d",
        MaskSurvivesTheSteps1D,
        "global_average",
        1,
        "Hands its input's mask on, though no steps are left.",
        ("mask_honesty",),
    ),
    LayerSpecimen(
        "mask_of_input_length_1d",
        MaskOfInputLength1D,
        "max",
        1,
        "Hands on a mask of the input's length with fewer steps.",
        ("mask_honesty",),
    ),
)
