"""Average pools that take in zeros which a layer before them put around the map."""

from __future__ import annotations

from typing import Any

from poolaudit.geometry.analysis import Analysis
from poolaudit.geometry.receptive_field import listed_calls

# What leaves a zero a zero; the second also moves axes, so that amounts of padding no longer stand at their places.
_MOVING = frozenset({"ExpandDims", "Squeeze", "Transpose"})
_PASSING = _MOVING | {"Identity", "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Tanh", "Softsign", "Cast"}
_AVERAGES = frozenset({"AvgPool", "AvgPool3D"})


def averaged_padding(analysis: Analysis) -> tuple[str, ...]:
    """Names of the pooling layers concerned.

    TensorFlow's own SAME padding is left out of averages, so only a padding layer of its own is meant.
    """
    found = []
    for call, name in listed_calls(analysis):
        operations = call.graph.get_operations()[call.start : call.end]
        if any(operation.type in _AVERAGES and _reads_padding(operation) for operation in operations):
            found.append(name)
    return tuple(dict.fromkeys(found))


def _reads_padding(operation: Any) -> bool:
    windows = list(operation.get_attr("ksize"))
    if all(size == 1 for size in windows):
        return False
    source, moved = operation.inputs[0].op, False
    while source.type in _PASSING and len(source.inputs) > 0:
        moved |= source.type in _MOVING
        source = source.inputs[0].op
    if source.type not in ("Pad", "PadV2") or not _pads_zeros(source):
        return False
    amounts = _static(source.inputs[1])
    if amounts is None:
        return True
    if moved or len(amounts) != len(windows):
        return bool(amounts.any())
    sizes, places = operation.inputs[0].shape.as_list(), operation.outputs[0].shape.as_list()
    strides = operation.get_attr("strides")
    return any(
        k > 1 and (before > 0 or (after > 0 and (n is None or m is None or (m - 1) * s + k > n - after)))
        for k, s, n, m, (before, after) in zip(windows, strides, sizes, places, amounts.tolist(), strict=True)
    )


def _pads_zeros(operation: Any) -> bool:
    if operation.type == "Pad":
        return True
    value = _static(operation.inputs[2])
    return value is None or bool((value == 0).all())


def _static(tensor: Any) -> Any:
    """The tensor's constant value; None where it has none."""
    import numpy as np
    import tensorflow as tf

    value = tf.get_static_value(tensor)
    return None if value is None else np.asarray(value)
