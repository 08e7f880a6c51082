"""Where the windows lie along one axis, in exact integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AxisWindow:
    """The input cells of one output cell along one axis: `range(start, stop, step)`, clipped to the input.

    Attributes:
        start: First cell inside the input.
        stop: End, exclusive; equal to `start` where the window lies wholly in the padding.
        step: The dilation.
        first_tap: Place of `start` in the unclipped window, 0 where nothing was cut off in front.
        taps: Cells of the unclipped window, the padded ones included.
    """

    start: int
    stop: int
    step: int
    first_tap: int
    taps: int

    @property
    def indices(self) -> NDArray[np.int64]:
        """Input cells, ascending, shape `(cells,)`."""
        return np.arange(self.start, self.stop, self.step, dtype=np.int64)

    def __len__(self) -> int:
        return len(range(self.start, self.stop, self.step))


def window_span(window: int, dilation: int = 1) -> int:
    """Cells from the first to the last of a dilated window, both counted: `(window - 1) * dilation + 1`."""
    return (window - 1) * dilation + 1


def same_padding(size: int, window: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Padding before and after under SAME, by TensorFlow's rule: the odd cell goes behind.

    >>> same_padding(size=5, window=2, stride=2)
    (0, 1)
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + window_span(window, dilation) - size, 0)
    return total // 2, total - total // 2


def windowed_output_size(
    size: int, window: int, stride: int, padding: tuple[int, int] = (0, 0), dilation: int = 1
) -> int:
    """Number of whole windows in the padded axis; 0 or less where none fits.

    >>> windowed_output_size(size=7, window=3, stride=2)
    3
    """
    return (size + sum(padding) - window_span(window, dilation)) // stride + 1


def sliding_windows(
    size: int, window: int, stride: int, padding: tuple[int, int] = (0, 0), dilation: int = 1
) -> tuple[AxisWindow, ...]:
    """The windows of a strided axis in order; start `o * stride - padding[0]`, clipped to `0..size`."""
    windows = []
    for output in range(max(windowed_output_size(size, window, stride, padding, dilation), 0)):
        origin = output * stride - padding[0]
        first_tap = max(0, -(origin // dilation)) if origin < 0 else 0
        start = origin + first_tap * dilation
        stop = min(origin + window_span(window, dilation), size)
        windows.append(AxisWindow(start, max(stop, start), dilation, first_tap, window))
    return tuple(windows)


def adaptive_bounds(size: int, outputs: int) -> tuple[tuple[int, int], ...]:
    """Start `floor(i n / m)` and end `ceil((i + 1) n / m)` of each adaptive window, in exact integers.

    >>> adaptive_bounds(size=5, outputs=3)
    ((0, 2), (1, 4), (3, 5))
    """
    return tuple((i * size // outputs, -(-(i + 1) * size // outputs)) for i in range(outputs))


def adaptive_windows(size: int, outputs: int) -> tuple[AxisWindow, ...]:
    """The windows of an adaptive axis; `outputs` may exceed `size`, cells are then used more than once."""
    return tuple(AxisWindow(start, stop, 1, 0, stop - start) for start, stop in adaptive_bounds(size, outputs))
