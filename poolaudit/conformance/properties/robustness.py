"""Edges: nothing to pool, settings without sense, settings that must work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.property import MODES, layer_property
from poolaudit.conformance.violations import NotApplicable, Refused, Violation


@layer_property("PA195", data=("ties",), dtypes=("float32", "float16", "bfloat16", "float64"))
def valid_accepted(layer: LayerUnderTest, case: Case) -> None:
    """Valid settings are accepted.

    Why: a layer that fails for some sizes fails on the first odd image.
    How: configurations of every corner, batches of 1, 2 and 3; a refusal is accepted where it follows from a feature
        that the layer refuses throughout (then the result is SKIPPED with that feature), and is a failure where nothing
        sets the case apart, or where another batch size is taken.
    Do: support it, or refuse the whole feature in the constructor.
    False alarm: none known.
    """
    x = case.array()
    try:
        layer.value(x)
    except Refused as refused:
        accepted = _other_batch(layer, x) if len(x) else None
        if accepted is None:
            raise
        raise Violation(
            str(refused), f"a result, as for a batch of {accepted}", f"a batch of {len(x)} is refused"
        ) from None


def _other_batch(layer: LayerUnderTest, x: Any) -> int | None:
    """A batch size that is taken where this one is refused."""
    for batch in (1, 2, 4, 8, 16, 32, 64, 128):
        if batch == len(x):
            continue
        try:
            y = layer.value(np.resize(x, (batch, *x.shape[1:])))
        except Refused:
            continue
        if y.shape[:1] == (batch,):
            return batch
    return None


@layer_property("PA196", data=("ties",), modes=MODES, cost="medium", batches=(0,))
def empty(layer: LayerUnderTest, case: Case) -> None:
    """An empty batch gives an empty output of the right shape, and an empty gradient.

    Why: the last batch of a filtered stream is empty, and some kernels kill the process on it.
    How: batch 0, forward and backward.
    Do: test with an empty batch; return early where an operation cannot.
    False alarm: none known; a refusal is reported as such.
    """
    x = case.array()
    eager = layer.in_mode("eager") if layer.mode != "eager" else layer
    full = eager.value(cast(np.ones((1, *x.shape[1:])), case.input_dtype))
    try:
        y = layer.value(x)
        if y.shape != (0, *full.shape[1:]):
            raise Violation(f"shape {y.shape}", f"shape {(0, *full.shape[1:])}", "an empty batch changes the shape")
        gradient = layer.gradient(x, cast(np.zeros(y.shape), str(y.dtype)))
    except Refused as refused:
        if layer.mode != "eager" and refused.deliberate and _refuses_one(layer, case):
            raise
        raise Violation(str(refused), f"shape {(0, *full.shape[1:])}", "an empty batch is not pooled") from None
    if gradient.shape != x.shape:
        raise Violation(f"gradient of shape {gradient.shape}", f"shape {x.shape}", "the gradient's shape is wrong")


def _refuses_one(layer: LayerUnderTest, case: Case) -> bool:
    """Whether the mode is refused for a full batch too."""
    x = cast(np.ones((1, *case.input_shape[1:])), case.input_dtype)
    try:
        y = layer.value(x)
        layer.gradient(x, cast(np.ones(y.shape), str(y.dtype)))
    except Refused:
        return True
    return False


@layer_property("PA197", cases="invalid", cost="cheap", modes=("eager",))
def refusal(layer: LayerUnderTest, case: Case) -> None:
    """Settings without sense raise an exception; they give no value and end no process.

    Why: a silent value for `pool_size=0` or a window that does not fit is a bug that surfaces in production; a signal
        takes the whole server down.
    How: one flaw at a time (zero, negative, fractional or huge sizes, unknown names, a wrong rank, a window larger than
        the input under VALID), in a child process.
    Do: validate in the constructor and, for what depends on the input, in `build` or `call`.
    False alarm: extensions that give a flaw a meaning; document them.
    """
    x = cast(np.ones(case.input_shape), case.input_dtype)
    known = case.configuration.known_kind.layout != "any"
    if case.flaw in ("window_of_wrong_length", "output_size_of_wrong_length") and layer.subject.scalar:
        raise NotApplicable
    if case.flaw == "wrong_input_rank" and (case.configuration.layout == "any" or not known):
        raise NotApplicable
    if case.flaw == "window_beyond_int32" and not layer.subject.subject.builtin:
        raise NotApplicable  # weights of such a window would fill the memory, and a loop over it would never end
    if case.flaw == "window_exceeds_input" and isinstance(layer.subject.fixed.get("padding"), tuple):
        raise NotApplicable  # its own padding makes room for the window
    try:
        y = layer.value(x)
    except Refused:
        scalar = _as_one_number(case)
        if scalar is None or getattr(scalar, "strides", None) == 0:
            return  # `strides or pool_size` takes a 0 for no strides at all
        try:
            y = layer.another(scalar).value(x)
        except Refused:
            return
    custom = not layer.subject.subject.builtin
    # A step of -1 may leave no places, as a slice has none; an output of size -1 is none that anybody asked for.
    may_be_empty = case.flaw == "window_exceeds_input" or (custom and case.flaw != "negative_output_size")
    if may_be_empty and y.ndim == x.ndim and not y.size:
        return  # nothing came out, which is no value; where a shape was declared, its inference is judged apart
    if case.flaw == "negative_strides" and custom and _takes_no_step(case.configuration, y):
        raise NotApplicable
    if case.flaw == "wrong_input_rank" and custom and getattr(layer.instance, "input_spec", None) is None:
        raise NotApplicable  # most right layers reduce fixed axes of whatever comes, and leave the rank to Keras
    if case.flaw in ("unknown_padding", "unknown_data_format") and str(_spelt(case)).lower() in _NAMES:
        raise NotApplicable
    raise Violation(f"an output of shape {y.shape}", "an exception", f"accepts {(case.flaw or '').replace('_', ' ')}")


def _takes_no_step(configuration: PoolConfiguration, y: np.ndarray) -> bool:
    """Whether the window has one place along every axis whose stride is wrong: nothing shows what the stride does."""
    if y.ndim != configuration.rank + 2:
        return False
    strides = configuration.effective_strides
    return all(y.shape[a] <= 1 for a, s in zip(configuration.spatial_axes(), strides, strict=True) if s < 1)


def _as_one_number(case: Case) -> PoolConfiguration | None:
    """The flawed size as one number instead of one an axis, for layers that check only one of the two."""
    field = {"window": "window", "strides": "strides", "size": "output_size"}.get((case.flaw or "").rpartition("_")[2])
    sort = (case.flaw or "").partition("_")[0]
    if field is None or sort not in ("zero", "negative", "fractional"):
        return None
    wrong = [n for n in getattr(case.configuration, field) if n <= 0 or n != int(n)]
    return replace(case.configuration, **{field: wrong[0]}) if wrong else None


_NAMES = ("valid", "same", "channels_last", "channels_first")


def _spelt(case: Case) -> object:
    return case.configuration.padding if case.flaw == "unknown_padding" else case.configuration.data_format


@layer_property("PA198", data=("ties",), layouts=("windowed",), paddings=("same",), cost="medium")
def huge_window(layer: LayerUnderTest, case: Case) -> None:
    """A window far larger than the input is the global reduction, or is refused; it neither hangs nor kills.

    Why: a pool_size read from a file may be anything.
    How: SAME padding and a window of 1000 times the input, in a child process with a time limit.
    Do: clip the window to the input, or refuse.
    False alarm: a layer that refuses is not accused.
    """
    if (
        "window" in layer.subject.fixed
        or layer.configuration.layout != "windowed"
        or layer.configuration.window is None
    ):
        raise NotApplicable
    rank = case.configuration.rank
    shape = (1, *(2,) * rank, 1)
    # A layer that lists its window cell by cell is slow for a million of them, and not wrong.
    large = ({1: 2000, 2: 1000, 3: 100} if layer.subject.subject.builtin else {1: 64, 2: 12, 3: 5})[rank]
    configuration = replace(
        case.configuration, window=(large,) * rank, strides=(large,) * rank, padding="same", dilation=None
    )
    if configuration.problems(shape) or layer.subject.fixed.get("padding") == "valid":
        raise NotApplicable
    x = cast(np.full(shape, 3.0), case.input_dtype)
    y = layer.another(configuration).value(x)
    if "constant_preserving" in configuration.traits and not np.allclose(np.asarray(y, np.float64), 3.0, rtol=1e-2):
        raise Violation(str(np.asarray(y, np.float64).ravel()[:4]), "3", "a huge window changes a constant")
