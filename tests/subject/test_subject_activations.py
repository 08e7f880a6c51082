"""What flows through every pooling site is recorded, and the model is left as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from poolaudit.errors import InvalidInputError  # noqa: E402
from poolaudit.subject.activations import SiteActivations, record_site_activations  # noqa: E402
from poolaudit.subject.models import load_model  # noqa: E402
from poolaudit.subject.sites import list_pooling_sites  # noqa: E402
from specimens import models  # noqa: E402


def data(shape: tuple[int, ...], items: int = 20) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(items, *shape)).astype("float32")


def recorded(model: Any, shape: tuple[int, ...], items: int = 20, **options: Any) -> dict[str, SiteActivations]:
    found = record_site_activations(load_model(model), data(shape, items), **options)
    return {seen.name: seen for seen in found}


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (models.sequential_2d, (16, 16, 1)),
        (models.sequential_1d, (32, 2)),
        (models.nested, (16, 16, 2)),
        (models.shared_layer, (16, 16, 1)),
        (models.subclassed, (16, 16, 1)),
        (models.custom_layers, (32, 32, 2)),
        (models.functional_with_operations, (12, 12, 3)),
        (models.without_pooling, (8, 8, 4)),
    ],
)
def test_every_site_has_an_entry_and_the_model_stays_as_it_was(make: Any, shape: tuple[int, ...]) -> None:
    model = make()
    loaded, x = load_model(model), data(shape)
    before = model.get_weights()
    answers = np.asarray(model(x[:4]))
    seen = record_site_activations(loaded, x)
    assert [entry.site for entry in seen] == list(list_pooling_sites(loaded).sites)
    assert all((entry.reason is None) == (entry.items == len(x)) for entry in seen)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert np.array_equal(answers, np.asarray(model(x[:4])))


def test_ranges_and_shapes_are_those_of_the_site() -> None:
    x = data((16, 16, 2))
    seen = recorded(models.nested(), (16, 16, 2))
    outer, inner = seen["middle/pool"], seen["middle/inner/pool"]
    assert (outer.lowest, outer.highest) == (pytest.approx(float(x.min())), pytest.approx(float(x.max())))
    assert inner.input_shape == (16, 8, 8, 2)
    assert inner.lowest is not None
    assert outer.lowest is not None
    assert inner.lowest > outer.lowest
    assert outer.layer == "keras.layers:MaxPooling2D"
    assert outer.config is not None
    assert outer.config["pool_size"] == [2, 2]
    assert outer.extremes is not None
    assert np.abs(outer.extremes).max() == pytest.approx(float(np.abs(x).max()))


def test_calls_of_a_shared_layer_are_kept_apart() -> None:
    seen = recorded(models.shared_layer(), (16, 16, 1))
    assert (seen["pool"].input_shape, seen["pool@2"].input_shape) == ((16, 16, 16, 1), (16, 8, 8, 2))
    assert seen["pool"].live is seen["pool@2"].live


def test_pooling_inside_custom_code_says_that_it_was_not_recorded() -> None:
    seen = recorded(models.subclassed(), (16, 16, 1))
    assert seen["early"].reason is None
    assert "inside custom code" in str(seen["max_pool2d"].reason)
    assert seen["max_pool2d"].input_nan == 0
    assert seen["max_pool2d"].lowest is None


def test_nan_and_infinities_are_counted() -> None:
    inputs = keras.Input((4, 4, 1))
    x = keras.layers.Rescaling(1e38, name="large")(keras.ops.log(inputs))
    model = keras.Model(inputs, keras.layers.GlobalMaxPooling2D(name="pool")(x))
    x = np.ones((3, 4, 4, 1), "float32")
    x[0, 0, 0], x[1, 1, 1], x[2, :, :] = -1.0, 0.0, 1e9
    (seen,) = record_site_activations(load_model(model), x)
    assert (seen.input_nan, seen.input_infinite) == (1, 17)
    assert seen.output_infinite == 1
    assert (seen.lowest, seen.highest) == (0.0, 0.0)


def test_a_dtype_policy_is_told() -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.AveragePooling2D(2, dtype="mixed_float16")])
    (seen,) = recorded(model, (8, 8, 1)).values()
    assert (seen.dtype_policy, seen.compute_dtype) == ("mixed_float16", "float16")


def test_only_as_many_items_run_as_asked_for() -> None:
    assert recorded(models.sequential_1d(), (32, 2), max_items=5)["halve"].items == 5


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInputError):
        recorded(models.sequential_2d(), (9, 9, 1))
    with pytest.raises(InvalidInputError):
        recorded(models.sequential_2d(), (16, 16, 1), max_items=0)
