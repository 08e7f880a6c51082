"""Broken layers in the manner of people who never saw this suite: windows, padding, dilation, strides."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from specimens.layer_specimen import LayerSpecimen


def pair(size):
    return (size, size) if isinstance(size, int) else tuple(size)


class CeilModeAverage1D(keras.layers.Layer):
    """Keeps the last, partial window, as PyTorch's ceil_mode does, and divides it by the whole window."""

    def __init__(self, pool_size=2, strides=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size if isinstance(pool_size, int) else pool_size[0]
        self.strides = self.pool_size if strides is None else strides if isinstance(strides, int) else strides[0]

    def call(self, inputs):
        size, k, s = tf.shape(inputs)[1], self.pool_size, self.strides
        outputs = (size - k + s - 1) // s + 1
        missing = tf.maximum((outputs - 1) * s + k - size, 0)
        padded = tf.pad(inputs, [[0, 0], [0, missing], [0, 0]])
        return tf.reduce_sum(tf.signal.frame(padded, k, s, axis=1), axis=2) / k

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size, "strides": self.strides}


class HeightPadsBothAxes2D(keras.layers.Layer):
    """SAME padding is computed from the height and used for the width as well."""

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.padding = pair(pool_size), padding
        self.strides = self.pool_size if strides is None else pair(strides)

    def call(self, inputs):
        x = inputs
        if self.padding == "same":
            size, k, s = tf.shape(x)[1], self.pool_size[0], self.strides[0]
            total = tf.maximum((-(-size // s) - 1) * s + k - size, 0)
            pads = [total // 2, total - total // 2]
            x = tf.pad(x, [[0, 0], pads, pads, [0, 0]], constant_values=x.dtype.min)
        return tf.nn.max_pool2d(x, self.pool_size, self.strides, "VALID")

    def get_config(self):
        own = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return super().get_config() | own


class OneDilationForBothAxes2D(keras.layers.Layer):
    """The first dilation is used for rows and columns."""

    def __init__(self, pool_size=2, dilation_rate=1, **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.dilation_rate = pair(pool_size), pair(dilation_rate)

    def call(self, inputs):
        rate = (self.dilation_rate[0],) * 2
        return tf.nn.pool(inputs, self.pool_size, "AVG", strides=(1, 1), padding="VALID", dilations=rate)

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size, "dilation_rate": self.dilation_rate}


class IntegralImageAverage2D(keras.layers.Layer):
    """Differences of an integral image whose last row and column are never taken."""

    def __init__(self, pool_size=3, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pair(pool_size)

    def call(self, inputs):
        a, b = self.pool_size
        x = tf.cast(inputs, tf.float64)
        sums = tf.cumsum(tf.cumsum(tf.pad(x, [[0, 0], [1, 0], [1, 0], [0, 0]]), axis=1), axis=2)[:, :-1, :-1]
        y = sums[:, a:, b:] - sums[:, :-a, b:] - sums[:, a:, :-b] + sums[:, :-a, :-b]
        return tf.cast(y[:, ::a, ::b] / (a * b), inputs.dtype)


class StridesOfOneByDefault2D(keras.layers.Layer):
    """`strides=None` becomes 1, and not the window."""

    def __init__(self, pool_size=(2, 2), strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.padding = pair(pool_size), strides or 1, padding

    def call(self, inputs):
        return ops.max_pool(inputs, self.pool_size, self.strides, self.padding, data_format="channels_last")

    def get_config(self):
        own = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return super().get_config() | own


class AverageOfPaddedVolume3D(keras.layers.Layer):
    """Sums by a convolution with ones under SAME and divides by the whole window at every border."""

    def __init__(self, pool_size=2, strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size = (pool_size,) * 3 if isinstance(pool_size, int) else tuple(pool_size)
        self.strides = self.pool_size if strides is None else (strides,) * 3 if isinstance(strides, int) else strides
        self.padding = padding

    def call(self, inputs):
        one = tf.ones((*self.pool_size, 1, 1), inputs.dtype) / float(np.prod(self.pool_size))
        shape = tf.shape(inputs)
        x = tf.transpose(inputs, (0, 4, 1, 2, 3))
        x = tf.reshape(x, (shape[0] * shape[4], shape[1], shape[2], shape[3], 1))
        y = tf.nn.conv3d(x, one, (1, *self.strides, 1), self.padding.upper())
        y = tf.reshape(y, tf.concat([[shape[0], shape[4]], tf.shape(y)[1:4]], 0))
        return tf.transpose(y, (0, 2, 3, 4, 1))

    def get_config(self):
        own = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return super().get_config() | own


class LastBinTakesTheRest2D(keras.layers.Layer):
    """Adaptive windows of n // m cells; the last one holds what is left."""

    def __init__(self, output_size=2, **kwargs):
        super().__init__(**kwargs)
        self.output_size = pair(output_size)

    def call(self, inputs):
        rows, columns = self.output_size
        h, w = inputs.shape[1] // rows, inputs.shape[2] // columns
        if not h or not w:
            raise ValueError("output_size must not exceed the input's size")
        lines = []
        for i in range(rows):
            band = inputs[:, i * h : (i + 1) * h if i < rows - 1 else None]
            cells = [
                tf.reduce_max(band[:, :, j * w : (j + 1) * w if j < columns - 1 else None], axis=(1, 2))
                for j in range(columns)
            ]
            lines.append(tf.stack(cells, axis=1))
        return tf.stack(lines, axis=1)

    def get_config(self):
        return super().get_config() | {"output_size": self.output_size}


class AdaptiveByAreaResize2D(keras.layers.Layer):
    """Resizes by area, which weighs cells that two windows share by their parts."""

    def __init__(self, output_size=2, **kwargs):
        super().__init__(**kwargs)
        self.output_size = pair(output_size)

    def call(self, inputs):
        return tf.cast(tf.image.resize(inputs, self.output_size, method="area"), inputs.dtype)

    def get_config(self):
        return super().get_config() | {"output_size": self.output_size}


class BlurWithDarkBorder2D(keras.layers.Layer):
    """A binomial blur whose padded cells are zeros that count."""

    def __init__(self, pool_size=3, strides=2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.strides = pool_size, strides

    def build(self, input_shape):
        row = np.array([1.0])
        for _ in range(self.pool_size - 1):
            row = np.convolve(row, [0.5, 0.5])
        self.kernel = np.tile(np.outer(row, row)[:, :, None, None], (1, 1, input_shape[-1], 1))

    def call(self, inputs):
        kernel = tf.cast(self.kernel, inputs.dtype)
        return tf.nn.depthwise_conv2d(inputs, kernel, (1, self.strides, self.strides, 1), "SAME")

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size, "strides": self.strides}


def _specimen(name, layer, like, dims, *breaks):
    return LayerSpecimen(name, layer, like, dims, (layer.__doc__ or "").strip(), breaks)


SPECIMENS = (
    _specimen("outside_ceil_mode_average_1d", CeilModeAverage1D, "average", 1, "oracle", "shape_inference"),
    _specimen("outside_height_pads_both_axes_2d", HeightPadsBothAxes2D, "max", 2, "oracle", "shape_inference"),
    _specimen("outside_one_dilation_for_both_axes_2d", OneDilationForBothAxes2D, "average", 2, "oracle"),
    _specimen("outside_integral_image_2d", IntegralImageAverage2D, "average", 2, "oracle", "shape_inference"),
    _specimen("outside_strides_of_one_by_default_2d", StridesOfOneByDefault2D, "max", 2, "oracle"),
    _specimen("outside_average_of_padded_volume_3d", AverageOfPaddedVolume3D, "average", 3, "oracle", "constant"),
    _specimen("outside_last_bin_takes_the_rest_2d", LastBinTakesTheRest2D, "adaptive_max", 2, "oracle", "locality"),
    _specimen("outside_adaptive_by_area_resize_2d", AdaptiveByAreaResize2D, "adaptive_average", 2, "oracle"),
    _specimen("outside_blur_with_dark_border_2d", BlurWithDarkBorder2D, "blur", 2, "oracle", "constant"),
)
