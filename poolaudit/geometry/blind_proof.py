"""Overwrites blind cells of inputs and looks whether the model itself notices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from poolaudit.evidence.geometry import BlindProof
from poolaudit.geometry.analysis import Analysis
from poolaudit.geometry.probing import Item, Mask, changed_by, other_values, outputs_of, overwritten


def prove_blind(
    analysis: Analysis,
    number: int,
    reaches: Mask,
    items: Sequence[Item],
    rng: np.random.Generator,
    *,
    drawn: bool,
) -> BlindProof | None:
    """Outputs before and after all blind cells of items were overwritten with large values.

    Covered cells next to them, as many where there are so many, are overwritten the same way for comparison.

    Args:
        analysis: The traced model.
        number: Of the input that is looked at.
        reaches: Which of its cells reach the output, shape as its spatial sizes.
        items: What is tried.
        rng: Draws the values.
        drawn: Whether the items were drawn, and are no real ones.

    Returns:
        None where no cell is blind.
    """
    if reaches.all():
        return None
    model_input = analysis.inputs[number]
    neighbours = _neighbours(reaches, rng)
    changes: list[float] = []
    others: list[float] = []
    for item in items:
        before, values = outputs_of(analysis, item), other_values(item[number], rng)
        scale = float(np.max(np.abs(before[np.isfinite(before)]), initial=1e-30))
        for mask, found in ((~reaches, changes), (neighbours, others)):
            after = outputs_of(analysis, overwritten(item, number, mask, model_input, values))
            found.append(changed_by(before, after) / scale)
    return BlindProof(
        inputs="drawn inputs" if drawn else "test items",
        items=len(items),
        unchanged=sum(change == 0.0 for change in changes),
        largest_change=max(changes),
        neighbours_changed=sum(change > 0.0 for change in others),
    )


def _neighbours(reaches: Mask, rng: np.random.Generator) -> Mask:
    near = ~reaches
    for axis in range(reaches.ndim):
        for step in (-1, 1):
            moved = np.roll(~reaches, step, axis)
            edge = [slice(None)] * reaches.ndim
            edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            moved[tuple(edge)] = False
            near = near | moved
    candidates = np.argwhere(near & reaches)
    if len(candidates) == 0:
        candidates = np.argwhere(reaches)
    if len(candidates) == 0:
        return np.zeros_like(reaches)
    chosen = rng.permutation(candidates)[: max(1, int((~reaches).sum()))]
    mask = np.zeros_like(reaches)
    mask[tuple(chosen.T)] = True
    return mask
