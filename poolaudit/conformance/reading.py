"""Inputs and outputs of a pooling layer as cells, whatever the data format and the layout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.violations import Violation
from poolaudit.reference import window_membership
from poolaudit.reference.plan import flattened


def spatial_output(
    configuration: PoolConfiguration, x: NDArray[Any], y: NDArray[Any], outputs: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Input cells `(batch, cells, channels)` and output cells `(batch, outputs, channels)`.

    Raises:
        Violation: The output's shape is not the one that the configuration gives.
    """
    expected = configuration.output_shape(x.shape)
    if y.shape != expected:
        raise Violation(f"shape {y.shape}", f"shape {expected}", "the shape is wrong")
    cells = flattened(configuration, x)
    if configuration.layout in ("global", "pyramid"):
        return cells, y.reshape(y.shape[0], outputs, -1)
    return cells, flattened(configuration, y)


def output_array(configuration: PoolConfiguration, cells: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The inverse for an output: `(batch, outputs, channels)` to the output's shape."""
    if configuration.layout in ("global", "pyramid") or configuration.data_format == "channels_last":
        return cells.reshape(shape)
    return np.moveaxis(cells.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def extremes_of_windows(configuration: PoolConfiguration, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Least and greatest cell of each window, in the output's shape."""
    membership = window_membership(configuration, x.shape)
    cells = flattened(configuration, x)
    low = np.stack([cells[:, row].min(axis=1) for row in membership], axis=1)
    high = np.stack([cells[:, row].max(axis=1) for row in membership], axis=1)
    shape = tuple(int(size or 0) for size in configuration.output_shape(x.shape))
    return output_array(configuration, low, shape), output_array(configuration, high, shape)
