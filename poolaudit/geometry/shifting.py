"""Ways of shifting items by whole cells, and which of them the data allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_UNIFORM_SHARE = 0.8
_UNIFORM_SPREAD = 0.02
_SHORTEST_FOR_CROPS = 16


@dataclass(frozen=True, slots=True)
class Shift:
    """A move of the content by `cells` along one axis of an item (the batch left out), towards higher indices."""

    axis: int
    cells: int

    def told(self, names: dict[int, str]) -> str:
        count = abs(self.cells)
        direction = "forwards" if self.cells > 0 else "backwards"
        return f"{count} {'cell' if count == 1 else 'cells'} {direction} along {names[self.axis]}"


def all_shifts(axes: Sequence[int], largest: int) -> tuple[Shift, ...]:
    """Every distance from 1 to `largest`, both ways, along each axis."""
    return tuple(Shift(axis, sign * cells) for cells in range(1, largest + 1) for axis in axes for sign in (1, -1))


def largest_shift(sizes: Sequence[int]) -> int:
    """1 to 4 cells: up to a sixteenth of the shortest axis."""
    return max(1, min(4, min(sizes) // 16))


def shifted(items: Array, shift: Shift, mode: str, largest: int, axes: Sequence[int]) -> Array:
    """Items (n, ...) with their content moved.

    Args:
        mode: "circular" (what leaves at one end comes in at the other), "zero" (zeros come in), "background" (the
            item's own border value comes in) or "crop" (a window is cut out elsewhere; nothing is invented, and the
            result is smaller by twice `largest` along each of `axes`).
        largest: Of all shifts that are measured together.
        axes: All axes that are shifted.
    """
    axis, cells = 1 + shift.axis, shift.cells
    if mode == "crop":
        window = [slice(None)] * items.ndim
        for each in axes:
            moved = cells if each == shift.axis else 0
            size = items.shape[1 + each]
            window[1 + each] = slice(largest - moved, size - largest - moved)
        return items[tuple(window)]
    result = np.roll(items, cells, axis=axis)
    if mode == "circular":
        return result
    edge = [slice(None)] * items.ndim
    edge[axis] = slice(0, cells) if cells > 0 else slice(cells, None)
    result[tuple(edge)] = 0 if mode == "zero" else _background(items, axes)
    return result


def reference(items: Array, mode: str, largest: int, axes: Sequence[int]) -> Array:
    """What shifted items are compared with: the items, or their middle window."""
    if mode != "crop":
        return items
    return shifted(items, Shift(axes[0], 0), "crop", largest, axes)


def choose(items: Array, axes: Sequence[int], largest: int, *, any_size: bool) -> tuple[str, str]:
    """The way of shifting that invents least, and why in a sentence."""
    if any_size and min(items.shape[1 + axis] for axis in axes) >= _SHORTEST_FOR_CROPS:
        return "crop", (
            f"The model takes inputs of any size, so windows smaller by {2 * largest} cells are cut out of each item "
            "at different places: nothing is invented at the borders."
        )
    share = _share_with_uniform_border(items, axes, largest)
    if share >= _UNIFORM_SHARE:
        return "background", (
            f"{100 * share:.0f} % of the items have a uniform border, so the content is moved over this background."
        )
    return "circular", (
        "The items fill their frame and the model takes one size, so what leaves at one end comes in at the other "
        "(circular shift): nothing is lost, and a seam is made at the border."
    )


def _background(items: Array, axes: Sequence[int]) -> Array:
    """Median of each item's outermost cells, channel by channel, in a shape that broadcasts over the axes."""
    frame = _frame(items, axes, 1)
    value = np.median(frame, axis=1).astype(items.dtype)
    return value.reshape(len(items), *(1 if axis - 1 in axes else items.shape[axis] for axis in range(1, items.ndim)))


def _share_with_uniform_border(items: Array, axes: Sequence[int], width: int) -> float:
    frame = _frame(items, axes, width).astype(np.float64)
    spread = frame.max(axis=1) - frame.min(axis=1)
    reach = float(items.max()) - float(items.min())
    if reach == 0:
        return 0.0
    return float((spread.reshape(len(items), -1).max(axis=1) <= _UNIFORM_SPREAD * reach).mean())


def _frame(items: Array, axes: Sequence[int], width: int) -> Array:
    """The outermost cells, shape (n, cells, channels)."""
    others = [axis for axis in range(items.ndim - 1) if axis not in axes]
    ordered = np.transpose(items, (0, *(1 + a for a in axes), *(1 + a for a in others)))
    sizes = [items.shape[1 + axis] for axis in axes]
    inside = np.zeros(sizes, bool)
    inside[tuple(slice(width, size - width) for size in sizes)] = True
    flat = ordered.reshape(len(items), int(np.prod(sizes)), -1)
    return flat[:, ~inside.ravel()]
