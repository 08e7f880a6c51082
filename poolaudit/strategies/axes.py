"""One spatial axis of a windowed configuration: size, window, stride, padding and dilation that fit together."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from poolaudit.configuration import same_padding, sliding_windows, window_span

CORNERS: dict[str, str] = {
    "free": "nothing is forced",
    "window_exceeds_input": "window larger than the axis; SAME (or explicit) padding makes it valid",
    "stride_exceeds_window": "cells between the windows are never read",
    "single_cell": "the axis has one cell",
    "stride_equals_window": "VALID windows tile the axis and leave a rest where they do not divide it",
    "single_output": "the axis has one output cell",
}
"""What can be forced on one axis of a windowed configuration. Unforced draws miss these too often."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Settings along one spatial axis; `padding` is explicit, or zeros where the padding has a name."""

    size: int
    window: int
    stride: int
    padding: tuple[int, int]
    dilation: int


def corner_exists(corner: str, padding: str, dilated: bool, single: bool) -> bool:
    """Whether the corner exists under this padding, and for strides of 1 or windows of 1."""
    if corner == "window_exceeds_input":
        return padding != "valid" and not dilated and not single
    if corner == "stride_equals_window":
        return padding == "valid" and not dilated and not single
    return corner != "stride_exceeds_window" or not dilated


def draw_axis(
    draw: st.DrawFn,
    corner: str,
    padding: str,
    longest: int,
    dilated: bool,
    default_stride: bool,
    single: bool,
) -> Axis:
    """One axis with the corner forced on it; every window reads at least one cell."""
    # A tiling of windows of one cell would be the identity, and no corner.
    least = 2 if corner == "stride_equals_window" else 1
    size = draw(st.integers(least, max(longest, least)))
    # Drawn first and set after: a corner with fewer draws than "free" would be what everything shrinks to.
    size = 1 if corner == "single_cell" else size
    dilation = draw(st.integers(1, 3)) if dilated else 1
    most = size if padding == "valid" else size + 3
    if single:
        window = 1
    elif corner == "window_exceeds_input":
        window = draw(st.integers(size + 1, size + 3))
    elif corner == "single_output" and padding == "valid":
        window = draw(st.integers(size // 2 + 1, size))
    elif corner == "stride_exceeds_window":
        window = draw(st.integers(1, max(size - 1, 1)))
    else:
        # A dilated window has to fit with its gaps.
        window = draw(st.integers(least, max((most - 1) // dilation + 1, least)))
    if dilated:
        stride = 1
    elif default_stride:
        stride = window
    elif corner == "stride_equals_window":
        stride = draw(st.integers(window, window))
    elif corner == "stride_exceeds_window":
        stride = draw(st.integers(window + 1, window + 3))
    elif corner == "single_output":
        stride = draw(st.integers(size, size + 2))
    else:
        stride = draw(st.integers(1, min(window + 2, size + 1)))
    if corner == "single_output":
        size, window, stride = _with_one_output(size, window, stride, dilated, default_stride, padding)
    if padding == "valid" and window_span(window, dilation) > size:
        dilation = 1
    wished = (0, 0)
    if padding == "explicit":
        wished = (draw(st.integers(0, min(window - 1, 3))), draw(st.integers(0, min(window - 1, 3))))
    pair = _fitting(wished, padding, size, window, dilation, corner)
    if dilation > 1 and _reads_only_padding(size, window, stride, padding, pair, dilation):
        # Without gaps, padding shorter than the window always leaves a cell in it.
        dilation = 1
        pair = _fitting(wished, padding, size, window, dilation, corner)
    return Axis(size, window, stride, pair, dilation)


def _with_one_output(
    size: int, window: int, stride: int, dilated: bool, default_stride: bool, padding: str
) -> tuple[int, int, int]:
    """Change as little as needed for one output cell: a longer stride, else a longer window, else one cell."""
    if dilated:
        return (size, size, 1) if padding == "valid" else (1, window, 1)
    if default_stride and padding != "valid":
        window = max(window, size)
    return size, window, window if default_stride else max(stride, size)


def _fitting(
    wished: tuple[int, int], padding: str, size: int, window: int, dilation: int, corner: str
) -> tuple[int, int]:
    """Explicit padding near the wished one, with room for the window and no more where one output is forced."""
    if padding != "explicit":
        return (0, 0)
    needed = max(window_span(window, dilation) - size, 0)
    before = min(wished[0], needed) if corner == "single_output" else wished[0]
    after = 0 if corner == "single_output" else wished[1]
    return before, max(after, needed - before)


def _reads_only_padding(
    size: int, window: int, stride: int, padding: str, pair: tuple[int, int], dilation: int
) -> bool:
    if padding == "same":
        pair = same_padding(size, window, stride, dilation)
    windows = sliding_windows(size, window, stride, pair, dilation)
    return any(len(cells) == 0 for cells in windows)
