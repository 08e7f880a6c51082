"""Models with pooling in unusual places, built with seeded random weights, for surgery to be tried on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

layers = keras.layers
CLASSES = 4


def pool_into_two_branches() -> keras.Model:
    inputs = keras.Input((13, 13, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(inputs)
    x = layers.MaxPooling2D(2, padding="same", name="pool")(x)
    left = layers.Conv2D(4, 3, padding="same", name="left")(x)
    right = layers.Conv2D(4, 1, name="right")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(layers.Add(name="join")([left, right]))
    return seeded(
        keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="scores")(x), name="two_branches")
    )


def unet() -> keras.Model:
    """A skip past the pooling, met again after upsampling; the output is a map."""
    inputs = keras.Input((16, 16, 1))
    skip = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling2D(2, name="down")(skip)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.UpSampling2D(2, name="up")(x)
    x = layers.Concatenate(name="skip")([skip, x])
    return seeded(keras.Model(inputs, layers.Conv2D(2, 1, activation="softmax", name="map")(x), name="unet"))


def residual_with_pooled_shortcut() -> keras.Model:
    """As in ResNet-D: the shortcut is pooled, the other branch has a strided convolution."""
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    shortcut = layers.AveragePooling2D(2, padding="same", name="shortcut")(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="first")(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="second")(x)
    x = layers.Add(name="join")([x, shortcut])
    x = layers.GlobalMaxPooling2D(name="peak")(x)
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="residual"))


def inception_block() -> keras.Model:
    inputs = keras.Input((17, 17, 3))
    a = layers.Conv2D(4, 3, strides=2, name="a")(inputs)
    b = layers.Conv2D(4, 1, name="b1")(inputs)
    b = layers.Conv2D(4, 3, strides=2, name="b2")(b)
    c = layers.MaxPooling2D(3, strides=2, name="c")(inputs)
    x = layers.Concatenate(name="mixed")([a, b, c])
    x = layers.AveragePooling2D(3, strides=1, padding="same", name="smooth")(x)
    x = layers.Flatten(name="flat")(x)
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="scores")(x), name="inception"))


def hard_coded_sizes() -> keras.Model:
    inputs = keras.Input((8, 8, 2))
    x = layers.MaxPooling2D(2, name="pool")(layers.Conv2D(3, 3, padding="same")(inputs))
    x = layers.Reshape((4 * 4 * 3,), name="sizes")(x)
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="hard_coded_sizes"))


def reshape_that_folds() -> keras.Model:
    """A Reshape that takes any size, and turns a larger map into more rows instead of failing."""
    inputs = keras.Input((8, 8, 2))
    x = layers.MaxPooling2D(2, name="pool")(layers.Conv2D(3, 3, padding="same")(inputs))
    x = layers.Reshape((-1, 4 * 4 * 3), name="rows")(x)
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="reshape_that_folds"))


def squeeze_and_excite() -> keras.Model:
    inputs = keras.Input((8, 8, 4))
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(inputs)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    x = layers.Multiply(name="gate")([inputs, gate])
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="squeeze_and_excite"))


def pooling_last() -> keras.Model:
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(CLASSES, 1)(inputs)
    return seeded(keras.Model(inputs, layers.GlobalMaxPooling2D(name="last")(x), name="pooling_last"))


def channels_first() -> keras.Model:
    inputs = keras.Input((2, 9, 9))
    x = layers.Conv2D(4, 3, padding="same", data_format="channels_first", activation="relu")(inputs)
    x = layers.MaxPooling2D(3, strides=2, padding="same", data_format="channels_first", name="pool")(x)
    x = layers.GlobalAveragePooling2D(data_format="channels_first", name="mean")(x)
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="channels_first"))


def mixed_precision() -> keras.Model:
    policy = "mixed_float16"
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", dtype=policy)(inputs)
    x = layers.MaxPooling2D(2, dtype=policy, name="pool")(x)
    x = layers.GlobalAveragePooling2D(dtype=policy, name="mean")(x)
    x = layers.Dense(CLASSES, activation="softmax", dtype="float32")(x)
    return seeded(keras.Model(inputs, x, name="mixed_precision"))


def preprocessing_inside() -> keras.Model:
    normalise = layers.Normalization(name="normalise")
    normalise.adapt(np.random.default_rng(0).normal(3, 2, (50, 12, 12, 1)))
    inputs = keras.Input((12, 12, 1))
    x = layers.Rescaling(2.0)(normalise(inputs))
    x = layers.RandomFlip(seed=3)(x)
    x = layers.Conv2D(4, 3, activation="relu")(x)
    x = layers.Dropout(0.3)(layers.MaxPooling2D(2, name="pool")(x))
    x = layers.Flatten(name="flat")(x)
    return seeded(
        keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="scores")(x), name="preprocessing")
    )


def time_distributed() -> keras.Model:
    """Frames through a nested model, and a pooling layer repeated by itself."""
    frame = keras.Input((8, 8, 2))
    y = layers.MaxPooling2D(2, name="pool")(layers.Conv2D(3, 3, padding="same", activation="relu")(frame))
    encoder = keras.Model(frame, y, name="encoder")
    inputs = keras.Input((5, 8, 8, 2))
    x = layers.TimeDistributed(encoder, name="frames")(inputs)
    x = layers.TimeDistributed(layers.AveragePooling2D(2, name="inner"), name="again")(x)
    x = layers.TimeDistributed(layers.Flatten(name="flat"), name="rows")(x)
    x = layers.GlobalMaxPooling1D(name="time")(layers.LSTM(4, return_sequences=True)(x))
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="time_distributed"))


def masked_sequence() -> keras.Model:
    inputs = keras.Input((10,), dtype="int32")
    x = layers.Embedding(20, 6, mask_zero=True)(inputs)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="masked_sequence"))


def siamese() -> keras.Model:
    """One nested model called on two inputs; two outputs."""
    image = keras.Input((8, 8, 1))
    y = layers.MaxPooling2D(2, name="pool")(layers.Conv2D(3, 3, padding="same", activation="relu", name="conv")(image))
    y = layers.GlobalAveragePooling2D(name="mean")(y)
    tower = keras.Model(image, y, name="tower")
    left, right = keras.Input((8, 8, 1), name="left"), keras.Input((8, 8, 1), name="right")
    a, b = tower(left), tower(right)
    x = layers.Concatenate()([a, b])
    outputs = [layers.Dense(CLASSES, activation="softmax", name="kind")(x), layers.Dense(1, name="score")(a - b)]
    return seeded(keras.Model([left, right], outputs, name="siamese"))


def dictionary_inputs() -> keras.Model:
    image, extra = keras.Input((8, 8, 1), name="image"), keras.Input((3,), name="extra")
    x = layers.MaxPooling2D(2, name="pool")(layers.Conv2D(3, 3)(image))
    x = layers.Concatenate()([layers.Flatten(name="flat")(x), extra])
    scores = layers.Dense(CLASSES, activation="softmax")(x)
    return seeded(keras.Model({"image": image, "extra": extra}, {"scores": scores}, name="dictionary_inputs"))


def window_of_one() -> keras.Model:
    """Pooling that only strides, and pooling that does nothing at all."""
    inputs = keras.Input((8, 8, 2))
    x = layers.MaxPooling2D(1, strides=2, name="stride_only")(layers.Conv2D(3, 3, padding="same")(inputs))
    x = layers.AveragePooling2D(1, name="nothing")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="window_of_one"))


def operations_as_pooling() -> keras.Model:
    inputs = keras.Input((12, 12, 2))
    x = keras.ops.relu(layers.Conv2D(4, 3, padding="same")(inputs))
    x = keras.ops.max_pool(x, 3, strides=2, padding="same")
    x = keras.ops.average_pool(x, 2, strides=2)
    x = keras.ops.mean(x, axis=(1, 2))
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="operations_as_pooling"))


def deep_nesting() -> keras.Model:
    """A Sequential inside a functional inside a functional, each with pooling of the same name."""
    third = keras.Sequential([keras.Input((8, 8, 3)), layers.MaxPooling2D(2, name="pool")], name="third")
    i = keras.Input((16, 16, 3))
    second = keras.Model(i, third(layers.AveragePooling2D(2, name="pool")(i)), name="second")
    i = keras.Input((16, 16, 2))
    first = keras.Model(i, second(layers.Conv2D(3, 3, padding="same", name="conv")(i)), name="first")
    inputs = keras.Input((16, 16, 2))
    x = layers.Flatten(name="flat")(first(inputs))
    return seeded(
        keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="scores")(x), name="deep_nesting")
    )


def dilated() -> keras.Model:
    inputs = keras.Input((20, 3))
    x = layers.Conv1D(4, 3, dilation_rate=2, padding="causal", activation="relu")(inputs)
    x = layers.MaxPooling1D(3, strides=2, padding="same", name="pool")(x)
    x = layers.Conv1D(4, 3, dilation_rate=4, padding="same", activation="relu")(x)
    x = layers.GlobalMaxPooling1D(name="peak")(x)
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="dilated"))


def volumes() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 8, 1)),
            layers.Conv3D(3, 3, padding="same", activation="relu"),
            layers.MaxPooling3D((1, 2, 2), name="flat"),
            layers.AveragePooling3D(2, padding="same", name="cube"),
            layers.BatchNormalization(),
            layers.Flatten(name="rows"),
            layers.Dense(CLASSES, activation="softmax", name="scores"),
        ],
        name="volumes",
    )
    return seeded(model)


@keras.saving.register_keras_serializable("ablation_models")
class ResidualBlock(layers.Layer):
    """A layer of a user's own that calls a pooling layer inside."""

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = layers.Conv2D(filters, 3, padding="same", activation="relu", name="conv")
        self.pool = layers.MaxPooling2D(2, name="pool")

    def call(self, inputs: Any) -> Any:
        return self.pool(self.conv(inputs))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters}


def pooling_inside_a_layer() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    x = layers.GlobalMaxPooling2D(name="peak")(ResidualBlock(4, name="block")(inputs))
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="pooling_inside_a_layer"))


@keras.saving.register_keras_serializable("ablation_models")
class Written(keras.Model):
    """A model written as code: one pooling layer called twice, another once."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(4, 3, padding="same", activation="relu")
        self.pool = layers.MaxPooling2D(2, name="pool")
        self.last = layers.GlobalAveragePooling2D(name="last")
        self.scores = layers.Dense(CLASSES, activation="softmax")

    def call(self, inputs: Any) -> Any:
        return self.scores(self.last(self.pool(self.conv(self.pool(inputs)))))


def written() -> keras.Model:
    model = Written(name="written")
    model(np.zeros((1, 16, 16, 2), np.float32))
    return seeded(model)


class NotDescribed(keras.Model):
    """A model that cannot be copied: its constructor takes a layer, and it has no configuration."""

    def __init__(self, pool: Any) -> None:
        super().__init__(name="not_described")
        self.pool, self.scores = pool, layers.Dense(CLASSES, activation="softmax")

    def call(self, inputs: Any) -> Any:
        return self.scores(self.pool(inputs))


def not_described() -> keras.Model:
    model = NotDescribed(layers.GlobalAveragePooling2D(name="mean"))
    model(np.zeros((1, 8, 8, 2), np.float32))
    return seeded(model)


def open_sizes() -> keras.Model:
    """Sizes of the input left open, and two branches that meet in one size."""
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    pooled = layers.MaxPooling2D(2, padding="same", name="pool")(x)
    strided = layers.Conv2D(4, 3, strides=2, padding="same", name="strided")(x)
    x = layers.GlobalMaxPooling2D(name="peak")(layers.Add(name="join")([pooled, strided]))
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="open_sizes"))


def _steep(x: Any) -> Any:
    return keras.ops.relu(x) * 1.5


def functions_of_a_users_own() -> keras.Model:
    """An activation that is not registered, and Lambda layers."""
    inputs = keras.Input((8, 8, 2))
    x = layers.Lambda(lambda t: t * 2.0, name="double")(inputs)
    x = layers.Conv2D(4, 3, activation=_steep)(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Lambda(lambda t: keras.ops.reshape(t, (-1, 36)), output_shape=(36,), name="rows")(x)
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x), name="functions_of_a_users_own"))


def recurrent_with_attention() -> keras.Model:
    inputs = keras.Input((16, 4))
    x = layers.MaxPooling1D(2, name="pool")(layers.Conv1D(8, 3, padding="same")(inputs))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True))
    steps, hidden, cell = layers.LSTM(5, return_sequences=True, return_state=True)(x)
    y = layers.LSTM(5)(steps, initial_state=[hidden, cell])
    y = layers.Concatenate()([y, layers.GlobalAveragePooling1D(name="mean")(x)])
    return seeded(keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(y), name="recurrent_with_attention"))


class OwnTraining(keras.Model):
    """A functional model with a training step of its own."""

    steps = 0

    def train_step(self, data: Any) -> Any:
        type(self).steps += 1
        return super().train_step(data)


def own_training() -> keras.Model:
    inputs = keras.Input((8, 8, 2))
    x = layers.MaxPooling2D(2, name="pool")(layers.Conv2D(3, 3)(inputs))
    scores = layers.Dense(CLASSES, activation="softmax")(layers.Flatten(name="flat")(x))
    return seeded(OwnTraining(inputs, scores, name="own_training"))


def compiled() -> keras.Model:
    model = pool_into_two_branches()
    model.compile(
        optimizer=keras.optimizers.SGD(0.05, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    return model


ALL = (
    pool_into_two_branches,
    unet,
    residual_with_pooled_shortcut,
    inception_block,
    hard_coded_sizes,
    reshape_that_folds,
    squeeze_and_excite,
    pooling_last,
    channels_first,
    mixed_precision,
    preprocessing_inside,
    time_distributed,
    masked_sequence,
    siamese,
    dictionary_inputs,
    window_of_one,
    operations_as_pooling,
    deep_nesting,
    dilated,
    volumes,
    pooling_inside_a_layer,
    written,
    not_described,
    open_sizes,
    functions_of_a_users_own,
    recurrent_with_attention,
    own_training,
    compiled,
)


def inputs_of(model: Any, items: int = 3, seed: int = 5) -> Any:
    """Noise as the model takes it: positive, so that no pooling is flattened by an activation in front of it."""
    generator = np.random.default_rng(seed)
    structure = getattr(model, "input", None) if getattr(model, "inputs", None) else None
    if structure is None:
        shape = (items, *model.get_build_config()["input_shape"][1:])
        return generator.uniform(0.1, 1.0, shape).astype("float32")

    def drawn(tensor: Any) -> Any:
        shape = (items, *(size or 16 for size in tensor.shape[1:]))
        if str(tensor.dtype).startswith("int"):
            return generator.integers(0, 9, shape).astype("int32")
        return generator.uniform(0.1, 1.0, shape).astype("float32")

    return keras.tree.map_structure(drawn, structure)


def seeded(model: keras.Model) -> keras.Model:
    generator = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(0, 0.4, weight.shape).astype("float32"))
    return model
