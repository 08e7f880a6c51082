"""Which input cells each output cell reads, as rectangular arrays; built once a configuration and shape."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from poolaudit.configuration import AxisWindow, PoolConfiguration
from poolaudit.errors import InvalidInputError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class WindowPlan:
    """W(o) for every output cell, row-major; windows shorter than the longest are filled with absent cells.

    Attributes:
        output_shape: Spatial shape of the output; all ones for global kinds.
        indices: Flat spatial input index of each cell, shape `(outputs, cells)`.
        present: False for fill, shape `(outputs, cells)`.
        binomial: Product over the axes of the binomial coefficient at the cell's tap, `(outputs, cells)`.
        taps: Cells of the unclipped window, padding included, shape `(outputs,)`.
        binomial_total: Sum of the binomial coefficients of the unclipped window, shape `(outputs,)`.
    """

    output_shape: tuple[int, ...]
    indices: NDArray[np.int64]
    present: BoolArray
    binomial: FloatArray
    taps: FloatArray
    binomial_total: FloatArray


@lru_cache(maxsize=512)
def window_plan(configuration: PoolConfiguration, spatial_shape: tuple[int, ...]) -> WindowPlan:
    """The plan for one set of windows; `spp` has one plan a level."""
    axes = [configuration.axis_windows(axis, size) for axis, size in enumerate(spatial_shape)]
    steps = [math.prod(spatial_shape[axis + 1 :]) for axis in range(len(spatial_shape))]
    per_axis = [_axis_arrays(windows) for windows in axes]
    outputs = tuple(len(windows) for windows in axes)
    cells = tuple(arrays[0].shape[1] for arrays in per_axis)
    indices = np.zeros((*outputs, *cells), np.int64)
    present = np.ones((*outputs, *cells), np.bool_)
    binomial = np.ones((*outputs, *cells), np.float64)
    rank = len(spatial_shape)
    for axis, (axis_indices, axis_present, axis_binomial) in enumerate(per_axis):
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = outputs[axis], cells[axis]
        indices = indices + (axis_indices * steps[axis]).reshape(shape)
        present = present & axis_present.reshape(shape)
        binomial = binomial * axis_binomial.reshape(shape)
    taps = np.array([math.prod(w.taps for w in windows) for windows in itertools.product(*axes)], np.float64)
    spread = np.array([2.0 ** sum(w.taps - 1 for w in windows) for windows in itertools.product(*axes)], np.float64)
    flat = (math.prod(outputs), math.prod(cells))
    return _frozen(
        WindowPlan(outputs, indices.reshape(flat), present.reshape(flat), binomial.reshape(flat), taps, spread)
    )


def _axis_arrays(windows: tuple[AxisWindow, ...]) -> tuple[NDArray[np.int64], BoolArray, FloatArray]:
    longest = max((len(window) for window in windows), default=0) or 1
    indices = np.zeros((len(windows), longest), np.int64)
    present = np.zeros((len(windows), longest), np.bool_)
    binomial = np.zeros((len(windows), longest), np.float64)
    for output, window in enumerate(windows):
        cells = len(window)
        indices[output, :cells] = window.indices
        present[output, :cells] = True
        # Adaptive and global windows may be long, and no kind weighs them binomially.
        if window.taps <= 64:
            binomial[output, :cells] = [math.comb(window.taps - 1, window.first_tap + cell) for cell in range(cells)]
    return indices, present, binomial


def _frozen(plan: WindowPlan) -> WindowPlan:
    """Plans are shared by the cache, so their arrays must not be written to."""
    for array in (plan.indices, plan.present, plan.binomial, plan.taps, plan.binomial_total):
        array.setflags(write=False)
    return plan


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The gathered windows of one input.

    Attributes:
        cells: Values, shape `(batch, outputs, cells, channels)`; fill carries some input value.
        present: False for fill and for masked cells, shape `(batch or 1, outputs, cells, 1)`.
        plan: Where the cells come from.
    """

    cells: FloatArray
    present: BoolArray
    plan: WindowPlan

    @property
    def counts(self) -> FloatArray:
        """Cells present in each window, shape `(batch or 1, outputs, 1, 1)`."""
        counts: FloatArray = self.present.sum(axis=2, keepdims=True, dtype=np.float64)
        return counts


def flattened(configuration: PoolConfiguration, x: FloatArray) -> FloatArray:
    """`x` as `(batch, spatial cells, channels)`, whatever its data format."""
    last = np.moveaxis(x, 1, -1) if configuration.data_format == "channels_first" else x
    return last.reshape(last.shape[0], math.prod(last.shape[1:-1]), last.shape[-1])


def restored(configuration: PoolConfiguration, cells: FloatArray, spatial_shape: tuple[int, ...]) -> FloatArray:
    """The inverse of `flattened` for a spatial shape."""
    shaped = cells.reshape(cells.shape[0], *spatial_shape, cells.shape[-1])
    return np.moveaxis(shaped, -1, 1) if configuration.data_format == "channels_first" else shaped


def gathered(configuration: PoolConfiguration, x: FloatArray, mask: BoolArray | None) -> Windows:
    """All windows of `x` under one plan; `mask` has shape `(batch, *spatial)`, False means deleted."""
    plan = window_plan(configuration, configuration.spatial_shape(x.shape))
    cells = flattened(configuration, x)[:, plan.indices, :]
    present = plan.present[None, :, :, None]
    if mask is not None:
        present = present & mask.reshape(mask.shape[0], -1)[:, plan.indices][..., None]
    return Windows(cells, present, plan)


def scattered(windows: Windows, amounts: FloatArray, cells: int) -> FloatArray:
    """Sum of the amounts `(batch, outputs, cells, channels)` that arrive at each of the input's cells."""
    total = np.zeros((cells, windows.cells.shape[0], windows.cells.shape[3]))
    np.add.at(total, windows.plan.indices, np.moveaxis(np.broadcast_to(amounts, windows.cells.shape), 0, 2))
    return np.moveaxis(total, 0, 1)


def checked(configuration: PoolConfiguration, x: object, mask: object) -> tuple[FloatArray, BoolArray | None]:
    """Input and mask as float64 and bool.

    Raises:
        InvalidInputError: The configuration is invalid for this input, or the mask does not fit it.
    """
    array = np.asarray(x).astype(np.float64)
    problems = configuration.problems(array.shape)
    if problems:
        raise InvalidInputError(f"{configuration.kind} pooling is not defined: {'; '.join(problems)}")
    if mask is None:
        return array, None
    flags = np.asarray(mask, dtype=np.bool_)
    expected = (array.shape[0], *configuration.spatial_shape(array.shape))
    if flags.shape != expected:
        raise InvalidInputError(f"The mask has shape {flags.shape}", f"(batch, *spatial) = {expected}")
    return array, flags
