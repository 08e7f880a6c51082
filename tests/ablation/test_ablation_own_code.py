"""What users bring themselves: losses, actions, recipes that go wrong; and variants that are the baseline again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import ablation_own_code
import ablation_recipes
import keras
import numpy as np
import pytest

from poolaudit.ablation.layers import GeMPooling2D
from poolaudit.ablation.models import build_trial_model
from poolaudit.ablation.preparation import hold_back
from poolaudit.ablation.refusals import VariantError
from poolaudit.ablation.settings import AblationSettings
from poolaudit.ablation.subject import model_source, subject_from_recipe, subject_of, training_plan
from poolaudit.ablation.surgery import VariantImpossible, VariantUnchanged, build_variant
from poolaudit.ablation.training import Materials, run_trial
from poolaudit.ablation.trial import ModelSource, TrainingPlan, make_spec
from poolaudit.ablation.variants import parse_variant
from poolaudit.audit.ablation import AblationPlan, run_ablation
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.ablation import AblationEvidence
from poolaudit.outcomes import Outcome
from poolaudit.results import AuditResult
from poolaudit.store.trials import NoSpaceError, TrialStore
from poolaudit.subject._final_activation import compiled_loss
from poolaudit.subject.data import load_splits
from poolaudit.subject.heads import find_head
from poolaudit.subject.models import load_model

TRAIN, TEST = ablation_recipes.data(120, 20), ablation_recipes.data(200, 21)


def ablated(model: Any, store: Path, *variants: str, train: Any = TRAIN) -> AuditResult:
    options = {"store": store, "workers": 1, "seeds": 3, "epochs": 1, "variants": variants}
    return run_ablation(AblationPlan(model, TEST, train=train, positive="1", options=options))


def evidence(result: AuditResult) -> AblationEvidence:
    assert result.evidence.ablation is not None
    return result.evidence.ablation


def outcome(result: AuditResult, code: str) -> Outcome:
    return next(finding.outcome for finding in result.findings if finding.code == code)


def own_model() -> Any:
    keras.utils.set_random_seed(0)
    model = ablation_recipes.build(dropout=0.0)
    model.compile(keras.optimizers.Adam(1e-2), ablation_own_code.own_loss)
    model.fit(*TRAIN, epochs=1, verbose=0)
    return model


@pytest.mark.parametrize("name", ["recipe", "by_code"])
def test_the_baseline_again_changes_nothing_in_a_recipe_either(name: str, tmp_path: Path) -> None:
    result = ablated(f"ablation_own_code:{name}", tmp_path, "reshaped_maximum@stem", "average@stem")
    same, other = evidence(result).arms
    assert same.unchanged
    assert same.trained == 0
    assert same.comparison is None
    assert not other.unchanged
    assert other.trained == 3
    assert outcome(result, "PA502") is Outcome.FAILED


@pytest.mark.parametrize("form", [list, lambda losses: {"out": losses[0]}])
def test_a_loss_in_a_list_or_a_mapping_is_that_loss(form: Any, tmp_path: Path) -> None:
    def compiled_with(loss: str) -> Any:
        inputs = keras.Input((ablation_recipes.LENGTH, 1))
        pooled = keras.layers.GlobalMaxPooling1D(name="head")(keras.layers.MaxPooling1D(2, name="stem")(inputs))
        model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="out")(pooled), name="one_output")
        model.compile("adam", form([loss]))
        return model

    sparse, focal = compiled_with("sparse_categorical_crossentropy"), compiled_with("categorical_focal_crossentropy")
    store = TrialStore(tmp_path)
    sources = [model_source(subject_of(load_model(model)), store) for model in (sparse, focal)]
    assert sources[0].fingerprint != sources[1].fingerprint, "trials of one loss never count for another"
    materials = Materials((TRAIN[0], TRAIN[1]), TEST[0], None, 2)
    for source in sources:
        spec = make_spec("average@stem", 0, source, TrainingPlan(1, 32), {"test": "t", "classes": "2"})
        assert run_trial(spec, materials).facts["outcome"] == "finished"
    assert compiled_loss(load_model(sparse)) == ("sparse_categorical_crossentropy", False)


def test_a_recipe_that_leaves_its_model_uncalled_trains_its_variants(tmp_path: Path) -> None:
    result = ablated("ablation_own_code:never_called", tmp_path, "average@stem", "removed@stem")
    trained, refused = evidence(result).arms
    assert trained.trained == 3
    assert trained.failed == 0
    assert "same output shape" in refused.unavailable
    source = ModelSource(None, "ablation_own_code:never_called")
    materials = Materials((TRAIN[0], TRAIN[1]), TEST[0], None, 2)
    weights = []
    for variant in ("baseline", "average@stem"):
        spec = make_spec(variant, 1, source, TrainingPlan(1, 32), {"test": "t", "classes": "2"})
        model = build_trial_model(spec, materials)
        model(TEST[0][:1])
        weights.append(model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        assert np.array_equal(ours, theirs), "both arms of a seed start alike"


def test_workers_know_the_loss_and_the_action_of_another_module(tmp_path: Path) -> None:
    result = ablated(own_model(), tmp_path, "wide_maximum@stem")
    (arm,) = evidence(result).arms
    assert evidence(result).baseline.failed == arm.failed == 0
    assert arm.trained == 3


def test_the_text_of_own_code_is_part_of_what_a_trial_hangs_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, store = subject_of(load_model(own_model())), TrialStore(tmp_path)
    source = model_source(subject, store, ("wide_maximum",))
    assert source.modules == ("ablation_own_code",)
    assert model_source(subject, store, ("wide_maximum",)).fingerprint == source.fingerprint
    monkeypatch.setattr("poolaudit.ablation.subject.module_text", lambda module: "another loss")
    assert model_source(subject, store, ("wide_maximum",)).fingerprint != source.fingerprint


def test_a_shipped_model_that_says_one_thing_does_not_hide_its_variants(tmp_path: Path) -> None:
    model = own_model()
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.zeros_like(kernel), bias])
    result = ablated(model, tmp_path, "removed@stem", "reshaped_maximum@stem")
    removed, same = evidence(result).arms
    assert not removed.unchanged
    assert removed.trained == 3
    assert any("the same answer" in note for note in removed.notes)
    assert same.unchanged


def test_a_damaged_model_in_the_store_is_written_again(tmp_path: Path) -> None:
    subject, store = subject_of(load_model(own_model())), TrialStore(tmp_path)
    source = model_source(subject, store)
    assert source.file is not None
    whole = Path(source.file).read_bytes()
    model_source(subject, store)
    assert Path(source.file).read_bytes() == whole, "one that is whole stays"
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:middle] + b"damaged!" * 8 + whole[middle + 64 :]):
        Path(source.file).write_bytes(damaged)
        assert model_source(subject, store) == source
        assert np.array_equal(load_model(source.file).keras_model.get_weights()[0], subject.model.get_weights()[0])


def test_a_recipe_that_never_trains_is_refused_with_its_reason_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POOLAUDIT_TEST_STORE", str(tmp_path))
    with pytest.raises(InvalidInputError, match=r"None of 3 trainings .* RuntimeError: there are no weights") as raised:
        ablated("ablation_own_code:untrainable", tmp_path, "removed@stem")
    assert "could be carried out" in str(raised.value)
    ablation_own_code.marks(tmp_path).touch()
    assert evidence(ablated("ablation_own_code:untrainable", tmp_path, "removed@stem")).baseline.failed == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("leaving", "raised SystemExit"),
        ("no_epochs", "epochs is 0"),
        ("no_batch", "batch_size is -3"),
        ("with_objects", "fit holds what a worker process cannot be sent"),
        ("misspelt_fit", "Did you mean 'class_weight'"),
        ("batches_in_fit", r"Recipe\(..., batch_size=16\)"),
        ("steps_in_fit", "in a train function"),
        ("weights_by_name", "class index"),
        ("weights_unused", "one of the two"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_refused_before_training(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=said):
        ablated(f"ablation_own_code:{name}", tmp_path / "store", "removed@stem")
    assert not (tmp_path / "store").exists()


def test_a_train_function_may_return_what_fit_returns_but_no_number() -> None:
    materials = Materials((TRAIN[0], TRAIN[1]), TEST[0], None, 2)

    def trial(name: str) -> Any:
        source = ModelSource(None, f"ablation_own_code:{name}")
        return run_trial(
            make_spec("baseline", 0, source, TrainingPlan(1, 32), {"test": "t", "classes": "2"}), materials
        )

    assert len(trial("history").facts["history"]["loss"]) == 2
    with pytest.raises(InvalidInputError, match="returned a float"):
        trial("number")


@pytest.mark.parametrize(("epochs", "told"), [(None, False), (3, True)])
def test_epochs_that_do_not_reach_a_train_function_are_told(epochs: int | None, told: bool) -> None:
    subject = subject_from_recipe("ablation_own_code:history")
    head = find_head(load_model(subject.model), np.full((2, 1), 0.5))
    _, statement = training_plan(subject, AblationSettings(epochs=epochs), head)
    assert ("do not reach it" in statement) is told


def test_a_recipe_has_no_trained_weights_to_recalibrate(tmp_path: Path) -> None:
    options = {"store": tmp_path / "store", "depth": "recalibrated", "variants": ("average@stem",)}
    with pytest.raises(InvalidInputError, match="'recalibrated' was asked for, and the recipe's model is not trained"):
        run_ablation(AblationPlan("ablation_own_code:recipe", TEST, train=TRAIN, options=options))
    assert not (tmp_path / "store").exists()


def test_a_model_without_pooling_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((32, 1)), keras.layers.Conv1D(1, 32, activation="sigmoid"), keras.layers.Reshape((1,))]
    )
    options = {"store": tmp_path / "store"}
    with pytest.raises(InvalidInputError, match="no pooling that could be exchanged"):
        run_ablation(AblationPlan(model, TEST, train=TRAIN, options=options))


@pytest.mark.parametrize("variants", [None, ("average@idle", "weaker@pool")])
def test_pooling_that_does_nothing_is_told(variants: Any) -> None:
    def swapped(window: int) -> AuditResult:
        layers = [
            keras.layers.MaxPooling1D(window, name="idle"),
            keras.layers.MaxPooling1D(4, name="pool"),
            keras.layers.GlobalAveragePooling1D(name="head"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
        model = keras.Sequential([keras.Input((32, 1)), *layers])
        return run_ablation(AblationPlan(model, TEST, options={"depth": "swap", "variants": variants}))

    result = swapped(1)
    (arm,) = [arm for arm in evidence(result).arms if arm.unchanged]
    assert "idle" in arm.name
    assert arm.unavailable == "its window and stride are 1: it does nothing"
    assert outcome(result, "PA354") is outcome(result, "PA502") is Outcome.FAILED
    innocent = swapped(2)
    assert not any(arm.unchanged for arm in evidence(innocent).arms)
    assert outcome(innocent, "PA354") is outcome(innocent, "PA502") is Outcome.PASSED


def test_only_part_of_several_sites_being_idle_is_no_proof_that_nothing_changes() -> None:
    def refusal(name: str, second: int) -> Exception:
        layers = [keras.layers.MaxPooling1D(1, name="idle"), keras.layers.MaxPooling1D(second, 2, name="pool")]
        model = keras.Sequential([keras.Input((32, 1)), *layers, keras.layers.Flatten(), keras.layers.Dense(2)])
        with pytest.raises(VariantError) as raised:
            build_variant(model, parse_variant(name))
        return raised.value

    assert isinstance(refusal("average@idle", 2), VariantUnchanged)
    assert isinstance(refusal("average@idle+pool", 2), VariantImpossible)
    assert isinstance(refusal("average@all", 1), VariantImpossible), "the second thins its input out"


def test_items_of_another_shape_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="20"):
        ablated("ablation_own_code:recipe", tmp_path / "store", "removed@stem", train=(TRAIN[0][:, :20], TRAIN[1]))
    assert not (tmp_path / "store").exists()


def test_a_class_that_validation_lacks_has_no_threshold(tmp_path: Path) -> None:
    x, y = TRAIN
    kept = np.flatnonzero(y == 0).tolist() + np.flatnonzero(y == 1)[:1].tolist()
    found = evidence(ablated("ablation_own_code:recipe", tmp_path, "removed@stem", train=(x[kept], y[kept])))
    assert found.primary == "average_precision"
    assert any("No validation item is of class '1'" in note for note in found.notes)


def test_each_class_with_two_items_gives_one_to_validation() -> None:
    x, y = TRAIN
    kept = np.flatnonzero(y == 0).tolist() + np.flatnonzero(y == 1)[:2].tolist()
    train, validation = hold_back(load_splits({"train": (x[kept], y[kept])})["train"], 0)
    assert (train.labels == 1).sum() == (validation.labels == 1).sum() == 1


@pytest.mark.parametrize("p", [0.0, -1.0, float("nan"), float("inf")])
def test_an_exponent_without_meaning_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="finite number above 0"):
        GeMPooling2D(p=p)


def test_a_class_of_interest_that_the_test_lacks_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 8, 1)).astype(np.float32), rng.integers(0, 2, 60)
    model = keras.Sequential(
        [keras.Input((8, 1)), keras.layers.GlobalMaxPooling1D(name="head"), keras.layers.Dense(3, activation="softmax")]
    )
    plan = AblationPlan(model, (x, y), positive="c", class_names=("a", "b", "c"), options={"depth": "swap"})
    with pytest.raises(InvalidInputError, match="No test item is of class 'c'"):
        run_ablation(plan)


def test_what_an_own_loss_is_given_is_told(tmp_path: Path) -> None:
    found = evidence(ablated(own_model(), tmp_path, "average@stem"))
    assert found.training is not None
    assert "own_loss, labels as one column of class indices" in found.training.statement


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_a_loss_that_is_a_function_of_keras_is_found_again(name: str, tmp_path: Path) -> None:
    model = ablation_recipes.build(dropout=0.0)
    # Read from an .h5 file, a loss that was named is a function as well.
    loss = "binary_crossentropy" if name == "m.h5" else keras.losses.binary_crossentropy
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=[keras.metrics.binary_accuracy])
    model.fit(*TRAIN, epochs=1, verbose=0)
    model.save(tmp_path / name)
    loaded = load_model(tmp_path / name)
    assert loaded.keras_model.loss is not None
    source = model_source(subject_of(loaded), TrialStore(tmp_path))
    spec = make_spec("average@stem", 0, source, TrainingPlan(1, 32), {"test": "t", "classes": "2"})
    assert run_trial(spec, Materials((TRAIN[0], TRAIN[1]), TEST[0], None, 2)).facts["outcome"] == "finished"


def test_a_file_whose_loss_is_unknown_trains_with_no_other_loss(tmp_path: Path) -> None:
    model = own_model()
    source = model_source(subject_of(load_model(model)), TrialStore(tmp_path))
    orphaned = dataclasses.replace(source, modules=())
    plan = TrainingPlan(epochs=1, batch_size=32)
    spec = make_spec("baseline", 0, orphaned, plan, {"classes": "2"})
    keras.saving.get_custom_objects().pop("own_code>own_loss")
    try:
        with pytest.raises(InvalidInputError, match="compile configuration"):
            run_trial(spec, Materials(TRAIN, TEST[0], None, 2))
    finally:
        keras.saving.register_keras_serializable(package="own_code")(ablation_own_code.own_loss)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_training_that_finds_no_room_ends_the_ablation(tmp_path: Path) -> None:
    with pytest.raises(NoSpaceError, match="for want of space"):
        ablated("ablation_recipes:without_room", tmp_path, "average@stem")
    assert not list((tmp_path / "trials").iterdir()), "it says nothing about the variant"
