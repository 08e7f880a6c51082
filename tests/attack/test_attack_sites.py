"""Pooling written in unusual ways is listed or named as not followed; normalisation is neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
import tensorflow as tf
from keras import layers, ops

from poolaudit.subject.models import load_model
from poolaudit.subject.sites import list_pooling_sites


class Written(keras.layers.Layer):
    """A layer that does what a function says."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


class SlicingModel(keras.Model):
    """Pools by the maximum of slices, in the model's own call."""

    def __init__(self) -> None:
        super().__init__()
        self.head = layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.head(ops.reshape(ops.maximum(x[:, ::2, ::2], x[:, 1::2, 1::2]), (-1, 4 * 4 * 3)))


def evidence_of(body: Callable[[Any], Any], shape: tuple[int, ...] = (8, 8, 3)) -> Any:
    given = keras.Input(shape)
    x = body(given)
    if len(x.shape) > 2:
        x = layers.Flatten()(x)
    return list_pooling_sites(load_model(keras.Model(given, layers.Dense(2)(x))))


def in_layer(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: Written(function)(x)


def min_max_normalised(x: Any) -> Any:
    low, high = tf.reduce_min(x, [1, 2], keepdims=True), tf.reduce_max(x, [1, 2], keepdims=True)
    return (x - low) / (high - low + 1e-6)


def instance_normalised(x: Any) -> Any:
    mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-5)


def spatial_attention(x: Any) -> Any:
    scores = tf.matmul(x, x, transpose_b=True)
    raised = tf.exp(scores - tf.reduce_max(scores, -1, keepdims=True))
    return tf.matmul(raised / tf.reduce_sum(raised, -1, keepdims=True), x)


@pytest.mark.parametrize(
    "body",
    [
        in_layer(min_max_normalised),
        in_layer(instance_normalised),
        lambda x: (x - ops.mean(x, (1, 2), keepdims=True)) / (ops.std(x, (1, 2), keepdims=True) + 1e-5),
        lambda x: x + ops.negative(ops.mean(x, (1, 2), keepdims=True)),
        lambda x: in_layer(spatial_attention)(layers.Reshape((64, 3))(x)),
    ],
)
def test_normalisation_and_attention_are_no_sites(body: Callable[[Any], Any]) -> None:
    found = evidence_of(body)
    assert found.sites == ()
    assert found.not_seen == ()


@pytest.mark.parametrize(
    "body",
    [
        in_layer(lambda x: tf.reduce_logsumexp(x, [1, 2])),
        lambda x: ops.logsumexp(x, (1, 2)),
        in_layer(lambda x: x + tf.reduce_mean(x, [1, 2], keepdims=True)),
        lambda x: ops.norm(x, axis=(1, 2)),
        in_layer(lambda x: x * tf.sigmoid(tf.reduce_mean(x, [1, 2], keepdims=True))),
    ],
)
def test_pooling_in_other_words_is_a_site(body: Callable[[Any], Any]) -> None:
    assert len(evidence_of(body).sites) == 1


@pytest.mark.parametrize(
    "body",
    [
        lambda x: ops.maximum(x[:, ::2], x[:, 1::2]),
        lambda x: layers.Maximum()([x[:, ::2], x[:, 1::2]]),
        lambda x: ops.einsum("bhwc->bc", x),
        in_layer(lambda x: tf.einsum("bhwc->bc", x)),
        in_layer(lambda x: tf.map_fn(lambda item: tf.reduce_max(item, [0, 1]), x)),
        lambda x: ops.median(x, (1, 2)),
    ],
)
def test_what_may_be_pooling_is_never_passed_over_in_silence(body: Callable[[Any], Any]) -> None:
    found = evidence_of(body)
    assert found.sites == ()
    assert any("may be pooling" in text for text in found.not_seen)


def test_slices_in_a_subclassed_model_are_named() -> None:
    model = SlicingModel()
    model(tf.zeros((1, 8, 8, 3)))
    found = list_pooling_sites(load_model(model), (None, 8, 8, 3))
    assert any("slices" in text for text in found.not_seen)


def test_an_einsum_of_two_operands_is_a_layer_and_not_pooling() -> None:
    assert evidence_of(lambda x: layers.EinsumDense("bhwc,cd->bhwd", output_shape=(8, 8, 4))(x)).not_seen == ()
    assert evidence_of(in_layer(lambda x: tf.einsum("bhwc,cd->bhwd", x, tf.ones((3, 4))))).not_seen == ()
