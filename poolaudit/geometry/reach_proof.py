"""Makes the model itself show that the cells from which a way leads to the output change it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.evidence.geometry import ReachProof
from poolaudit.geometry.analysis import Analysis
from poolaudit.geometry.coverage import where
from poolaudit.geometry.probing import Item, Mask, changed_by, other_values, outputs_of, overwritten
from poolaudit.subject._keras_load import quiet_keras

# A network that begins with convolutions shows all its cells at the first gradient; one that begins with a maximum over
# 2 x 2 cells shows a quarter of the rest each time.
_GRADIENTS = 24
_RUNS = 800


def prove_reach(
    analysis: Analysis, number: int, reaches: Mask, items: Sequence[Item], rng: np.random.Generator
) -> ReachProof | None:
    """Cells that a way leads from, and that nevertheless never changed the output.

    A gradient that is not 0 shows that a cell counts. What no gradient showed is overwritten, in halves of halves, on
    every item: a group that changes no output is silent.

    Args:
        analysis: The traced model.
        number: Of the input that is looked at.
        reaches: Which of its cells a way leads from, shape as its spatial sizes.
        items: What is tried.
        rng: Draws the directions of the gradients and the values that are written.

    Returns:
        None where no cell has a way.
    """
    if not reaches.any():
        return None
    seen = np.zeros_like(reaches)
    for turn, item in enumerate(itertools.islice(itertools.cycle(items), _GRADIENTS)):
        run = analysis.traced.run if turn else analysis.traced.call
        seen |= _gradient_support(analysis, number, run, _shuffled(item, rng), rng)
        if (seen | ~reaches).all():
            break
    left = np.flatnonzero(reaches & ~seen)
    silent, unsettled = np.zeros_like(reaches), 0
    if len(left):
        cells, unsettled = _unanswered(analysis, number, left, items, rng)
        silent.flat[cells] = True
    return ReachProof(
        items=len(items),
        silent=int(silent.sum()),
        silent_where=where(silent, analysis.inputs[number].axes),
        unsettled=unsettled,
    )


def _halves(group: npt.NDArray[np.intp], sizes: tuple[int, ...]) -> list[npt.NDArray[np.intp]]:
    """The group cut across its longest side; nothing of a single cell."""
    if len(group) == 1:
        return []
    places = np.array(np.unravel_index(group, sizes))
    longest = int(np.argmax(np.ptp(places, axis=1)))
    order = np.argsort(places[longest], kind="stable")
    return list(np.array_split(group[order], 2))


def _shuffled(item: Item, rng: np.random.Generator) -> Item:
    """The item's own values at other places: another maximum wins each window."""
    return [rng.permuted(part.ravel()).reshape(part.shape) for part in item]


def _gradient_support(
    analysis: Analysis,
    number: int,
    run: Callable[[Sequence[Any]], list[Any]],
    item: Item,
    rng: np.random.Generator,
) -> Mask:
    """Cells with a gradient of a random combination of the outputs: of their plain sum a softmax has none."""
    import tensorflow as tf

    model_input = analysis.inputs[number]
    nothing: Mask = np.zeros(model_input.sizes, bool)
    tensors = [tf.constant(part) for part in item]
    if not tensors[number].dtype.is_floating:
        return nothing
    try:
        with quiet_keras(), tf.GradientTape() as tape:
            tape.watch(tensors[number])
            target = tf.add_n(
                [
                    tf.reduce_sum(tf.cast(output, tf.float64) * rng.normal(size=output.shape))
                    for output in run(tensors)
                    if output.dtype.is_floating
                ]
            )
        gradient = tape.gradient(target, tensors[number])
    except Exception:  # an operation without a gradient; overwriting still tells
        return nothing
    if gradient is None:
        return nothing
    values = np.asarray(tf.convert_to_tensor(gradient))[0]
    if model_input.channel is not None:
        values = np.abs(values).max(axis=model_input.channel)
    return np.asarray(np.isfinite(values) & (values != 0))


def _unanswered(
    analysis: Analysis,
    number: int,
    cells: npt.NDArray[np.intp],
    items: Sequence[Item],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.intp], int]:
    """Those of the cells that lie in groups which change no output, and how many were only tried with others."""
    before = [outputs_of(analysis, item) for item in items]
    model_input = analysis.inputs[number]
    groups, silent, runs = [cells], [np.zeros(0, np.intp)], 0
    while groups and runs < _RUNS:
        group = groups.pop(0)
        mask = np.zeros(model_input.sizes, bool)
        mask.flat[group] = True
        for (item, old), sign in itertools.product(zip(items, before, strict=True), (1, -1)):
            runs += 1
            values = other_values(item[number], rng)
            if values.dtype.kind == "f":
                values = sign * np.abs(values)  # a maximum only answers to one of the two
            if changed_by(old, outputs_of(analysis, overwritten(item, number, mask, model_input, values))) > 0.0:
                groups += _halves(group, model_input.sizes)
                break
        else:
            silent.append(group)
    return np.concatenate(silent), sum(len(group) for group in groups)
