"""What each kind does inside a window: `(batch, outputs, cells, channels)` to `(batch, outputs, channels)`.

A window without a present cell has no value; `pool` makes it NaN, so nothing here needs to care.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from poolaudit.configuration import PoolConfiguration
from poolaudit.reference.plan import BoolArray, FloatArray, Windows

Reduction = Callable[[Windows, PoolConfiguration], FloatArray]

# Beyond this a float64 sum of a window could overflow though its mean would not.
_LARGE = 1e290
_DOWN = 2.0**-64


def maximum(windows: Windows, configuration: PoolConfiguration) -> FloatArray:
    highest: FloatArray = np.max(np.where(windows.present, windows.cells, -np.inf), axis=2)
    return highest


def minimum(windows: Windows, configuration: PoolConfiguration) -> FloatArray:
    lowest: FloatArray = np.min(np.where(windows.present, windows.cells, np.inf), axis=2)
    return lowest


def linear_weights(windows: Windows, configuration: PoolConfiguration) -> tuple[FloatArray, FloatArray]:
    """Weights `(batch or 1, outputs, cells, 1)`, zero where absent, and what their sum is divided by.

    Kept apart so that integer data gives exact sums and one rounding.
    """
    reduction = configuration.known_kind.reduction
    plan = windows.plan
    if reduction == "subsample":
        first = np.argmax(windows.present, axis=2, keepdims=True)
        chosen = np.arange(windows.present.shape[2])[None, None, :, None] == first
        return (chosen & windows.present).astype(np.float64), np.ones((1, 1, 1, 1))
    if reduction == "blur":
        weights = np.where(windows.present, plan.binomial[None, :, :, None], 0.0)
        whole = plan.binomial_total
    else:
        weights = windows.present.astype(np.float64)
        whole = plan.taps
    if configuration.count_padding and configuration.layout == "windowed":
        return weights, whole[None, :, None, None]
    return weights, weights.sum(axis=2, keepdims=True)


def weighted_mean(windows: Windows, configuration: PoolConfiguration) -> FloatArray:
    weights, divisor = linear_weights(windows, configuration)
    scale = _scale(windows.cells)
    terms = np.where(weights != 0, weights * (windows.cells * scale), 0.0)
    mean: FloatArray = terms.sum(axis=2) / divisor[:, :, 0] / scale
    return mean


def median(windows: Windows, configuration: PoolConfiguration) -> FloatArray:
    lower, upper = middle_cells(windows, configuration)
    middle = lower + (upper - lower) / 2
    # Of two equal infinities the difference is NaN though the mean is not; opposite huge ones overflow.
    middle = np.where(lower == upper, lower, np.where(np.isfinite(middle), middle, lower / 2 + upper / 2))
    return np.where(_holds_nan(windows), np.nan, middle)


def middle_cells(windows: Windows, configuration: PoolConfiguration) -> tuple[FloatArray, FloatArray]:
    """The two middle order statistics, `(batch, outputs, channels)`; one and the same for odd windows."""
    ordered = np.sort(np.where(windows.present, windows.cells, np.inf), axis=2)
    counts = windows.counts.astype(np.int64)
    shape = (*windows.cells.shape[:2], 1, windows.cells.shape[3])
    lower_at = np.broadcast_to(np.maximum(counts - 1, 0) // 2, shape)
    upper_at = np.broadcast_to(np.minimum(counts // 2, ordered.shape[2] - 1), shape)
    lower = np.take_along_axis(ordered, lower_at, axis=2)[:, :, 0]
    upper = np.take_along_axis(ordered, upper_at, axis=2)[:, :, 0]
    if configuration.even_median == "lower":
        return lower, lower
    return (upper, upper) if configuration.even_median == "upper" else (lower, upper)


def root_mean_square(windows: Windows, configuration: PoolConfiguration) -> FloatArray:
    return _power_mean(windows, np.abs(windows.cells), 2.0)


def generalised_mean(windows: Windows, configuration: PoolConfiguration) -> FloatArray:
    return _power_mean(windows, np.maximum(windows.cells, configuration.epsilon), configuration.p)


def log_mean_exponential(windows: Windows, configuration: PoolConfiguration) -> FloatArray:
    sharpness = configuration.sharpness
    peak = _peak(windows, windows.cells if sharpness > 0 else -windows.cells)
    peak = peak if sharpness > 0 else -peak
    shift = np.where(np.isfinite(peak), peak, 0.0)
    powers = np.where(windows.present, np.exp(sharpness * (windows.cells - shift)), 0.0)
    mean = powers.sum(axis=2, keepdims=True) / windows.counts
    value: FloatArray = shift + np.log(mean) / sharpness
    return value[:, :, 0]


def mixed(windows: Windows, configuration: PoolConfiguration) -> FloatArray:
    alpha = configuration.alpha
    parts = [
        weight * part(windows, configuration)
        for weight, part in ((alpha, maximum), (1 - alpha, weighted_mean))
        if weight
    ]
    return np.sum(parts, axis=0) if parts else np.zeros_like(windows.cells[:, :, 0])


def expected_stochastic(windows: Windows, configuration: PoolConfiguration) -> FloatArray:
    """Cells weighted by their share of the sum; 0 for a window of zeros (Zeiler and Fergus, 2013)."""
    cells = np.where(windows.present, windows.cells, 0.0)
    peak = _peak(windows, np.abs(windows.cells))
    scale = np.where(np.isfinite(peak) & (peak > 0), peak, 1.0)
    scaled = cells / scale
    total = scaled.sum(axis=2, keepdims=True)
    share = np.where(total == 0, 0.0, scaled / np.where(total == 0, 1.0, total))
    value: FloatArray = np.where(share != 0, share * scaled, scaled * 0.0).sum(axis=2, keepdims=True) * scale
    return value[:, :, 0]


REDUCTIONS: dict[str, Reduction] = {
    "max": maximum,
    "average": weighted_mean,
    "min": minimum,
    "median": median,
    "rms": root_mean_square,
    "gem": generalised_mean,
    "lse": log_mean_exponential,
    "mixed": mixed,
    "stochastic": expected_stochastic,
    "blur": weighted_mean,
    "subsample": weighted_mean,
}


def _power_mean(windows: Windows, magnitudes: FloatArray, exponent: float) -> FloatArray:
    """Divided by the peak first, so that no power overflows or vanishes."""
    peak = _peak(windows, magnitudes)
    scale = np.where(np.isfinite(peak) & (peak > 0), peak, 1.0)
    powers = np.where(windows.present, (magnitudes / scale) ** exponent, 0.0)
    mean = powers.sum(axis=2, keepdims=True) / windows.counts
    value: FloatArray = scale * mean ** (1.0 / exponent)
    return value[:, :, 0]


def _peak(windows: Windows, magnitudes: FloatArray) -> FloatArray:
    peak: FloatArray = np.max(np.where(windows.present, magnitudes, -np.inf), axis=2, keepdims=True)
    return peak


def _holds_nan(windows: Windows) -> BoolArray:
    found: BoolArray = np.any(windows.present & np.isnan(windows.cells), axis=2)
    return found


def _scale(cells: FloatArray) -> float:
    magnitudes = np.abs(cells)
    huge = np.isfinite(magnitudes) & (magnitudes > _LARGE)
    return _DOWN if bool(huge.any()) else 1.0
