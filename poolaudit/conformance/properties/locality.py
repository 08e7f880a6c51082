"""Locality: an output cell reads its window and nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.case import Case, cast
from poolaudit.conformance.layer_under_test import LayerUnderTest
from poolaudit.conformance.numerics import as_float64, largest_finite, same_values, shown
from poolaudit.conformance.property import layer_property
from poolaudit.conformance.reading import spatial_output
from poolaudit.conformance.traits_of_layer import sums_along_axes
from poolaudit.conformance.violations import LOWEST_FOR_INFINITY, NotApplicable, Unjudged, Violation
from poolaudit.reference import window_membership
from poolaudit.reference.plan import restored


def _with_cells(configuration: PoolConfiguration, x: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return restored(configuration, cells, configuration.spatial_shape(x.shape))


def _declared(layer: LayerUnderTest, case: Case) -> np.ndarray:
    if layer.configuration.layout == "any":
        raise NotApplicable
    return window_membership(layer.configuration, case.input_shape)


def _excuse_running_sum(layer: LayerUnderTest) -> None:
    if sums_along_axes(layer.subject):
        raise Unjudged(
            "the layer takes differences of a running sum, so a NaN, an infinity or 1e30 reaches later windows by "
            "construction; whether that is acceptable was not judged"
        )


@layer_property("PA120", data=("normal", "permutation"))
def locality(layer: LayerUnderTest, case: Case) -> None:
    """Changing a cell changes only the outputs whose window holds it, and all of them where every cell counts.

    Why: windows that lie one cell off, a stride that is ignored, a border that is dropped: all are invisible in
        accuracy and cost recall at the edges.
    How: some cells are changed at once; outputs without one of them must stay the same to the bit, outputs with one
        must change where every cell of a window counts.
    Do: compare start, stride and padding with the declared ones.
    False alarm: a layer whose windows are not those of its `pool_size`, `strides` and `padding`.
    """
    membership = _declared(layer, case)
    x = case.array()
    outputs = len(membership)
    cells, before = spatial_output(layer.configuration, as_float64(x), as_float64(layer.value(x)), outputs)
    total = cells.shape[1]
    chosen = np.unique(case.generator(2).integers(0, total, max(1, total // 6)))
    moved = cells.copy()
    moved[:, chosen] += case.generator(3).choice([-1.0, 1.0]) * (2.0 + np.abs(cells[:, chosen]))
    if "nonnegative_domain" in layer.traits:
        moved[:, chosen] = np.abs(moved[:, chosen]) + 1.5 * cells[:, chosen]
    changed = cast(_with_cells(layer.configuration, x, moved), case.input_dtype)
    _, after = spatial_output(layer.configuration, as_float64(x), as_float64(layer.value(changed)), outputs)
    touched = np.asarray(membership[:, chosen].any(axis=1))
    # Layers that sum otherwise than window by window round differently; a real leak is far greater.
    same = same_values(after, before, case.dtype, 4)
    leaked = ~same & ~touched[None, :, None]
    if bool(leaked.any()):
        b, o, c = (int(i) for i in np.argwhere(leaked)[0])
        raise Violation(
            f"output cell {o} of item {b}, channel {c}, moves from {before[b, o, c]!r} to {after[b, o, c]!r}",
            "no change: its window holds none of the changed cells",
            f"an output depends on cells outside its window (changed cells {chosen.tolist()})",
        )
    if "every_cell_counts" in layer.traits:
        _demand_all_count(layer, case, membership)


def _demand_all_count(layer: LayerUnderTest, case: Case, membership: np.ndarray) -> None:
    x = case.array()
    if layer.configuration.known_kind.reduction in ("lse", "mixed") or not membership.any():
        return
    outputs = len(membership)
    cells, before = spatial_output(layer.configuration, as_float64(x), as_float64(layer.value(x)), outputs)
    candidates = np.argwhere(membership.any(axis=0)).ravel()
    i = int(case.generator(4).choice(candidates))
    moved = cells.copy()
    moved[:, i] = 4.0 * np.abs(cells).max(initial=1.0) * membership.sum(axis=1).max() ** 0.5
    _, after = spatial_output(
        layer.configuration,
        as_float64(x),
        as_float64(layer.value(cast(_with_cells(layer.configuration, x, moved), case.input_dtype))),
        outputs,
    )
    if layer.configuration.known_kind.reduction == "subsample":
        return
    deaf = (np.abs(after - before) <= 1e-12)[:, membership[:, i], :]
    if deaf.size and bool(deaf.any()):
        raise Violation(
            f"cell {i} changes nothing",
            "a change in every output whose window holds it",
            "a cell of a window does not count",
        )


@layer_property("PA121", data=("normal", "ties"))
def nonfinite_locality(layer: LayerUnderTest, case: Case) -> None:
    """An inf, a NaN or a huge value outside a window leaves its output unchanged.

    Why: one broken pixel must not poison its neighbours' windows; cumulative sums and products with zero do that.
    How: a NaN, an infinity, 2**20 or 1e30 is put into one cell; outputs whose window does not hold it must not
        change.
    Do: select cells with `where` and gather, never by multiplying with a mask; no running sums over the whole axis.
    False alarm: layers on one long running sum, where NaN and infinity spread by construction; they are judged for
        2**20 alone, and the rest is reported as not judged.
    """
    membership = _declared(layer, case)
    x = case.array()
    outputs = len(membership)
    cells, before = spatial_output(layer.configuration, as_float64(x), as_float64(layer.value(x)), outputs)
    i = int(case.generator(2).integers(0, cells.shape[1]))
    bad = (np.nan, np.inf, 2.0**15 if case.input_dtype == "float16" else 2.0**20, 1e30, -np.inf)[case.seed % 5]
    if "nonnegative_domain" in layer.traits:
        bad = abs(bad)
    moved = cells.copy()
    moved[:, i] = bad
    spoilt = cast(_with_cells(layer.configuration, x, moved), case.input_dtype)
    _, after = spatial_output(layer.configuration, as_float64(x), as_float64(layer.value(spoilt)), outputs)
    outside = ~membership[:, i]
    left, right = after[:, outside], before[:, outside]
    if not bool(same_values(left, right, case.dtype, 4).all()):
        if bad != 2.0**20:
            _excuse_running_sum(layer)
        raise Violation(shown(left), shown(right), f"{bad!r} in cell {i} reaches windows that do not hold it")


@layer_property(
    "PA122", traits="nan_propagating", data=("normal", "ties"), modes=("eager",), dtypes=("float32", "float16")
)
def nan_propagation(layer: LayerUnderTest, case: Case) -> None:
    """An output is NaN exactly where its window holds a NaN.

    Why: a NaN that a maximum swallows hides a broken input or a diverged layer; one that spreads hides the place.
    How: NaN is put into some cells, and the outputs compared with the windows that hold one.
    Do: use reductions that propagate, or test for NaN and put it back.
    False alarm: a layer that documents that it ignores NaN.
    """
    membership = _declared(layer, case)
    x = case.array()
    cells, _ = spatial_output(layer.configuration, as_float64(x), as_float64(layer.value(x)), len(membership))
    total = cells.shape[1]
    holes = np.unique(case.generator(2).integers(0, total, max(1, total // 6)))
    moved = cells.copy()
    moved[:, holes] = np.nan
    spoilt = cast(_with_cells(layer.configuration, x, moved), case.input_dtype)
    _, after = spatial_output(layer.configuration, as_float64(x), as_float64(layer.value(spoilt)), len(membership))
    expected = np.broadcast_to(np.asarray(membership[:, holes].any(axis=1))[None, :, None], after.shape)
    if not np.array_equal(np.isnan(after), expected):
        _excuse_running_sum(layer)
        raise Violation(
            f"NaN at {shown(np.isnan(after))}{_in_place_of_nan(after[expected & ~np.isnan(after)])}",
            f"NaN at {shown(expected)}",
            f"with NaN in cells {holes.tolist()}",
        )


def _in_place_of_nan(values: NDArray[np.float64]) -> str:
    """What the layer gave where NaN was due: nothing else tells a kernel that skips NaN from a layer that makes it 0.

    The number that a maximum starts from depends on the dtype it computes in, so all of these read alike.
    """
    if not values.size:
        return ""
    return f", in its place {shown(np.where(values <= np.finfo(np.float16).min, -np.inf, values))}"


@layer_property("PA123", traits="infinities_kept", data=("ties",), dtypes=("float32", "float16"))
def infinities(layer: LayerUnderTest, case: Case) -> None:
    """Infinite windows give infinite outputs of the same sign, never NaN and never the lowest finite number.

    Why: masked attention scores and log-probabilities are -inf; a finite stand-in changes the ranking.
    How: all cells are one infinity (then some of them only).
    Do: start a maximum from -inf, and do not multiply by zero.
    False alarm: none known.
    """
    x = case.array()
    sign = 1.0 if case.seed % 2 else -1.0
    full = cast(np.full(x.shape, sign * np.inf), case.input_dtype)
    y = as_float64(layer.value(full))
    if y.size and not bool((y == sign * np.inf).all()):
        _excuse_running_sum(layer)
        told = f"all cells are {sign * np.inf}"
        wrong = y[y != sign * np.inf]
        if sign < 0 and bool((wrong == -largest_finite(case.input_dtype)).all()):
            told += f" and {LOWEST_FOR_INFINITY}"
        raise Violation(shown(y), f"{sign * np.inf} everywhere", told)
