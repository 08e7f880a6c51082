"""Gradients: where they arrive, how much, and that they are those of the values."""

from __future__ import annotations

import numpy as np

from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.numerics import as_float64, demand_same, formula_dtype, shown, tolerance_of
from poolaudit.conformance.property import MODES, layer_property
from poolaudit.conformance.violations import NotApplicable, Refused, Violation
from poolaudit.reference import gradient_support as reference_support
from poolaudit.reference import is_convex_split, pool_gradient, window_membership
from poolaudit.reference.plan import flattened

_TIE_FREE = ("permutation",)


@layer_property(
    "PA130",
    traits="has_formula",
    cost="medium",
    modes=(*MODES, "eager_other_kernels"),
    data=("ties", "permutation", "normal", "post_relu"),
    dtypes=("float32",),
)
def gradient_support(layer: LayerUnderTest, case: Case) -> None:
    """The gradient is the definition's: to the extreme cells of a maximum, by weight elsewhere.

    Why: a gradient at the wrong cell trains the wrong feature, and nothing ever raises.
    How: an upstream gradient of small integers, passed as an argument so that no compiler can fold it; among tied
        cells any convex split is right.
    Do: replay it; where a custom gradient is written, derive it again for overlapping windows and for padding.
    False alarm: layers that stop or clip gradients on purpose.
    """
    x = case.array()
    y = layer.value(x)
    if y.shape != layer.configuration.output_shape(x.shape):
        raise Violation(f"shape {y.shape}", f"shape {layer.configuration.output_shape(x.shape)}", "the shape is wrong")
    upstream = case.upstream(y.shape)
    found = as_float64(layer.gradient(x, upstream))
    if found.shape != x.shape:
        raise Violation(f"shape {found.shape}", f"shape {x.shape}", "the gradient's shape is wrong")
    tolerance = 4 * tolerance_of(case.dtype)
    if not np.isfinite(found).all():
        raise Violation(shown(found), "finite numbers", "the gradient is not finite")
    if "max_like" in layer.traits:
        if not is_convex_split(layer.configuration, x, upstream, found, tolerance=tolerance):
            raise Violation(
                shown(found), f"a split among the extreme cells, for example {shown(_expected(layer, x, upstream))}"
            )
        return
    if layer.configuration.layout == "pyramid" or layer.configuration.known_kind.reduction in ("median", "mixed"):
        outside = ~reference_support(layer.configuration, x)
        if bool((found[outside] != 0).any()):
            raise Violation(shown(found), "zero outside the windows", "gradient arrives at cells that no window holds")
        if case.data != "permutation":
            return
        if layer.configuration.known_kind.reduction == "median" and layer.configuration.even_median == "mean":
            return  # the convention of even windows is the layer's own; finite differences judge
    if layer.configuration.known_kind.reduction == "stochastic":
        return
    demand_same(found, _expected(layer, x, upstream), case.dtype, "the gradient differs from the definition", 4)


def _expected(layer: LayerUnderTest, x: np.ndarray, upstream: np.ndarray) -> np.ndarray:
    return pool_gradient(layer.configuration, x, upstream)


@layer_property("PA131", traits="partition_of_unity", cost="medium", data=("ties", "normal", "post_relu"))
def gradient_mass(layer: LayerUnderTest, case: Case) -> None:
    """As much gradient leaves the layer as came in.

    Why: gradient that is lost or doubled at borders, at ties or in overlapping windows biases training.
    How: the sums of both sides, for an upstream gradient of small integers.
    Do: check the divisor at padded borders, and that tied cells share and do not multiply.
    False alarm: norms and powers, whose weights do not add up to 1; they do not have this property.
    """
    x = case.array()
    upstream = case.upstream(layer.value(x).shape)
    found = as_float64(layer.gradient(x, upstream))
    sent, arrived = float(as_float64(upstream).sum()), float(found.sum())
    if not abs(arrived - sent) <= 8 * tolerance_of(case.dtype) * (1 + float(np.abs(as_float64(upstream)).sum())):
        raise Violation(f"gradients that sum to {arrived:.7g}", f"{sent:.7g}", "gradient is lost or made up")


@layer_property("PA132", cost="medium", data=("normal", "ties"))
def gradient_locality(layer: LayerUnderTest, case: Case) -> None:
    """Gradient arrives only at cells of the windows whose output it came from.

    Why: it is the mirror of locality, and catches hand-written gradients that scatter to the wrong place.
    How: the upstream gradient is one cell; the input gradient must be zero outside that cell's window, batch item and
        channel.
    Do: derive the scatter from the same index arithmetic as the forward pass.
    False alarm: a layer whose windows are not those of its arguments.
    """
    if layer.configuration.layout == "any":
        raise NotApplicable
    x = case.array()
    y = layer.value(x)
    if y.shape != layer.configuration.output_shape(x.shape) or not y.size:
        raise NotApplicable
    membership = window_membership(layer.configuration, x.shape)
    at = int(case.generator(2).integers(0, y.size))
    upstream = cast(np.arange(y.size).reshape(y.shape) == at, case.input_dtype)
    found = flattened(layer.configuration, as_float64(layer.gradient(x, upstream)))
    if layer.configuration.layout in ("global", "pyramid"):
        sent = as_float64(upstream).reshape(y.shape[0], len(membership), -1)
    else:
        sent = flattened(layer.configuration, as_float64(upstream))
    b, o, c = (int(i) for i in np.argwhere(sent)[0])
    allowed = np.zeros(found.shape, bool)
    allowed[b, membership[o], c] = True
    stray = ~allowed & ~(np.abs(found) <= 1e-30)
    if bool(stray.any()):
        where = [int(i) for i in np.argwhere(stray)[0]]
        raise Violation(
            f"gradient {found[tuple(where)]!r} at item, cell, channel {where}",
            "0",
            f"sent into item {b}, output {o}, channel {c}",
        )


@layer_property("PA133", traits="linear", cost="medium", data=("ties", "permutation"), dtypes=("float32", "float64"))
def adjoint(layer: LayerUnderTest, case: Case) -> None:
    """The backward pass of a linear layer is the transpose of its forward pass.

    Why: <f(x), g> = <x, J^T g> holds exactly; no step width, no tolerance to tune.
    How: integers for x and g.
    Do: divide the gradient by the same counts as the values.
    False alarm: none for linear kinds.
    """
    x = case.array()
    y = layer.value(x)
    upstream = case.upstream(y.shape)
    forward = float((as_float64(y) * as_float64(upstream)).sum())
    backward = float((as_float64(x) * as_float64(layer.gradient(x, upstream))).sum())
    size = 1 + float(np.abs(as_float64(y) * as_float64(upstream)).sum())
    if not abs(forward - backward) <= 16 * tolerance_of(case.dtype) * size:
        raise Violation(
            f"<x, J^T g> = {backward:.9g}", f"<f(x), g> = {forward:.9g}", "the gradient is not the transpose"
        )


@layer_property("PA134", cost="medium", data=("permutation",), dtypes=("float64", "float32"))
def finite_differences(layer: LayerUnderTest, case: Case) -> None:
    """The gradient is the slope of the values.

    Why: a custom gradient, a stopped gradient or a cast through integers gives another slope than the layer has.
    How: the derivative along one random direction, by central differences of two step widths on data without ties;
        judged only where both widths agree, so a kink accuses nobody.
    Do: write the gradient again, or let the framework derive it.
    False alarm: straight-through estimators and stopped gradients, where they are meant.
    """
    base = as_float64(case.array())
    # Spaced wide enough that no step changes an order, and near 1 so that powers are harmless.
    x = cast(
        base / (np.abs(base).max(initial=1.0)) * 2 + (3 if "nonnegative_domain" in layer.traits else 0.13717),
        case.input_dtype,
    )
    direction = case.generator(2).standard_normal(x.shape)
    y = layer.value(x)
    if not y.size or str(y.dtype) != case.input_dtype:
        raise NotApplicable
    upstream = cast(case.generator(3).standard_normal(y.shape), case.input_dtype)
    claimed = float((as_float64(layer.gradient(x, upstream)) * direction).sum())
    # A layer that computes in float32 whatever it is given does not see a step of 1e-7.
    fine = case.input_dtype == "float64" and not np.array_equal(
        as_float64(layer.value(cast(as_float64(x) + 1e-10 * direction, "float64"))), as_float64(y)
    )
    slopes = []
    spacing = 2.0 / max(float(np.abs(base).max(initial=1.0)), 1.0)
    for step in (1e-7, 1e-7 / 4) if fine else (spacing / 16, spacing / 64):
        ends = [
            as_float64(layer.value(cast(as_float64(x) + sign * step * direction, case.input_dtype))) for sign in (1, -1)
        ]
        slopes.append(float(((ends[0] - ends[1]) / (2 * step) * as_float64(upstream)).sum()))
    largest = 1 + float(np.abs(as_float64(upstream)).sum()) * float(np.abs(direction).max(initial=0.0))
    slack = (1e-5 if fine else 5e-2) * largest
    if not np.isfinite(slopes).all():
        raise NotApplicable
    if abs(slopes[0] - slopes[1]) > slack / 4:
        raise NotApplicable
    if not abs(claimed - slopes[1]) <= slack:
        raise Violation(
            f"the gradient claims a slope of {claimed:.8g}",
            f"{slopes[1]:.8g} by differences",
            "the gradient is not the slope",
        )


@layer_property("PA135", cost="medium", data=("constant", "post_relu", "ties"), dtypes=("float32", "float16"))
def finite_gradient(layer: LayerUnderTest, case: Case) -> None:
    """The gradient is finite on zeros, on constants and on data after a ReLU.

    Why: a root of zero or a division by a sum of zeros turns one black image into a NaN in every weight.
    How: zeros, constants and clipped data, an upstream gradient of ones.
    Do: add the epsilon inside the root, or choose the gradient 0 where the derivative does not exist, by `where` on
        both sides.
    False alarm: none known.
    """
    kind = case.seed % 3
    x = cast(np.zeros(case.input_shape), case.input_dtype) if kind == 0 else case.array()
    if kind == 1 and "nonnegative_domain" in layer.traits:
        x = cast(np.maximum(case.generator(2).standard_normal(case.input_shape), 0), case.input_dtype)
    y = layer.value(x)
    found = as_float64(layer.gradient(x, cast(np.ones(y.shape), str(y.dtype))))
    if not np.isfinite(as_float64(y)).all():
        raise Violation(shown(y), "finite values", "the value is not finite for finite input")
    if not np.isfinite(found).all():
        raise Violation(shown(found), "finite gradients", "the gradient is not finite for finite input")


@layer_property("PA136", traits="degree_one", cost="medium", data=_TIE_FREE, dtypes=("float32", "float64"))
def euler(layer: LayerUnderTest, case: Case) -> None:
    """Input times gradient gives back the output: Euler's theorem for functions of degree one.

    Why: it ties value and gradient together without finite differences.
    How: <x, J^T g> = <f(x), g> on data without ties.
    Do: look for an epsilon or a scale that is in the value and not in the gradient.
    False alarm: kinds that are not homogeneous; they do not have this property.
    """
    x = case.array()
    y = layer.value(x)
    upstream = case.upstream(y.shape)
    left = float((as_float64(x) * as_float64(layer.gradient(x, upstream))).sum())
    right = float((as_float64(y) * as_float64(upstream)).sum())
    size = 1 + float(np.abs(as_float64(y) * as_float64(upstream)).sum())
    dtype = formula_dtype(layer.configuration.known_kind.reduction, case.dtype)
    if not abs(left - right) <= 32 * tolerance_of(dtype) * size:
        raise Violation(f"<x, grad f> = {left:.9g}", f"f = {right:.9g}", "Euler's theorem does not hold")


@layer_property("PA137", traits="second_derivative has_formula", cost="medium", data=_TIE_FREE)
def second_derivative(layer: LayerUnderTest, case: Case) -> None:
    """The gradient of the gradient with respect to the upstream gradient is the layer's own derivative.

    Why: gradient penalties and influence functions differentiate twice, and a wrong second gradient is silent.
    How: d<J^T g, v>/dg = J v, compared with the definition on data without ties.
    Do: do not write a custom gradient that is itself not differentiable.
    False alarm: kinds of which no framework promises a second derivative.
    """
    x = case.array()
    y = layer.value(x)
    if y.shape != layer.configuration.output_shape(x.shape):
        raise NotApplicable
    upstream = case.upstream(y.shape)
    direction = cast(case.generator(5).integers(-3, 4, x.shape), case.input_dtype)
    try:
        found = layer.second_gradient(x, upstream, direction)
    except Refused as refused:
        if not layer.subject.subject.builtin:
            raise  # the operation that a custom layer calls may have none
        raise Violation(str(refused), "a tensor", "there is no second derivative") from None
    if found is None:
        raise Violation("None", "a tensor", "there is no second derivative")
    # J v, row by row: <J v, e_o> = <v, J^T e_o>; the definition's J^T is linear in g.
    expected = np.zeros(y.size)
    if y.size > 64:
        raise NotApplicable
    for at in range(y.size):
        unit = (np.arange(y.size) == at).reshape(y.shape).astype(np.float64)
        expected[at] = float((pool_gradient(layer.configuration, x, unit) * as_float64(direction)).sum())
    demand_same(found, expected.reshape(y.shape), case.dtype, "the second derivative is wrong", 8)
