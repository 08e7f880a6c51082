"""Surgery gives another model with the weights it can keep, leaves the original alone, or says why it cannot."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from poolaudit.ablation.costs import count_flops, measure_costs  # noqa: E402
from poolaudit.ablation.locate import locate  # noqa: E402
from poolaudit.ablation.proof import differs_from_baseline  # noqa: E402
from poolaudit.ablation.surgery import BuiltVariant, VariantImpossible, VariantUnchanged, build_variant  # noqa: E402
from poolaudit.ablation.variants import (  # noqa: E402
    ACTIONS,
    NotApplicable,
    Variant,
    applicable_variants,
    parse_variant,
    variant,
)
from poolaudit.errors import InvalidInputError  # noqa: E402
from specimens import ablation_models, models  # noqa: E402


def built(model: Any, name: str, **settings: Any) -> BuiltVariant:
    return build_variant(model, parse_variant(name), **settings)


def kinds(model: Any) -> dict[str, str]:
    return {entry.site.name: entry.site.kind for entry in locate(model)}


def test_a_sequential_model_stays_sequential_and_keeps_its_weights() -> None:
    model = models.sequential_2d()
    changed = built(model, "average@first")
    assert isinstance(changed.model, keras.Sequential)
    assert [layer.name for layer in changed.model.layers] == [layer.name for layer in model.layers]
    assert isinstance(changed.model.get_layer("first"), keras.layers.AveragePooling2D)
    assert changed.reinitialised_weights == ()
    assert len(changed.kept_weights) == len(model.weights)
    for ours, theirs in zip(changed.model.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("name", ["average@pool", "removed@pool", "gem@all", "weaker@pool"])
def test_training_a_variant_leaves_the_original_bit_by_bit_as_it_was(name: str) -> None:
    model = ablation_models.compiled()
    before = [weight.numpy().copy() for weight in model.weights]
    places = [len(layer._inbound_nodes) for layer in model.layers]
    changed = built(model, name).model
    x, y = ablation_models.inputs_of(model, 8), np.arange(8) % 4
    assert changed.compiled
    assert changed.optimizer.get_config() == model.optimizer.get_config()
    start = [weight.numpy().copy() for weight in changed.trainable_weights]
    changed.fit(x, y, verbose=0)
    assert any(not np.array_equal(a, b.numpy()) for a, b in zip(start, changed.trainable_weights, strict=True))
    for was, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(was, weight.numpy())
    assert places == [len(layer._inbound_nodes) for layer in model.layers]


def test_a_misspelt_site_or_action_is_refused_with_the_nearest_name() -> None:
    model = models.sequential_2d()
    with pytest.raises(InvalidInputError, match="Did you mean 'first'"):
        built(model, "average@frist")
    with pytest.raises(InvalidInputError, match="Did you mean 'average'"):
        parse_variant("avarage@first")
    for text in ("average", "average@", "@first", "average@first+", "blur(filter_size)@first", "blur(@first"):
        with pytest.raises(InvalidInputError):
            parse_variant(text)
    with pytest.raises(InvalidInputError, match="twice"):
        built(model, "average@first+first")


def test_options_reach_the_layer() -> None:
    changed = built(models.sequential_2d(), "blur(filter_size=5)@first")
    assert changed.model.get_layer("first").filter_size == 5
    with pytest.raises(InvalidInputError, match="do not fit"):
        built(models.sequential_2d(), "blur(size=5)@first")
    with pytest.raises(InvalidInputError, match=r"no option 'fitler_size'\. Allowed: 'filter_size'\. Did you mean"):
        built(models.sequential_2d(), "blur(fitler_size=5)@first")
    with pytest.raises(InvalidInputError, match=r"no option 'size'\. Allowed: none at all"):
        built(models.sequential_2d(), "average(size=5)@first")


def test_each_call_of_a_shared_layer_can_be_changed_by_itself() -> None:
    model = models.shared_layer()
    first, second = built(model, "average@pool"), built(model, "average@pool@2")
    assert kinds(first.model)["pool_call_1"] == "average"
    assert "max" in kinds(first.model).values()
    x = ablation_models.inputs_of(model)
    outputs = [np.asarray(each.model(x)) for each in (first, second)] + [np.asarray(model(x))]
    assert not any(np.allclose(a, b) for a, b in itertools.pairwise(outputs))


def test_a_site_in_a_nested_model_is_changed_at_any_depth() -> None:
    model = ablation_models.deep_nesting()
    changed = built(model, "average@first/second/third/pool")
    assert kinds(changed.model) == {**kinds(model), "first/second/third/pool": "average"}
    x = ablation_models.inputs_of(model)
    manual = model.get_layer("first").get_layer("conv")(x)
    manual = keras.layers.AveragePooling2D(2)(keras.layers.AveragePooling2D(2)(manual))
    manual = model.get_layer("scores")(keras.layers.Flatten()(manual))
    np.testing.assert_allclose(changed.model(x), manual, rtol=1e-5, atol=1e-6)


def test_one_call_of_a_nested_model_can_be_changed_while_its_layers_stay_shared() -> None:
    model = ablation_models.siamese()
    changed = built(model, "average@tower/pool")
    assert changed.parameters == changed.baseline_parameters
    left, right = ablation_models.inputs_of(model)
    kind, score = (np.asarray(part) for part in changed.model([left, right]))
    tower = model.get_layer("tower")
    soft = keras.layers.GlobalAveragePooling2D()(keras.layers.AveragePooling2D(2)(tower.get_layer("conv")(left)))
    expected = model.get_layer("score")(soft - tower(right))
    np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-5)
    assert kind.shape == (3, 4)


def test_a_whole_group_shares_one_copy_of_a_nested_model() -> None:
    changed = built(ablation_models.siamese(), "gem@tower/pool+tower/pool@2")
    assert [name for name in changed.new_weights if name.endswith("/p")] == ["tower/pool_call_1/p"]


def test_removal_in_front_of_a_flatten_resizes_the_head_and_the_control_matches_its_parameters() -> None:
    model = ablation_models.preprocessing_inside()
    changed = built(model, "removed@pool")
    assert changed.head_resized
    assert changed.must_be_trained
    assert changed.reinitialised_weights == ("scores/kernel", "scores/bias")
    assert changed.parameters > changed.baseline_parameters
    control = built(model, "removed@pool", control=True)
    assert control.parameters == control.baseline_parameters
    assert control.reinitialised_weights == ()
    assert kinds(control.model).get("pool") is None
    x = ablation_models.inputs_of(model)
    assert np.isfinite(np.asarray(changed.model(x))).all()
    assert not np.allclose(control.model(x), model(x))


def test_a_fresh_head_follows_the_seed_and_nothing_else() -> None:
    import random

    model = ablation_models.preprocessing_inside()
    state = random.getstate()
    one, again, other = (
        np.asarray(built(model, "removed@pool", seed=seed).model.get_layer("scores").kernel) for seed in (1, 1, 2)
    )
    assert random.getstate() == state
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_flatten_and_global_pooling_take_each_others_place_with_a_control() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Conv2D(64, 3, padding="same"),
            keras.layers.Conv2D(64, 3, padding="same"),
            keras.layers.GlobalAveragePooling2D(name="mean"),
            keras.layers.Dense(64, name="scores"),
        ]
    )
    grown, control = built(model, "head:flatten"), built(model, "head:flatten", control=True)
    assert grown.parameters > 3 * grown.baseline_parameters
    assert abs(control.parameters / control.baseline_parameters - 1) <= 0.05
    flat = keras.Sequential([keras.Input((6, 6, 8)), keras.layers.Flatten(name="flat"), keras.layers.Dense(50)])
    shrunk, control = built(flat, "head:global_max"), built(flat, "head:global_max", control=True)
    assert shrunk.parameters < 0.1 * shrunk.baseline_parameters
    assert abs(control.parameters / control.baseline_parameters - 1) <= 0.05


def test_a_control_is_refused_where_the_head_keeps_its_size() -> None:
    with pytest.raises(VariantImpossible, match="no capacity to match"):
        built(models.sequential_2d(), "removed@first", control=True)


@pytest.mark.parametrize("name", ["weaker@shortcut", "removed@shortcut", "stronger@shortcut"])
def test_the_other_branch_of_a_residual_follows(name: str) -> None:
    model = ablation_models.residual_with_pooled_shortcut()
    changed = built(model, name)
    assert any("'second' now has strides" in note for note in changed.notes)
    assert changed.reinitialised_weights == ()
    assert differs_from_baseline(model, changed, ablation_models.inputs_of(model)).output_difference


def test_branches_agree_where_the_input_sizes_are_open() -> None:
    model = ablation_models.open_sizes()
    changed = built(model, "removed@pool")
    assert changed.model.get_layer("strided").strides == (1, 1)
    assert changed.model.input_shape == (None, None, None, 3)
    for size in (9, 12):
        x = np.random.default_rng(0).uniform(size=(2, size, size, 3)).astype("float32")
        assert np.isfinite(np.asarray(changed.model(x))).all()


def test_steps_of_a_time_distributed_are_changed_inside() -> None:
    model = ablation_models.time_distributed()
    x = ablation_models.inputs_of(model)
    for name in ("average@frames/encoder/pool", "max@again/inner", "global_max@rows/flat"):
        changed = built(model, name)
        proof = differs_from_baseline(model, changed, x)
        assert proof.changed_sites == (name.partition("@")[2],)
        assert type(changed.model.get_layer("frames")) is keras.layers.TimeDistributed


def test_the_class_of_a_functional_model_is_kept() -> None:
    changed = built(ablation_models.own_training(), "average@pool").model
    assert type(changed) is ablation_models.OwnTraining


def test_all_branches_of_an_inception_block_follow() -> None:
    changed = built(ablation_models.inception_block(), "removed@c")
    assert changed.model.get_layer("a").strides == (1, 1)
    assert changed.model.get_layer("b2").strides == (1, 1)
    assert changed.model.get_layer("mixed").output.shape == (None, 17, 17, 11)


@pytest.mark.parametrize(
    ("specimen", "name", "reason"),
    [
        ("unet", "removed@down", "'skip' joins branches of the same size"),
        ("hard_coded_sizes", "removed@pool", "'sizes' .Reshape. does not take"),
        ("reshape_that_folds", "weaker@pool", "output would have the shape"),
        ("functions_of_a_users_own", "removed@pool", "gives 8 outputs for 2 items"),
        ("functions_of_a_users_own", "stronger@pool", "does not run"),
        ("pooling_last", "flatten@last", "output would have the shape"),
        ("masked_sequence", "global_max@mean", "carries a mask"),
        ("written", "removed@pool", "called by code"),
        ("not_described", "global_max@mean", "cannot be copied"),
        ("siamese", "flatten@tower/mean", "does not take inputs"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(specimen: str, name: str, reason: str) -> None:
    with pytest.raises(VariantImpossible, match=reason):
        built(getattr(ablation_models, specimen)(), name)


def test_a_head_beyond_the_machine_is_refused_before_it_is_made() -> None:
    model = keras.Sequential(
        [
            keras.Input((512, 512, 1)),
            keras.layers.Conv2D(64, 1),
            keras.layers.MaxPooling2D(64, name="pool"),
            keras.layers.Flatten(),
            keras.layers.Dense(8192),
        ]
    )
    with pytest.raises(VariantImpossible, match="more than this machine can train"):
        built(model, "removed@pool")


def test_a_layer_inside_user_code_is_exchanged_on_a_copy() -> None:
    model = ablation_models.written()
    x = ablation_models.inputs_of(model)
    before = np.asarray(model(x))
    changed = built(model, "gem@pool@2")
    assert changed.not_savable
    assert changed.new_weights == ("pool/p",)
    assert len(changed.model.trainable_weights) == len(model.trainable_weights) + 1
    manual = model.conv(model.pool(x))
    from poolaudit.ablation.layers import GeMPooling2D

    manual = model.scores(model.last(GeMPooling2D(2)(manual)))
    np.testing.assert_allclose(changed.model(x), manual, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model(x), before)
    assert all("call" not in vars(layer) for layer in model._flatten_layers())
    changed.model.compile("sgd", "sparse_categorical_crossentropy")
    changed.model.fit(x, np.zeros(len(x)), verbose=0)
    np.testing.assert_array_equal(model(x), before)


def test_a_model_that_cannot_copy_itself_is_built_again_by_its_function() -> None:
    model = ablation_models.not_described()
    changed = built(model, "global_max@mean", rebuild=ablation_models.not_described)
    x = ablation_models.inputs_of(model)
    np.testing.assert_allclose(changed.model(x), model.scores(x.max((1, 2))), rtol=1e-5, atol=1e-6)


def test_data_format_and_precision_are_those_of_the_site() -> None:
    first = built(ablation_models.channels_first(), "blur@pool").model.get_layer("pool")
    assert first.data_format == "channels_first"
    half = built(ablation_models.mixed_precision(), "mixed@pool").model.get_layer("pool")
    assert half.dtype_policy.name == "mixed_float16"
    assert half.compute_dtype == "float16"


def test_operations_in_the_graph_are_exchanged() -> None:
    model = ablation_models.operations_as_pooling()
    for name in ("average@max_pool", "max@average_pool", "global_max@mean"):
        site = name.partition("@")[2]
        site = next(entry.site.name for entry in locate(model) if entry.site.name.startswith(site))
        changed = built(model, f"{name.partition('@')[0]}@{site}")
        proof = differs_from_baseline(model, changed, ablation_models.inputs_of(model))
        assert proof.changed_sites == (site,)


def test_a_replacement_that_is_the_same_layer_is_an_error_and_no_effect() -> None:
    @variant("test_same", listed=False)
    def same(site: Any) -> Any:
        return keras.layers.MaxPooling2D(site.window, site.strides, site.padding)

    with pytest.raises(VariantUnchanged, match="the layer that was there"):
        built(models.sequential_2d(), "test_same@first")


def test_a_variant_that_changes_no_value_is_an_error_and_no_effect() -> None:
    model = ablation_models.window_of_one()
    changed = built(model, "subsample@stride_only")
    with pytest.raises(VariantUnchanged, match="same as before"):
        differs_from_baseline(model, changed, ablation_models.inputs_of(model))
    flat = ablation_models.preprocessing_inside()
    zeros = np.full((3, 12, 12, 1), 3.0, np.float32)
    with pytest.raises(VariantUnchanged):
        differs_from_baseline(flat, built(flat, "subsample@pool"), zeros)


def test_a_users_own_variant_is_a_registered_function() -> None:
    @variant("test_wide", places="windowed", listed=False)
    def wide(site: Any, size: int = 4) -> Any:
        return keras.layers.MaxPooling2D(size, site.strides, "same")

    try:
        model = models.sequential_2d()
        changed = built(model, "test_wide(size=6)@first")
        assert changed.model.get_layer("first").pool_size == (6, 6)
        assert parse_variant("test_wide@first") == Variant("test_wide@first", "test_wide", ("first",))
        with pytest.raises(ValueError, match="twice"):
            variant("test_wide")(wide)
    finally:
        assert "test_wide" in ACTIONS


def test_what_is_listed_carries_its_reason_where_it_does_not_apply() -> None:
    found = applicable_variants(models.custom_layers(), pairs=True)
    refused = [entry for entry in found if isinstance(entry, NotApplicable)]
    assert refused
    assert all(entry.reason for entry in refused)
    assert any(entry.name == "any@blocks/reduce_mean" for entry in refused)
    names = [entry.name for entry in found if isinstance(entry, Variant)]
    assert len(names) == len(set(names))
    assert "average@minimum+plain" in names
    assert {"average@minimum", "average@all"} <= set(names)
    one = applicable_variants(models.sequential_2d(), groups=("each",), actions=["average"])
    assert [entry.name for entry in one if isinstance(entry, Variant)] == ["average@first"]


@pytest.mark.parametrize("pooling", ["MaxPooling2D", "AveragePooling2D"])
def test_pooling_of_a_single_cell_has_no_variants_and_says_why(pooling: str) -> None:
    def refused(size: int) -> dict[str, str]:
        layer = getattr(keras.layers, pooling)(2, padding="same", name="pool")
        model = keras.Sequential([keras.Input((size, size, 4)), layer, keras.layers.Flatten(), keras.layers.Dense(3)])
        found = applicable_variants(model, groups=("each",))
        return {entry.name: entry.reason for entry in found if isinstance(entry, NotApplicable)}

    single = refused(1)
    for action in ("max", "average", "subsample", "blur", "polyphase", "gem", "mixed", "weaker", "stronger", "removed"):
        assert "a single cell" in single[f"{action}@pool"]
    assert "strided_convolution@pool" not in single, "it has weights of its own"
    assert [name for name in refused(4) if name.endswith("@pool")] == [f"{pooling[:-9].lower()}@pool"]


@pytest.mark.parametrize(("cells", "window", "covered"), [(2, 3, True), (3, 3, False), (3, 5, True), (2, 2, False)])
def test_a_window_that_sees_everything_cannot_be_stronger(cells: int, window: int, covered: bool) -> None:
    layer = keras.layers.AveragePooling1D(window, 1, padding="same", name="pool")
    model = keras.Sequential([keras.Input((cells, 2)), layer, keras.layers.Flatten(), keras.layers.Dense(3)])
    found = {entry.name: entry for entry in applicable_variants(model, groups=("each",))}["stronger@pool"]
    if covered:
        assert isinstance(found, NotApplicable)
        assert "covers the whole input" in found.reason
        wider = keras.layers.AveragePooling1D(window + 2, 1, padding="same")
        x = np.random.default_rng(0).normal(size=(4, cells, 2)).astype("float32")
        np.testing.assert_allclose(wider(x), layer(x), rtol=1e-6)
    else:
        x = np.random.default_rng(0).normal(size=(4, cells, 2)).astype("float32")
        assert differs_from_baseline(model, built(model, "stronger@pool"), x).changed_sites == ("pool",)


def test_total_downsampling_is_swept() -> None:
    model = ablation_models.volumes()
    found = {entry.name for entry in applicable_variants(model) if isinstance(entry, Variant)}
    assert {"downsampling_1@all", "downsampling_2@all", "downsampling_8@all"} <= found
    assert "downsampling_4@all" not in found
    assert built(model, "downsampling_1@all").model.get_layer("cube").strides == (1, 1, 1)


def test_costs_count_a_multiply_add_as_two() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, use_bias=False, padding="same")])
    assert count_flops(model, (8, 8, 3)) == 2 * 8 * 8 * 5 * 3 * 3 * 3
    dense = keras.Sequential([keras.Input((7,)), keras.layers.Dense(4, use_bias=False)])
    assert count_flops(dense, (7,)) == 2 * 7 * 4
    costs = measure_costs(model, (8, 8, 3), batch_size=2, repeats=8)
    assert costs.parameters == 3 * 3 * 3 * 5
    assert costs.batch_size == 2
    latency = costs.latency_seconds
    assert latency.value is not None
    assert latency.low is not None
    assert latency.high is not None
    assert 0 < latency.low <= latency.value <= latency.high
