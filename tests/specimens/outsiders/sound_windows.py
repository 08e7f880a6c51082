"""Right layers in the manner of people who never saw this suite: windows of every build, arguments by any name."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from specimens.layer_specimen import LayerSpecimen


class TorchStyleMax2D(keras.layers.Layer):
    """`kernel_size`, `stride` and a number of padded cells, as PyTorch names them."""

    def __init__(self, kernel_size=2, stride=None, padding=0, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size, self.stride, self.padding = kernel_size, stride or kernel_size, padding

    def call(self, inputs):
        p = self.padding
        x = tf.pad(inputs, [[0, 0], [p, p], [p, p], [0, 0]], constant_values=-np.inf)
        return tf.nn.max_pool2d(x, self.kernel_size, self.stride, "VALID")

    def get_config(self):
        own = {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.padding}
        return super().get_config() | own


class MaxOfPatches2D(keras.layers.Layer):
    """tf.image.extract_patches over an input that is padded with the lowest number of its dtype."""

    def __init__(self, size=2, stride=2, padding="valid", **kwargs):
        super().__init__(**kwargs)
        if not isinstance(size, int) or not isinstance(stride, int) or size < 1 or stride < 1:
            raise ValueError("size and stride must be positive integers")
        if padding not in ("valid", "same"):
            raise ValueError("padding must be 'valid' or 'same'")
        self.size, self.stride, self.padding = size, stride, padding

    def call(self, inputs):
        k, s = self.size, self.stride
        shape = tf.shape(inputs)
        x = inputs
        if self.padding == "same":
            pads = [[0, 0]]
            for axis in (1, 2):
                total = tf.maximum((-(-shape[axis] // s) - 1) * s + k - shape[axis], 0)
                pads.append([total // 2, total - total // 2])
            x = tf.pad(x, [*pads, [0, 0]], constant_values=x.dtype.min)
        patches = tf.image.extract_patches(x, (1, k, k, 1), (1, s, s, 1), (1, 1, 1, 1), "VALID")
        outputs = tf.shape(patches)
        y = tf.reduce_max(tf.reshape(patches, (*tf.unstack(outputs[:3]), k * k, inputs.shape[-1])), axis=3)
        return tf.ensure_shape(y, self.compute_output_shape(inputs.shape))

    def compute_output_shape(self, input_shape):
        batch, *sizes, channels = input_shape
        if self.padding == "same":
            out = [None if n is None else -(-n // self.stride) for n in sizes]
        else:
            out = [None if n is None else (n - self.size) // self.stride + 1 for n in sizes]
        return (batch, *out, channels)

    def get_config(self):
        return super().get_config() | {"size": self.size, "stride": self.stride, "padding": self.padding}


class AverageOfConvolution1D(keras.layers.Layer):
    """A depthwise convolution with equal weights, divided by the cells that exist."""

    def __init__(self, window=2, strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.window = window if isinstance(window, int) else window[0]
        self.strides = self.window if strides is None else strides if isinstance(strides, int) else strides[0]
        if padding not in ("valid", "same") or self.window < 1 or self.strides < 1:
            raise ValueError("window and strides must be positive, padding 'valid' or 'same'")
        self.padding = padding

    def call(self, inputs):
        wide = tf.cast(inputs, tf.float64 if inputs.dtype == tf.float64 else tf.float32)
        return tf.cast(self._sums(wide) / self._sums(tf.ones_like(wide)), inputs.dtype)

    def _sums(self, x):
        kernel = tf.ones((self.window, 1, x.shape[-1], 1), x.dtype)
        strides = (1, self.strides, self.strides, 1)
        y = tf.nn.depthwise_conv2d(x[:, :, None], kernel, strides, self.padding.upper())
        return y[:, :, 0]

    def get_config(self):
        own = {"window": self.window, "strides": self.strides, "padding": self.padding}
        return super().get_config() | own


class HaarLowPass2D(keras.layers.Layer):
    """The mean of two by two cells by space_to_depth; odd edges are cropped, and there is nothing to set."""

    def call(self, inputs):
        height, width = tf.shape(inputs)[1] // 2 * 2, tf.shape(inputs)[2] // 2 * 2
        blocks = tf.nn.space_to_depth(inputs[:, :height, :width], 2)
        shape = tf.shape(blocks)
        blocks = tf.reshape(blocks, (shape[0], shape[1], shape[2], 4, inputs.shape[-1]))
        return tf.reduce_mean(blocks, axis=3)


class EveryArgumentByKeyword1D(keras.layers.Layer):
    """Takes **kwargs only, and pops its own."""

    def __init__(self, **kwargs):
        self.pool_size = kwargs.pop("pool_size", 2)
        self.strides = kwargs.pop("strides", None)
        super().__init__(**kwargs)

    def call(self, inputs):
        return ops.max_pool(inputs, self.pool_size, self.strides, "valid", data_format="channels_last")

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size, "strides": self.strides}


class SoftPool2D(keras.layers.Layer):
    """Weighs the cells of each window by their exponentials, stable by the window's maximum."""

    def __init__(self, kernel=2, stride=None, **kwargs):
        super().__init__(**kwargs)
        self.kernel, self.stride = kernel, stride

    def call(self, inputs):
        wide = tf.cast(inputs, tf.float64 if inputs.dtype == tf.float64 else tf.float32)
        k = (self.kernel,) * 2 if isinstance(self.kernel, int) else tuple(self.kernel)
        s = k if self.stride is None else (self.stride,) * 2 if isinstance(self.stride, int) else tuple(self.stride)
        rows = [(wide.shape[axis] - k[axis - 1]) // s[axis - 1] + 1 for axis in (1, 2)]
        if min(rows) < 1:
            raise ValueError("the window does not fit")
        cells = [
            wide[:, i : i + rows[0] * s[0] : s[0], j : j + rows[1] * s[1] : s[1]][:, : rows[0], : rows[1]]
            for i in range(k[0])
            for j in range(k[1])
        ]
        stacked = tf.stack(cells, axis=-1)
        return tf.cast(tf.reduce_sum(tf.nn.softmax(stacked) * stacked, axis=-1), inputs.dtype)

    def get_config(self):
        return super().get_config() | {"kernel": self.kernel, "stride": self.stride}


class MinBySign3D(keras.layers.Layer):
    """The negated maximum of the negated volume."""

    def __init__(self, pool_size=2, strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.padding = pool_size, strides, padding

    def call(self, inputs):
        return -ops.max_pool(-inputs, self.pool_size, self.strides, self.padding, data_format="channels_last")

    def get_config(self):
        own = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return super().get_config() | own


class IntegralImage2D(keras.layers.Layer):
    """Averages by differences of a float64 integral image."""

    def __init__(self, pool_size=3, strides=1, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(pool_size, int) or not isinstance(strides, int) or pool_size < 1 or strides < 1:
            raise ValueError("pool_size and strides must be positive integers")
        self.pool_size, self.strides = pool_size, strides

    def call(self, inputs):
        k, s = self.pool_size, self.strides
        tf.debugging.assert_greater_equal(tf.shape(inputs)[1:3], k, "the window does not fit")
        x = tf.pad(tf.cast(inputs, tf.float64), [[0, 0], [1, 0], [1, 0], [0, 0]])
        sums = tf.cumsum(tf.cumsum(x, axis=1), axis=2)
        y = sums[:, k:, k:] - sums[:, :-k, k:] - sums[:, k:, :-k] + sums[:, :-k, :-k]
        return tf.cast(y[:, ::s, ::s] / (k * k), inputs.dtype)

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size, "strides": self.strides}


class DilatedAverage2D(keras.layers.Layer):
    """tf.nn.pool with dilation, VALID only."""

    def __init__(self, pool_size=2, dilation=1, **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.dilation = pool_size, dilation

    def call(self, inputs):
        sizes = [(one, one) if isinstance(one, int) else tuple(one) for one in (self.pool_size, self.dilation)]
        return tf.nn.pool(inputs, sizes[0], "AVG", strides=(1, 1), padding="VALID", dilations=sizes[1])

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size, "dilation": self.dilation}


class TrainableStridedFilter2D(keras.layers.Layer):
    """A learned depthwise filter with a stride, of random start."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = (pool_size, pool_size) if isinstance(pool_size, int) else tuple(pool_size)

    def build(self, input_shape):
        self.filter = self.add_weight(name="filter", shape=(*self.pool_size, input_shape[-1], 1))

    def call(self, inputs):
        return ops.depthwise_conv(inputs, self.filter, self.pool_size, "valid", data_format="channels_last")

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size}


class WeightOfTheAverage2D(keras.layers.Layer):
    """Maximum and average, where alpha weighs the average."""

    def __init__(self, pool_size=2, alpha=0.3, **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.alpha = pool_size, alpha

    def call(self, inputs):
        settings = {"pool_size": self.pool_size, "strides": self.pool_size, "data_format": "channels_last"}
        average = ops.average_pool(inputs, **settings)
        return self.alpha * average + (1 - self.alpha) * ops.max_pool(inputs, **settings)

    def get_config(self):
        return super().get_config() | {"pool_size": self.pool_size, "alpha": self.alpha}


class FoldedMax2D(keras.layers.Layer):
    """Blocks folded out by a reshape; declares its shape, and checks no rank."""

    def __init__(self, window=2, **kwargs):
        super().__init__(**kwargs)
        self.window = window

    def call(self, inputs):
        size, shape = self.window, tf.shape(inputs)
        rows, columns = shape[1] // size, shape[2] // size
        blocks = tf.reshape(
            inputs[:, : rows * size, : columns * size, :], (shape[0], rows, size, columns, size, shape[3])
        )
        return tf.reduce_max(blocks, axis=[2, 4])

    def compute_output_shape(self, shape):
        rows, columns = (None if size is None else size // self.window for size in shape[1:3])
        return (shape[0], rows, columns, shape[3])

    def get_config(self):
        return super().get_config() | {"window": self.window}


def _specimen(name, layer, like, dims):
    return LayerSpecimen(name, layer, like, dims, (layer.__doc__ or "").strip())


SPECIMENS = (
    _specimen("outside_torch_style_max_2d", TorchStyleMax2D, "max", 2),
    _specimen("outside_folded_max_2d", FoldedMax2D, "max", 2),
    _specimen("outside_max_of_patches_2d", MaxOfPatches2D, "max", 2),
    _specimen("outside_average_of_convolution_1d", AverageOfConvolution1D, "average", 1),
    _specimen("outside_haar_low_pass_2d", HaarLowPass2D, "average", 2),
    _specimen("outside_every_argument_by_keyword_1d", EveryArgumentByKeyword1D, "max", 1),
    _specimen("outside_soft_pool_2d", SoftPool2D, "unknown", 2),
    _specimen("outside_min_by_sign_3d", MinBySign3D, "min", 3),
    _specimen("outside_integral_image_average_2d", IntegralImage2D, "average", 2),
    _specimen("outside_dilated_average_2d", DilatedAverage2D, "average", 2),
    _specimen("outside_weight_of_the_average_2d", WeightOfTheAverage2D, "mixed", 2),
    _specimen("outside_trainable_strided_filter_2d", TrainableStridedFilter2D, "unknown", 2),
)
