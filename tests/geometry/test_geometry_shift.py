"""Shift consistency: 100 % where the architecture guarantees it, less where it does not, and who is to blame."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from poolaudit.evidence.geometry import ShiftEvidence
from poolaudit.geometry import shifting
from poolaudit.geometry.analysis import ModelInput
from poolaudit.geometry.shift import ShiftSubject, measure_shift
from poolaudit.subject._loaded import LoadedModel
from poolaudit.subject.models import load_model, predict
from poolaudit.subject.sites import sites_with_owners
from specimens.geometry_models import AdaptivePolyphaseSampling, CircularPadding, circular, layers

ITEMS = 48


def decide(loaded: LoadedModel, inputs: Any) -> Any:
    return predict(loaded, inputs).argmax(axis=1)


def measured(model: keras.Model, inputs: Any, *, modes: list[str] | None = None, **options: Any) -> ShiftEvidence:
    loaded = load_model(model)
    rank = inputs.ndim - 2
    subject = ShiftSubject(
        loaded=loaded,
        model_input=ModelInput("input", inputs.shape[1:], tuple(range(rank)), rank),
        inputs=inputs,
        labels=decide(loaded, inputs),
        class_names=tuple(str(number) for number in range(model.output_shape[-1])),
        positive=None,
        decide=decide,
        any_size=False,
    )
    evidence, owners = sites_with_owners(loaded)
    sites = list(zip(evidence.sites, owners, strict=True))
    found = measure_shift(subject, sites, confidence=0.95, seed=0, modes=modes, **{"budget": "quick", **options})
    assert isinstance(found, ShiftEvidence), found
    return found


def noise(*shape: int) -> Any:
    return np.random.default_rng(3).normal(size=(ITEMS, *shape, 1)).astype("float32")


class CircularDensePooling(layers.Layer):
    """A maximum at stride 1 over a map without ends."""

    def call(self, inputs: Any) -> Any:
        padded = CircularPadding(1)(inputs)
        rank = len(inputs.shape) - 2
        return keras.ops.max_pool(padded, 3, strides=1, padding="valid") if rank else padded


@pytest.mark.parametrize("sampling", [AdaptivePolyphaseSampling, CircularDensePooling])
def test_architectures_without_phase_are_wholly_consistent(sampling: type) -> None:
    found = measured(circular(sampling), noise(16, 16), modes=["circular"], largest=3)
    (mode,) = found.modes
    assert mode.consistency.value == 1.0
    assert mode.stable_items.value == 1.0
    assert found.examples == ()
    assert all(recall.loss.value == 0.0 for recall in found.recalls)


def test_strided_pooling_is_not(tmp_path: Any) -> None:
    found = measured(circular(lambda: layers.MaxPooling2D(2)), noise(16, 16), modes=["circular"], largest=3)
    (mode,) = found.modes
    assert mode.consistency.value is not None
    assert mode.consistency.value < 0.9
    assert mode.consistency.high is not None
    assert mode.consistency.high < 1.0
    # Two strides of 2: shifts by 4 would be whole again, odd ones are worst.
    odd = {at.cells: at.consistency.value for at in mode.by_distance}
    assert set(odd) == {1, 2, 3}
    assert 0 < len(found.examples) <= 4
    example = found.examples[0]
    assert example.before != example.after
    import base64

    assert base64.b64decode(example.picture).startswith(b"\x89PNG")


@pytest.mark.parametrize(("rank", "pool"), [(1, layers.MaxPooling1D), (3, layers.MaxPooling3D)])
def test_signals_and_volumes_are_shifted_along_each_axis(rank: int, pool: Any) -> None:
    size = 32 if rank == 1 else 8
    strided = measured(circular(lambda: pool(2), size, rank=rank), noise(*[size] * rank), modes=["circular"], largest=1)
    assert strided.shifts == 2 * rank
    dense = circular(AdaptivePolyphaseSampling, size, rank=rank)
    assert measured(dense, noise(*[size] * rank), modes=["circular"], largest=1).modes[0].consistency.value == 1.0


def test_the_guilty_site_is_named() -> None:
    """Of two pools, the one with a stride flips predictions; blurring it helps, and the dense one is not tried."""
    model = circular(lambda: layers.MaxPooling2D(2), size=16)
    found = measured(model, noise(16, 16), modes=["circular"], largest=3, budget="standard")
    assert [site.reason for site in found.sites] == [None, None, "only windows that move over the map can be blurred"]
    gains = [site.gain.value for site in found.sites[:2]]
    assert max(gain for gain in gains if gain is not None) > 0.02
    assert all(layer.__dict__.get("call") is None for layer in model.layers)


def test_blurring_keeps_shapes_and_constant_maps() -> None:
    from poolaudit.geometry.blurred_pooling import blurred

    for pool in (layers.MaxPooling2D(2), layers.AveragePooling2D(3, 2, padding="same"), layers.MaxPooling2D(3, (2, 3))):
        model = keras.Sequential([keras.Input((9, 11, 2)), pool])
        loaded = load_model(model)
        (site,), (owner,) = (lambda e: (e[0].sites, e[1]))(sites_with_owners(loaded))
        x = np.full((2, 9, 11, 2), 3.5, "float32")
        plain = np.asarray(loaded.call(x))
        with blurred(loaded, site, owner) as changed:
            assert np.asarray(changed.call(x)).shape == plain.shape
            np.testing.assert_allclose(np.asarray(changed.call(x)), plain)
        np.testing.assert_array_equal(np.asarray(loaded.call(x)), plain)


def test_shifts_move_what_they_say() -> None:
    items = np.arange(24, dtype="float32").reshape(1, 4, 6, 1)
    right = shifting.Shift(1, 2)
    circular_, zero = (shifting.shifted(items, right, mode, 2, (0, 1)) for mode in ("circular", "zero"))
    np.testing.assert_array_equal(circular_[0, 0, :, 0], [4, 5, 0, 1, 2, 3])
    np.testing.assert_array_equal(zero[0, 0, :, 0], [0, 0, 0, 1, 2, 3])
    back = shifting.shifted(items, shifting.Shift(1, -2), "zero", 2, (0, 1))
    np.testing.assert_array_equal(back[0, 0, :, 0], [2, 3, 4, 5, 0, 0])
    crop = shifting.shifted(items, shifting.Shift(1, 1), "crop", 1, (0, 1))
    np.testing.assert_array_equal(crop[0, 0, :, 0], items[0, 1, 0:4, 0])
    np.testing.assert_array_equal(shifting.reference(items, "crop", 1, (0, 1)), items[:, 1:-1, 1:-1])
    framed = np.pad(np.ones((3, 2, 2, 2)), ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=7.0)
    moved = shifting.shifted(framed, shifting.Shift(0, 2), "background", 2, (0, 1))
    assert (moved[:, :4] == 7.0).all()
    assert (moved[:, 4:, 2:4] == 1.0).all()


def test_the_way_of_shifting_follows_the_data() -> None:
    full = np.random.default_rng(0).random((20, 32, 32, 1))
    framed = np.pad(full[:, 8:24, 8:24], ((0, 0), (8, 8), (8, 8), (0, 0)))
    assert shifting.choose(full, (0, 1), 2, any_size=True)[0] == "crop"
    assert shifting.choose(full, (0, 1), 2, any_size=False)[0] == "circular"
    assert shifting.choose(framed, (0, 1), 2, any_size=False)[0] == "background"
    assert shifting.choose(np.zeros((4, 32, 32, 1)), (0, 1), 2, any_size=False)[0] == "circular"


def test_words_and_plain_features_are_not_shifted() -> None:
    loaded = load_model(keras.Sequential([keras.Input((9,)), layers.Dense(2, activation="softmax")]))
    rows = np.random.default_rng(0).normal(size=(8, 9)).astype("float32")
    model_input = ModelInput("input", (9,), (0,), None)
    subject = ShiftSubject(loaded, model_input, rows, np.zeros(8, int), ("a", "b"), None, decide, False)
    assert "order means nothing" in str(measure_shift(subject, [], budget="quick", confidence=0.95, seed=0))
