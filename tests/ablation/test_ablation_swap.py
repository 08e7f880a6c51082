"""Swap gives what each variant predicts with the trained weights, and computes nothing twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from poolaudit.ablation.surgery import build_variant  # noqa: E402
from poolaudit.ablation.swap import recalibrate, swap_predictions  # noqa: E402
from poolaudit.ablation.variants import Variant, applicable_variants, parse_variant  # noqa: E402
from poolaudit.errors import InvalidInputError  # noqa: E402
from specimens import ablation_models, models  # noqa: E402


def variants_of(model: Any, **settings: Any) -> list[Variant]:
    return [entry for entry in applicable_variants(model, **settings) if isinstance(entry, Variant)]


def parts(outputs: Any) -> list[Any]:
    return [np.asarray(part) for part in keras.tree.flatten(outputs)]


SPECIMENS = [
    models.sequential_2d,
    models.shared_layer,
    ablation_models.siamese,
    ablation_models.dictionary_inputs,
    ablation_models.mixed_precision,
    ablation_models.deep_nesting,
    ablation_models.inception_block,
    ablation_models.written,
    ablation_models.pooling_inside_a_layer,
    ablation_models.window_of_one,
    ablation_models.open_sizes,
    ablation_models.recurrent_with_attention,
    ablation_models.functions_of_a_users_own,
    ablation_models.time_distributed,
]


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda specimen: specimen.__name__)
def test_swap_predicts_what_each_built_variant_predicts(specimen: Any) -> None:
    model = specimen()
    x = ablation_models.inputs_of(model, 5)
    before = [weight.numpy().copy() for weight in model.weights]
    wanted = variants_of(model)[:: 2 if len(variants_of(model)) < 40 else 5]
    swapped = swap_predictions(model, wanted, x, batch_size=2)
    tolerance = 2e-3 if specimen is ablation_models.mixed_precision else 1e-5
    for ours, theirs in zip(parts(swapped.baseline), parts(model(x, training=False)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance)
    assert set(swapped) | set(swapped.refused) == {variant.name for variant in wanted}
    assert not set(swapped) & set(swapped.refused)
    for variant in wanted:
        if variant.name in swapped:
            built = build_variant(model, variant)
            assert not built.must_be_trained
            for ours, theirs in zip(parts(swapped[variant.name]), parts(built.model(x, training=False)), strict=True):
                np.testing.assert_allclose(ours, theirs, atol=tolerance)
    for was, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(was, weight.numpy())
    assert all("call" not in vars(layer) for layer in model._flatten_layers())


def test_the_part_in_front_of_the_site_runs_once_a_batch() -> None:
    runs: list[int] = []

    class Counting(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            import tensorflow as tf

            tf.py_function(lambda: runs.append(1), [], [])
            return x * 1.0

    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(3, 3)(Counting(name="counting")(inputs))
    x = keras.layers.GlobalAveragePooling2D(name="mean")(keras.layers.MaxPooling2D(2, name="pool")(x))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    wanted = [parse_variant(f"{action}@pool") for action in ("average", "blur", "gem", "mixed", "subsample")]
    data = np.random.default_rng(0).normal(size=(6, 8, 8, 2)).astype("float32")
    swapped = swap_predictions(model, wanted, data, batch_size=3)
    assert len(swapped) == 5
    assert swapped.reused == set(swapped)
    assert len(runs) == 2


def test_what_gives_no_evidence_without_training_is_refused_with_the_reason() -> None:
    model = ablation_models.preprocessing_inside()
    wanted = [parse_variant(name) for name in ("removed@pool", "strided_convolution@pool", "max@pool", "average@pool")]
    swapped = swap_predictions(model, wanted, ablation_models.inputs_of(model))
    assert set(swapped) == {"average@pool"}
    assert "start anew" in swapped.refused["removed@pool"]
    assert "only training" in swapped.refused["strided_convolution@pool"]
    assert "already" in swapped.refused["max@pool"]
    assert swapped.unchanged == set()


def test_a_swap_that_changes_nothing_is_named_and_has_no_predictions() -> None:
    model = ablation_models.window_of_one()
    swapped = swap_predictions(model, [parse_variant("subsample@stride_only")], ablation_models.inputs_of(model))
    assert dict(swapped) == {}
    assert swapped.unchanged == {"subsample@stride_only"}


def test_progress_and_odd_numbers_of_items() -> None:
    model = models.sequential_2d()
    told: list[tuple[int, int, str]] = []
    x = ablation_models.inputs_of(model, 7)
    swapped = swap_predictions(
        model, [parse_variant("average@first")], x, batch_size=3, on_progress=lambda *step: told.append(step)
    )
    assert swapped["average@first"].shape == (7, 3)
    assert "average@first" in {name for _, _, name in told}
    assert told[-1][:2] == (7, 7)
    whole = swap_predictions(model, [parse_variant("average@first")], x, batch_size=64)
    np.testing.assert_allclose(swapped["average@first"], whole["average@first"], atol=1e-6)
    with pytest.raises(InvalidInputError, match="items"):
        swap_predictions(model, [], x[:0])


def normalised() -> Any:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.MaxPooling2D(2, name="pool"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.GlobalAveragePooling2D(name="mean"),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_recalibration_gives_batch_norm_the_statistics_of_its_new_inputs() -> None:
    model = normalised()
    x = np.random.default_rng(0).normal(2, 3, (50, 12, 12, 1)).astype("float32")
    changed = build_variant(model, parse_variant("average@pool")).model
    before = [weight.numpy().copy() for weight in model.weights]
    done = recalibrate(changed, x, batch_size=10)
    front = keras.Sequential(changed.layers[:2])(x)
    norm = changed.get_layer("norm")
    np.testing.assert_allclose(norm.moving_mean, np.mean(front, (0, 1, 2)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(norm.moving_variance, np.var(front, (0, 1, 2)), rtol=1e-3)
    assert (done.batch_norm_layers, done.items, done.epochs) == (("norm",), 50, 0)
    assert norm.momentum == 0.99
    for was, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(was, weight.numpy())


def test_a_short_fine_tune_is_seeded_and_says_when_there_is_nothing_to_do() -> None:
    x = np.random.default_rng(0).normal(size=(40, 12, 12, 1)).astype("float32")
    y = (x.mean((1, 2, 3)) > 0).astype("int64")
    results = []
    for _ in range(2):
        changed = build_variant(normalised(), parse_variant("average@pool")).model
        done = recalibrate(changed, x, y, batch_size=8, epochs=2, seed=4)
        results.append((done.loss, np.asarray(changed(x))))
    assert len(results[0][0]) == 2
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-6)
    plain = build_variant(models.sequential_2d(), parse_variant("average@first")).model
    assert "nothing was recalibrated" in recalibrate(plain, ablation_models.inputs_of(plain)).notes[0]
    with pytest.raises(InvalidInputError, match="fine-tune"):
        recalibrate(plain, ablation_models.inputs_of(plain), epochs=1)
