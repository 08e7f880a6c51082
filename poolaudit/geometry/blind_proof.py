"""Overwrites blind cells of inputs and looks whether the model itself notices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.evidence.geometry import BlindProof
from poolaudit.geometry.analysis import ModelInput
from poolaudit.subject._keras_load import quiet_keras
from poolaudit.subject._loaded import LoadedModel

Array = npt.NDArray[Any]
_ITEMS = 8


def prove_blind(
    loaded: LoadedModel,
    model_input: ModelInput,
    reaches: npt.NDArray[np.bool_],
    inputs: Array | None,
    rng: np.random.Generator,
) -> BlindProof | None:
    """Outputs before and after all blind cells of real items were overwritten with large values.

    Covered cells next to them, as many where there are so many, are overwritten the same way for comparison.

    Args:
        loaded: A model with one input.
        model_input: That input.
        reaches: Which cells reach the output, shape as the input's spatial sizes.
        inputs: Real items, shape (n, ...); drawn ones are used where None.
        rng: Draws items and values.

    Returns:
        None where no cell is blind, or all are.
    """
    if reaches.all() or not reaches.any():
        return None
    if inputs is None:
        items = rng.normal(size=(_ITEMS // 2, *model_input.shape)).astype(loaded.input_dtype)
    else:
        chosen = rng.permutation(len(inputs))[:_ITEMS]
        items = inputs[chosen].astype(loaded.input_dtype)
    values = _other_values(items, rng)
    before = _run(loaded, items)
    blind = _run(loaded, np.where(_spread(~reaches, model_input), values, items))
    covered = _run(loaded, np.where(_spread(_neighbours(reaches, rng), model_input), values, items))
    changes = [_change(a, b) for a, b in zip(before, blind, strict=True)]
    return BlindProof(
        inputs="drawn inputs" if inputs is None else "test items",
        items=len(items),
        unchanged=sum(change == 0.0 for change in changes),
        largest_change=max(changes),
        neighbours_changed=sum(_change(a, b) > 0.0 for a, b in zip(before, covered, strict=True)),
    )


def _other_values(items: Array, rng: np.random.Generator) -> Array:
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


def _spread(mask: npt.NDArray[np.bool_], model_input: ModelInput) -> npt.NDArray[np.bool_]:
    """The mask over spatial axes as one that broadcasts over items and channels."""
    shape = [1] * (1 + len(model_input.shape))
    for axis, size in zip(model_input.spatial, model_input.sizes, strict=True):
        shape[1 + axis] = size
    return mask.reshape(shape)


def _run(loaded: LoadedModel, items: Array) -> list[Array]:
    """Raw output of each item, run one by one so that no item can touch another."""
    import tensorflow as tf

    rows = []
    with quiet_keras():
        for item in items:
            outputs = tf.nest.flatten(loaded.call(tf.constant(item[None])))
            rows.append(np.concatenate([np.asarray(output).ravel() for output in outputs]))
    return rows


def _change(before: Array, after: Array) -> float:
    if before.tobytes() == after.tobytes():
        return 0.0
    with np.errstate(all="ignore"):
        change = np.abs(after.astype(np.float64) - before.astype(np.float64))
    return float(np.max(np.nan_to_num(change, nan=1e308, posinf=1e308), initial=1e-308))
