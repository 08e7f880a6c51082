"""Half precision: the answer is that of a wide accumulator, rounded once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.numerics import demand_same
from poolaudit.conformance.property import layer_property
from poolaudit.conformance.violations import NotApplicable
from poolaudit.reference import pool


@layer_property(
    "PA170", traits="accumulates has_formula", cost="slow", data=("halves",), dtypes=("float16", "bfloat16", "float32")
)
def widening(layer: LayerUnderTest, case: Case) -> None:
    """In half precision the result is that of float64, rounded once.

    Why: float16 counts to 2048 and overflows at 65504; bfloat16 counts to 256: an average over a feature map stalls.
    How: windows of up to 4096 cells, half ones and half zeros (shuffled), and cells of a quarter of the largest value.
    Do: accumulate in float32, cast at the end.
    False alarm: none known.
    """
    configuration = case.configuration
    rank = configuration.rank
    side = {1: (1024, 4096), 2: (24, 64), 3: (10, 16)}[rank][1 if case.seed % 4 == 3 else 0]
    shape = (1, *(side,) * rank, 2)
    if configuration.layout == "windowed":
        if "window" in layer.subject.fixed:
            raise NotApplicable
        configuration = replace(configuration, window=(side,) * rank, strides=None, padding="valid", dilation=None)
    elif configuration.layout == "adaptive":
        configuration = replace(configuration, output_size=(1,) * rank)
    reduction = configuration.known_kind.reduction
    if reduction in ("blur", "subsample") or layer.subject.fixed.get("padding", "valid") != "valid":
        raise NotApplicable
    cells = case.generator(2).permutation(int(np.prod(shape))).reshape(shape) % 2
    if "nonnegative_domain" in layer.traits or reduction == "lse":
        values = cells * 0.5 + 0.5
    elif case.seed % 3 == 0 and case.input_dtype == "float16":
        values = cells * 16384.0
    else:
        values = cells.astype(np.float64)
    if case.data != "halves" or case.value_range is not None:
        raise NotApplicable
    x = cast(values, case.input_dtype)
    other = layer.another(configuration)
    expected = cast(pool(configuration, x), case.input_dtype)
    # Long sums in float32 may be off by a few roundings; half precision must be right to its own rounding.
    demand_same(
        other.value(x),
        expected,
        case.dtype,
        "a long window loses precision",
        10 if case.input_dtype == "float32" else 1,
    )


@layer_property("PA171", traits="has_formula degree_one", data=("normal", "large_offset"), dtypes=("float64",))
def full_precision(layer: LayerUnderTest, case: Case) -> None:
    """In float64 all 52 bits take part.

    Why: a cast through float32 inside a layer caps the precision that the user asked for.
    How: normal data, and data on an offset that leaves four bits for it, compared within float64 rounding.
    Do: take the dtype from the input or the policy.
    False alarm: none known.
    """
    x = case.array()
    y = layer.value(x)
    if layer.configuration.known_kind.reduction in ("median", "stochastic", "gem", "rms"):
        raise NotApplicable
    demand_same(y, pool(layer.configuration, x), case.dtype, "float64 is not computed in float64", 2)
