"""Runs a traced model on items, drawn or real, as they are and with cells overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.geometry.analysis import Analysis, ModelInput
from poolaudit.subject._keras_load import quiet_keras

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
# One array for each input of the model, batch axis included.
Item = Sequence[Array]


def drawn_items(analysis: Analysis, count: int, rng: np.random.Generator) -> list[Item]:
    """Drawn items, one array for each input.

    Normal values, positive ones (a root or a logarithm may come first) and those of a picture in turn; bytes where an
    input takes bytes; whole numbers where it takes these, or nothing else: from 0 to 9, 4 or 1, as the model allows.
    """
    for below in (None, 10, 5, 2):
        items: list[Item] = [
            [_drawn(analysis.inputs[i].shape, dtype, number, below, rng) for i, dtype in enumerate(analysis.dtypes)]
            for number in range(count)
        ]
        try:
            for item in items:
                outputs_of(analysis, item)
        except Exception:  # an embedding takes no number but its own
            if below == 2:
                raise
            continue
        break
    return items


def _drawn(shape: tuple[int, ...], dtype: str, number: int, below: int | None, rng: np.random.Generator) -> Array:
    kind, size = np.dtype(dtype), (1, *shape)
    if kind == np.uint8:
        return rng.integers(0, 256, size).astype(kind)
    if kind.kind in "iub" or below is not None:
        return rng.integers(0, below or 10, size).astype(kind)
    normal = rng.normal(size=size)
    return [normal, np.abs(normal), rng.uniform(0, 255, size)][number % 3].astype(kind)


def chosen_items(analysis: Analysis, inputs: Array, count: int, rng: np.random.Generator) -> list[Item]:
    """Some of the test items of a model with one input."""
    chosen = rng.permutation(len(inputs))[:count]
    return [[inputs[i][None].astype(analysis.dtypes[0])] for i in chosen]


def other_values(items: Array, rng: np.random.Generator) -> Array:
    """Far from every value of the items; other values of theirs where they are whole numbers."""
    if items.dtype == np.uint8:
        return rng.choice(np.array([0, 255], np.uint8), size=items.shape)
    if items.dtype.kind in "iub" or _are_whole(items):
        return rng.permuted(items.ravel()).reshape(items.shape)
    reach = float(np.max(np.abs(items), initial=1.0))
    return (10.0 * reach * rng.choice([-1.0, 1.0], size=items.shape)).astype(items.dtype)


def _are_whole(items: Array) -> bool:
    """Floating point numbers that are indices: few, small and whole."""
    return bool(items.max(initial=0) < 10 and items.min(initial=0) >= 0 and (items == np.round(items)).all())


def overwritten(item: Item, number: int, mask: Mask, model_input: ModelInput, values: Array) -> Item:
    """The item with other values in some cells of one input; `mask` has the shape of that input's spatial sizes."""
    shape = [1] * (1 + len(model_input.shape))
    for axis, size in zip(model_input.spatial, model_input.sizes, strict=True):
        shape[1 + axis] = size
    changed = np.where(mask.reshape(shape), values, item[number])
    return [changed if place == number else part for place, part in enumerate(item)]


def outputs_of(analysis: Analysis, item: Item) -> Array:
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
