"""Recurrent layers of Keras: known as layers, because the loop inside them cannot be followed cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from poolaudit.geometry import stencils
from poolaudit.geometry.dependence import Dependence

_PLAIN = ("LSTM", "GRU", "SimpleRNN")


def is_recurrent(layer: Any) -> bool:
    """LSTM, GRU and SimpleRNN of Keras itself, alone or in a Bidirectional."""
    if not type(layer).__module__.startswith("keras."):
        return False
    if type(layer).__name__ == "Bidirectional":
        return is_recurrent(layer.forward_layer) and is_recurrent(layer.backward_layer)
    return type(layer).__name__ in _PLAIN


def dependence(
    layer: Any, inputs: Sequence[Dependence | None], outputs: Sequence[Any]
) -> list[Dependence | None] | None:
    """Of (batch, time, features): the last state sees all steps, the state at step t those up to t.

    Further inputs are the states to begin with, or a mask; every output may depend on all of them.
    None where the layer's outputs are not what such a layer gives, so that its operations are walked instead.
    """
    entry, *others = inputs
    if entry is None or len(entry.axes) != 3:
        return None
    begun = [
        other.contract(range(len(other.axes))).drop(range(len(other.axes))) for other in others if other is not None
    ]
    results: list[Dependence | None] = []
    mixed = entry.contract([2])
    for tensor in outputs:
        shape = tuple(size or 1 for size in tensor.shape.as_list())
        if len(shape) == 2:
            result = mixed.contract([1]).drop([1]).broadcast(shape)
        elif len(shape) == 3 and shape[1] == entry.shape[1]:
            result = _states(layer, mixed).broadcast(shape)
        else:
            return None
        for other in begun:
            result = result.union(other.broadcast(shape))
        results.append(result)
    return results


def _states(layer: Any, mixed: Dependence) -> Dependence:
    if type(layer).__name__ == "Bidirectional":
        backward = _states(layer.backward_layer, mixed)  # Keras turns its states round again
        turned = backward.window(1, np.arange(mixed.shape[1] - 1, -1, -1)[:, None])
        return _states(layer.forward_layer, mixed).union(turned)
    steps = mixed.shape[1]
    index, _ = stencils.prefix(steps)
    if layer.go_backwards:
        # Reading from the end, the state given out first has seen the last step only.
        index = index.copy()
        index[index >= 0] = steps - 1 - index[index >= 0]
    return mixed.window(1, index)
