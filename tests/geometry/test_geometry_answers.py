"""What the graph cannot tell, the model is asked: masks, dead heads, and steps that enlarging does not undo."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from poolaudit.errors import InvalidInputError
from poolaudit.findings import Finding
from poolaudit.geometry.inspect import inspect_pooling
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.policy import Policy
from poolaudit.results import Evidence
from specimens.geometry_models import CLASSES, head, layers, sequential


def found(code: str, model: Any, **options: Any) -> Finding:
    return all_detectors().get(code)(Evidence(geometry=inspect_pooling(model, **options)), Policy())


def functional(shape: tuple[int, ...], body: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    return keras.Model(inputs, body(inputs))


def masked_attention(mask: np.ndarray, read: Any) -> keras.Model:
    """Tokens attend where a constant mask lets them."""

    def body(x: Any) -> Any:
        tokens = layers.Dense(4)(x)
        seen = layers.MultiHeadAttention(1, 4)(tokens, tokens, attention_mask=mask[None])
        return layers.Dense(CLASSES)(layers.Lambda(read)(seen))

    return functional((6, 2), body)


def test_a_constant_condition_lets_one_side_through() -> None:
    keep = np.ones((8, 8, 1), bool)
    keep[3:] = False
    model = sequential((8, 8, 1), layers.Lambda(lambda x: keras.ops.where(keep, x, 0.0)), *head())
    coverage = inspect_pooling(model).coverage[0]
    assert (coverage.blind, coverage.blind_where, coverage.doubt) == (40, ("height 3 to 7",), None)
    halves = sequential((8, 8, 1), layers.Lambda(lambda x: keras.ops.where(keep, x, x * 2.0)), *head())
    assert found("PA301", halves).outcome is Outcome.PASSED


def test_a_softmax_over_one_class_answers_to_nothing() -> None:
    model = sequential((8, 8, 1), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1, activation="softmax"))
    finding = found("PA301", model)
    assert (finding.outcome, finding.severity) == (Outcome.FAILED, Severity.MAJOR)
    assert "every cell" in finding.summary


def test_tokens_behind_a_constant_attention_mask_are_found_silent() -> None:
    mask = np.ones((6, 6), bool)
    mask[:, 3:] = False
    finding = found("PA301", masked_attention(mask, lambda t: tf.reduce_mean(t[:, :3], axis=1)))
    assert (finding.outcome, finding.severity) == (Outcome.UNDECIDED, Severity.MAJOR)
    assert "length 3 to 5" in finding.summary
    first_of_causal = found("PA301", masked_attention(np.tri(6, dtype=bool), lambda t: t[:, 0]))
    assert first_of_causal.outcome is Outcome.UNDECIDED
    assert "length 1 to 5" in first_of_causal.summary


@pytest.mark.parametrize("read", [lambda t: t[:, -1], lambda t: tf.reduce_mean(t, axis=1)])
def test_a_causal_mask_whose_last_token_is_read_hides_nothing(read: Any) -> None:
    assert found("PA301", masked_attention(np.tri(6, dtype=bool), read)).outcome is Outcome.PASSED


def test_weights_of_zero_hide_what_they_would_read() -> None:
    model = sequential((10, 10, 1), layers.Flatten(), layers.Dense(CLASSES))
    kernel, bias = model.layers[-1].get_weights()
    kernel[50:] = 0.0
    model.layers[-1].set_weights([kernel, bias])
    finding = found("PA301", model)
    assert finding.outcome is Outcome.UNDECIDED
    assert "height 5 to 9" in finding.summary


def test_the_model_settles_what_could_not_be_followed() -> None:
    def rows(x: Any) -> Any:
        return tf.map_fn(lambda row: tf.reduce_max(row, axis=0), x)

    model = sequential((6, 6, 1), layers.Lambda(rows), layers.Flatten(), layers.Dense(CLASSES))
    coverage = inspect_pooling(model).coverage[0]
    assert coverage.doubt is not None
    assert found("PA301", model).outcome is Outcome.PASSED
    hidden = sequential((6, 6, 1), layers.Lambda(lambda x: rows(x[:, :4])), layers.Flatten(), layers.Dense(CLASSES))
    assert found("PA301", hidden).outcome is Outcome.FAILED


def test_whole_numbers_are_asked_about_by_overwriting() -> None:
    model = functional(
        (12,),
        lambda x: layers.Dense(CLASSES)(layers.GlobalMaxPooling1D()(layers.Embedding(10, 4)(x[:, :9]))),
    )
    assert "length 9 to 11" in found("PA301", model).summary


def test_several_inputs_are_each_proved() -> None:
    keras.utils.set_random_seed(0)
    image, signal = keras.Input((9, 9, 1), name="image"), keras.Input((10, 2), name="signal")
    x = layers.Flatten()(layers.MaxPooling2D(4)(image))
    y = layers.GlobalMaxPooling1D()(layers.Conv1D(2, 3, strides=4)(signal))
    coverage = inspect_pooling(keras.Model([image, signal], layers.Dense(CLASSES)(layers.Concatenate()([x, y]))))
    for entry in coverage.coverage:
        assert entry.proof is not None
        assert entry.proof.unchanged == entry.proof.items
        assert entry.proof.neighbours_changed > 0
        assert entry.answers is not None
        assert entry.answers.silent == 0


def bottleneck(skip: bool) -> keras.Model:
    """Down by 16 and up again; with a skip connection from the first map, or without."""

    def body(x: Any) -> Any:
        first = layers.Conv2D(2, 3, padding="same")(x)
        low = first
        for _ in range(4):
            low = layers.MaxPooling2D(2)(layers.Conv2D(2, 3, padding="same")(low))
        high = layers.UpSampling2D(16)(low)
        joined = layers.Concatenate()([high, first]) if skip else high
        return layers.Dense(CLASSES)(layers.GlobalMaxPooling2D()(layers.Conv2D(2, 3)(joined)))

    return functional((32, 32, 1), body)


def vision_transformer(patch: int) -> keras.Model:
    def body(x: Any) -> Any:
        tokens = layers.Reshape((-1, 4))(layers.Conv2D(4, patch, strides=patch)(x))
        tokens = layers.Add()([tokens, layers.MultiHeadAttention(1, 4)(tokens, tokens)])
        return layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(tokens))

    return functional((32, 32, 1), body)


def patches_by_reshape() -> keras.Model:
    """A patch goes to the channels whole; the dense layer behind it makes one step of it."""

    def body(x: Any) -> Any:
        x = layers.Permute((1, 3, 2, 4, 5))(layers.Reshape((4, 8, 4, 8, 1))(x))
        tokens = layers.Dense(5)(layers.Reshape((16, 64))(x))
        return layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(tokens))

    return functional((32, 32, 1), body)


@pytest.mark.parametrize(
    ("build", "step"),
    [
        (lambda: bottleneck(skip=False), 16),
        (lambda: bottleneck(skip=True), 1),
        (lambda: vision_transformer(8), 8),
        (patches_by_reshape, 8),
        (lambda: sequential((24, 24, 1), layers.Resizing(4, 4), layers.Conv2D(2, 3), *head()), 6),
        (lambda: sequential((32, 32, 1), layers.Conv2D(2, 3), layers.Cropping2D(8), layers.Conv2D(2, 3), *head()), 1),
        (lambda: sequential((32, 32, 1), layers.Conv2D(2, 3), *head()), 1),
        (lambda: sequential((32, 1), layers.MaxPooling1D(4), layers.Conv1D(2, 3), layers.LSTM(3)), 4),
    ],
)
def test_the_coarsest_step_on_the_finest_way_is_judged(build: Any, step: int) -> None:
    model = build()
    steps = inspect_pooling(model).bottleneck
    assert max(steps) == pytest.approx(step, rel=0.15)
    assert found("PA306", model, feature_size=max(steps) + 0.5).outcome is Outcome.PASSED
    if step > 1:
        assert found("PA306", model, feature_size=max(steps) - 0.5).outcome is Outcome.FAILED


def test_padding_around_one_cell_is_no_map() -> None:
    lost = sequential((8, 8, 1), layers.MaxPooling2D(8), layers.ZeroPadding2D(1), layers.Conv2D(2, 3), *head())
    assert found("PA303", lost).outcome is Outcome.FAILED
    kept = sequential((8, 8, 1), layers.MaxPooling2D(4), layers.ZeroPadding2D(1), layers.Conv2D(2, 3), *head())
    assert found("PA303", kept).outcome is Outcome.PASSED


def test_an_adaptive_pool_to_the_size_it_gets_does_nothing() -> None:
    if not hasattr(layers, "AdaptiveAveragePooling2D"):
        pytest.skip("this Keras has no adaptive pooling")
    idle = sequential((8, 8, 1), layers.AdaptiveAveragePooling2D(8), *head())
    assert found("PA302", idle).outcome is Outcome.FAILED
    working = sequential((8, 8, 1), layers.AdaptiveAveragePooling2D((8, 4)), *head())
    assert found("PA302", working).outcome is Outcome.PASSED


def test_a_size_that_the_model_cannot_take_is_refused_in_plain_words() -> None:
    model = sequential((None, None, 3), layers.MaxPooling2D(8), layers.MaxPooling2D(8), *head())
    with pytest.raises(InvalidInputError, match="does not run at the input shape 20x20x3") as caught:
        inspect_pooling(model, input_shape=(20, 20, 3))
    assert "\x1b" not in str(caught.value)
