"""W(o) as a matrix, for checks of locality that need no formula."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from poolaudit.configuration import PoolConfiguration
from poolaudit.errors import InvalidInputError
from poolaudit.reference.plan import BoolArray, window_plan


def window_membership(configuration: PoolConfiguration, input_shape: Sequence[int]) -> BoolArray:
    """Whether output cell o reads input cell i.

    >>> window_membership(PoolConfiguration("max", 1, window=(2,)), (1, 4, 1)).astype(int)
    array([[1, 1, 0, 0],
           [0, 0, 1, 1]])

    Args:
        configuration: Any kind whose windows are declared; `unknown` needs a window or an output size.
        input_shape: Whole shape, batch and channels included (they do not matter).

    Returns:
        Read-only boolean matrix `(output cells, input cells)`, both spatial and row-major; for `spp` the bins
        of all levels, one after the other.

    Raises:
        InvalidInputError: The configuration is not valid for this input, or declares no windows.
    """
    problems = configuration.problems(input_shape)
    if problems:
        raise InvalidInputError(f"{configuration.kind} pooling is not defined: {'; '.join(problems)}")
    return _membership(configuration, configuration.spatial_shape(input_shape))


@lru_cache(maxsize=512)
def _membership(configuration: PoolConfiguration, spatial_shape: tuple[int, ...]) -> BoolArray:
    levels = configuration.pyramid() if configuration.layout == "pyramid" else (configuration,)
    rows = []
    for level in levels:
        plan = window_plan(level, spatial_shape)
        row = np.zeros((len(plan.indices), int(np.prod(spatial_shape))), np.bool_)
        outputs, cells = np.nonzero(plan.present)
        row[outputs, plan.indices[outputs, cells]] = True
        rows.append(row)
    matrix = np.concatenate(rows)
    matrix.setflags(write=False)
    return matrix
