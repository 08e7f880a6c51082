"""The value of a pooling layer, from the definition."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from poolaudit.configuration import PoolConfiguration
from poolaudit.errors import InvalidInputError
from poolaudit.reference.plan import BoolArray, FloatArray, checked, gathered, restored
from poolaudit.reference.reductions import REDUCTIONS


def pool(configuration: PoolConfiguration, x: ArrayLike, mask: ArrayLike | None = None) -> FloatArray:
    """What a correct layer gives for `x`, in float64.

    NaN propagates; infinities follow IEEE arithmetic (a window of -inf only has maximum -inf, an average over
    inf and -inf is NaN). A window of which no cell is left, by padding or by the mask, has no defined value
    and gives NaN, unless `count_padding` defines it as a mean of zeros.

    Args:
        configuration: Any kind with the trait `has_formula`.
        x: Input in the configuration's data format, any real dtype (converted to float64 first).
        mask: Boolean `(batch, *spatial)`; cells that are False are deleted. Windows keep their place.

    Returns:
        Output of shape `configuration.output_shape(x.shape)`. `spp` concatenates its levels, each with its
        bins in row-major order and the channel fastest.

    Raises:
        InvalidInputError: The configuration is not valid for this input, or its kind has no formula.
    """
    if not configuration.known_kind.has("has_formula"):
        raise InvalidInputError(f"Kind {configuration.kind!r} has no formula", "kinds with trait 'has_formula'")
    array, flags = checked(configuration, x, mask)
    if configuration.layout == "pyramid":
        return np.concatenate([_level(level, array, flags) for level in configuration.pyramid()], axis=1)
    pooled, output_shape = _pooled(configuration, array, flags)
    shaped = restored(configuration, pooled, output_shape)
    if configuration.layout == "global" and not configuration.keepdims:
        return shaped.reshape(shaped.shape[0], pooled.shape[-1])
    return shaped


def _level(level: PoolConfiguration, x: FloatArray, mask: BoolArray | None) -> FloatArray:
    pooled, _ = _pooled(level, x, mask)
    return pooled.reshape(pooled.shape[0], pooled.shape[1] * pooled.shape[2])


def _pooled(
    configuration: PoolConfiguration, x: FloatArray, mask: BoolArray | None
) -> tuple[FloatArray, tuple[int, ...]]:
    """Values `(batch, outputs, channels)` and the spatial shape of the outputs."""
    windows = gathered(configuration, x, mask)
    reduction = configuration.known_kind.reduction or ""
    with np.errstate(all="ignore"):
        values = REDUCTIONS[reduction](windows, configuration)
    if configuration.count_padding and reduction in ("average", "blur"):
        return values, windows.plan.output_shape
    return np.where(windows.counts[:, :, 0] > 0, values, np.nan), windows.plan.output_shape
