"""Items, channels, axes, data formats and other layers: what must not matter, and what must match."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.numerics import as_float64, demand_same
from poolaudit.conformance.property import layer_property
from poolaudit.conformance.violations import NotApplicable, Refused, Violation

_FINITE = ("normal", "ties", "permutation")


@layer_property("PA140", data=_FINITE, modes=("eager", "graph_unknown_sizes"))
def batch_independence(layer: LayerUnderTest, case: Case) -> None:
    """An item's output depends on that item alone.

    Why: a layer that looks at its batch predicts otherwise in production than in evaluation.
    How: two batches, one scaled by 1e3, are pooled alone, together, and in another order.
    Do: reduce over spatial axes only; test with a batch of one.
    False alarm: normalisation over the batch, where it is meant; that is not pooling.
    """
    a = case.array()
    factor = 1e3 if case.input_dtype in ("float32", "float64") else 4.0
    b = cast(as_float64(np.roll(a, 1, axis=-1)[::-1]) * factor + 1, case.input_dtype)
    alone = layer.value(a)
    first = np.concatenate([alone, layer.value(b)])
    try:
        together = layer.value(np.concatenate([a, b]))
        backwards = layer.value(np.concatenate([a, b])[::-1].copy())
        single = layer.value(a[:1])
    except Refused as refused:
        raise Violation(
            str(refused), "a result, as for each part alone", "a larger or smaller batch is refused"
        ) from None
    demand_same(
        _scaled(together, len(a), factor),
        _scaled(first, len(a), factor),
        case.dtype,
        "a batch is not the sum of its parts",
        4,
    )
    demand_same(
        _scaled(backwards[::-1], len(a), factor),
        _scaled(first, len(a), factor),
        case.dtype,
        "the order of items matters",
        4,
    )
    demand_same(single, alone[:1], case.dtype, "an item alone gives another result", 4)


def _scaled(y: np.ndarray, count: int, factor: float) -> np.ndarray:
    """Undoes the scaling of the second part, so that a tolerance relative to the largest value sees both."""
    values = as_float64(y).copy()
    values[count:] /= factor
    return np.asarray(values)


@layer_property("PA141", data=_FINITE)
def channel_equivariance(layer: LayerUnderTest, case: Case) -> None:
    """Channels do not mix; and where the kind treats them alike, their order does not matter.

    Why: pooling over channels, or channels that swap places, scrambles features.
    How: other channels are changed while one is watched; where the kind is one function of every channel, channels are
        permuted and taken one by one.
    Do: check every reshape: it must not carry values across the channel axis.
    False alarm: layers that mix channels on purpose; they are more than pooling.
    """
    x = case.array()
    channels = x.shape[-1]
    y = layer.value(x)
    if not y.ndim:
        raise Violation("a scalar", "a tensor with batch and channels")
    if y.shape[-1] == channels and layer.configuration.layout != "pyramid" and channels > 1:
        watched = int(case.generator(2).integers(0, channels))
        others = as_float64(x) * 3 + 7
        others[..., watched] = as_float64(x)[..., watched]
        again = layer.value(cast(others, case.input_dtype))
        demand_same(
            again[..., watched], y[..., watched], case.dtype, f"channel {watched} changes with the other channels", 4
        )
    if "channel_equivariant" in layer.traits:
        order = case.generator(3).permutation(channels)
        demand_same(layer.value(x[..., order]), y[..., order], case.dtype, "permuted channels give another result", 4)
        one = int(case.generator(4).integers(0, channels))
        demand_same(
            layer.value(x[..., one : one + 1]),
            y[..., one : one + 1],
            case.dtype,
            "a channel alone gives another result",
            4,
        )


@layer_property("PA142", data=_FINITE, needs_argument="data_format", cost="medium")
def data_format(layer: LayerUnderTest, case: Case) -> None:
    """channels_first and channels_last agree: values, shape and gradient.

    Why: models move between GPU and CPU layouts, and a stored but ignored data_format pools over channels.
    How: the same data in both layouts; keepdims included.
    Do: derive every axis from data_format.
    False alarm: none known; a layer that refuses channels_first is not accused.
    """
    last = layer.another(replace(case.configuration, data_format="channels_last"))
    first = layer.another(replace(case.configuration, data_format="channels_first"))
    x = case.array()
    if case.configuration.data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    y = last.value(x)
    turned = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    z = first.value(turned)
    back = z if z.ndim == 2 else np.moveaxis(z, 1, -1)
    demand_same(back, y, case.dtype, "channels_first and channels_last disagree", 4)
    if case.data == "permutation":
        upstream = case.upstream(y.shape)
        turned_up = upstream if y.ndim == 2 else np.ascontiguousarray(np.moveaxis(upstream, -1, 1))
        gradient = np.moveaxis(first.gradient(turned, turned_up), 1, -1)
        demand_same(gradient, last.gradient(x, upstream), case.dtype, "the gradients of the data formats disagree", 4)


@layer_property("PA143", traits="symmetric windowed", data=_FINITE)
def axis_symmetry(layer: LayerUnderTest, case: Case) -> None:
    """Pooling the transposed input with transposed settings gives the transposed output.

    Why: swapped strides or window sizes show only where they differ.
    How: spatial axes of input, window and strides are reversed together.
    Do: look for an index that is used for both axes.
    False alarm: none known.
    """
    configuration = case.configuration
    if configuration.rank == 1 or {"window", "strides"} & layer.subject.fixed.keys():
        raise NotApplicable
    x = case.array()
    spatial = tuple(range(1, configuration.rank + 1))
    turn = (0, *reversed(spatial), configuration.rank + 1)
    turned = replace(
        configuration,
        window=None if configuration.window is None else configuration.window[::-1],
        strides=None if configuration.strides is None else configuration.strides[::-1],
        dilation=None if configuration.dilation is None else configuration.dilation[::-1],
    )
    y = layer.value(x)
    if y.ndim != x.ndim:
        raise Violation(f"shape {y.shape}", f"{x.ndim} axes")
    other = layer.another(turned).value(np.ascontiguousarray(x.transpose(turn)))
    demand_same(other, y.transpose(turn), case.dtype, "the transposed case gives another result", 4)


@layer_property("PA144", traits="windowed", data=_FINITE, paddings=("valid",))
def stride_sampling(layer: LayerUnderTest, case: Case) -> None:
    """A stride keeps every s-th output of the same layer with stride 1.

    Why: it needs no formula, and catches strides that are ignored, swapped or applied twice.
    How: VALID padding; the dense output is sampled.
    Do: check where strides enter the index arithmetic.
    False alarm: none known.
    """
    configuration = case.configuration
    if "strides" in layer.subject.fixed or "window" in layer.subject.fixed or configuration.layout != "windowed":
        raise NotApplicable
    if layer.subject.scalar and len(set(configuration.effective_strides)) > 1:
        raise NotApplicable
    if configuration.dilation is not None or configuration.padding != "valid" or configuration.window is None:
        raise NotApplicable
    x = case.array()
    dense = layer.another(replace(configuration, strides=(1,) * configuration.rank)).value(x)
    steps = (slice(None), *(slice(None, None, s) for s in configuration.effective_strides), slice(None))
    y = layer.value(x)
    if dense.ndim != x.ndim:
        raise Violation(f"shape {dense.shape}", f"{x.ndim} axes")
    demand_same(y, dense[steps], case.dtype, "the strided output is no sample of the dense one", 4)


@layer_property("PA145", traits="composable", data=_FINITE, paddings=("valid",))
def composition(layer: LayerUnderTest, case: Case) -> None:
    """Pooling twice with small windows is pooling once with the product of both.

    Why: extremes of extremes are extremes; a border or a lower bound breaks that.
    How: windows k and 2 with strides equal to the window, on sizes that both divide.
    Do: look at the last window of each axis.
    False alarm: none for maxima and minima.
    """
    if {"window", "strides", "padding"} & layer.subject.fixed.keys():
        raise NotApplicable
    k = 1 + case.seed % 3
    rank = case.configuration.rank
    base = replace(case.configuration, strides=None, padding="valid", dilation=None)
    size = 2 * k * (1 + case.seed % 2)
    x = cast(case.generator(6).integers(-9, 10, (2, *(size,) * rank, case.input_shape[-1])), case.input_dtype)
    inner = layer.another(replace(base, window=(k,) * rank)).value(x)
    twice = layer.another(replace(base, window=(2,) * rank)).value(inner)
    once = layer.another(replace(base, window=(2 * k,) * rank)).value(x)
    demand_same(twice, once, case.dtype, f"windows of {k}, then of 2, differ from windows of {2 * k}")


@layer_property("PA146", traits="adaptive has_formula", data=_FINITE)
def adaptive_windows(layer: LayerUnderTest, case: Case) -> None:
    """As many outputs as inputs change nothing, and one output is the global reduction.

    Why: rounding in the window bounds loses or doubles cells, most often at the last one.
    How: output_size = n must be the identity (for kinds that keep constants), and every cell must be in some window,
        with long axes where float32 indices round.
    Do: compute floor(i n / m) and ceil((i + 1) n / m) in integers.
    False alarm: layers with another rule for the windows; say so in their documentation.
    """
    if layer.subject.scalar and len(set(case.configuration.spatial_shape(case.input_shape))) > 1:
        raise NotApplicable
    x = case.array()
    sizes = case.configuration.spatial_shape(case.input_shape)
    same = layer.another(replace(case.configuration, output_size=sizes)).value(x)
    demand_same(same, x, case.dtype, "output_size equal to the input's size changes the input", 4)
    rank = case.configuration.rank
    n = (37, 23, 11)[rank - 1] + case.seed % 7
    m = 1 + case.seed % (n - 1)
    long = (1, n, *(1,) * (rank - 1), 1)
    ramp = cast(np.arange(n, dtype=np.float64).reshape(long) % 32 + 1, case.input_dtype)
    if layer.subject.scalar and rank > 1:
        return
    from poolaudit.reference import pool

    wide = replace(case.configuration, output_size=(m, *(1,) * (rank - 1)))
    demand_same(
        layer.another(wide).value(ramp), pool(wide, ramp), case.dtype, f"{m} windows over {n} cells lie elsewhere", 4
    )
