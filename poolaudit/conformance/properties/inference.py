"""Shapes and dtypes: what is announced is what comes."""

from __future__ import annotations

from typing import Any

import numpy as np

from poolaudit.conformance.case import Case
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.property import layer_property
from poolaudit.conformance.violations import NotApplicable, Refused, Violation


@layer_property(
    "PA150",
    cost="medium",
    needs_keras_layer=True,
    data=("ties",),
)
def shape_inference(layer: LayerUnderTest, case: Case) -> None:
    """The announced shape is the shape that comes: compute_output_shape, symbolic call, run; None included.

    Why: Keras builds the next layer from the announced shape; a wrong one fails in deployment or, worse, broadcasts.
    How: known shapes, an unknown batch, and unknown spatial sizes; the last may be refused.
    Do: compute the shape by the same arithmetic as the values.
    False alarm: none known.
    """
    x = case.array()
    y = layer.value(x)
    instance = layer.instance
    unknown_batch = (None, *x.shape[1:])
    announces = _announces_shape(instance)
    if announces:
        for given in (x.shape, unknown_batch):
            _compare(layer, given, y.shape, "compute_output_shape", lambda: instance.compute_output_shape(given))  # noqa: B023
    _compare(layer, unknown_batch, y.shape, "symbolic call", lambda: _symbolic(instance, unknown_batch, case).shape)
    unknown = layer.unknown_shape(x.shape)
    try:
        announced = instance.compute_output_shape(unknown) if announces else None
    except Exception:  # a layer may need its sizes
        announced = None
    if announced is not None:
        _compare(layer, unknown, y.shape, "compute_output_shape", lambda: announced)
        _demand_none_kept(layer, case, unknown, tuple(announced))
    if layer.configuration.layout != "any" and y.shape != layer.configuration.output_shape(x.shape):
        raise Violation(f"shape {y.shape}", f"shape {layer.configuration.output_shape(x.shape)}", "the shape is wrong")


def _announces_shape(instance: Any) -> bool:
    """Whether the layer has a `compute_output_shape` of its own; Keras's default only raises."""
    return not getattr(instance.compute_output_shape, "_is_default", False)


def _demand_none_kept(layer: LayerUnderTest, case: Case, given: tuple[Any, ...], announced: tuple[Any, ...]) -> None:
    if layer.configuration.layout == "any":
        return
    expected = layer.configuration.output_shape(given)
    if announced != expected:
        raise Violation(f"{announced}", f"{expected}", f"compute_output_shape({given}) announces otherwise")


def _symbolic(instance: Any, shape: tuple[Any, ...], case: Case) -> Any:
    import keras

    return instance(keras.KerasTensor(shape, dtype=case.input_dtype))


def _compare(layer: LayerUnderTest, given: tuple[Any, ...], run: tuple[int, ...], how: str, announce: Any) -> None:
    call = "keras.KerasTensor({})" if how == "symbolic call" else "{}"
    text = f"layer({call.format(given)}).shape" if how == "symbolic call" else f"layer.compute_output_shape({given})"
    try:
        announced = tuple(announce())
    except Exception as error:
        layer.ran(f"print('observed:', {text.replace('layer(', '(layer)(')})")
        name = type(error).__name__
        raise Violation(
            f"{name}: {str(error).splitlines()[0][:160] if str(error) else ''}",
            f"shape {run}, as the run gives",
            f"the {how} fails for {given}, where the run works",
        ) from None
    agree = len(announced) == len(run) and all(a is None or a == r for a, r in zip(announced, run, strict=True))
    if not agree:
        layer.ran(f"print('observed:', {text.replace('layer(', '(layer)(')})")
        raise Violation(f"{announced}", f"{run}, as the run gives", f"the {how} for {given} announces another shape")


@layer_property(
    "PA151",
    cost="medium",
    needs_keras_layer=True,
    data=("ties",),
    dtypes=("mixed_float16", "float32", "bfloat16", "float64"),
)
def dtype_inference(layer: LayerUnderTest, case: Case) -> None:
    """The output has the compute dtype of the layer's policy, and the symbolic call announces it.

    Why: a layer that returns float32 under mixed precision doubles memory and breaks the next layer's expectations.
    How: the run's dtype is compared with the policy's compute dtype and with the symbolic call; float32 input for mixed
        policies, as Keras feeds them.
    Do: cast the result to `self.compute_dtype`.
    False alarm: layers with a fixed dtype policy of their own.
    """
    instance = layer.instance
    x = case.array()
    if case.dtype.startswith("mixed_"):
        x = x.astype(np.float32)
    wanted = str(instance.compute_dtype)
    if wanted != case.input_dtype:
        raise NotApplicable
    y = layer.value(x)
    if str(y.dtype) != wanted:
        raise Violation(str(y.dtype), wanted, f"under the policy {case.dtype} the output has another dtype")
    import keras

    try:
        announced = str(keras.backend.standardize_dtype(instance(keras.KerasTensor(x.shape, dtype=str(x.dtype))).dtype))
    except Exception as error:
        raise Refused("symbolic call", error, True) from error
    if announced != wanted:
        layer.ran(f"print('observed:', (layer)(keras.KerasTensor({x.shape}, dtype={str(x.dtype)!r})).dtype)")
        raise Violation(f"announced {announced}", f"{wanted}, as the run gives", "the symbolic dtype is not the run's")


@layer_property("PA152", cost="medium", needs_keras_layer=True, data=("ties",), cases="integers")
def integer_inputs(layer: LayerUnderTest, case: Case) -> None:
    """For integer input the announced dtype is the one that comes, or integers are refused.

    Why: images arrive as uint8; a layer that announces int32 and returns float32 breaks exported signatures.
    How: int32 input with autocasting off, as Keras leaves integers alone; the announced dtype against the run's.
    Do: cast to the compute dtype first, or refuse.
    False alarm: none known; a refusal is fine.
    """
    import keras

    x = case.array().astype(np.int32)
    try:
        y = layer.value(x)
    except Refused as refused:
        raise Refused(refused.stage, refused.error, True) from refused  # however it says no to integers
    instance = layer.instance
    try:
        symbolic = instance(keras.KerasTensor(x.shape, dtype="int32"))
    except Exception as error:
        raise Refused("symbolic call", error, True) from error
    announced = str(keras.backend.standardize_dtype(symbolic.dtype))
    if announced != str(y.dtype):
        layer.ran(f"print('observed:', (layer)(keras.KerasTensor({x.shape}, dtype='int32')).dtype)")
        raise Violation(f"announced {announced}", f"{y.dtype}, as the run gives", "the symbolic dtype is not the run's")
