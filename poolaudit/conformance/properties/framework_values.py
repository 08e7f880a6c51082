"""Values of the framework's own layers where custom layers are free: compiled NaN, other ranks, indices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.corners import explicit_padding, long_axes, one_case, wide_strides
from poolaudit.conformance.kernel_sets import KERNEL_MODE
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.loading import load
from poolaudit.conformance.numerics import as_float64, demand_bitwise, demand_same, shown
from poolaudit.conformance.properties.gradients import adjoint
from poolaudit.conformance.properties.locality import infinities, nan_propagation
from poolaudit.conformance.property import layer_property
from poolaudit.conformance.subjects import builtin_like, resolve
from poolaudit.conformance.violations import NotApplicable, Refused, Violation
from poolaudit.reference import pool

_ELSEWHERE = ("graph", "xla", KERNEL_MODE)


@layer_property("PA124", traits="nan_propagating", data=("normal",), modes=_ELSEWHERE, builtins="*")
def compiled_nan(layer: LayerUnderTest, case: Case) -> None:
    """A NaN survives compilation and the other kernels.

    Why: a NaN that only the compiled run swallows hides a diverged model from those who look at it by hand.
    How: as `nan_propagation`, in a graph, under XLA and with the other setting of oneDNN.
    Do: report it to TensorFlow; test for NaN outside the layer.
    False alarm: none; it is asked of the framework only.
    """
    nan_propagation(layer, case)


@layer_property("PA125", traits="infinities_kept", data=("ties",), modes=_ELSEWHERE, builtins="*")
def compiled_infinities(layer: LayerUnderTest, case: Case) -> None:
    """Infinite windows stay infinite in a graph, under XLA and with the other kernels.

    Why: -inf marks what must not be chosen; a finite stand-in can be.
    How: as `infinities`, in the other ways of running.
    Do: report it to TensorFlow.
    False alarm: none; it is asked of the framework only.
    """
    infinities(layer, case)


@layer_property(
    "PA126",
    traits="max_like second_derivative",
    data=("ties",),
    cost="medium",
    modes=("eager", "graph", "xla", KERNEL_MODE),
    builtins="*",
)
def gradient_of_infinities(layer: LayerUnderTest, case: Case) -> None:
    """The gradient of a maximum reaches the cells even where all of them are -inf.

    Why: a window of masked scores is no reason to lose gradient.
    How: all cells -inf, integers as the upstream gradient; the sums of both sides must be equal.
    Do: compare with the window's own maximum and not with a finite lowest value.
    False alarm: none; any split among the cells is right.
    """
    x = cast(np.full(case.input_shape, -np.inf), case.input_dtype)
    upstream = np.abs(case.upstream(layer.value(x).shape).astype(np.float64)) + 1
    found = as_float64(layer.gradient(x, cast(upstream, case.input_dtype)))
    if not abs(float(found.sum()) - float(upstream.sum())) <= 1e-3 * (1 + float(upstream.sum())):
        raise Violation(f"gradients that sum to {found.sum():g}", f"{upstream.sum():g}", "all cells are -inf")


@layer_property(
    "PA127", traits="linear", cost="medium", data=("ties",), modes=("graph", "xla", KERNEL_MODE), builtins="*"
)
def compiled_adjoint(layer: LayerUnderTest, case: Case) -> None:
    """The compiled backward pass of a linear layer is the transpose of its forward pass, with either kernels.

    Why: two kernel sets and a compiler each have a backward pass of their own.
    How: as `adjoint`, with the upstream gradient as an argument, so that nothing can be folded.
    Do: report it to TensorFlow.
    False alarm: none.
    """
    adjoint(layer, case)


@layer_property("PA147", traits="adaptive has_formula", cost="slow", corners=long_axes, builtins="*")
def long_adaptive_windows(layer: LayerUnderTest, case: Case) -> None:
    """Adaptive windows of long axes lie where exact integers put them.

    Why: an index computed in single precision is off by one from some hundred thousand on.
    How: a ramp over 16,000 and 100,000 steps.
    Do: compute floor(i n / m) and ceil((i + 1) n / m) in integers.
    False alarm: none known.
    """
    ramp = np.arange(np.prod(case.input_shape), dtype=np.float64).reshape(case.input_shape)
    x = cast(ramp % 4096, case.input_dtype)
    y, expected = as_float64(layer.value(x)), pool(case.configuration, x)
    if y.shape != expected.shape:
        raise Violation(f"shape {y.shape}", f"shape {expected.shape}", "the shape is wrong")
    wrong = np.abs(y - expected) > 0.2
    if bool(wrong.any()):
        at = [int(i) for i in np.argwhere(wrong.ravel()).ravel()]
        raise Violation(
            f"output {at[0]} is {y.ravel()[at[0]]:g}",
            f"{expected.ravel()[at[0]]:g}",
            f"{len(at)} of {y.size} windows over {case.input_shape[1]} cells lie elsewhere",
        )


@layer_property("PA148", traits="has_formula", data=("normal", "permutation"), cost="medium", builtins="*")
def dimension_lifting(layer: LayerUnderTest, case: Case) -> None:
    """Pooling in fewer dimensions is pooling in more of them, with an axis of one cell.

    Why: the ranks have kernels of their own, and a defect in one is seen in none of its own tests.
    How: an axis of length 1 is added to the input and to the settings; values and, without ties, gradients must agree
        with Keras's layer of the next rank. In 3-D, and for one whole window, the global layer is the partner.
    Do: report it to the framework.
    False alarm: none known.
    """
    configuration, rank = case.configuration, case.configuration.rank
    if configuration.dilation is not None or configuration.data_format != "channels_last" or not min(case.input_shape):
        raise NotApplicable
    x = case.array()
    twin = builtin_like(configuration.kind, rank + 1) if rank < 3 else None
    if twin is None or twin.reference is None:
        raise NotApplicable
    lifted = replace(configuration, rank=rank + 1)
    for name in ("window", "strides", "output_size"):
        sizes = getattr(configuration, name)
        if sizes is not None:
            lifted = _with(lifted, name, (*sizes, 1))
    other = LayerUnderTest(load(twin, resolve(twin.reference)), case, layer.mode, lifted, layer.record)
    wide = np.ascontiguousarray(np.expand_dims(x, rank + 1))
    y = layer.value(x)
    expected = other.value(wide)
    demand_same(
        y, expected.reshape(y.shape) if y.size == expected.size else expected, case.dtype, "the ranks disagree", 4
    )
    if case.data == "permutation" and y.size:
        upstream = case.upstream(y.shape)
        left = layer.gradient(x, upstream)
        right = other.gradient(wide, upstream.reshape(expected.shape))
        demand_same(left, right.reshape(left.shape), case.dtype, "the gradients of the ranks disagree", 8)


def _with(configuration: PoolConfiguration, name: str, value: tuple[int, ...]) -> PoolConfiguration:
    if name == "window":
        return replace(configuration, window=value)
    if name == "strides":
        return replace(configuration, strides=value)
    return replace(configuration, output_size=value)


@layer_property(
    "PA138",
    traits="has_formula",
    layouts=("windowed",),
    modes=("eager", "graph", "xla", KERNEL_MODE),
    corners=wide_strides,
    builtins="*",
)
def strides_beyond_input(layer: LayerUnderTest, case: Case) -> None:
    """Under SAME the first window starts at the first cell, however wide the strides.

    Why: padding that is computed negative moves every window to the right, and the borders are never read.
    How: windows of 2, strides of 4, an input of 4; the definition's values.
    Do: take strides no wider than the window.
    False alarm: none known.
    """
    x = case.array()
    demand_same(layer.value(x), pool(case.configuration, x), case.dtype, "the windows lie elsewhere", 4)


@layer_property("PA149", data=("ties", "permutation", "negative"), builtins="tf.nn.max_pool_with_argmax")
def argmax_indices(layer: LayerUnderTest, case: Case) -> None:
    """The indices of `max_pool_with_argmax` point at the maxima.

    Why: unpooling writes where they point.
    How: the cell under each index must hold the value of its output; any cell among ties is right.
    Do: report it to TensorFlow.
    False alarm: none known.
    """
    import tensorflow as tf

    x = case.array()
    settings = layer.instance.settings
    y, indices = layer.guarded(
        "call", lambda: tf.nn.max_pool_with_argmax(tf.constant(x), **settings, include_batch_in_index=True)
    )
    found = as_float64(x).ravel()[np.asarray(indices).ravel()]
    demand_bitwise(found.reshape(y.shape), np.asarray(y), "an index points at a cell that is not the maximum")


@layer_property(
    "PA128",
    cost="slow",
    modes=("eager", "graph", "xla"),
    corners=explicit_padding,
    builtins="tf.nn.max_pool*",
)
def explicit_padding_runs(layer: LayerUnderTest, case: Case) -> None:
    """Explicit padding gives the definition's values in every mode, twice differentiable as SAME and VALID are.

    Why: models converted from PyTorch pad explicitly, and stop at the first gradient penalty or at XLA.
    How: one padded cell on each side; the value, the gradient and the second gradient.
    Do: pad with -inf before the layer, and pool with VALID.
    False alarm: an operation that refuses explicit padding eagerly is not accused.
    """
    x = case.array()
    eager = layer.in_mode("eager")
    expected = eager.value(x)
    demand_same(expected, pool(case.configuration, x), case.dtype, "the values differ from the definition")
    if layer.mode != "eager":
        try:
            demand_same(layer.value(x), expected, case.dtype, "the compiled run differs")
        except Refused as refused:
            raise Violation(str(refused), "the eager run's values", "the compiled run fails") from None
        return
    upstream = case.upstream(expected.shape)
    direction = case.upstream(x.shape)
    try:
        layer.second_gradient(x, upstream, direction)
    except Refused as refused:
        raise Violation(
            str(refused), "a second gradient, as with SAME and VALID", "the second gradient fails"
        ) from None


@layer_property(
    "PA129",
    cost="slow",
    modes=("xla",),
    corners=one_case,
    builtins="*",
)
def compiles(layer: LayerUnderTest, case: Case) -> None:
    """What runs eagerly compiles with XLA, with its gradient.

    Why: `jit_compile="auto"` is the default of `compile`, and decides by what can be compiled.
    How: a plain case, value and gradient.
    Do: keep the operation out of compiled functions.
    False alarm: a missing XLA kernel is a limit and no wrong value; it is listed because nothing says so beforehand.
    """
    x = case.array()
    expected = layer.in_mode("eager").value(x)
    try:
        demand_same(layer.value(x), expected, case.dtype, "the compiled run differs")
        layer.gradient(x, case.upstream(expected.shape))
    except Refused as refused:
        raise Violation(str(refused), shown(expected), "XLA does not compile it") from None
