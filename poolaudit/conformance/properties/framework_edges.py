"""Edges of the framework's own layers: empty axes, huge windows, and answers that depend on how one asks."""

from __future__ import annotations

from typing import Any

import numpy as np

from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.corners import largest_windows, spelt_padding, without_channels, without_length
from poolaudit.conformance.kernel_sets import KERNEL_MODE
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.property import MODES, layer_property
from poolaudit.conformance.violations import NotApplicable, Refused, Violation

_INTERNAL = ("AbortedError", "InternalError", "UnknownError", "DataLossError")


@layer_property("PA153", modes=(*MODES, KERNEL_MODE), corners=without_channels, builtins="*")
def empty_channels(layer: LayerUnderTest, case: Case) -> None:
    """No channels in, no channels out, forward and backward, in every mode.

    Why: a pruned branch has no channel left, and its graph must still run.
    How: channels 0; the shape of the definition, and a gradient of the input's shape.
    Do: report it to the framework.
    False alarm: none; a refusal in one mode only is an inconsistency.
    """
    _demand_empty(layer, case)


@layer_property("PA154", modes=(*MODES, KERNEL_MODE), layouts=("windowed",), corners=without_length, builtins="*")
def empty_axis(layer: LayerUnderTest, case: Case) -> None:
    """A spatial axis of length 0 gives one of length 0, forward and backward, in every mode.

    Why: a crop or a filter leaves nothing in some batch.
    How: SAME padding, length 0 on the first axis; what the eager run answers must be the answer of every mode.
    Do: report it to the framework.
    False alarm: none; where the eager run refuses, nothing is demanded.
    """
    try:
        layer.in_mode("eager").value(case.array())
    except Refused:
        raise NotApplicable from None
    _demand_empty(layer, case)


def _demand_empty(layer: LayerUnderTest, case: Case) -> None:
    x = case.array()
    expected = case.configuration.output_shape(x.shape)
    try:
        y = layer.value(x)
        if y.shape != expected:
            raise Violation(f"shape {y.shape}", f"shape {expected}", "the empty output has another shape")
        gradient = layer.gradient(x, cast(np.zeros(y.shape), str(y.dtype)))
    except Refused as refused:
        raise Violation(str(refused), f"shape {expected}", "an empty input is not pooled") from None
    if gradient.shape != x.shape:
        raise Violation(f"gradient of shape {gradient.shape}", f"shape {x.shape}", "the gradient's shape is wrong")


@layer_property(
    "PA157",
    modes=("eager", "xla", KERNEL_MODE),
    layouts=("windowed",),
    corners=largest_windows,
    hang_seconds=3.0,
    builtins="*Pooling?D",
)
def largest_window(layer: LayerUnderTest, case: Case) -> None:
    """The largest window that 32 bits can say is the whole input, or is refused; it neither hangs nor kills.

    Why: a pool_size read from a file may be anything, and one request must not end the server.
    How: SAME padding, a window of 2**31 - 1, in a child process with a limit of 3 seconds.
    Do: clip the window to the input.
    False alarm: none; a correct value and a refusal are both right.
    """
    try:
        y = np.asarray(layer.value(case.array()), np.float64)
    except Refused:
        return
    if not np.allclose(y, case.array().astype(np.float64).ravel()[0]):
        raise Violation(str(y.ravel()[:4]), str(case.array().ravel()[0]), "a huge window changes a constant")


@layer_property("PA158", cases="invalid", modes=("eager", "graph", KERNEL_MODE), builtins="*Pooling?D")
def refusals_agree(layer: LayerUnderTest, case: Case) -> None:
    """Settings without sense get one answer: eagerly, symbolically and in a graph.

    Why: a model that is built from what its first layer announces fails, or worse, only when it runs.
    How: one flaw at a time; the same answer (a value, or an exception that says no) from the call on data, from the
        call on a symbolic tensor and from a traced function. An internal error or a division by zero is no refusal.
    Do: validate in the constructor.
    False alarm: none; it is asked of the framework only.
    """
    x = cast(np.ones(case.input_shape), case.input_dtype)
    try:
        eager = layer.in_mode("eager") if layer.mode != "eager" else layer
    except Refused:
        return  # the constructor says no, whatever comes after
    ran = _answer(lambda: eager.value(x).shape)
    if layer.mode == "eager":
        if not hasattr(layer.subject.factory, "compute_output_shape"):
            other, how = ran, "symbolic call"
        else:
            other, how = _answer(lambda: _symbolic(layer, x.shape, case.input_dtype)), "symbolic call"
    else:
        other, how = _answer(lambda: layer.value(x).shape), "traced call"
    for name, answer in (("eager call", ran), (how, other)):
        if isinstance(answer, Refused) and (not answer.deliberate or answer.error_name in _INTERNAL):
            raise Violation(str(answer), "an exception that says what is wrong", f"the {name} fails obscurely")
    refused = [isinstance(answer, Refused) for answer in (ran, other)]
    if refused[0] != refused[1]:
        raise Violation(
            f"the {how}: {other if refused[1] else f'shape {other}'}",
            f"as the eager call: {ran if refused[0] else f'shape {ran}'}",
            f"{'accepts' if refused[0] else 'refuses'} what the eager call {'refuses' if refused[0] else 'accepts'}",
        )
    if not refused[0] and not _fits(other, ran):
        raise Violation(f"the {how} announces {other}", f"{ran}, as the eager call", "the shapes differ")


@layer_property("PA159", corners=spelt_padding, layouts=("windowed",), builtins="*Pooling?D")
def padding_spelling(layer: LayerUnderTest, case: Case) -> None:
    """Padding in capitals is accepted everywhere or nowhere.

    Why: `tf.nn` spells it "SAME"; a layer that takes it in one call and not in the next breaks late.
    How: `padding="SAME"`, called on data and symbolically.
    Do: spell it in small letters.
    False alarm: none.
    """
    x = case.array()
    ran = _answer(lambda: layer.value(x).shape)
    other = _answer(lambda: _symbolic(layer, x.shape, case.input_dtype))
    if isinstance(ran, Refused) != isinstance(other, Refused):
        raise Violation(
            f"the symbolic call: {other}", f"as the eager call: {ran}", "capitals are accepted in one call only"
        )


def _answer(ask: Any) -> Any:
    try:
        return tuple(ask())
    except Refused as refused:
        return refused


def _symbolic(layer: LayerUnderTest, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
    import keras

    fresh = layer.another()
    made = fresh.guarded("construction", lambda: fresh.instance)
    layer.ran(f"print('observed:', layer(keras.KerasTensor({shape}, dtype={dtype!r})))".replace("layer(", "(layer)("))
    announced = layer.guarded("symbolic call", lambda: made(keras.KerasTensor(shape, dtype=dtype)))
    return tuple(announced.shape)


def _fits(announced: tuple[Any, ...], ran: tuple[int, ...]) -> bool:
    return len(announced) == len(ran) and all(a is None or a == r for a, r in zip(announced, ran, strict=True))
