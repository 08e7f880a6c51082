"""The pooling inside a model, at its own settings and on its own data; and the ways the model can be shipped."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from poolaudit.configuration import PoolConfiguration, same_padding  # noqa: E402
from poolaudit.conformance import exports  # noqa: E402
from poolaudit.conformance.exports import check_exports  # noqa: E402
from poolaudit.conformance.model import check_model, model_check_docs  # noqa: E402
from poolaudit.conformance.site_configuration import site_configuration, small_shape  # noqa: E402
from poolaudit.conformance.sites import check_model_sites  # noqa: E402
from poolaudit.evidence.conformance import PropertyResult  # noqa: E402
from poolaudit.outcomes import Outcome  # noqa: E402
from poolaudit.subject.activations import record_site_activations  # noqa: E402
from poolaudit.subject.models import load_model  # noqa: E402
from specimens import models  # noqa: E402

Results = tuple[PropertyResult, ...]
GOOD = (Outcome.PASSED, Outcome.SKIPPED)


@keras.saving.register_keras_serializable("sites")
class ZeroPaddedMax(keras.layers.Layer):
    """Pads with zeros before a maximum: right only where nothing is negative."""

    def __init__(self, pool_size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size, self.padding = pool_size, "same"

    def call(self, inputs: Any) -> Any:
        shape = tf.shape(inputs)
        pads = [[0, 0], [0, shape[1] % 2], [0, shape[2] % 2], [0, 0]]
        return tf.nn.max_pool2d(tf.pad(inputs, pads), self.pool_size, self.pool_size, "VALID")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size}


@keras.saving.register_keras_serializable("sites")
class EagerOnly(keras.layers.Layer):
    """Forgets what it does as soon as it is in a graph."""

    def call(self, inputs: Any) -> Any:
        return inputs * 3.0 if tf.executing_eagerly() else inputs


@keras.saving.register_keras_serializable("sites")
class DiesInGraph(keras.layers.Layer):
    def call(self, inputs: Any) -> Any:
        if not tf.executing_eagerly():
            os.kill(os.getpid(), signal.SIGSEGV)
        return inputs

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs.shape, inputs.dtype)


class Wavering(keras.layers.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs + tf.random.normal(tf.shape(inputs))


class Unruly(keras.layers.Layer):
    """Python code that no compiler can take."""

    def call(self, inputs: Any) -> Any:
        result = tf.py_function(lambda x: x * 2.0, [inputs], tf.float32)
        return tf.ensure_shape(result, inputs.shape)


def classifier(*layers: Any, shape: tuple[int | None, ...] = (9, 9, 1)) -> Any:
    tail = [keras.layers.GlobalAveragePooling2D(name="whole"), keras.layers.Dense(3, activation="softmax")]
    return keras.Sequential([keras.Input(shape), keras.layers.Conv2D(4, 3), *layers, *tail], name="classifier")


def images(items: int = 12, size: int = 9) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(items, size, size, 1)).astype("float32")


def only(results: Results, layer: str, name: str) -> PropertyResult:
    (found,) = [result for result in results if (result.layer, result.property) == (layer, name)]
    return found


def new_failures(results: Results, layer: str | None = None) -> list[tuple[str, str, str]]:
    return [
        (r.layer, r.property, r.mode)
        for r in results
        if r.outcome not in GOOD and r.known_divergence is None and layer in (None, r.layer)
    ]


@pytest.fixture(scope="module")
def troubled() -> Results:
    """One model with a sound site and one of every trouble."""

    class LocalMax(keras.layers.Layer):
        def __init__(self, pool_size: int = 2, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.pool_size = pool_size

        def call(self, inputs: Any) -> Any:
            return tf.nn.max_pool2d(inputs, self.pool_size, self.pool_size, "VALID")

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "pool_size": self.pool_size}

    inputs = keras.Input((None, None, 1))
    below = keras.layers.Rescaling(1.0, offset=-10.0)(inputs)
    branches = [
        keras.layers.MaxPooling2D(2, name="sound")(inputs),
        keras.layers.AveragePooling2D(2, name="sound_half", dtype="mixed_float16")(inputs),
        LocalMax(name="local")(below),
        ZeroPaddedMax(name="padded")(below),
        keras.layers.AveragePooling2D(2, name="overflow", dtype="mixed_float16")(keras.layers.Rescaling(2e4)(inputs)),
        keras.layers.MaxPooling2D(2, name="fed_nan")(keras.ops.log(inputs)),
    ]
    ends = [keras.layers.GlobalAveragePooling2D(name=f"end_{number}")(x) for number, x in enumerate(branches)]
    model = keras.Model(inputs, keras.layers.Concatenate()([keras.ops.cast(x, "float32") for x in ends]))
    return check_model_sites(record_site_activations(load_model(model), 1.0 + np.abs(images()) - 1.05), profile="quick")


def test_a_healthy_model_passes(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    classifier(
        keras.layers.MaxPooling2D(2, 1, "same", name="first"),
        keras.layers.MaxPooling2D(2, 1, "same", name="again"),
        keras.layers.AveragePooling2D(3, 2, "same", name="second"),
    ).save(path)
    told: list[str] = []
    results = check_model(
        load_model(path), images(), source=path, on_progress=lambda done, total, what: told.append(what)
    )
    assert new_failures(results) == []
    assert [(r.mode, r.outcome) for r in results if r.property == "exports_agree"] == [
        ("graph", Outcome.PASSED),
        ("saved_model", Outcome.PASSED),
    ]
    assert only(results, "first", "oracle").examples == 2
    assert {r.layer for r in results} == {"first", "again", "second", "whole", "classifier"}
    assert sum(r.layer == "first" for r in results) == sum(r.layer == "again" for r in results)
    assert any("first" in what for what in told)


@pytest.mark.parametrize("name", ["sound", "sound_half", "local"])
def test_sound_sites_of_a_troubled_model_are_not_charged(troubled: Results, name: str) -> None:
    assert new_failures(troubled, name) == []
    assert only(troubled, name, "oracle").outcome is Outcome.PASSED


def test_zero_padding_shows_on_negative_activations(troubled: Results) -> None:
    found = only(troubled, "padded", "oracle")
    assert found.outcome is Outcome.FAILED
    assert found.known_divergence is None
    assert found.counterexample is not None


def test_an_average_that_overflows_in_half_precision(troubled: Results) -> None:
    found = only(troubled, "overflow", "site_half_precision_safe")
    assert found.outcome is Outcome.FAILED
    assert found.dtype == "mixed_float16"
    assert found.counterexample is not None
    assert "inf" in found.counterexample.observed
    scope: dict[str, Any] = {}
    exec(compile(found.counterexample.snippet, "snippet", "exec"), scope)  # noqa: S102
    assert np.isinf(np.asarray(scope["layer"](scope["x"]))).any()
    assert only(troubled, "sound_half", "site_half_precision_safe").outcome is Outcome.PASSED
    assert not [r for r in troubled if (r.layer, r.property) == ("sound", "site_half_precision_safe")]


def test_a_window_larger_than_the_map(troubled: Results) -> None:
    """Plain kernels give an empty map; oneDNN's refuse it, and then the model does not run at all."""
    inputs = keras.Input((None, None, 1))
    pooled = keras.layers.MaxPooling2D(16, name="too_large")(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="end")(pooled))
    results = check_model_sites(record_site_activations(load_model(model), images()), profile="quick")
    try:
        pooled_map = tf.nn.max_pool2d(images(), 16, 16, "VALID")
    except tf.errors.OpError:
        assert {r.outcome for r in results} == {Outcome.SKIPPED}
        assert all("could not create a descriptor" in str(r.reason) for r in results)
    else:
        assert pooled_map.shape[1] == 0
        assert only(results, "too_large", "site_window_fits").outcome is Outcome.FAILED
        assert only(results, "end", "site_window_fits").outcome is Outcome.FAILED
        assert only(results, "end", "site_activations_finite").outcome is Outcome.FAILED
        assert "does not fit" in str(only(results, "too_large", "site_conformance").reason)
    assert only(troubled, "sound", "site_window_fits").outcome is Outcome.PASSED


def test_nan_before_a_pooling_site(troubled: Results) -> None:
    found = only(troubled, "fed_nan", "site_activations_finite")
    assert found.outcome is Outcome.FAILED
    assert found.counterexample is not None
    assert "NaN in its input" in found.counterexample.observed
    assert only(troubled, "sound", "site_activations_finite").outcome is Outcome.PASSED


def test_sites_compute_the_same_with_open_sizes(troubled: Results) -> None:
    assert {r.outcome for r in troubled if r.property == "site_unknown_sizes"} == {Outcome.PASSED}


def test_a_layer_that_reads_its_static_size_differs_with_open_sizes() -> None:
    class Static(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            cells = (inputs.shape[1] or 1) * (inputs.shape[2] or 1)
            return tf.reduce_sum(inputs, [1, 2]) / cells

        def compute_output_shape(self, input_shape: Any) -> Any:
            return (input_shape[0], input_shape[-1])

    from poolaudit.conformance.site_properties import SITE_PROPERTIES, SiteUnderTest

    Static.__name__ = "StaticPooling"
    model = keras.Sequential([keras.Input((6, 6, 2)), Static(name="static")])
    (seen,) = record_site_activations(load_model(model), np.ones((4, 6, 6, 2), "float32"))
    found = SITE_PROPERTIES.get("site_unknown_sizes").statement(SiteUnderTest(seen, site_configuration(seen)))
    assert found is not None
    assert (found.outcome, found.mode) == (Outcome.FAILED, "graph_unknown_sizes")


def test_a_layer_that_refuses_open_sizes_is_skipped_with_its_reason() -> None:
    from poolaudit.conformance.site_properties import SITE_PROPERTIES, SiteUnderTest

    model = keras.Sequential([keras.Input((6, 6, 2)), models.BlockReduction(name="blocks")])
    model.layers[0].pool_size = 2  # says that it pools
    (seen,) = record_site_activations(load_model(model), np.ones((4, 6, 6, 2), "float32"))
    found = SITE_PROPERTIES.get("site_unknown_sizes").statement(SiteUnderTest(seen, site_configuration(seen)))
    assert found is not None
    assert found.outcome is Outcome.SKIPPED
    assert "refuses open sizes: TypeError" in str(found.reason)


@pytest.mark.slow
def test_equal_sites_are_tried_once_and_the_rest_beyond_the_cap_is_told() -> None:
    inputs = x = keras.Input((64, 64, 1))
    for number in range(3):
        x = keras.layers.MaxPooling2D(2, 1, "same", name=f"same_{number}")(x)
    for window in range(3, 11):
        x = keras.layers.MaxPooling2D(window, 1, "same", name=f"window_{window}")(x)
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    told: list[int] = []
    results = check_model_sites(
        record_site_activations(load_model(model), images(2, 64)),
        on_progress=lambda done, total, what: told.append(total),
    )
    assert told == [6] * 6
    counts = [
        sum(r.layer == f"same_{number}" and r.outcome is not Outcome.SKIPPED for r in results) for number in range(3)
    ]
    assert counts[0] == counts[1] == counts[2] > 10
    skipped = [r.layer for r in results if r.property == "site_conformance"]
    assert skipped == ["window_8", "window_9", "window_10"]
    assert new_failures(results) == []


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (2, 3), (5, 1), (7, 7)])
def test_a_smaller_map_keeps_padding_and_remainder(window: int, stride: int) -> None:
    configuration = PoolConfiguration("max", 1, (window,), (stride,), padding="same")
    for size in range(1, 80):
        _, small, _ = small_shape(configuration, (8, size, 16))
        assert small <= min(size, window + 3 * stride)
        assert same_padding(small, window, stride) == same_padding(size, window, stride)
        assert (small < window) == (size < window)
        assert (small - window) % stride == (size - window) % stride


def test_kinds_of_custom_layers_are_read_off_what_they_compute() -> None:
    loaded = load_model(models.custom_layers())
    x = np.random.default_rng(0).normal(size=(4, 32, 32, 2)).astype("float32")
    found = {seen.name: site_configuration(seen) for seen in record_site_activations(loaded, x)}
    kinds = {name: None if configuration is None else configuration.kind for name, configuration in found.items()}
    assert (kinds["minimum"], kinds["plain"], kinds["slicing"]) == ("min", "max", None)


def test_a_log_sum_exp_is_not_taken_for_the_root_mean_square_it_resembles_around_one() -> None:
    class LogMeanExponentialPooling(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return keras.ops.logsumexp(x, axis=(1, 2)) - np.log(x.shape[1] * x.shape[2]).astype("float32")

        def compute_output_shape(self, shape: Any) -> Any:
            return (shape[0], shape[3])

    class RootMeanSquarePooling(LogMeanExponentialPooling):
        def call(self, x: Any) -> Any:
            return keras.ops.sqrt(keras.ops.mean(keras.ops.square(x), axis=(1, 2)))

    x = np.random.default_rng(0).uniform(0.5, 1.5, size=(4, 8, 8, 2)).astype("float32")
    kinds = []
    for layer in (LogMeanExponentialPooling(), RootMeanSquarePooling()):
        model = keras.Sequential([keras.Input((8, 8, 2)), layer, keras.layers.Dense(2)])
        (seen,) = record_site_activations(load_model(model), x)
        configuration = site_configuration(seen)
        kinds.append(None if configuration is None else configuration.kind)
    assert kinds == [None, "global_rms"]


def modes(results: Results) -> dict[str, Outcome]:
    assert {r.property for r in results} == {"exports_agree"}
    return {r.mode: r.outcome for r in results}


def test_a_branch_on_the_mode_parts_the_exports() -> None:
    results = check_exports(load_model(classifier(EagerOnly())), images())
    assert modes(results) == {"graph": Outcome.FAILED, "saved_model": Outcome.FAILED}
    assert results[0].counterexample is not None
    assert "classes change" in results[0].counterexample.observed


def test_a_random_model_is_undecided() -> None:
    assert set(modes(check_exports(load_model(classifier(Wavering())), images())).values()) == {Outcome.UNDECIDED}


def test_a_compiler_that_refuses_is_skipped_and_others_are_tried() -> None:
    results = check_exports(load_model(classifier(Unruly())), images(), profile="standard")
    assert modes(results)["graph"] is Outcome.PASSED
    (xla,) = [r for r in results if r.mode == "xla"]
    assert xla.outcome is Outcome.SKIPPED
    assert xla.reason


def test_exports_of_a_sound_model_agree() -> None:
    results = check_exports(load_model(classifier(keras.layers.MaxPooling2D(2))), images(), profile="standard")
    assert modes(results) == dict.fromkeys(("graph", "saved_model", "xla"), Outcome.PASSED)


def test_half_precision_is_given_its_own_tolerance() -> None:
    model = classifier(keras.layers.Conv2D(8, 3, dtype="mixed_float16"), keras.layers.MaxPooling2D(2))
    results = check_exports(load_model(model), images(), profile="standard")
    assert set(modes(results).values()) == {Outcome.PASSED}
    assert {r.dtype for r in results} == {"float16"}


@pytest.mark.slow
def test_exports_of_a_file_agree_in_every_mode(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    classifier(keras.layers.MaxPooling2D(2)).save(path)
    results = check_exports(load_model(path), images(), source=path, profile="standard")
    assert modes(results) == dict.fromkeys(("graph", "saved_model", "tflite", "xla"), Outcome.PASSED)


def test_a_death_in_one_mode_is_found_and_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each process imports TensorFlow; on a busy machine three of them outlast the time that an audit gives them.
    monkeypatch.setitem(exports._TIMES, "quick", 600.0)
    path = tmp_path / "model.keras"
    classifier(DiesInGraph()).save(path)
    results = check_exports(load_model(path, trust_model_code=True), images(), source=path, trust_model_code=True)
    assert modes(results) == {"graph": Outcome.FAILED, "saved_model": Outcome.FAILED}
    assert all(r.counterexample is not None and "SIGSEGV" in r.counterexample.observed for r in results)


@pytest.mark.slow
def test_a_file_that_the_child_cannot_load_is_tried_here(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("sites_local")
    class OnlyHere(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2.0

    path = tmp_path / "model.keras"
    classifier(OnlyHere()).save(path)
    assert set(modes(check_exports(load_model(path), images(), source=path)).values()) == {Outcome.PASSED}


def test_the_checks_are_documented_under_codes_of_their_own() -> None:
    from poolaudit.conformance.property import all_properties

    codes = [doc.code for doc in model_check_docs()]
    assert codes == ["PA115", "PA116", "PA117", "PA118", "PA119"]
    assert not set(codes) & {entry.doc.code for entry in all_properties()}
