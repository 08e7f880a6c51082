"""The effective receptive field: how far the gradient of the last map's centre really spreads over real items.

After Luo, Li, Urtasun and Zemel, "Understanding the effective receptive field" (2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.evidence.geometry import EffectiveField, LayerField
from poolaudit.geometry.analysis import ModelInput
from poolaudit.statistics.item_means import bounded_item_mean
from poolaudit.subject._keras_load import quiet_keras
from poolaudit.subject._loaded import LoadedModel

_ITEMS = 16
_MASS = 0.95


def effective_field(
    loaded: LoadedModel,
    model_input: ModelInput,
    last: LayerField,
    owner: Any,
    inputs: npt.NDArray[Any],
    rng: np.random.Generator,
    confidence: float,
) -> tuple[EffectiveField, ...]:
    """Width along each axis that holds 95 % of the absolute gradient of the centre of the last map.

    Args:
        loaded: A Keras model with one floating point input.
        model_input: That input.
        last: The last layer with places.
        owner: The layer itself.
        inputs: Real items, (n, ...).
        rng: Draws the items, and the bootstrap.
        confidence: Coverage of the intervals.
    """
    import tensorflow as tf

    chosen = inputs[rng.permutation(len(inputs))[:_ITEMS]].astype(loaded.input_dtype)
    widths = []
    for item in chosen:
        x = tf.constant(item[None])
        with quiet_keras(), tf.GradientTape() as tape:
            tape.watch(x)
            output = _output_of(loaded, owner, x)
            middle = tuple(size // 2 for size in output.shape[1:-1])
            target = tf.reduce_sum(tf.gather_nd(output[0], [middle]))
        gradient = tape.gradient(target, x)
        if gradient is None:
            continue
        spread = np.abs(np.asarray(gradient)[0].astype(np.float64))
        if spread.sum() > 0:
            widths.append([_width(spread, axis) for axis in model_input.spatial])
    found = []
    for place, (name, size) in enumerate(zip(model_input.axes, model_input.sizes, strict=True)):
        values = np.array([row[place] for row in widths], np.float64)
        field = last.fields[place] if place < len(last.fields) else None
        found.append(
            EffectiveField(
                axis=name,
                width=bounded_item_mean(
                    values, 1.0, float(size), rng, confidence=confidence, empty="no item has a gradient"
                ),
                theoretical=None if field is None else field.size,
                items=len(values),
            )
        )
    return tuple(found)


def _output_of(loaded: LoadedModel, owner: Any, x: Any) -> Any:
    """What the layer gives while the model runs on x."""
    caught: list[Any] = []
    original = owner.call

    def call(*args: Any, **kwargs: Any) -> Any:
        caught.append(original(*args, **kwargs))
        return caught[-1]

    vars(owner)["call"] = call
    try:
        loaded.call(x)
    finally:
        vars(owner).pop("call", None)
    return caught[-1]


def _width(spread: npt.NDArray[np.float64], axis: int) -> int:
    """Cells of the narrowest stretch along the axis that holds the wanted share."""
    profile = spread.sum(axis=tuple(a for a in range(spread.ndim) if a != axis))
    total = np.concatenate([[0.0], np.cumsum(profile)])
    wanted = _MASS * total[-1]
    ends = np.searchsorted(total, total + wanted * (1 - 1e-12))
    reachable = ends <= len(profile)
    return int((ends - np.arange(len(total)))[reachable].min())
