"""Ways of running: eager, graph, unknown sizes, XLA, exported."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from poolaudit.conformance.case import Case
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.numerics import as_float64, demand_same
from poolaudit.conformance.property import layer_property
from poolaudit.conformance.tflite_run import run_tflite
from poolaudit.conformance.violations import NotApplicable, Refused, Violation

_COMPILED = ("graph", "graph_unknown_sizes", "xla")


@layer_property("PA160", cost="trace", modes=_COMPILED, data=("permutation", "normal", "ties"))
def modes_agree(layer: LayerUnderTest, case: Case) -> None:
    """Compiled runs give what the eager run gives.

    Why: `fit` and `predict` compile; what you tried by hand is not what is deployed.
    How: the same instance, eager and compiled, value and (on tie-free data) gradient with the upstream gradient as an
        argument; a layer may refuse unknown sizes or XLA, with an exception that says so.
    Do: no Python branches on values, no `.numpy()`, no state that is written while tracing.
    False alarm: none known.
    """
    x = case.array()
    eager = layer.in_mode("eager")
    expected = eager.value(x)
    try:
        found = layer.value(x)
    except Refused as refused:
        if layer.mode == "graph":
            raise Violation(
                str(refused), f"shape {expected.shape}, as the eager run", "the compiled run fails"
            ) from None
        if layer.mode == "graph_unknown_sizes" and not refused.deliberate:
            raise Violation(
                str(refused), f"shape {expected.shape}, as the eager run", "unknown sizes crash the layer"
            ) from None
        raise
    if str(found.dtype) != str(expected.dtype):
        raise Violation(f"dtype {found.dtype}", f"dtype {expected.dtype}, as the eager run", "the dtypes differ")
    demand_same(found, expected, case.dtype, "the compiled run gives other values than the eager run", 4)
    if case.data == "permutation":
        upstream = case.upstream(expected.shape)
        if not np.issubdtype(np.dtype(str(expected.dtype)), np.floating):
            return
        wanted = eager.gradient(x, upstream)
        demand_same(
            layer.gradient(x, upstream),
            wanted,
            case.dtype,
            "the compiled run gives other gradients than the eager run",
            8,
        )


@layer_property("PA161", cost="trace", modes=("graph_unknown_sizes",), data=("permutation", "normal"))
def retracing_free(layer: LayerUnderTest, case: Case) -> None:
    """One trace with unknown sizes serves every size.

    Why: a size that is read while tracing is frozen into the graph, and the second image gets the first one's windows.
    How: one traced function is called with several sizes and batches, and compared with the eager run.
    Do: read sizes from `tf.shape` (or `keras.ops.shape`) inside the graph.
    False alarm: none known; unknown sizes may be refused.
    """
    x = case.array()
    eager = layer.in_mode("eager")
    larger = np.concatenate([x, x], axis=0)
    for axis in case.configuration.spatial_axes():
        larger = np.concatenate([larger, np.roll(larger, 1, axis=axis)], axis=axis)
    for variant in (x, larger, x[:1]):
        if case.configuration.layout == "adaptive" and min(variant.shape) == 0:
            raise NotApplicable
        expected = eager.value(variant)
        demand_same(layer.value(variant), expected, case.dtype, "one trace does not serve every size", 4)


def _where_it_goes(stage: str, action: Callable[[], np.ndarray]) -> np.ndarray:
    """What cannot be exported or converted is a refusal, whatever the exporter raises."""
    try:
        return action()
    except Exception as error:
        raise Refused(stage, error, True) from error


@layer_property("PA162", cost="slow", needs_keras_layer=True, data=("normal",))
def saved_model(layer: LayerUnderTest, case: Case) -> None:
    """An exported SavedModel gives what the layer gives.

    Why: what is served is the export.
    How: a functional model of this one layer with an unknown batch is exported and loaded again.
    Do: build on TensorFlow operations only.
    False alarm: none known; a layer that refuses to be exported is not accused.
    """
    import keras
    import tensorflow as tf

    x = case.array()
    expected = layer.value(x)
    instance = layer.instance

    def export() -> np.ndarray:
        inputs = keras.Input(x.shape[1:], dtype=case.input_dtype)
        model = keras.Model(inputs, instance(inputs))
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "export")
            model.export(path, verbose=False)
            loaded = tf.saved_model.load(path)  # must stay alive while it runs: it owns the variables
            return np.asarray(loaded.serve(tf.constant(x)))

    demand_same(_where_it_goes("export", export), expected, case.dtype, "the exported model gives other values", 4)


@layer_property("PA163", cost="slow", needs_keras_layer=True, data=("normal",))
def tflite(layer: LayerUnderTest, case: Case) -> None:
    """A TFLite conversion gives what the layer gives, where it converts.

    Why: phones run the conversion.
    How: a functional model of this one layer with the known shape is converted and interpreted.
    Do: report it to TensorFlow, or choose other operations.
    False alarm: none known; a layer that does not convert is not accused.
    """
    import keras
    import tensorflow as tf

    x = case.array()
    expected = layer.value(x)
    instance = layer.instance

    def convert() -> np.ndarray:
        inputs = keras.Input(batch_shape=x.shape, dtype=case.input_dtype)
        model = keras.Model(inputs, instance(inputs))
        return run_tflite(tf.lite.TFLiteConverter.from_keras_model(model).convert(), x)

    demand_same(
        as_float64(_where_it_goes("conversion", convert)),
        as_float64(expected),
        case.dtype,
        "TFLite gives other values",
        4,
    )
