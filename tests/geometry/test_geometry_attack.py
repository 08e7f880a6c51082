"""Networks that are hard to follow: a cell that is called blind never changes the output, and every other one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from poolaudit.evidence.geometry import GeometryEvidence
from poolaudit.geometry.inspect import inspect_pooling
from specimens.geometry_models import CLASSES, layers, sequential

BUILDERS: dict[str, tuple[Callable[[], Any], tuple[int, ...] | None]] = {}


def network(shape: tuple[int, ...] | None = None) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def register(build: Callable[[], Any]) -> Callable[[], Any]:
        BUILDERS[build.__name__] = (build, shape)
        return build

    return register


def functional(shape: tuple[int, ...], body: Callable[[Any], Any]) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    return keras.Model(inputs, body(inputs))


@network()
def same_and_valid_mixed() -> Any:
    return sequential(
        (15, 13, 1),
        layers.Conv2D(2, (2, 4), padding="same"),
        layers.MaxPooling2D((2, 3)),
        layers.Conv2D(2, 2),
        layers.AveragePooling2D((3, 2)),
        layers.Flatten(),
        layers.Dense(CLASSES),
    )


@network()
def dilated_with_gaps() -> Any:
    return sequential((17, 1), layers.Conv1D(2, 2, dilation_rate=5), layers.MaxPooling1D(2, 4), layers.Flatten())


@network()
def even_kernels_and_transposes() -> Any:
    return sequential(
        (9, 9, 1),
        layers.Conv2D(2, 4, strides=3, padding="same"),
        layers.Conv2DTranspose(2, 4, strides=2, padding="same"),
        layers.Conv2D(1, 2, strides=2),
        layers.Flatten(),
        layers.Dense(CLASSES),
    )


@network()
def u_net() -> Any:
    def body(x: Any) -> Any:
        first = layers.Conv2D(2, 3, padding="same")(x)
        low = layers.Conv2D(2, 3, padding="same")(layers.MaxPooling2D(2)(first))
        high = layers.UpSampling2D(2, interpolation="bilinear")(low)
        joined = layers.Concatenate()([high, layers.Cropping2D(0)(first)])
        return layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(joined)))

    return functional((12, 12, 1), body)


@network()
def attention_head() -> Any:
    def body(x: Any) -> Any:
        x = layers.MaxPooling2D(3)(x)
        tokens = layers.Reshape((16, 2))(x)
        seen = layers.MultiHeadAttention(2, 3)(tokens, tokens)
        return layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(seen))

    return functional((14, 13, 2), body)


@network()
def class_token() -> Any:
    """Patches by a strided convolution, a token in front that attends to all of them and alone is read."""

    def body(x: Any) -> Any:
        patches = layers.Reshape((9, 4))(layers.Conv2D(4, 3, strides=3)(x))
        token = layers.Lambda(lambda p: tf.ones_like(p[:, :1]))(patches)
        tokens = layers.Concatenate(axis=1)([token, patches])
        seen = layers.MultiHeadAttention(1, 4)(tokens, tokens)
        return layers.Dense(CLASSES)(layers.Lambda(lambda t: t[:, 0], output_shape=(4,))(seen))

    return functional((11, 10, 1), body)


@network()
def convolution_over_tokens() -> Any:
    """A map read row by row as one sequence: windows run over the ends of the rows."""

    def body(x: Any) -> Any:
        sequence = layers.Conv1D(2, 3)(layers.Reshape((20, 1))(x))
        return layers.Dense(CLASSES)(layers.Flatten()(layers.MaxPooling1D(4)(sequence)))

    return functional((4, 5, 1), body)


@network()
def gate_after_a_crop() -> Any:
    def body(x: Any) -> Any:
        x = layers.Cropping2D(((0, 2), (1, 0)))(x)
        gate = layers.Dense(2, activation="sigmoid")(layers.GlobalMaxPooling2D(keepdims=True)(x))
        x = layers.Multiply()([layers.Conv2D(2, 3, strides=4)(x), gate])
        return layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x))

    return functional((10, 10, 1), body)


@network()
def audio() -> Any:
    return sequential(
        (203, 1),
        layers.Conv1D(3, 16, strides=8),
        layers.MaxPooling1D(4),
        layers.Conv1D(3, 3, padding="causal", dilation_rate=2),
        layers.GlobalAveragePooling1D(),
        layers.Dense(CLASSES),
    )


@network()
def volume() -> Any:
    return sequential(
        (7, 8, 9, 1),
        layers.Conv3D(2, (2, 3, 2)),
        layers.MaxPooling3D((2, 2, 3), strides=(3, 2, 3)),
        layers.Flatten(),
        layers.Dense(CLASSES),
    )


@network()
def nested_twice_and_shared() -> Any:
    inner_in = keras.Input((None, None, 2))
    inner = keras.Model(inner_in, layers.MaxPooling2D(2)(layers.Conv2D(2, 3)(inner_in)))
    middle = keras.Sequential([keras.Input((21, 19, 2)), inner, inner])
    return functional((21, 19, 2), lambda x: layers.Dense(CLASSES)(layers.Flatten()(middle(x))))


@network()
def each_time_step_alone() -> Any:
    return sequential(
        (3, 8, 8, 1),
        layers.TimeDistributed(layers.Conv2D(2, 3)),
        layers.TimeDistributed(layers.MaxPooling2D(4)),
        layers.TimeDistributed(layers.Flatten()),
        layers.GlobalAveragePooling1D(),
        layers.Dense(CLASSES),
    )


@network()
def bidirectional() -> Any:
    return sequential(
        (14, 2), layers.Conv1D(2, 3, strides=3), layers.Bidirectional(layers.LSTM(3)), layers.Dense(CLASSES)
    )


@network()
def first_state_of_a_recurrent_layer() -> Any:
    """Of all states, only the third is read: later steps are blind."""
    return sequential(
        (9, 2), layers.GRU(3, return_sequences=True), layers.Lambda(lambda x: x[:, 2]), layers.Dense(CLASSES)
    )


@network()
def first_output_of_a_backward_layer() -> Any:
    return sequential(
        (9, 2),
        layers.SimpleRNN(3, return_sequences=True, go_backwards=True),
        layers.Lambda(lambda x: x[:, 2]),
        layers.Dense(CLASSES),
    )


@network()
def lambda_slices() -> Any:
    return sequential((8, 10, 2), layers.Lambda(lambda x: x[:, 1::3, ::-2, :1] * 2.0), layers.Flatten())


@network()
def constant_mask() -> Any:
    mask = np.ones((1, 6, 6, 1), "float32")
    mask[:, 2:4, 1:5] = 0.0
    return sequential((6, 6, 1), layers.Lambda(lambda x: x * mask), layers.Flatten(), layers.Dense(CLASSES))


@network()
def blocks_by_reshape() -> Any:
    def body(x: Any) -> Any:
        x = layers.Lambda(lambda t: tf.reduce_max(tf.reshape(t[:, :9, :8], (-1, 3, 3, 4, 2, 1)), axis=(2, 4)))(x)
        return layers.Dense(CLASSES)(layers.Flatten()(x))

    return functional((10, 9, 1), body)


@network()
def space_to_depth() -> Any:
    return sequential(
        (8, 8, 1),
        layers.Lambda(lambda x: tf.nn.space_to_depth(x, 2)[..., :3]),
        layers.Conv2D(2, 3),
        layers.Flatten(),
        layers.Dense(CLASSES),
    )


@network()
def shifted_windows() -> Any:
    """As in Swin: roll, cut into windows, attend inside each, put together again, drop a window."""

    def body(x: Any) -> Any:
        def windows(t: Any) -> Any:
            t = tf.roll(t, [-1, -1], [1, 2])
            t = tf.reshape(t, (-1, 2, 3, 2, 3, 2))
            return tf.reshape(tf.transpose(t, (0, 1, 3, 2, 4, 5)), (-1, 4, 9, 2))

        tokens = layers.Lambda(windows)(x)
        kept = layers.Lambda(lambda t: t[:, 1])(tokens)
        seen = layers.MultiHeadAttention(1, 2)(kept, kept)
        return layers.Dense(CLASSES)(layers.Flatten()(seen))

    return functional((6, 6, 2), body)


@network()
def grouped_and_shuffled() -> Any:
    def body(x: Any) -> Any:
        x = layers.Conv2D(4, 3, groups=2)(x)
        x = layers.Lambda(lambda t: tf.gather(t, [2, 0, 3, 1], axis=-1))(x)
        left = layers.Lambda(lambda t: t[..., :2])(x)
        return layers.Dense(CLASSES)(layers.Flatten()(layers.MaxPooling2D(3)(left)))

    return functional((9, 9, 4), body)


@network()
def channels_kept_apart() -> Any:
    """One channel is cropped on the left, the other on the right, and nothing mixes them before the end."""

    def body(x: Any) -> Any:
        left = layers.Cropping1D((3, 0))(layers.Lambda(lambda t: t[..., :1])(x))
        right = layers.Cropping1D((0, 3))(layers.Lambda(lambda t: t[..., 1:])(x))
        joined = layers.MaxPooling1D(4)(layers.Concatenate()([left, right]))
        return layers.Dense(CLASSES)(layers.Flatten()(joined))

    return functional((12, 2), body)


class Branching(keras.Model):
    """Subclassed, with tf.nn calls, slices and a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = layers.Conv2D(2, 5)
        self.scores = layers.Dense(CLASSES)

    def call(self, inputs: Any) -> Any:
        x = tf.nn.avg_pool2d(self.wide(inputs[:, 1:]), 2, 2, "VALID")
        y = tf.nn.max_pool2d(inputs[:, :4, :4], 2, 3, "VALID")
        return self.scores(tf.concat([tf.reshape(x, (-1, 4 * 3 * 2)), tf.reshape(y, (-1, 1))], axis=1))


@network((14, 11, 1))
def subclassed() -> Any:
    keras.utils.set_random_seed(0)
    model = Branching()
    model(tf.zeros((1, 14, 11, 1)))
    return model


@network((13, 17, 1))
def open_sizes() -> Any:
    return sequential((None, None, 1), layers.Conv2D(2, 4, strides=3), layers.GlobalAveragePooling2D(), layers.Dense(3))


@network()
def channels_are_ignored() -> Any:
    return sequential((8, 8, 3), layers.Lambda(lambda x: x[..., 1:2]), layers.MaxPooling2D(3), layers.Flatten())


@network()
def adaptive() -> Any:
    if not hasattr(layers, "AdaptiveAveragePooling2D"):
        pytest.skip("this Keras has no adaptive pooling")
    return sequential(
        (11, 7, 1), layers.Cropping2D(((1, 0), (0, 1))), layers.AdaptiveAveragePooling2D((3, 4)), layers.Flatten()
    )


@network()
def resized_down() -> Any:
    """Bilinear without a low-pass reads two cells of every five."""
    return sequential((15, 10, 1), layers.Resizing(3, 4), layers.Flatten(), layers.Dense(CLASSES))


@network()
def one_dense_layer() -> Any:
    return sequential((12,), layers.Lambda(lambda x: x[:, 2:]), layers.Dense(4), layers.Dense(CLASSES))


def measured_reach(model: Any, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which cells change the output when overwritten, tried on several items with several values."""
    spatial = shape[:-1] if len(shape) > 1 else shape
    cells = int(np.prod(spatial))
    rng = np.random.default_rng(0)
    changed = np.zeros(cells, bool)
    for number in range(8):
        item = rng.normal(size=shape).astype("float32")
        tries = np.repeat(item.reshape(1, cells, -1), cells, axis=0)
        # Both signs: a maximum lets only one of them through.
        tries[np.arange(cells), np.arange(cells)] = (-1.0) ** number * 20.0
        before = np.asarray(model(tf.constant(item[None])))
        for start in range(0, cells, 256):
            part = tries[start : start + 256].reshape(-1, *shape)
            after = np.asarray(model(tf.constant(part)))
            moved = np.abs(after - before).reshape(len(part), -1).max(axis=1)
            changed[start : start + 256] |= moved > 1e-6
    return changed.reshape(spatial)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_blind_is_what_never_changes_the_output(name: str) -> None:
    build, shape = BUILDERS[name]
    model = build()
    evidence = inspect_pooling(model, input_shape=shape)
    coverage = evidence.coverage[0]
    assert evidence.fields_reason is None
    reach = measured_reach(model, shape or tuple(model.input_shape[1:]))
    assert coverage.doubt is None, coverage.doubt
    assert (coverage.blind, coverage.cells) == (int((~reach).sum()), reach.size)
    from poolaudit.geometry.coverage import where

    assert coverage.blind_where == where(~reach, coverage.axes)
    if coverage.proof is not None:
        assert coverage.proof.unchanged == coverage.proof.items
        assert coverage.proof.neighbours_changed > 0


def test_channels_never_read_are_named() -> None:
    evidence = inspect_pooling(channels_are_ignored())
    assert evidence.coverage[0].blind_channels == (0, 2)


def test_several_inputs_have_a_map_each() -> None:
    keras.utils.set_random_seed(0)
    image, signal = keras.Input((9, 9, 1), name="image"), keras.Input((10, 2), name="signal")
    x = layers.Flatten()(layers.MaxPooling2D(4)(image))
    y = layers.GlobalMaxPooling1D()(layers.Conv1D(2, 3, strides=4)(signal))
    model = keras.Model([image, signal], layers.Dense(CLASSES)(layers.Concatenate()([x, y])))
    evidence = inspect_pooling(model)
    assert {c.name: (c.blind, c.blind_where) for c in evidence.coverage} == {
        "image": (17, ("height 8", "width 8")),
        "signal": (4, ("length 3, 7 to 9",)),
    }


def test_what_cannot_be_followed_is_taken_to_read_everything_and_said() -> None:
    model = sequential(
        (6, 6, 1),
        layers.Cropping2D(((0, 1), (0, 0))),
        layers.Lambda(lambda x: tf.map_fn(lambda row: tf.reduce_max(row, axis=0), x)),
        layers.Flatten(),
        layers.Dense(CLASSES),
    )
    coverage = inspect_pooling(model).coverage[0]
    assert coverage.doubt is not None
    assert coverage.blind >= 6
    assert "height 5" in coverage.blind_where


def test_models_in_channels_first_order_are_read_as_such() -> None:
    model = sequential(
        (1, 9, 8), layers.MaxPooling2D(2, data_format="channels_first"), layers.Flatten(), layers.Dense(CLASSES)
    )
    evidence = inspect_pooling(model)
    assert evidence.input_sizes == (9, 8)
    assert evidence.coverage[0].blind_where == ("height 8",)
    (pool, *_) = evidence.layers
    assert [field.size for field in pool.fields] == [2, 2]


def test_a_saved_model_is_followed_by_its_operations(tmp_path: Any) -> None:
    model = same_and_valid_mixed()
    model.export(tmp_path / "saved", verbose=False)
    stored: GeometryEvidence = inspect_pooling(str(tmp_path / "saved"))
    live = inspect_pooling(model)
    assert stored.coverage[0].blind_where == live.coverage[0].blind_where
    windows = [layer for layer in live.layers if layer.kind != "other"]
    assert [layer.fields for layer in stored.layers] == [layer.fields for layer in windows]
