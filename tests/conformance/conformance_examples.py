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
