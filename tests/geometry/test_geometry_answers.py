"""What the graph cannot tell, the model is asked: masks, dead heads, and steps that enlarging does not undo."""

from __future__ import annotations

import dataclasses
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


def pyramid() -> keras.Model:
    """Three maps, each with what the coarser ones see added; the finest counts."""

    def body(x: Any) -> Any:
        maps = []
        for _ in range(3):
            x = layers.Conv2D(4, 3, strides=2, padding="same")(x)
            maps.append(x)
        added, heads = maps[2], [maps[2]]
        for finer in (maps[1], maps[0]):
            added = layers.Add()([layers.Conv2D(4, 1)(finer), layers.UpSampling2D(2)(added)])
            heads.append(added)
        return [layers.Dense(CLASSES)(layers.GlobalMaxPooling2D()(head)) for head in heads]

    return functional((16, 16, 1), body)


def reflected() -> keras.Model:
    def reflect(x: Any) -> Any:
        return tf.pad(x, [[0, 0], [2, 2], [0, 0]], "REFLECT")

    return sequential((12, 1), layers.Lambda(reflect), layers.MaxPooling1D(4), layers.Flatten(), layers.Dense(CLASSES))


def rolled() -> keras.Model:
    roll = layers.Lambda(lambda x: tf.roll(x, 3, 1))
    return sequential((24, 1), roll, layers.MaxPooling1D(8), layers.Flatten(), layers.Dense(CLASSES))


def patches_by_operation() -> keras.Model:
    def cut(x: Any) -> Any:
        return tf.image.extract_patches(x, [1, 8, 8, 1], [1, 8, 8, 1], [1, 1, 1, 1], "VALID")

    return sequential((16, 16, 1), layers.Lambda(cut), layers.Conv2D(4, 1), layers.Flatten(), layers.Dense(CLASSES))


def coarse_second_input() -> keras.Model:
    keras.utils.set_random_seed(0)
    table, image = keras.Input((5,)), keras.Input((16, 16, 1))
    seen = layers.Flatten()(layers.MaxPooling2D(4)(image))
    return keras.Model([table, image], layers.Dense(CLASSES)(layers.Concatenate()([layers.Dense(4)(table), seen])))


@pytest.mark.parametrize(
    ("build", "step"),
    [
        (pyramid, 2),
        (reflected, 4),
        (rolled, 8),
        (patches_by_operation, 8),
        (coarse_second_input, 4),
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


def test_states_to_begin_with_are_read() -> None:
    keras.utils.set_random_seed(0)
    image, words = keras.Input((8, 8, 1)), keras.Input((6, 2))
    begun = layers.Dense(4)(layers.Flatten()(image))
    model = keras.Model([image, words], layers.Dense(CLASSES)(layers.GRU(4)(words, initial_state=begun)))
    assert [entry.blind for entry in inspect_pooling(model).coverage] == [0, 0]
    assert found("PA301", model).outcome is Outcome.PASSED


@pytest.mark.parametrize("step", [0, 5, 9])
def test_the_backward_half_of_a_bidirectional_layer_is_turned_round(step: int) -> None:
    both = layers.Bidirectional(layers.LSTM(3, return_sequences=True))
    model = sequential((10, 2), both, layers.Lambda(lambda x: x[:, step]), layers.Dense(CLASSES))
    assert found("PA301", model).outcome is Outcome.PASSED


def test_a_contradicted_map_of_a_faint_head_is_no_finding() -> None:
    """The proof weighs a change by the size of the output, so a small output hides nothing."""
    evidence = inspect_pooling(sequential((8, 8, 1), layers.MaxPooling2D(3), layers.Flatten(), layers.Dense(CLASSES)))
    (entry,) = evidence.coverage
    assert entry.proof is not None
    denied = dataclasses.replace(entry.proof, unchanged=0, largest_change=1e-9)
    evidence = dataclasses.replace(evidence, coverage=(dataclasses.replace(entry, proof=denied),))
    judged = all_detectors().get("PA301")(Evidence(geometry=evidence), Policy())
    assert judged.outcome is Outcome.UNDECIDED


@pytest.mark.parametrize("kind", ["zeros", "dead", "constant"])
def test_an_output_that_answers_to_nothing_is_not_passed(kind: str) -> None:
    last = {
        "zeros": [layers.Dense(CLASSES, kernel_initializer="zeros")],
        "dead": [
            layers.Dense(4, activation="relu", bias_initializer=keras.initializers.Constant(-1e9)),
            layers.Dense(3),
        ],
        "constant": [layers.Dense(4), layers.Lambda(lambda x: tf.clip_by_value(x, 1.0, 1.0)), layers.Dense(3)],
    }[kind]
    finding = found("PA301", sequential((8, 8, 1), layers.Conv2D(2, 3), layers.Flatten(), *last))
    assert (finding.outcome, finding.severity) == (Outcome.UNDECIDED, Severity.MAJOR)


def test_a_second_input_that_is_dead_is_not_passed() -> None:
    keras.utils.set_random_seed(0)
    image, meta = keras.Input((8, 8, 1)), keras.Input((4,), name="meta")
    dead = layers.Dense(4, kernel_initializer="zeros")(meta)
    joined = layers.Concatenate()([layers.Flatten()(image), dead])
    finding = found("PA301", keras.Model([image, meta], layers.Dense(CLASSES)(joined)))
    assert finding.outcome is Outcome.UNDECIDED
    assert "'meta'" in finding.summary


@pytest.mark.parametrize("size", [72, 160])
def test_half_a_large_input_without_weight_is_found(size: int) -> None:
    model = sequential((size, size, 1), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(CLASSES))
    kernel, bias = model.layers[-1].get_weights()
    places = kernel.reshape(size // 2, size // 2, 1, CLASSES)
    places[:, size // 4 :] = 0.0
    model.layers[-1].set_weights([places.reshape(kernel.shape), bias])
    finding = found("PA301", model)
    assert finding.outcome is Outcome.UNDECIDED
    assert f"width {size // 2} to {size - 1}" in finding.summary


def test_a_small_vocabulary_is_asked_within_it() -> None:
    model = sequential((8,), layers.Embedding(5, 3), layers.Flatten(), layers.Dense(CLASSES))
    kernel, bias = model.layers[-1].get_weights()
    kernel[12:] = 0.0
    model.layers[-1].set_weights([kernel, bias])
    assert "length 4 to 7" in found("PA301", model).summary


@pytest.mark.parametrize("first", [lambda x: tf.sqrt(x), lambda x: tf.math.log(x + 1e-3)])
def test_a_root_or_a_logarithm_in_front_is_no_dead_input(first: Any) -> None:
    model = sequential((8, 8, 1), layers.Lambda(first), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(CLASSES))
    assert found("PA301", model).outcome is Outcome.PASSED


def test_bytes_are_drawn_over_their_whole_range() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 1), dtype="uint8")
    x = layers.MaxPooling2D(2)(layers.Rescaling(1 / 255)(inputs))
    assert found("PA301", keras.Model(inputs, layers.Dense(CLASSES)(layers.Flatten()(x)))).outcome is Outcome.PASSED


def test_height_and_width_without_channels_are_two_axes() -> None:
    model = sequential(
        (9, 16), layers.Reshape((9, 16, 1)), layers.MaxPooling2D((1, 5)), layers.Flatten(), layers.Dense(CLASSES)
    )
    evidence = inspect_pooling(model)
    assert evidence.input_sizes == (9, 16)
    assert evidence.coverage[0].blind_where == ("width 15",)
    assert evidence.bottleneck == (1.0, 5.0)
    signal = inspect_pooling(
        sequential((9, 16), layers.Conv1D(2, 3), layers.GlobalMaxPooling1D(), layers.Dense(CLASSES))
    )
    assert signal.input_sizes == (9,)


def test_one_layer_in_the_other_order_does_not_turn_the_model_round() -> None:
    model = sequential(
        (13, 13, 3),
        layers.MaxPooling2D(4),
        layers.Conv2D(4, 1),
        layers.Flatten("channels_first"),
        layers.Dense(CLASSES),
    )
    evidence = inspect_pooling(model)
    assert evidence.coverage[0].blind_where == ("height 12", "width 12")
    assert evidence.coverage[0].blind_channels == ()
    assert evidence.bottleneck == (4.0, 4.0)
    assert found("PA305", model).outcome is Outcome.PASSED


def test_inputs_of_other_ranks_are_each_measured_against_themselves() -> None:
    keras.utils.set_random_seed(0)
    small, signal = keras.Input((5, 5, 1)), keras.Input((24, 2))
    x = layers.Flatten()(layers.Conv2D(2, 3)(small))
    y = layers.Flatten()(layers.Conv1D(2, 3)(layers.Conv1D(2, 3)(signal)))
    model = keras.Model([small, signal], layers.Dense(CLASSES)(layers.Concatenate()([x, y])))
    assert found("PA304", model).outcome is Outcome.PASSED


def test_layers_inside_wrappers_are_looked_at() -> None:
    one = sequential(
        (3, 8, 8, 1),
        layers.TimeDistributed(layers.MaxPooling2D(8)),
        layers.TimeDistributed(layers.Conv2D(2, 3, padding="same")),
        layers.Flatten(),
        layers.Dense(CLASSES),
    )
    assert found("PA303", one).outcome is Outcome.FAILED
    normalised = sequential(
        (8, 8, 1),
        layers.MaxPooling2D(8),
        layers.SpectralNormalization(layers.Conv2D(2, 3, padding="same")),
        *head(),
    )
    assert found("PA303", normalised).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("build", "outcome"),
    [
        (lambda: [layers.ZeroPadding1D(1), layers.AveragePooling1D(3, 2)], Outcome.FAILED),
        (lambda: [layers.ZeroPadding1D((0, 1)), layers.AveragePooling1D(4)], Outcome.PASSED),
        (
            lambda: [layers.Lambda(lambda x: tf.pad(x, [[0, 0], [0, 0], [0, 2]])), layers.AveragePooling1D(2)],
            Outcome.PASSED,
        ),
        (lambda: [layers.ZeroPadding1D(1), layers.AveragePooling1D(11)], Outcome.PASSED),
    ],
)
def test_padding_counts_where_an_average_of_a_signal_reads_it(build: Any, outcome: Outcome) -> None:
    model = sequential((9, 2), *build(), layers.Flatten(), layers.Dense(CLASSES))
    assert found("PA307", model).outcome is outcome


def test_a_saved_model_is_followed_at_its_sizes(tmp_path: Any) -> None:
    dense = sequential((8, 8, 2), layers.Dense(3), *head())
    dense.export(tmp_path / "dense", verbose=False)
    assert found("PA301", str(tmp_path / "dense")).outcome is Outcome.PASSED
    padded = sequential((8, 8, 1), layers.ZeroPadding2D(1), layers.AveragePooling2D(3, 2), *head())
    padded.export(tmp_path / "padded", verbose=False)
    assert found("PA307", str(tmp_path / "padded")).outcome is Outcome.FAILED
    sizes_open = sequential((None, None, 1), layers.Conv2D(2, 3), layers.MaxPooling2D(4), *head())
    sizes_open.export(tmp_path / "open", verbose=False)
    evidence = inspect_pooling(str(tmp_path / "open"), input_shape=(16, 16, 1))
    assert evidence.coverage[0].blind_where == ("height 14 to 15", "width 14 to 15")
    enlarged = sequential((8, 8, 1), layers.MaxPooling2D(8), layers.Conv2DTranspose(2, 4), layers.Conv2D(2, 3), *head())
    enlarged.export(tmp_path / "enlarged", verbose=False)
    assert found("PA303", str(tmp_path / "enlarged")).outcome is Outcome.PASSED
    recurrent = sequential((12, 2), layers.Conv1D(2, 3), layers.LSTM(3), layers.Dense(CLASSES))
    recurrent.export(tmp_path / "recurrent", verbose=False)
    finding = found("PA301", str(tmp_path / "recurrent"))
    assert finding.outcome in (Outcome.PASSED, Outcome.UNDECIDED)


def test_steps_that_could_not_be_followed_leave_the_bottleneck_open() -> None:
    def coarser(x: Any) -> Any:
        return tf.map_fn(lambda row: tf.reduce_max(tf.reshape(row, (2, 8, 1)), axis=1), x)

    model = sequential((16, 1), layers.Lambda(coarser), layers.Flatten(), layers.Dense(CLASSES))
    assert found("PA306", model, feature_size=4).outcome is Outcome.UNDECIDED
