"""Average pools that take in zeros which a layer before them put around the map."""

from __future__ import annotations

from typing import Any

from poolaudit.geometry.analysis import Analysis
from poolaudit.geometry.receptive_field import listed_calls

# What leaves a zero a zero; the first three also move axes.
_PASSING = frozenset(
    {"ExpandDims", "Squeeze", "Transpose", "Identity", "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Tanh", "Softsign"}
    | {"Cast"}
)
_AVERAGES = frozenset({"AvgPool", "AvgPool3D"})


def averaged_padding(analysis: Analysis) -> tuple[str, ...]:
    """Names of the pooling layers concerned; of a SavedModel, of the operations.

    TensorFlow's own SAME padding is left out of averages, so only a padding layer of its own is meant.
    """
    if analysis.traced.root is None:
        operations = dict.fromkeys(tensor.op for tensor in analysis.walked.tensors)
        named = [(operation.name.rpartition("/")[0] or operation.name, operation) for operation in operations]
    else:
        named = [
            (name, operation)
            for call, name in listed_calls(analysis)
            for operation in call.graph.get_operations()[call.start : call.end]
        ]
    found = [name for name, operation in named if operation.type in _AVERAGES and _reads_padding(operation)]
    return tuple(dict.fromkeys(found))


def _reads_padding(operation: Any) -> bool:
    windows = list(operation.get_attr("ksize"))
    # For each axis of the pool, the axis of the tensor that is looked at; None where it was made on the way.
    axes: list[int | None] = list(range(len(windows)))
    source = operation.inputs[0].op
    while (source.type in _PASSING and len(source.inputs) > 0) or _pads_other_axes(source, axes, windows):
        axes = _axes_before(source, axes)
        source = source.inputs[0].op
    if source.type not in ("Pad", "PadV2") or not _pads_zeros(source):
        return False
    amounts = _static(source.inputs[1])
    if amounts is None:
        return any(size > 1 for size in windows)
    sizes, places = operation.inputs[0].shape.as_list(), operation.outputs[0].shape.as_list()
    strides = operation.get_attr("strides")
    if all(n == k or (k == 1 and n in (None, 1)) for k, n in zip(windows[1:-1], sizes[1:-1], strict=True)):
        return False  # the whole map at once: zeros around it scale all of it alike
    for axis, (k, s, n, m) in enumerate(zip(windows, strides, sizes, places, strict=True)):
        place = axes[axis]
        if k == 1 or place is None or place >= len(amounts):
            continue
        before, after = amounts[place].tolist()
        if before > 0 or (after > 0 and (n is None or m is None or (m - 1) * s + k > n - after)):
            return True
    return False


def _pads_other_axes(operation: Any, axes: list[int | None], windows: list[int]) -> bool:
    if operation.type not in ("Pad", "PadV2", "MirrorPad"):
        return False
    amounts = _static(operation.inputs[1])
    moved = {axis for axis, size in zip(axes, windows, strict=True) if size > 1 and axis is not None}
    return amounts is not None and not any(amounts[axis].any() for axis in moved if axis < len(amounts))


def _axes_before(operation: Any, axes: list[int | None]) -> list[int | None]:
    """The same axes in the operation's input."""
    if operation.type == "Transpose":
        order = _static(operation.inputs[1])
        return [None if axis is None or order is None else int(order[axis]) for axis in axes]
    if operation.type == "ExpandDims":
        made = _static(operation.inputs[1])
        rank = operation.outputs[0].shape.rank
        new = int(made.ravel()[0]) % rank if made is not None and rank else -1
        return [None if axis is None or axis == new else axis - (axis > new >= 0) for axis in axes]
    if operation.type == "Squeeze":
        rank = operation.inputs[0].shape.rank or 0
        gone = {axis % rank for axis in operation.get_attr("squeeze_dims")} if rank else set()
        kept = [axis for axis in range(rank) if axis not in gone]
        return [None if axis is None or axis >= len(kept) else kept[axis] for axis in axes]
    return axes


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
