"""Small models for tests: built, with seeded random weights, never trained."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

CLASSES = 3


def sequential_2d() -> keras.Model:
    """Max pooling, average pooling with strides and padding of its own, global average."""
    return _seeded(
        keras.Sequential(
            [
                keras.Input((16, 16, 1)),
                keras.layers.Conv2D(4, 3, activation="relu"),
                keras.layers.MaxPooling2D(2, name="first"),
                keras.layers.AveragePooling2D(3, strides=2, padding="same", name="second"),
                keras.layers.GlobalAveragePooling2D(name="last"),
                keras.layers.Dense(CLASSES, activation="softmax", name="scores"),
            ],
            name="sequential_2d",
        )
    )


def sequential_1d() -> keras.Model:
    return _seeded(
        keras.Sequential(
            [
                keras.Input((32, 2)),
                keras.layers.Conv1D(4, 3),
                keras.layers.AveragePooling1D(2, name="halve"),
                keras.layers.GlobalMaxPooling1D(name="peak"),
                keras.layers.Dense(1, activation="sigmoid", name="score"),
            ],
            name="sequential_1d",
        )
    )


def sequential_3d() -> keras.Model:
    return _seeded(
        keras.Sequential(
            [
                keras.Input((8, 8, 8, 1)),
                keras.layers.MaxPooling3D((1, 2, 2), name="flat"),
                keras.layers.GlobalAveragePooling3D(name="all"),
                keras.layers.Dense(CLASSES, name="scores"),
            ],
            name="sequential_3d",
        )
    )


def functional_with_operations() -> keras.Model:
    """keras.ops pooling and spatial reductions as operations of the functional graph, and sizes left open."""
    inputs = keras.Input((None, None, 3))
    x = keras.ops.max_pool(inputs, 2, strides=2, padding="same")
    x = keras.ops.average_pool(x, 2)
    pooled = keras.ops.mean(x, axis=(1, 2))
    scale = keras.ops.max(x, axis=-1, keepdims=True)
    x = keras.layers.Multiply()([x, scale])
    peak = keras.ops.max(x, axis=[1, 2])
    joined = keras.layers.Concatenate()([pooled, peak])
    return _seeded(keras.Model(inputs, keras.layers.Dense(CLASSES)(joined), name="functional_with_operations"))


def nested() -> keras.Model:
    """A functional model inside a sequential model inside a functional model."""
    inner_in = keras.Input((8, 8, 2))
    inner = keras.Model(inner_in, keras.layers.MaxPooling2D(2, name="pool")(inner_in), name="inner")
    middle = keras.Sequential(
        [keras.Input((16, 16, 2)), keras.layers.MaxPooling2D(2, name="pool"), inner], name="middle"
    )
    inputs = keras.Input((16, 16, 2))
    x = keras.layers.GlobalMaxPooling2D(name="pool")(middle(inputs))
    head = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(CLASSES, activation="softmax", name="scores")], name="head"
    )
    return _seeded(keras.Model(inputs, head(x), name="nested"))


def shared_layer() -> keras.Model:
    """One pooling layer called twice."""
    inputs = keras.Input((16, 16, 1))
    pool = keras.layers.MaxPooling2D(2, name="pool")
    x = keras.layers.Conv2D(2, 3, padding="same")(pool(inputs))
    x = keras.layers.Flatten()(pool(x))
    return _seeded(keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x), name="shared_layer"))


class Subclassed(keras.Model):
    """Pooling layers, pooling as tf.nn calls, a reduction over space; called in another order than made."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.late = keras.layers.AveragePooling2D(2, name="late")
        self.early = keras.layers.MaxPooling2D(2, name="early")
        self.unused = keras.layers.MaxPooling2D(2, name="unused")
        self.norm = keras.layers.LayerNormalization(axis=[1, 2, 3], name="norm")
        self.group = keras.layers.GroupNormalization(groups=1, name="group")
        self.scores = keras.layers.Dense(CLASSES, name="scores")

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = self.norm(self.early(inputs))
        x = tf.nn.max_pool2d(x, (3, 3), (2, 2), "SAME")
        x = self.group(self.late(x))
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        x = (x - mean) * tf.math.rsqrt(variance + 1e-3)
        return tf.nn.softmax(self.scores(tf.reduce_mean(x, [1, 2])))


def subclassed() -> keras.Model:
    model = Subclassed(name="subclassed")
    model(tf.zeros((1, 16, 16, 1)))
    return _seeded(model)


@keras.saving.register_keras_serializable("specimens")
class MinimumPooling(keras.layers.Layer):
    """The negative of a maximum: the operation inside is a max pool, the layer is not."""

    def __init__(self, pool_size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size = pool_size

    def call(self, inputs: Any) -> Any:
        return -tf.nn.max_pool2d(-inputs, self.pool_size, self.pool_size, "VALID")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size}


@keras.saving.register_keras_serializable("specimens")
class PlainPooling(keras.layers.Layer):
    """A max pool and nothing else."""

    def call(self, inputs: Any) -> Any:
        return tf.nn.max_pool2d(inputs, 2, 2, "VALID")


@keras.saving.register_keras_serializable("specimens")
class SlicingPooling(keras.layers.Layer):
    """Pools by slices: nothing in its graph is a pooling operation."""

    pool_stride = 2

    def call(self, inputs: Any) -> Any:
        return tf.maximum(inputs[:, ::2, ::2], inputs[:, 1::2, 1::2])


@keras.saving.register_keras_serializable("specimens")
class BlockReduction(keras.layers.Layer):
    """Reshapes into blocks and averages each: pooling in all but name."""

    def call(self, inputs: Any) -> Any:
        _, height, width, channels = inputs.shape
        blocks = tf.reshape(inputs, (-1, height // 2, 2, width // 2, 2, channels))
        return tf.reduce_mean(blocks, axis=(2, 4))


@keras.saving.register_keras_serializable("specimens")
class HandwrittenNormalisation(keras.layers.Layer):
    """Statistics over space that only centre, scale or normalise: no pooling anywhere."""

    def call(self, inputs: Any) -> Any:
        x = inputs - tf.reduce_mean(inputs, [1, 2], keepdims=True)
        x = x / (tf.math.reduce_std(x, [1, 2], keepdims=True) + 1e-3)
        x = tf.nn.l2_normalize(x, axis=[1, 2])
        shifted = tf.exp(x - tf.reduce_max(x, [1, 2], keepdims=True))
        return shifted / tf.reduce_sum(shifted, [1, 2], keepdims=True)


def custom_layers() -> keras.Model:
    inputs = keras.Input((32, 32, 2))
    x = MinimumPooling(2, name="minimum")(inputs)
    x = PlainPooling(name="plain")(x)
    x = SlicingPooling(name="slicing")(x)
    x = BlockReduction(name="blocks")(x)
    x = HandwrittenNormalisation(name="normalised")(x)
    x = keras.layers.Flatten()(x)
    return _seeded(keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(x), name="custom_layers"))


def without_pooling() -> keras.Model:
    """Attention, normalisations and strides: no pooling site."""
    inputs = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.UnitNormalization(axis=[1, 2])(x)
    x = keras.layers.Reshape((16, 4))(x)
    x = keras.layers.MultiHeadAttention(2, 4)(x, x)
    x = keras.layers.LayerNormalization()(keras.layers.Softmax(axis=1)(x))
    x = HandwrittenNormalisation()(keras.layers.Reshape((4, 4, 4))(x))
    x = keras.layers.Flatten()(x)
    return _seeded(keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x), name="without_pooling"))


def two_outputs() -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, [keras.layers.Dense(2)(inputs), keras.layers.Dense(3)(inputs)], name="two_outputs")


def dense(activation: str | None, units: int, *, loss: Any = None) -> keras.Model:
    """A linear classifier of 4 numbers with the head under test."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(units, activation=activation, name="scores")], name="dense"
    )
    if loss is not None:
        model.compile(loss=loss)
    return _seeded(model)


def not_a_model() -> str:
    return "a text"


def raising() -> keras.Model:
    raise RuntimeError("no weights here")


def _seeded(model: keras.Model) -> keras.Model:
    generator = keras.random.SeedGenerator(7)
    for weight in model.trainable_weights:
        weight.assign(keras.random.normal(weight.shape, stddev=0.5, seed=generator))
    return model
