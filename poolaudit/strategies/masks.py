"""Masks of time steps, as padded sequences really have them and as they never should."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

_PATTERNS = ("all", "right_padded", "left_padded", "scattered", "single")


def masks(batch: int, steps: int, *, fully_masked: bool = False) -> st.SearchStrategy[NDArray[np.bool_]]:
    """Boolean masks `(batch, steps)`, True where a step counts; each row has a pattern of its own.

    Patterns: all steps, padded right, padded left, scattered, a single step. Shrinks towards all True.

    >>> masks(2, 3).example()  # doctest: +SKIP
    array([[ True,  True, False],
           [False,  True,  True]])

    Args:
        batch: Rows, 0 or more.
        steps: Steps a row, 0 or more.
        fully_masked: Also draw rows without any step that counts; the default leaves at least one.
    """
    return _masks(batch, steps, fully_masked)


@st.composite
def _masks(draw: st.DrawFn, batch: int, steps: int, fully_masked: bool) -> NDArray[np.bool_]:
    mask = np.ones((batch, steps), np.bool_)
    if steps == 0:
        return mask
    patterns = (*_PATTERNS, "none") if fully_masked else _PATTERNS
    for row in range(batch):
        pattern = patterns[draw(st.integers(0, len(patterns) - 1))]
        if pattern == "all":
            continue
        # Steps left out, so that 0 shrinks to a mask that hides nothing.
        hidden = draw(st.integers(0, steps - 1)) if pattern != "none" else steps
        if pattern == "right_padded":
            mask[row, steps - hidden :] = False
        elif pattern == "left_padded":
            mask[row, :hidden] = False
        elif pattern == "single":
            mask[row] = np.arange(steps) == hidden
        elif pattern == "none":
            mask[row] = False
        else:
            bits = draw(st.integers(0, 2 ** min(steps, 62) - 1))
            mask[row] = [not bits >> (step % 62) & 1 for step in range(steps)]
            mask[row, hidden] = True
    return mask
