"""The vector-Jacobian product of a pooling layer, and what is free in it where cells tie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from poolaudit.configuration import PoolConfiguration
from poolaudit.errors import InvalidInputError
from poolaudit.reference.plan import (
    BoolArray,
    FloatArray,
    Windows,
    checked,
    flattened,
    gathered,
    restored,
    scattered,
)
from poolaudit.reference.reductions import REDUCTIONS, linear_weights, middle_cells

Ties = Literal["even", "first"]


def pool_gradient(
    configuration: PoolConfiguration,
    x: ArrayLike,
    upstream: ArrayLike,
    mask: ArrayLike | None = None,
    ties: Ties = "even",
) -> FloatArray:
    """J^T g: the gradient of `sum(pool(x) * upstream)` with respect to `x`, in float64.

    Defined for finite inputs. Where cells tie for a maximum any convex split is a right answer; this is one
    of them, and `is_convex_split` accepts them all. Where the derivative does not exist (`rms` and
    `stochastic` of an all-zero window) the gradient is 0.

    Args:
        configuration: Any kind with the trait `has_formula`.
        x: Input in the configuration's data format.
        upstream: g, of the output's shape.
        mask: As for `pool`; masked cells have gradient 0.
        ties: Share the gradient evenly among tied cells, or give it to the first in row-major order.

    Raises:
        InvalidInputError: Not a valid configuration for this input, or `upstream` has another shape.
    """
    array, flags = checked(configuration, x, mask)
    total: FloatArray = np.zeros_like(flattened(configuration, array))
    for level, level_upstream in _levels(configuration, array, upstream):
        windows = gathered(level, array, flags)
        with np.errstate(all="ignore"):
            local = _derivative(windows, level, ties)
        local = np.where(windows.present, local, 0.0) * level_upstream[:, :, None, :]
        total += scattered(windows, local, total.shape[1])
    return restored(configuration, total, configuration.spatial_shape(array.shape))


def gradient_support(configuration: PoolConfiguration, x: ArrayLike, mask: ArrayLike | None = None) -> BoolArray:
    """Where a gradient may arrive, shaped as `x`: extreme cells for max-like kinds, else all of W(o)."""
    array, flags = checked(configuration, x, mask)
    support: FloatArray = np.zeros_like(flattened(configuration, array))
    for level in _single_levels(configuration):
        windows = gathered(level, array, flags)
        allowed = _tied(windows, level) if level.known_kind.has("max_like") else windows.present
        support += scattered(windows, allowed.astype(np.float64), support.shape[1])
    return restored(configuration, support, configuration.spatial_shape(array.shape)) > 0


def gradient_bounds(
    configuration: PoolConfiguration, x: ArrayLike, upstream: ArrayLike, mask: ArrayLike | None = None
) -> tuple[FloatArray, FloatArray]:
    """Least and greatest gradient each cell can have over all convex splits of ties; max-like kinds only.

    Raises:
        InvalidInputError: The kind sends its gradient to more than the extreme cells.
    """
    array, flags = _max_like_input(configuration, x, mask)
    shape = flattened(configuration, array).shape
    lower, upper = np.zeros(shape), np.zeros(shape)
    for level, level_upstream in _levels(configuration, array, upstream):
        windows = gathered(level, array, flags)
        tied = _tied(windows, level)
        alone = tied & (tied.sum(axis=2, keepdims=True) == 1)
        incoming = level_upstream[:, :, None, :]
        least = np.where(alone, incoming, np.where(tied, np.minimum(incoming, 0.0), 0.0))
        most = np.where(alone, incoming, np.where(tied, np.maximum(incoming, 0.0), 0.0))
        lower += scattered(windows, least, shape[1])
        upper += scattered(windows, most, shape[1])
    spatial = configuration.spatial_shape(array.shape)
    return restored(configuration, lower, spatial), restored(configuration, upper, spatial)


def is_convex_split(
    configuration: PoolConfiguration,
    x: ArrayLike,
    upstream: ArrayLike,
    gradient: ArrayLike,
    mask: ArrayLike | None = None,
    tolerance: float = 1e-6,
) -> bool:
    """Whether `gradient` may be what a right max-like layer returns, however it treats ties.

    Every cell must lie within `gradient_bounds`, and every group of windows linked by shared tied cells must
    pass on exactly the gradient that came in. Exact for windows that share no tied cell; elsewhere a
    necessary condition.

    Args:
        tolerance: Allowed error relative to 1 + the largest absolute gradient a cell can have.
    """
    array, flags = _max_like_input(configuration, x, mask)
    found = flattened(configuration, np.asarray(gradient).astype(np.float64))
    lower, upper = (flattened(configuration, b) for b in gradient_bounds(configuration, x, upstream, mask))
    if not found.size:
        return True
    slack = tolerance * (1.0 + float(np.maximum(np.abs(lower), np.abs(upper)).max()))
    if not bool(np.all((found >= lower - slack) & (found <= upper + slack))):
        return False
    pairs = tuple(_levels(configuration, array, upstream))
    difference, cells = _group_differences(configuration, array, flags, pairs, found)
    return bool(np.all(np.abs(difference) <= slack * np.maximum(cells, 1)))


def _group_differences(
    configuration: PoolConfiguration,
    x: FloatArray,
    mask: BoolArray | None,
    pairs: tuple[tuple[PoolConfiguration, FloatArray], ...],
    found: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Gradient found less gradient sent in, and the number of cells, for each group of linked windows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    cell_ids = np.arange(found.size).reshape(found.shape)
    nodes, rows, columns, sent = found.size, [], [], []
    for level, incoming in pairs:
        windows = gathered(level, x, mask)
        tied = _tied(windows, level)
        window_ids = nodes + np.arange(incoming.size).reshape(incoming.shape)
        nodes += incoming.size
        columns.append(cell_ids[:, windows.plan.indices, :][tied])
        rows.append(np.broadcast_to(window_ids[:, :, None, :], tied.shape)[tied])
        # A window without a tied cell (nothing left of it) has nowhere to send its gradient.
        sent.append(np.where(tied.any(axis=2), incoming, 0.0).ravel())
    row, column = np.concatenate(rows), np.concatenate(columns)
    links = coo_array((np.ones(len(row), np.int8), (row, column)), shape=(nodes, nodes))
    groups, label = connected_components(links, directed=False)
    balance = np.concatenate([found.ravel(), *(-part for part in sent)])
    cells = np.bincount(label[: found.size], minlength=groups).astype(np.float64)
    return np.bincount(label, weights=balance, minlength=groups).astype(np.float64), cells


def _max_like_input(
    configuration: PoolConfiguration, x: ArrayLike, mask: ArrayLike | None
) -> tuple[FloatArray, BoolArray | None]:
    if not all(level.known_kind.has("max_like") for level in _single_levels(configuration)):
        raise InvalidInputError(
            f"Kind {configuration.kind!r} does not send its gradient to the extreme cells",
            "kinds with trait 'max_like'",
            "Compare with pool_gradient instead",
        )
    return checked(configuration, x, mask)


def _single_levels(configuration: PoolConfiguration) -> tuple[PoolConfiguration, ...]:
    return configuration.pyramid() if configuration.layout == "pyramid" else (configuration,)


def _levels(
    configuration: PoolConfiguration, x: FloatArray, upstream: ArrayLike
) -> tuple[tuple[PoolConfiguration, FloatArray], ...]:
    """Each set of windows with its part of the upstream gradient as `(batch, outputs, channels)`."""
    sent = np.asarray(upstream).astype(np.float64)
    expected = configuration.output_shape(x.shape)
    if sent.shape != expected:
        raise InvalidInputError(f"The upstream gradient has shape {sent.shape}", f"the output's, {expected}")
    if configuration.layout == "global":
        return ((configuration, sent.reshape(x.shape[0], 1, -1)),)
    if configuration.layout != "pyramid":
        return ((configuration, flattened(configuration, sent)),)
    channels = x.shape[1 if configuration.data_format == "channels_first" else -1]
    bins = [level**configuration.rank for level in configuration.levels]
    parts = np.split(sent.reshape(x.shape[0], sum(bins), channels), np.cumsum(bins)[:-1], axis=1)
    return tuple(zip(configuration.pyramid(), parts, strict=True))


def _tied(windows: Windows, configuration: PoolConfiguration) -> BoolArray:
    extreme = REDUCTIONS[configuration.known_kind.reduction or ""](windows, configuration)
    tied: BoolArray = windows.present & (windows.cells == extreme[:, :, None, :])
    return tied


def _extreme_derivative(windows: Windows, configuration: PoolConfiguration, ties: Ties) -> FloatArray:
    return _split(_tied(windows, configuration), ties)


def _split(tied: BoolArray, ties: Ties) -> FloatArray:
    if ties == "first":
        first = np.argmax(tied, axis=2, keepdims=True)
        winner: FloatArray = np.asarray(tied & (np.arange(tied.shape[2])[None, None, :, None] == first), float)
        return winner
    shares: FloatArray = tied / np.maximum(tied.sum(axis=2, keepdims=True), 1)
    return shares


def _linear_derivative(windows: Windows, configuration: PoolConfiguration, ties: Ties) -> FloatArray:
    weights, divisor = linear_weights(windows, configuration)
    return np.broadcast_to(weights / np.where(divisor == 0, 1.0, divisor), windows.cells.shape)


def _median_derivative(windows: Windows, configuration: PoolConfiguration, ties: Ties) -> FloatArray:
    halves = [
        _split(windows.present & (windows.cells == middle[:, :, None, :]), ties)
        for middle in middle_cells(windows, configuration)
    ]
    return (halves[0] + halves[1]) / 2


def _rms_derivative(windows: Windows, configuration: PoolConfiguration, ties: Ties) -> FloatArray:
    value = REDUCTIONS["rms"](windows, configuration)[:, :, None, :]
    ratio = windows.cells / np.where(value > 0, value, 1.0)
    return np.where(value > 0, ratio / windows.counts, 0.0)


def _gem_derivative(windows: Windows, configuration: PoolConfiguration, ties: Ties) -> FloatArray:
    value = REDUCTIONS["gem"](windows, configuration)[:, :, None, :]
    ratio = np.maximum(windows.cells, configuration.epsilon) / value
    return np.where(windows.cells > configuration.epsilon, ratio ** (configuration.p - 1) / windows.counts, 0.0)


def _lse_derivative(windows: Windows, configuration: PoolConfiguration, ties: Ties) -> FloatArray:
    value = REDUCTIONS["lse"](windows, configuration)[:, :, None, :]
    shares: FloatArray = np.exp(configuration.sharpness * (windows.cells - value)) / windows.counts
    return shares


def _mixed_derivative(windows: Windows, configuration: PoolConfiguration, ties: Ties) -> FloatArray:
    highest = REDUCTIONS["max"](windows, configuration)[:, :, None, :]
    extreme = _split(windows.present & (windows.cells == highest), ties)
    even = _linear_derivative(windows, configuration, ties)
    return configuration.alpha * extreme + (1 - configuration.alpha) * even


def _stochastic_derivative(windows: Windows, configuration: PoolConfiguration, ties: Ties) -> FloatArray:
    value = REDUCTIONS["stochastic"](windows, configuration)[:, :, None, :]
    total = np.where(windows.present, windows.cells, 0.0).sum(axis=2, keepdims=True)
    return np.where(total > 0, (2 * windows.cells - value) / np.where(total > 0, total, 1.0), 0.0)


_DERIVATIVES: dict[str, Callable[[Windows, PoolConfiguration, Ties], FloatArray]] = {
    "max": _extreme_derivative,
    "min": _extreme_derivative,
    "average": _linear_derivative,
    "blur": _linear_derivative,
    "subsample": _linear_derivative,
    "median": _median_derivative,
    "rms": _rms_derivative,
    "gem": _gem_derivative,
    "lse": _lse_derivative,
    "mixed": _mixed_derivative,
    "stochastic": _stochastic_derivative,
}


def _derivative(windows: Windows, configuration: PoolConfiguration, ties: Ties) -> FloatArray:
    """d output / d cell inside each window, `(batch, outputs, cells, channels)`."""
    return _DERIVATIVES[configuration.known_kind.reduction or ""](windows, configuration, ties)
