"""Values: the definition, and what follows from it without a formula."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.numerics import as_float64, demand_bitwise, demand_same, formula_dtype, shown, tolerance_of
from poolaudit.conformance.property import layer_property
from poolaudit.conformance.reading import extremes_of_windows, spatial_output
from poolaudit.conformance.violations import NotApplicable, Violation
from poolaudit.reference import pool, window_membership

# Its eighth power is in float32's range.
_LARGEST_BASE = 5e4


@layer_property(
    "PA101",
    traits="has_formula",
    modes=("eager", "eager_other_kernels"),
    dtypes=("float32", "float64", "float16", "bfloat16"),
)
def oracle(layer: LayerUnderTest, case: Case) -> None:
    """The output is what the definition gives.

    Why: everything a network learns rests on the values of its layers.
    How: the windows are laid out from the configuration alone and reduced in float64 by NumPy code that shares nothing
        with the layer; shapes must be equal, values agree within the dtype's rounding.
    Do: replay the counterexample; it names the first cell that differs.
    False alarm: a layer of another kind than was declared, or with another convention; give `like="unknown"`.
    """
    x = case.array()
    # A value beyond the dtype's range in the definition is none of the layer's faults.
    dtype = formula_dtype(layer.configuration.known_kind.reduction, case.dtype)
    if dtype != case.dtype and np.abs(as_float64(x)).max(initial=0.0) > _LARGEST_BASE:
        raise NotApplicable  # powers may be taken in the dtype whose tolerance holds
    y = layer.value(x)
    if layer.configuration.known_kind.reduction == "median":
        expected = _nearest_median(layer, x, y)
    else:
        expected = pool(layer.configuration, x)
    demand_same(y, cast(expected, case.input_dtype), dtype, "the values differ from the definition", 2.0)


def _nearest_median(layer: LayerUnderTest, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    choices = [pool(replace(layer.configuration, even_median=rule), x) for rule in ("mean", "lower", "upper")]
    fitting = [choice for choice in choices if choice.shape == y.shape]
    return min(fitting or choices, key=lambda choice: float(np.abs(choice - as_float64(y)).max()) if fitting else 0.0)


@layer_property("PA102", traits="constant_preserving", data=("constant",), dtypes=("float32", "float16"))
def constant(layer: LayerUnderTest, case: Case) -> None:
    """A constant stays what it is.

    Why: padding that is counted, or a wrong divisor, darkens every border of every image.
    How: the input is one constant, SAME padding included; every output cell must be that constant.
    Do: divide by the cells that exist, and pad a maximum with the lowest value.
    False alarm: averages that count padding on purpose.
    """
    x = case.array()
    y = layer.value(x)
    expected = np.full(y.shape, x.ravel()[0], np.float64) if x.size else y
    if "nonnegative_domain" in layer.traits and float(expected.max(initial=1.0)) <= 0:
        raise NotApplicable
    demand_same(y, expected, case.dtype, "a constant input does not stay constant", 2.0)


@layer_property(
    "PA103", traits="bounded", data=("normal", "negative", "half_maximum", "ties"), dtypes=("float32", "float16")
)
def bounds(layer: LayerUnderTest, case: Case) -> None:
    """The output lies between the least and the greatest cell of its window, and is finite for finite input.

    Why: a sum that overflows gives inf where the average exists, and training ends in NaN.
    How: windows of finite data, up to half the largest value of the dtype; the accumulator must be wide enough.
    Do: sum in a wider type, or scale before summing.
    False alarm: none known for kinds that average or choose.
    """
    x = case.array()
    if case.data == "half_maximum":
        x = cast(np.sign(case.generator(5).integers(0, 2, x.shape) - 0.5) * as_float64(x), case.input_dtype)
        if case.input_dtype in ("float32", "float64", "bfloat16") or "nonnegative_domain" in layer.traits:
            # Sound layers sum float32 in float32; so far below the end a sum of powers of a window still fits.
            powers = layer.configuration.p if layer.configuration.known_kind.reduction == "gem" else 2.0
            x = cast(np.abs(as_float64(case.array())) ** (0.75 / max(powers, 2.0)), case.input_dtype)
            if case.input_dtype == "float16":
                # Far within float16, but the squares are not.
                x = cast(np.where(case.generator(5).integers(0, 2, x.shape) == 1, 2000.0, 1.0), "float16")
    y = as_float64(layer.value(x))
    low, high = extremes_of_windows(layer.configuration, as_float64(x))
    if y.shape != low.shape:
        raise Violation(f"shape {y.shape}", f"shape {low.shape}", "the shape is wrong")
    slack = 2 * tolerance_of(case.dtype) * (1 + float(np.abs(as_float64(x)).max(initial=0)))
    inside = np.isfinite(y) & (y >= low - slack) & (y <= high + slack)
    if not bool(inside.all()):
        at = tuple(int(i) for i in np.argwhere(~inside)[0])
        raise Violation(
            shown(y), f"between {shown(low)} and {shown(high)}", f"at {list(at)} the output leaves its window's range"
        )


@layer_property("PA104", traits="selection has_formula", dtypes=("float32", "float16"))
def selection(layer: LayerUnderTest, case: Case) -> None:
    """Every output value is one of the inputs of its window, to the bit.

    Why: a value that occurs nowhere in the window (a zero from padding, a rounded copy) is made up.
    How: the layer's output is compared bitwise with the chosen cell.
    Do: pad with the lowest value, and do not compute in a narrower type.
    False alarm: none known.
    """
    x = case.array()
    y = layer.value(x)
    configuration = layer.configuration
    membership = window_membership(configuration, x.shape)
    cells, outputs = spatial_output(configuration, as_float64(x), as_float64(y), len(membership))
    for o, row in enumerate(membership):
        found = (outputs[:, o, None, :] == cells[:, row, :]).any(axis=1)
        if not bool(found.all()):
            b, c = (int(i) for i in np.argwhere(~found)[0])
            raise Violation(
                repr(float(outputs[b, o, c])),
                f"one of {shown(np.unique(cells[b, row, c]))}",
                f"output cell {o} of item {b}, channel {c}, is none of its window's cells",
            )


@layer_property("PA105", traits="shift_equivariant", data=("ties", "permutation", "negative", "normal"))
def shift(layer: LayerUnderTest, case: Case) -> None:
    """Adding a constant to the input adds it to the output.

    Why: a layer that breaks it has an offset, a clipping or padding that takes part.
    How: integers and a power of two, so that nothing rounds.
    Do: look for padding with zeros and for a lower bound in the code.
    False alarm: kinds with a power or a clipping; they do not have this property.
    """
    x = case.array()
    c = float(2 ** int(case.generator(2).integers(0, 4))) * (1 if case.seed % 2 else -1)
    expected = as_float64(layer.value(x)) + c
    demand_same(
        layer.value(cast(as_float64(x) + c, case.input_dtype)), expected, case.dtype, f"f(x + {c}) is not f(x) + {c}", 4
    )


@layer_property("PA106", traits="scale_equivariant", data=("ties", "permutation", "normal", "post_relu"))
def scale(layer: LayerUnderTest, case: Case) -> None:
    """Scaling the input by a positive number scales the output.

    Why: an epsilon or a constant inside the layer acts differently on small and on large activations.
    How: factors are powers of two, from 2**-6 to 2**9.
    Do: make the constant relative to the data, or document it.
    False alarm: log-sum-exp does not have this property.
    """
    x = case.array()
    a = float(2.0 ** int(case.generator(2).integers(-6, 10)))
    if layer.configuration.known_kind.reduction in ("gem", "rms", "stochastic"):
        a = float(2.0 ** int(case.generator(2).integers(0, 5)))  # these clip at, or add, an epsilon
    y = as_float64(layer.value(x))
    scaled = as_float64(layer.value(cast(as_float64(x) * a, case.input_dtype)))
    demand_same(scaled / a, y, case.dtype, f"f({a} x) is not {a} f(x)", 4)


@layer_property("PA107", traits="monotone", data=("normal", "ties", "negative"))
def monotone(layer: LayerUnderTest, case: Case) -> None:
    """A greater input never gives a smaller output.

    Why: an activation that grows and lowers the pooled value misleads every later layer.
    How: some cells are raised, the output of the two is compared cell by cell.
    Do: look for a sign or for a sort along the wrong axis.
    False alarm: kinds whose weights depend on the data; they do not have this property.
    """
    x = case.array()
    raised = as_float64(x) + case.generator(2).integers(0, 3, x.shape)
    low, high = as_float64(layer.value(x)), as_float64(layer.value(cast(raised, case.input_dtype)))
    if low.shape != high.shape or bool(np.any(high < low - 4 * tolerance_of(case.dtype) * (1 + np.abs(low)))):
        raise Violation(shown(high), f"nowhere below {shown(low)}", "raising cells lowers the output")


@layer_property("PA108", traits="non_expansive", data=("normal", "ties"))
def non_expansive(layer: LayerUnderTest, case: Case) -> None:
    """The output changes by no more than the input's largest change.

    Why: a pooling layer that amplifies is an unnoticed gain in the network.
    How: two inputs, the largest change of each side.
    Do: check the divisor and the weights: they must add up to 1.
    False alarm: sums and norms without division; they do not have this property.
    """
    x = case.array()
    other = cast(as_float64(x) + case.generator(2).normal(size=x.shape), case.input_dtype)
    moved = np.abs(as_float64(layer.value(other)) - as_float64(layer.value(x))).max(initial=0.0)
    allowed = np.abs(as_float64(other) - as_float64(x)).max(initial=0.0)
    if not moved <= allowed * (1 + 1e-5) + 8 * tolerance_of(case.dtype) * (
        1 + float(np.abs(as_float64(x)).max(initial=0))
    ):
        raise Violation(f"the output moves by {moved:.6g}", f"by at most {allowed:.6g}", "the layer amplifies")


@layer_property("PA109", traits="linear", data=("ties", "permutation"))
def linear(layer: LayerUnderTest, case: Case) -> None:
    """The output of a sum is the sum of the outputs.

    Why: an average with a clipping or a data-dependent branch is no average.
    How: integers, so that sums are exact.
    Do: look for a condition on the values.
    False alarm: none for averages, blurs and subsampling.
    """
    x = case.array()
    other = cast(case.generator(2).integers(-4, 5, x.shape), case.input_dtype)
    both = cast(as_float64(x) + as_float64(other), case.input_dtype)
    expected = as_float64(layer.value(x)) + as_float64(layer.value(other))
    demand_same(layer.value(both), expected, case.dtype, "f(x + y) is not f(x) + f(y)", 4)


@layer_property("PA110", traits="symmetric windowed", data=("permutation", "ties"))
def window_order(layer: LayerUnderTest, case: Case) -> None:
    """The order of the cells inside a window does not matter.

    Why: a window whose last cell counts double or whose first is forgotten shows here.
    How: one window covers the input, its cells are shuffled within each item and channel.
    Do: check the ends of loops over the window.
    False alarm: blurs weigh by place; they do not have this property.
    """
    if "window" in layer.subject.fixed or "strides" in layer.subject.fixed:
        raise NotApplicable
    sizes = case.configuration.spatial_shape(case.input_shape)
    configuration = replace(case.configuration, window=sizes, strides=None, padding="valid", dilation=None)
    if layer.subject.fixed.get("padding", "valid") != "valid" or (layer.subject.scalar and len(set(sizes)) > 1):
        raise NotApplicable
    whole = layer.another(configuration)
    x = case.array()
    order = case.generator(2).permutation(int(np.prod(sizes)))
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    demand_same(
        whole.value(flat[:, order].reshape(x.shape)),
        whole.value(x),
        case.dtype,
        "shuffling the only window changes it",
        4,
    )


@layer_property("PA111", traits="max_like windowed", data=("ties", "permutation", "normal"))
def duality(layer: LayerUnderTest, case: Case) -> None:
    """A maximum and the minimum of the negated input are each other's negatives.

    Why: padding or a lower bound that favours one sign breaks the pair.
    How: f(-x) of the layer is compared with the extreme of the other kind, from the definition.
    Do: initialise a maximum with the lowest value and not with zero.
    False alarm: none known.
    """
    x = case.array()
    other = "min" if layer.configuration.kind == "max" else "max"
    dual = replace(layer.configuration, kind=other)
    demand_bitwise(-as_float64(layer.value(-x)), pool(dual, x), "f(-x) is not the negative of the other extreme")


@layer_property("PA112", data=("permutation", "normal"), layouts=("windowed", "adaptive"), cost="medium")
def scalar_sizes(layer: LayerUnderTest, case: Case) -> None:
    """One integer for a size means that size on every axis.

    Why: most networks say `pool_size=2`; a layer tried with tuples alone may index an integer, or use it on one axis.
    How: the layer built with integers against the layer built with tuples of equal entries.
    Do: make tuples of integers in the constructor.
    False alarm: none known; a layer that takes only one of the two is not accused.
    """
    configuration = case.configuration
    if layer.subject.scalar or "window" in layer.subject.fixed:
        raise NotApplicable
    tuples: dict[str, Any] = {}
    integers: dict[str, Any] = {}
    for name in ("window", "strides", "output_size"):
        sizes = getattr(configuration, name)
        if sizes is not None:
            smallest = min(sizes)
            tuples[name], integers[name] = (smallest,) * configuration.rank, smallest
    if not tuples:
        raise NotApplicable
    x = case.array()
    expected = layer.another(replace(configuration, **tuples)).value(x)
    found = layer.another(replace(configuration, **integers)).value(x)
    demand_same(found, expected, case.dtype, "one integer gives another result than the same size on every axis", 2)


@layer_property("PA113", data=("permutation", "normal"))
def finite_output(layer: LayerUnderTest, case: Case) -> None:
    """Finite activations of moderate size give finite outputs.

    Why: an exponential or a power without scaling overflows on the first bright image, and NaN ends the training.
    How: values up to 200 in magnitude; exp(89) is beyond float32.
    Do: subtract the window's maximum before an exponential.
    False alarm: none known.
    """
    x = as_float64(case.array())
    x = cast(x * (200 / np.abs(x).max(initial=1e-3)), case.input_dtype)
    y = as_float64(layer.value(x))
    if not np.isfinite(y).all():
        raise Violation(shown(y), f"finite values for {shown(x)}", "finite input gives values that are not finite")
