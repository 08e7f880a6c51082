"""Configuration, copies, files, and memory of earlier calls."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.numerics import as_float64, demand_bitwise, demand_same, shown
from poolaudit.conformance.property import layer_property
from poolaudit.conformance.signature import arguments_left_out, extra_arguments
from poolaudit.conformance.violations import NotApplicable, Refused, Violation
from poolaudit.errors import is_out_of_space


@layer_property("PA190", needs_keras_layer=True, data=("normal",), cost="medium")
def configuration_round_trip(layer: LayerUnderTest, case: Case) -> None:
    """A layer made again from its configuration is the same layer.

    Why: saving, loading, cloning and every deployment go through get_config; what it forgets falls back to a default.
    How: get_config through JSON and from_config; outputs, weights copied, must be equal.
    Do: return every constructor argument from get_config.
    False alarm: none known.
    """
    x = case.array()
    if layer.subject.takes("data_format") and case.seed // 2 % 2 and case.configuration.data_format == "channels_last":
        turned = layer.another(replace(case.configuration, data_format="channels_first"))
        try:
            turned.value(np.ascontiguousarray(np.moveaxis(x, -1, 1)))
        except Refused:
            pass  # a layer may know one data format only
        else:
            layer, x = turned, np.ascontiguousarray(np.moveaxis(x, -1, 1))
    _demand_extras_kept(layer)
    instance = layer.instance
    _demand_arguments_listed(layer, instance)
    y = layer.value(x)
    layer.ran("copy = type(layer).from_config(layer.get_config())")

    def copied() -> Any:
        return type(instance).from_config(json.loads(json.dumps(instance.get_config(), default=_plain)))

    try:
        copy = copied()
    except Exception as error:
        first = str(error).splitlines()[0][:200] if str(error) else ""
        raise Violation(
            f"{type(error).__name__}: {first}", "an equal layer", "the configuration does not make a layer"
        ) from None
    other = layer.with_instance(copy)
    if instance.weights:
        other.value(x)
        if len(copy.get_weights()) != len(instance.get_weights()):
            raise Violation(f"{len(copy.get_weights())} weights", f"{len(instance.get_weights())} weights")
        copy.set_weights(instance.get_weights())
    layer.ran("print('observed:', np.asarray(copy(x0)))")
    demand_same(other.value(x), y, case.dtype, "a copy from the configuration gives another output")
    if str(copy.dtype_policy.name) != str(instance.dtype_policy.name):
        raise Violation(copy.dtype_policy.name, instance.dtype_policy.name, "the copy has another dtype policy")


def _demand_extras_kept(layer: LayerUnderTest) -> None:
    """Numbers and flags beyond the field's arguments, set to other than their defaults, must come back too."""
    subject = layer.subject
    for name, value in extra_arguments(subject.factory, set(subject.taken.values())).items():
        given = subject.arguments(layer.configuration) | {name: value}
        if subject.takes_dtype:
            given["dtype"] = layer.dtype
        try:
            instance = subject.factory(**given)
            kept = getattr(instance, name)
        except Exception:  # the layer refuses the value, or stores it elsewhere
            continue
        if kept != value or not isinstance(kept, int | float):
            continue
        try:
            copy = type(instance).from_config(json.loads(json.dumps(instance.get_config(), default=_plain)))
        except Exception:  # judged with the defaults
            continue
        if getattr(copy, name, None) != value:
            layer.ran(f"print('observed:', (layer).get_config().get({name!r}))")
            raise Violation(
                f"{name}={getattr(copy, name, None)!r}", f"{name}={value!r}", f"the configuration loses `{name}`"
            )


def _demand_arguments_listed(layer: LayerUnderTest, instance: Any) -> None:
    """An argument that get_config leaves out can never come back through the default from_config.

    The field's own arguments are judged by what they do: a padding that can only be "valid" need not be kept.
    """
    left_out = arguments_left_out(type(instance), instance.get_config())
    lost = [name for name in left_out if name not in layer.subject.taken.values()]
    if lost:
        layer.ran("print('observed:', sorted((layer).get_config()))")
        raise Violation(
            f"get_config has no {', '.join(map(repr, lost))}",
            "every argument of the constructor",
            f"the configuration loses {', '.join(f'`{name}`' for name in lost)}",
        )


def _plain(value: Any) -> Any:
    """What JSON does not know, as Keras's own serialisation writes it."""
    import keras

    return keras.saving.serialize_keras_object(value)


@layer_property("PA191", needs_keras_layer=True, data=("normal",), cost="slow")
def save_and_load(layer: LayerUnderTest, case: Case) -> None:
    """A model with the layer, saved as .keras and loaded, gives the same output.

    Why: it is how models travel.
    How: one-layer model, saved and loaded with the class given as a custom object.
    Do: return every argument from get_config, and create weights in `build`.
    False alarm: none known.
    """
    import keras

    x = case.array()
    y = layer.value(x)
    instance = layer.instance

    def through_a_file() -> np.ndarray:
        inputs = keras.Input(x.shape[1:], dtype=case.input_dtype)
        model = keras.Model(inputs, instance(inputs))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            loaded = keras.saving.load_model(path, custom_objects={type(instance).__name__: type(instance)})
        return np.asarray(loaded(x))

    try:
        found = through_a_file()
    except Exception as error:
        if is_out_of_space(error):
            raise
        first = str(error).splitlines()[0][:200] if str(error) else ""
        raise Violation(f"{type(error).__name__}: {first}", "an equal model", "saving and loading fails") from None
    demand_same(found, y, case.dtype, "the loaded model gives another output")


@layer_property("PA192", data=("normal", "ties"), modes=("eager", "graph"))
def determinism(layer: LayerUnderTest, case: Case) -> None:
    """At inference the same input gives the same output, to the bit.

    Why: a layer that draws at inference gives a patient two diagnoses.
    How: the layer is called twice, with nothing said about training, and with `training=False` where it takes that.
    Do: draw only while training.
    False alarm: Monte Carlo pooling, where it is meant.
    """
    x = case.array()
    first = layer.value(x)
    demand_bitwise(layer.value(x), first, "two calls give two results")
    if _takes_training(layer.instance):
        demand_bitwise(layer.value(x, training=False), layer.value(x, training=False), "two inference calls differ")


@layer_property("PA193", data=("normal", "ties"))
def purity(layer: LayerUnderTest, case: Case) -> None:
    """Earlier calls change nothing: other shapes, other values, training.

    Why: a buffer or a running value makes a prediction depend on what was predicted before.
    How: the same input before and after calls with other sizes, other values and `training=True`; the input must come
        back unchanged.
    Do: keep nothing between calls.
    False alarm: running statistics, where they are meant.
    """
    x = case.array()
    before = layer.value(x)
    kept = as_float64(x).copy()
    other = cast(case.generator(9).standard_normal((x.shape[0] + 1, *x.shape[1:])) * 9 - 4, case.input_dtype)
    if "nonnegative_domain" in layer.traits:
        other = cast(np.abs(as_float64(other)), case.input_dtype)
    layer.value(other)
    if layer.configuration.data_format == "channels_last":
        wider = np.concatenate([other, other[:, ::-1]], axis=1)
        used = layer.value(wider)
        demand_same(
            _fresh(layer, wider).value(wider),
            used,
            case.dtype,
            "a layer that was called before differs from a fresh one",
            4,
        )
    if _takes_training(layer.instance):
        layer.value(other, training=True)
    demand_bitwise(layer.value(x), before, "earlier calls change the output")
    if not np.array_equal(kept, as_float64(x), equal_nan=True):
        raise Violation(shown(x), shown(kept), "the input was written to")


def _fresh(layer: LayerUnderTest, x: np.ndarray) -> LayerUnderTest:
    """A layer of the same settings and weights that has not been called."""
    other = layer.another()
    if getattr(layer.instance, "weights", ()):
        if not other.instance.built:
            layer.guarded("build", lambda: other.instance.build(x.shape))
        if len(other.instance.get_weights()) != len(layer.instance.get_weights()):
            raise NotApplicable
        other.instance.set_weights(layer.instance.get_weights())
    return other


def _takes_training(instance: Any) -> bool:
    import inspect

    call = getattr(instance, "call", None)
    return call is not None and "training" in inspect.signature(call).parameters


@layer_property("PA194", data=("normal", "ties"), traits="has_formula")
def training_flag(layer: LayerUnderTest, case: Case) -> None:
    """Training and inference give the same output for kinds that draw nothing.

    Why: a branch on `training` in a plain pooling layer makes the trained and the deployed network two networks.
    How: `training=True` against `training=False`, for layers that take the argument.
    Do: remove the branch, or declare the layer stochastic.
    False alarm: layers that draw while training; declare `like="stochastic"` or "unknown".
    """
    if not _takes_training(layer.instance) or "stochastic" in layer.traits:
        raise NotApplicable
    x = case.array()
    demand_same(
        layer.value(x, training=True), layer.value(x, training=False), case.dtype, "training changes the output"
    )
