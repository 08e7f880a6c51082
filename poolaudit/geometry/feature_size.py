"""Recall against the size of the feature that tells the class."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.evidence.geometry import RecallBySize, SizeBin
from poolaudit.geometry.analysis import ModelInput
from poolaudit.statistics.intervals import difference_of_rates, wilson

Array = npt.NDArray[Any]
_MOST_BINS = 5
_FEWEST_IN_A_BIN = 20
_UNIFORM_SHARE = 0.8
_UNIFORM_SPREAD = 0.1
_CLEAR = 0.25


def recall_by_size(
    sizes: npt.NDArray[np.float64],
    right: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.int64],
    positive: int | None,
    class_names: tuple[str, ...],
    *,
    source: str,
    confidence: float,
) -> RecallBySize | str:
    """Recall in bins of size, or why there is none.

    Args:
        sizes: Of each item's feature, in cells; NaN where not known. Shape (n,).
        right: Whether each item was predicted as its own class.
        labels: Class indices.
        positive: The class of interest; None counts each item by its own class.
        class_names: Names of the classes.
        source: "column", "mask", "box" or "estimated foreground".
        confidence: Coverage of the intervals.
    """
    used = np.isfinite(sizes)
    if positive is not None:
        used &= labels == positive
    sizes, right = sizes[used], right[used]
    count = min(_MOST_BINS, len(sizes) // _FEWEST_IN_A_BIN)
    if count < 2:
        return f"{len(sizes)} items have a known size; two bins of {_FEWEST_IN_A_BIN} need more"
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, count + 1)[1:-1]))
    bin_of = np.searchsorted(edges, sizes, side="right")
    present = [b for b in np.unique(bin_of) if (bin_of == b).sum() >= _FEWEST_IN_A_BIN // 2]
    if len(present) < 2:
        return "all features are of about one size"
    bins = [
        SizeBin(
            low=float(sizes[bin_of == b].min()),
            high=float(sizes[bin_of == b].max()),
            recall=wilson(int(right[bin_of == b].sum()), int((bin_of == b).sum()), confidence),
        )
        for b in present
    ]
    larger = bin_of > present[0]
    others = wilson(int(right[larger].sum()), int(larger.sum()), confidence)
    return RecallBySize(
        source=source,
        of="all classes" if positive is None else class_names[positive],
        bins=tuple(bins),
        smallest_minus_others=difference_of_rates(bins[0].recall, others),
        items=len(sizes),
    )


def estimated_sizes(inputs: Array, model_input: ModelInput) -> npt.NDArray[np.float64] | str:
    """Side of a square (cube) of as many cells as clearly differ from a uniform background, or why it cannot be told.

    A cell differs where it is further from the median of the item's border than a quarter of the data's range.
    """
    axes = [1 + axis for axis in model_input.spatial]
    if len(axes) < 2:
        return "the foreground of a signal is not estimated"
    cells = np.moveaxis(inputs, axes, range(1, 1 + len(axes))).astype(np.float32)
    cells = cells.reshape(*cells.shape[: 1 + len(axes)], -1)
    reach = float(cells.max() - cells.min())
    if reach == 0:
        return "all items are blank"
    frame = np.ones(cells.shape[1:-1], bool)
    frame[(slice(1, -1),) * len(axes)] = False
    border = cells[:, frame]
    background = np.median(border, axis=1)
    spread = np.quantile(np.abs(border - background[:, None]).max(axis=2), 0.9, axis=1)
    uniform = spread <= _UNIFORM_SPREAD * reach
    if uniform.mean() < _UNIFORM_SHARE:
        return "no sizes are given, and the items have no uniform background to tell a foreground from"
    differs = np.abs(cells - background.reshape(len(cells), *[1] * len(axes), -1)).max(axis=-1) > _CLEAR * reach
    area = differs.reshape(len(cells), -1).sum(axis=1).astype(np.float64)
    area[~uniform | (area == 0)] = math.nan
    return np.asarray(area ** (1 / len(axes)))


def smallest_feature(sizes: npt.NDArray[np.float64]) -> float | None:
    """The fifth percentile of the known sizes: one item in twenty is smaller."""
    known = sizes[np.isfinite(sizes)]
    return float(np.quantile(known, 0.05)) if len(known) else None
