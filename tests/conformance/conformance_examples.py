"""Small layers with one slip each, and sound ones, for the tests of the conformance engine."""

from __future__ import annotations

import os
import signal
import time

import keras
import tensorflow as tf


class SoundMax2D(keras.layers.MaxPooling2D):
    """Delegates: its failures are the framework's."""


class OffByOneAverage1D(keras.layers.Layer):
    """Divides by one cell too many."""

    def __init__(self, pool_size=2, strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        if padding != "valid":
            raise ValueError("padding must be 'valid'")
        self.inner = keras.layers.AveragePooling1D(pool_size, strides)
        self.cells = self.inner.pool_size[0]

    def call(self, inputs):
        return self.inner(inputs) * self.cells / (self.cells + 1)

    def compute_output_shape(self, input_shape):
        return self.inner.compute_output_shape(input_shape)


class DyingGlobalMax1D(keras.layers.Layer):
    """Ends its process on more than six steps."""

    def call(self, inputs):
        if inputs.shape[1] is not None and inputs.shape[1] > 6 and inputs.shape[2] > 1:
            os.kill(os.getpid(), signal.SIGFPE)
        return tf.reduce_max(inputs, axis=1)


class HangingGlobalMax1D(keras.layers.Layer):
    """Never ends on more than seven steps."""

    def call(self, inputs):
        if inputs.shape[1] is not None and inputs.shape[1] > 7:
            time.sleep(3600)
        return tf.reduce_max(inputs, axis=1)


class ObscureMax2D(keras.layers.Layer):
    """Raises something that no layer raises on purpose."""

    def call(self, inputs):
        return inputs.no_such_attribute


class NeedsAnArgument2D(keras.layers.Layer):
    """Cannot be built from the field's arguments."""

    def __init__(self, wavelength, **kwargs):
        super().__init__(**kwargs)
        self.wavelength = wavelength


class DelegatingMax2D(keras.layers.Layer):
    """Calls `tf.nn.max_pool`, and nothing else."""

    def __init__(self, pool_size=2, strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.padding = pool_size, strides or pool_size, padding

    def call(self, inputs):
        return tf.nn.max_pool(inputs, self.pool_size, self.strides, self.padding.upper())


class KernelByAnotherName1D(keras.layers.Layer):
    """Its window is called k."""

    def __init__(self, k=3, **kwargs):
        super().__init__(**kwargs)
        self.k = k if isinstance(k, int) else k[0]

    def call(self, inputs):
        return keras.ops.max_pool(inputs, self.k, self.k, "valid", data_format="channels_last")


class BinsByAnotherName1D(keras.layers.Layer):
    """Its number of outputs is called n."""

    def __init__(self, n=3, **kwargs):
        super().__init__(**kwargs)
        self.n = n if isinstance(n, int) else n[0]

    def call(self, inputs):
        size = inputs.shape[1]
        bins = [inputs[:, i * size // self.n : -(-(i + 1) * size // self.n)] for i in range(self.n)]
        return tf.stack([tf.reduce_max(one, axis=1) for one in bins], axis=1)


class CellsOfPadding2D(keras.layers.Layer):
    """Pads by a number of cells, as PyTorch does."""

    def __init__(self, kernel_size=2, stride=2, padding=1, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def call(self, inputs):
        pads = [[0, 0], [self.padding] * 2, [self.padding] * 2, [0, 0]]
        padded = tf.pad(inputs, pads, constant_values=-float("inf"))
        return tf.nn.max_pool2d(padded, self.kernel_size, self.stride, "VALID")


class RandomFilter1D(keras.layers.Layer):
    """A filter of random start."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size if isinstance(pool_size, int) else pool_size[0]

    def build(self, input_shape):
        self.filter = self.add_weight(name="filter", shape=(self.pool_size, input_shape[-1], 1))

    def call(self, inputs):
        return keras.ops.depthwise_conv(inputs, self.filter, self.pool_size, "valid", data_format="channels_last")


class NeedsSizes1D(keras.layers.Layer):
    """Computes with the number of steps."""

    def call(self, inputs):
        return tf.reduce_max(inputs[:, : inputs.shape[1] + 0], axis=1)


class StumblesOverTheBatch1D(keras.layers.Layer):
    """Computes with the number of items."""

    def call(self, inputs):
        return tf.reduce_max(inputs[: inputs.shape[0] + 0], axis=1)


class AnyBatchOf8(keras.layers.Layer):
    """Takes batches of eight."""

    def call(self, inputs):
        return tf.reduce_max(tf.reshape(inputs, (8, -1, inputs.shape[-1])), axis=1)[: 8 if len(inputs) == 8 else 0]


class RefusingMax2D(keras.layers.Layer):
    """Takes nothing at all."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(**kwargs)

    def call(self, inputs):
        raise ValueError("this input is not supported")


class InfinityToZeroMax2D(keras.layers.Layer):
    """Where Keras gives the lowest number for minus infinity, this layer gives 0, which Keras never does."""

    def __init__(self, pool_size=2, strides=None, padding="valid", **kwargs):
        super().__init__(**kwargs)
        self.arguments = pool_size, strides, padding

    def call(self, inputs):
        x = tf.cast(inputs, self.compute_dtype)
        return keras.ops.max_pool(tf.where(tf.math.is_inf(x) & (x < 0), tf.zeros_like(x), x), *self.arguments)


class IntegerMax1D(keras.layers.Layer):
    """Its size is one integer, as its default says; it never refuses another, and divides by it."""

    def __init__(self, pool_size=2, strides=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.strides = pool_size, strides or pool_size

    def call(self, inputs):
        return keras.ops.max_pool(inputs, self.pool_size, self.strides, "valid", data_format="channels_last")

    def compute_output_shape(self, input_shape):
        batch, steps, channels = input_shape
        return (batch, None if steps is None else (steps - self.pool_size) // self.strides + 1, channels)

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size, "strides": self.strides}


class IntegerMax2D(keras.layers.Layer):
    """As its sibling, on two axes and with an annotation in the place of the default."""

    def __init__(self, pool_size: int, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs):
        return keras.ops.max_pool(inputs, self.pool_size, self.pool_size, "valid", data_format="channels_last")

    def compute_output_shape(self, input_shape):
        sides = (None if side is None else side // self.pool_size for side in input_shape[1:3])
        return (input_shape[0], *sides, input_shape[3])

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size}


class IntegerOrTuple1D(IntegerMax1D):
    """Says that it takes tuples, and fails with them."""

    def __init__(self, pool_size: int | tuple[int, ...] = 2, strides: int | None = None, **kwargs):
        super().__init__(pool_size, strides, **kwargs)


class TupleByDefault1D(IntegerMax1D):
    """Its default is what it fails with."""

    def __init__(self, pool_size=(2,), **kwargs):
        super().__init__(pool_size, **kwargs)


class TupleByDefault2D(IntegerMax2D):
    """Its default is what it fails with."""

    def __init__(self, pool_size=(2, 2), **kwargs):
        super().__init__(pool_size, **kwargs)


class RoundsUpItsShape1D(IntegerMax1D):
    """Announces a step too many, whatever its size is given as."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(pool_size, **kwargs)

    def compute_output_shape(self, input_shape):
        batch, steps, channels = input_shape
        return (batch, steps // self.pool_size + 1, channels)


class ForgetsColumns2D(IntegerMax2D):
    """Announces the columns as they come in, whatever its size is given as."""

    def __init__(self, pool_size=2, **kwargs):
        super().__init__(pool_size, **kwargs)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] // self.pool_size, *input_shape[2:])
