"""Overwrites blind cells of inputs and looks whether the model itself notices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.evidence.geometry import BlindProof
from poolaudit.geometry.analysis import Analysis, ModelInput
from poolaudit.subject._keras_load import quiet_keras

Array = npt.NDArray[Any]


def drawn_items(analysis: Analysis, count: int, rng: np.random.Generator) -> list[list[Array]]:
    """Items of normal values, or whole numbers up to 9 where an input takes such; one array for each input."""
    items = []
    for _ in range(count):
        parts: list[Array] = []
        for model_input, dtype in zip(analysis.inputs, analysis.dtypes, strict=True):
            shape = (1, *model_input.shape)
            drawn = rng.integers(0, 10, shape) if np.dtype(dtype).kind in "iub" else rng.normal(size=shape)
            parts.append(drawn.astype(dtype))
        items.append(parts)
    return items


def chosen_items(analysis: Analysis, inputs: Array, count: int, rng: np.random.Generator) -> list[list[Array]]:
    """Some of the test items of a model with one input."""
    chosen = rng.permutation(len(inputs))[:count]
    return [[inputs[i][None].astype(analysis.dtypes[0])] for i in chosen]


def prove_blind(
    analysis: Analysis,
    number: int,
    reaches: npt.NDArray[np.bool_],
    items: Sequence[Sequence[Array]],
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
        items: Each a list of one array for each input, batch axis included.
        rng: Draws the values.
        drawn: Whether the items were drawn, and are no real ones.

    Returns:
        None where no cell is blind, or all are.
    """
    if reaches.all() or not reaches.any():
        return None
    model_input = analysis.inputs[number]
    blind, covered = (spread(mask, model_input) for mask in (~reaches, _neighbours(reaches, rng)))
    changes: list[float] = []
    others: list[float] = []
    for item in items:
        before, values = outputs_of(analysis, item), other_values(item[number], rng)
        for mask, found in ((blind, changes), (covered, others)):
            written = [*item]
            written[number] = np.where(mask, values, item[number])
            found.append(changed_by(before, outputs_of(analysis, written)))
    return BlindProof(
        inputs="drawn inputs" if drawn else "test items",
        items=len(items),
        unchanged=sum(change == 0.0 for change in changes),
        largest_change=max(changes),
        neighbours_changed=sum(change > 0.0 for change in others),
    )


def other_values(items: Array, rng: np.random.Generator) -> Array:
    """Far from every value of the items; other values of theirs where they are whole numbers."""
    if items.dtype.kind in "iub":
        return rng.permuted(items.ravel()).reshape(items.shape)
    reach = float(np.max(np.abs(items), initial=1.0))
    return (10.0 * reach * rng.choice([-1.0, 1.0], size=items.shape)).astype(items.dtype)


def _neighbours(reaches: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
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
    chosen = rng.permutation(candidates)[: max(1, int((~reaches).sum()))]
    mask = np.zeros_like(reaches)
    mask[tuple(chosen.T)] = True
    return mask


def spread(mask: npt.NDArray[np.bool_], model_input: ModelInput) -> npt.NDArray[np.bool_]:
    """The mask over spatial axes as one that broadcasts over items and channels."""
    shape = [1] * (1 + len(model_input.shape))
    for axis, size in zip(model_input.spatial, model_input.sizes, strict=True):
        shape[1 + axis] = size
    return mask.reshape(shape)


def outputs_of(analysis: Analysis, item: Sequence[Array]) -> Array:
    """All outputs for one item, flat. One item a run, so that no item can touch another."""
    import tensorflow as tf

    with quiet_keras():
        outputs = analysis.traced.run([tf.constant(part) for part in item])
    return np.concatenate([np.asarray(output).ravel() for output in outputs])


def changed_by(before: Array, after: Array) -> float:
    if before.tobytes() == after.tobytes():
        return 0.0
    with np.errstate(all="ignore"):
        change = np.abs(after.astype(np.float64) - before.astype(np.float64))
    return float(np.max(np.nan_to_num(change, nan=1e308, posinf=1e308), initial=1e-308))
