"""Small networks for the geometry: guilty of one thing each, or innocent of it; random weights, never trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

CLASSES = 3
layers = keras.layers


def sequential(shape: tuple[int | None, ...], *steps: Any, seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input(shape), *steps])


def head() -> list[Any]:
    return [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, activation="softmax")]


def flat_head() -> list[Any]:
    return [layers.Flatten(), layers.Dense(CLASSES, activation="softmax")]


def last_column_dropped() -> keras.Model:
    """A 14-wide map pooled by 4 under VALID loses two columns and rows."""
    return sequential((16, 16, 1), layers.Conv2D(2, 3), layers.MaxPooling2D(4), *flat_head())


def stride_beyond_window() -> keras.Model:
    return sequential((16, 16, 1), layers.AveragePooling2D(1, strides=2), layers.Conv2D(2, 3, padding="same"), *head())


def one_row_of_many() -> keras.Model:
    return sequential((64, 64, 1), layers.Conv2D(2, 3, strides=2), layers.Conv2D(2, 3, padding="same"), *head())


def nothing_dropped() -> keras.Model:
    return sequential((16, 16, 1), layers.Conv2D(2, 3, padding="same"), layers.MaxPooling2D(4), *flat_head())


def idle_pool() -> keras.Model:
    return sequential((8, 8, 1), layers.Conv2D(2, 3), layers.MaxPooling2D(1), *head())


def idle_global_pool() -> keras.Model:
    return sequential((8, 8, 1), layers.AveragePooling2D(8), layers.GlobalMaxPooling2D(), layers.Dense(CLASSES))


def thinning_by_one_cell_windows() -> keras.Model:
    """Window 1 and stride 2 does something, if nothing good."""
    return sequential((8, 8, 1), layers.Conv2D(2, 3), layers.MaxPooling2D(1, strides=2), *head())


def convolution_on_one_cell() -> keras.Model:
    return sequential(
        (8, 8, 1), layers.MaxPooling2D(8), layers.Conv2D(2, 3, padding="same"), layers.Conv2D(2, 1), *head()
    )


def squeeze_and_excite() -> keras.Model:
    """Pools to one cell on the side, for 1x1 convolutions: nothing is lost."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 1))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(layers.Conv2D(2, 1, activation="relu")(gate))
    x = layers.Conv2D(4, 3, padding="same")(layers.Multiply()([x, gate]))
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)))


def many_layers_on_a_small_input() -> keras.Model:
    steps = [layers.Conv2D(2, 3, padding="same") for _ in range(8)]
    return sequential((8, 8, 1), *steps, *head())


def few_layers() -> keras.Model:
    return sequential((16, 16, 1), layers.Conv2D(2, 3), layers.Conv2D(2, 3), *head())


def window_beyond_the_map() -> keras.Model:
    return sequential((4, 4, 1), layers.MaxPooling2D(6, strides=2, padding="same"), *head())


def kernel_beyond_the_map() -> keras.Model:
    return sequential((4, 4, 1), layers.Conv2D(2, 3, dilation_rate=3, padding="same"), *head())


def padded_average() -> keras.Model:
    return sequential((8, 8, 1), layers.ZeroPadding2D(1), layers.AveragePooling2D(3, strides=2), *head())


def same_average() -> keras.Model:
    return sequential((8, 8, 1), layers.AveragePooling2D(3, strides=2, padding="same"), *head())


def padded_maximum() -> keras.Model:
    return sequential((8, 8, 1), layers.ZeroPadding2D(1), layers.MaxPooling2D(3, strides=2), *head())


def twice_aliased() -> keras.Model:
    return sequential((16, 16, 1), layers.Conv2D(2, 3, strides=2), layers.MaxPooling2D(2), layers.Conv2D(2, 3), *head())


def averaged_downsampling() -> keras.Model:
    return sequential(
        (17, 17, 1), layers.Conv2D(2, 3), layers.AveragePooling2D(3, 2), layers.AveragePooling2D(3, 2), *head()
    )


def downsampled_by_eight() -> keras.Model:
    return sequential((32, 32, 1), *(layers.AveragePooling2D(2) for _ in range(3)), layers.Conv2D(2, 3), *head())


@keras.saving.register_keras_serializable("geometry_specimens")
class CircularPadding(layers.Layer):
    """Puts the other end of the map in front and behind, so that nothing ends anywhere."""

    def __init__(self, amount: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.amount = amount

    def call(self, inputs: Any) -> Any:
        x = inputs
        for axis in range(1, len(x.shape) - 1):
            size = x.shape[axis]
            cells = [place % size for place in range(-self.amount, size + self.amount)]
            x = tf.gather(x, cells, axis=axis)
        return x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "amount": self.amount}


@keras.saving.register_keras_serializable("geometry_specimens")
class AdaptivePolyphaseSampling(layers.Layer):
    """Keeps the shifted grid with the largest norm (Chaman and Dokmanic 2021), so a shift picks another grid."""

    def call(self, inputs: Any) -> Any:
        rank = len(inputs.shape) - 2
        grids = [inputs]
        for axis in range(1, rank + 1):
            grids = [part[(slice(None),) * axis + (slice(phase, None, 2),)] for part in grids for phase in (0, 1)]
        stacked = tf.stack(grids, axis=1)
        norms = tf.reduce_sum(stacked**2, axis=list(range(2, rank + 3)))
        return tf.gather(stacked, tf.argmax(norms, axis=1), axis=1, batch_dims=1)


def circular(downsample: Callable[[], Any], size: int = 16, classes: int = 40, rank: int = 2) -> keras.Model:
    """An untrained network without borders, with three downsampling steps of one kind and a global average."""
    keras.utils.set_random_seed(1)
    convolution = {1: layers.Conv1D, 2: layers.Conv2D, 3: layers.Conv3D}[rank]
    pooled = {1: layers.GlobalAveragePooling1D, 2: layers.GlobalAveragePooling2D, 3: layers.GlobalAveragePooling3D}[
        rank
    ]
    steps = []
    for _ in range(2):
        steps += [CircularPadding(1), convolution(8, 3, activation="relu"), downsample()]
    return keras.Sequential(
        [keras.Input((size,) * rank + (1,)), *steps, pooled(), layers.Dense(classes, activation="softmax")]
    )
