"""What a pooling layer is set to: kinds with their traits, window arithmetic, one configuration as data."""

from poolaudit.configuration.kinds import KINDS, TRAITS, Kind
from poolaudit.configuration.pooling import Padding, PoolConfiguration
from poolaudit.configuration.windows import (
    AxisWindow,
    adaptive_bounds,
    adaptive_windows,
    same_padding,
    sliding_windows,
    window_span,
    windowed_output_size,
)

__all__ = [
    "KINDS",
    "TRAITS",
    "AxisWindow",
    "Kind",
    "Padding",
    "PoolConfiguration",
    "adaptive_bounds",
    "adaptive_windows",
    "same_padding",
    "sliding_windows",
    "window_span",
    "windowed_output_size",
]
