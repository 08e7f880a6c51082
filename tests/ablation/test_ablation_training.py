"""A trial follows from its spec alone: whoever trains it, wherever it was cut off."""

from __future__ import annotations

import dataclasses
from typing import Any

import ablation_recipes
import numpy as np
import pytest

from poolaudit.ablation.models import kept_layers, reborn
from poolaudit.ablation.training import Materials, run_trial, targets_for
from poolaudit.ablation.trial import ModelSource, TrainingPlan, TrialSpec, make_spec
from poolaudit.errors import InvalidInputError
from poolaudit.subject.models import load_model


class Memory:
    """A checkpoint in memory that can cut the training off."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.content: bytes | None = None
        self.saved = 0
        self.stop_after = stop_after

    def load(self) -> bytes | None:
        return self.content

    def save(self, content: bytes) -> None:
        self.content = content
        self.saved += 1
        if self.saved == self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def materials() -> Materials:
    x, y = ablation_recipes.data()
    return Materials((x, y), ablation_recipes.data(80, 1)[0], ablation_recipes.data(60, 2)[0], 2)


def spec(variant: str = "baseline", seed: int = 0, recipe: str = "short", epochs: int = 4) -> TrialSpec:
    fit = {"class_weight": {"0": 1.0, "1": 1.5}}
    source = ModelSource(None, f"ablation_recipes:{recipe}", fingerprint=recipe)
    return make_spec(variant, seed, source, TrainingPlan(epochs, 32, fit), {"test": "t", "classes": "2"})


def test_the_same_spec_gives_the_same_bits(materials: Materials) -> None:
    first, second = run_trial(spec(), materials), run_trial(spec(), materials)
    assert first.arrays["test"].tobytes() == second.arrays["test"].tobytes()
    assert first.facts["history"] == second.facts["history"]
    other = run_trial(spec(seed=1), materials)
    assert first.arrays["test"].tobytes() != other.arrays["test"].tobytes()


@pytest.mark.parametrize("variant", ["baseline", "weaker@stem"])
def test_a_trial_cut_off_goes_on_to_the_same_bits(materials: Materials, variant: str) -> None:
    whole = run_trial(spec(variant), materials)
    memory = Memory(stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        run_trial(spec(variant), materials, memory)
    memory.stop_after = None
    epochs: list[int] = []
    resumed = run_trial(spec(variant), materials, memory, lambda done, total: epochs.append(done))
    assert epochs == [3, 4], "dropout, schedule and order go on where they stood"
    assert resumed.arrays["test"].tobytes() == whole.arrays["test"].tobytes()
    assert resumed.facts["history"] == whole.facts["history"]


def test_a_damaged_checkpoint_counts_as_none(materials: Materials) -> None:
    memory = Memory()
    memory.content = b"not a checkpoint"
    whole = run_trial(spec(), materials)
    assert run_trial(spec(), materials, memory).arrays["test"].tobytes() == whole.arrays["test"].tobytes()


def test_variant_and_baseline_of_a_seed_start_alike_and_differ(materials: Materials) -> None:
    baseline, variant = run_trial(spec(), materials), run_trial(spec("weaker@stem"), materials)
    assert not np.array_equal(baseline.arrays["test"], variant.arrays["test"])
    assert baseline.facts["parameters"] == variant.facts["parameters"]


def test_a_recipe_may_train_itself(materials: Materials) -> None:
    trial = run_trial(spec(recipe="own_training"), materials)
    assert len(trial.facts["history"]["loss"]) == 2
    again = run_trial(spec(recipe="own_training"), materials)
    assert trial.arrays["test"].tobytes() == again.arrays["test"].tobytes()


def test_a_training_that_ends_in_nan_is_a_diverged_trial(materials: Materials) -> None:
    trial = run_trial(spec(recipe="exploding", seed=2), materials)
    assert trial.facts["outcome"] == "diverged"
    assert "NaN" in trial.facts["reason"]
    assert not trial.arrays


def test_the_key_holds_everything_that_matters() -> None:
    base = spec()
    others = [
        spec(seed=1),
        spec("weaker@stem"),
        spec(epochs=5),
        spec(recipe="own_training"),
        make_spec("baseline", 0, base.model, base.plan, {"test": "other", "classes": "2"}),
        make_spec("baseline", 0, base.model, base.plan, base.data, control=True),
        make_spec("baseline", 0, base.model, base.plan, base.data, depth="recalibrated"),
    ]
    keys = {base.key, *(other.key for other in others)}
    assert len(keys) == 1 + len(others)
    elsewhere = dataclasses.replace(base.model, search=("/another/folder",))
    assert make_spec("baseline", 0, elsewhere, base.plan, base.data).key == base.key
    assert TrialSpec.from_plain(base.to_plain()) == base


def test_a_file_is_born_again_and_frozen_layers_keep_their_weights(tmp_path: Any) -> None:
    import keras

    model = ablation_recipes.build()
    model.layers[1].trainable = False
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras").keras_model
    keras.utils.set_random_seed(5)
    first = reborn(loaded, (None, 32, 1))
    keras.utils.set_random_seed(5)
    second = reborn(loaded, (None, 32, 1))
    keras.utils.set_random_seed(6)
    third = reborn(loaded, (None, 32, 1))
    assert kept_layers(loaded) == (loaded.layers[1].name,)
    assert np.array_equal(first.layers[1].get_weights()[0], loaded.layers[1].get_weights()[0])
    dense = [m.layers[-1].get_weights()[0] for m in (loaded, first, second, third)]
    assert np.array_equal(dense[1], dense[2])
    assert not np.array_equal(dense[0], dense[1])
    assert not np.array_equal(dense[1], dense[3])


@pytest.mark.parametrize(
    ("loss", "columns", "expected"),
    [
        ("sparse_categorical_crossentropy", 3, (3, 1)),
        ("categorical_crossentropy", 3, (3, 3)),
        ("binary_crossentropy", 1, (3, 1)),
    ],
)
def test_labels_take_the_form_the_loss_wants(loss: str, columns: int, expected: tuple[int, int]) -> None:
    import keras

    labels = np.array([0, 2, 1])
    assert targets_for(loss, labels, columns, 3).shape == expected
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(columns)])
    model.compile("adam", keras.losses.get(loss))
    assert targets_for(model.loss, labels, columns, 3).shape == expected


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("ablation_recipes:shrot", "Did you mean 'short'"),
        ("ablation_recipez:short", "cannot be imported"),
        ("ablation_recipes:not_a_recipe", "is a int"),
    ],
)
def test_a_reference_that_is_no_recipe_is_refused(reference: str, said: str) -> None:
    from poolaudit.ablation.models import read_recipe

    with pytest.raises(InvalidInputError, match=said):
        read_recipe(reference)
