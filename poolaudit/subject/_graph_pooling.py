"""Recognises pooling in the operations of a TensorFlow graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from poolaudit.subject._loaded import Shape
from poolaudit.subject._trace import shape_of

WINDOWED = {
    "MaxPool": "max",
    "MaxPoolV2": "max",
    "MaxPoolWithArgmax": "max",
    "MaxPool3D": "max",
    "AvgPool": "average",
    "AvgPool3D": "average",
    "FractionalMaxPool": "custom",
    "FractionalAvgPool": "custom",
}
REDUCTIONS = {"Mean": "average", "Max": "max", "Sum": "custom", "Min": "custom"}
PYTHON_OPERATIONS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})

_LABELS = {
    "MaxPool": "tf.nn.max_pool{rank}d",
    "MaxPoolV2": "tf.nn.max_pool{rank}d",
    "MaxPoolWithArgmax": "tf.nn.max_pool_with_argmax",
    "MaxPool3D": "tf.nn.max_pool3d",
    "AvgPool": "tf.nn.avg_pool{rank}d",
    "AvgPool3D": "tf.nn.avg_pool3d",
    "FractionalMaxPool": "tf.nn.fractional_max_pool",
    "FractionalAvgPool": "tf.nn.fractional_avg_pool",
    "Mean": "tf.reduce_mean",
    "Max": "tf.reduce_max",
    "Sum": "tf.reduce_sum",
    "Min": "tf.reduce_min",
}
# Operations that hand the same values on, possibly under another shape or type.
_SAME_VALUES = frozenset({"Identity", "StopGradient", "Cast", "Squeeze", "Reshape", "ExpandDims", "Snapshot"})
# Between a statistic and its use in a normalisation stand only these.
_ELEMENTWISE = _SAME_VALUES | {
    "AddV2", "Add", "Sub", "Mul", "RealDiv", "Div", "DivNoNan", "Maximum", "Minimum", "Rsqrt", "Sqrt", "Square",
    "Reciprocal", "Neg", "Exp", "Log", "Abs", "SquaredDifference", "Pow", "IsFinite", "SelectV2", "ZerosLike",
    "BroadcastTo", "Xdivy", "MulNoNan",
}  # fmt: skip
_COMBINING = frozenset({"Sub", "Mul", "RealDiv", "Div", "DivNoNan", "SquaredDifference", "MulNoNan", "Xdivy"})


@dataclass(frozen=True)
class GraphPooling:
    """One pooling operation of a graph; fields as in PoolingSite.

    `source` and `result` are the tensors that go in and come out, for following the data flow.
    """

    label: str
    kind: str
    rank: int
    window: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    padding: str | None
    data_format: str | None
    input_shape: Shape | None
    output_shape: Shape | None
    source: Any
    result: Any


def pooling_in(operation: Any, *, channels_first: bool = False) -> GraphPooling | None:
    """What an operation pools, or None where it does not pool over space.

    A reduction counts where it runs over spatial axes only and its result is not merely used to centre or scale the
    very tensor it was taken from, as normalisations and soft-max do.
    """
    if operation.type in WINDOWED:
        return _windowed(operation)
    if operation.type in REDUCTIONS:
        return _reduction(operation, channels_first)
    return None


def _windowed(operation: Any) -> GraphPooling:
    source, result = operation.inputs[0], operation.outputs[0]
    kind = WINDOWED[operation.type]
    data_format = operation.get_attr("data_format").decode() if "data_format" in operation.node_def.attr else "NHWC"
    first = data_format.startswith("NC")
    rank = 3 if "3D" in operation.type else 2
    axes = tuple(range(2, rank + 2)) if first else tuple(range(1, rank + 1))
    window = strides = None
    if operation.type == "MaxPoolV2":
        window, strides = _constants(operation.inputs[1], axes), _constants(operation.inputs[2], axes)
    elif "ksize" in operation.node_def.attr:
        window = tuple(int(operation.get_attr("ksize")[axis]) for axis in axes)
        strides = tuple(int(operation.get_attr("strides")[axis]) for axis in axes)
    padding = operation.get_attr("padding").decode().lower() if "padding" in operation.node_def.attr else None
    shapes = [shape_of(source), shape_of(result)]
    if source.op.type == "ExpandDims" and rank == 2 and window is not None and strides is not None:
        # One-dimensional pooling runs as two-dimensional pooling over an added axis of size 1.
        added = next((axis for axis in axes if shapes[0] and shapes[0][axis] == 1), None)
        if added is not None and window[axes.index(added)] == 1:
            kept = next(axis for axis in axes if axis != added)
            window, strides = (window[axes.index(kept)],), (strides[axes.index(kept)],)
            shapes = [None if s is None else tuple(v for a, v in enumerate(s) if a != added) for s in shapes]
            rank = 1
    label = _LABELS[operation.type].format(rank=rank)
    return GraphPooling(
        label,
        kind,
        rank,
        window,
        strides,
        padding if padding in ("same", "valid") else None,
        "channels_first" if first else "channels_last",
        shapes[0],
        shapes[1],
        source,
        result,
    )


def _reduction(operation: Any, channels_first: bool) -> GraphPooling | None:
    source, result = operation.inputs[0], operation.outputs[0]
    shape = shape_of(source)
    if shape is None or len(shape) < 3 or not source.dtype.is_floating:
        return None
    constant = _constants(operation.inputs[1], None)
    if constant is None:
        return None
    axes = tuple(sorted(axis % len(shape) for axis in constant))
    if not axes or 0 in axes:
        return None
    windowed = _patch_window(source, axes) or _blocks(source, axes)
    if windowed is None and (len(shape) > 5 or _normalises(operation, source)):
        return None
    label, base = _LABELS[operation.type], REDUCTIONS[operation.type]
    if windowed is not None:
        window, strides, padding, before = windowed
        return GraphPooling(
            label, base, len(window), window, strides, padding, "channels_last", before, shape_of(result),
            source, result,
        )  # fmt: skip
    # An average of powers or exponentials is another kind of pooling: root mean square, generalised mean, log-sum-exp.
    bent = _same_values(source).op.type in ("Pow", "Square", "Exp")
    kind = "custom" if bent or base == "custom" else f"global_{base}"
    first_axes = tuple(range(2, len(shape)))
    if set(axes) <= set(range(1, len(shape) - 1)) and not (channels_first and axes == first_axes):
        data_format = "channels_last"
    elif axes == first_axes and (channels_first or len(shape) >= 4):
        data_format = "channels_first"
    else:
        return None
    return GraphPooling(label, kind, len(axes), None, None, None, data_format, shape, shape_of(result), source, result)


Window = tuple[tuple[int, ...], tuple[int, ...], "str | None", "Shape | None"]


def _blocks(source: Any, axes: tuple[int, ...]) -> Window | None:
    """Pooling written as a reshape into blocks, (batch, height/k, k, width/k, k, channels), reduced over the blocks."""
    shape = shape_of(source)
    if source.op.type != "Reshape" or shape is None or len(shape) not in (4, 6, 8):
        return None
    before = shape_of(source.op.inputs[0])
    rank = (len(shape) - 2) // 2
    if before is None or len(before) != rank + 2 or axes != tuple(range(2, len(shape) - 1, 2)):
        return None
    window = tuple(shape[axis] for axis in axes)
    if any(size is None for size in window):
        return None
    known = tuple(int(size) for size in window if size is not None)
    return known, known, "valid", before


def _patch_window(source: Any, axes: tuple[int, ...]) -> Window | None:
    """Pooling written as extracted patches, reshaped to (batch, rows, columns, window, channels) and reduced."""
    operation = source.op
    while operation.type in ("Reshape", "Transpose", "Identity"):
        operation = operation.inputs[0].op
    if operation.type != "ExtractImagePatches" or len(axes) > 2 or min(axes) < 3:
        return None
    window = tuple(int(size) for size in operation.get_attr("ksizes")[1:3])
    strides = tuple(int(size) for size in operation.get_attr("strides")[1:3])
    return window, strides, operation.get_attr("padding").decode().lower(), shape_of(operation.inputs[0])


def _normalises(operation: Any, source: Any) -> bool:
    """Whether the reduction is a statistic that only shifts or scales the tensor it was taken from."""
    if source.op.type == "SquaredDifference":
        return True  # a variance
    origins = _ancestors_by_elementwise(source)
    pending: list[Any] = list(operation.outputs)
    seen: set[Any] = set()
    while pending:
        tensor = pending.pop()
        for consumer in tensor.consumers():
            if consumer in seen or consumer.type not in _ELEMENTWISE:
                continue
            seen.add(consumer)
            if _combines(consumer, tensor) and any(
                other is not tensor and _is_or_is_shifted(_same_values(other), origins) for other in consumer.inputs
            ):
                return True
            if len(seen) < 64:
                pending.extend(consumer.outputs)
    return False


def _combines(consumer: Any, statistic: Any) -> bool:
    # A sum adds a pooled context to the tensor; only with the sign turned does it centre it.
    negated = consumer.type in ("AddV2", "Add") and statistic.op.type == "Neg"
    return consumer.type in _COMBINING or negated


def _is_or_is_shifted(tensor: Any, origins: set[Any]) -> bool:
    """Whether a tensor is one of `origins`, or one of them minus something: (x - low) / (high - low) scales x."""
    if tensor.ref() in origins:
        return True
    return tensor.op.type == "Sub" and _same_values(tensor.op.inputs[0]).ref() in origins


def _ancestors_by_elementwise(tensor: Any) -> set[Any]:
    """The tensor itself and what it was made from by squaring, exponentials and the like."""
    found: set[Any] = set()
    pending = [_same_values(tensor)]
    while pending and len(found) < 16:
        tensor = pending.pop()
        if tensor.ref() in found:
            continue
        found.add(tensor.ref())
        if tensor.op.type in ("Square", "Exp", "Abs", "Pow", "Mul", "Sub"):
            # A statistic that is broadcast against the tensor is not what the tensor was made from.
            shape = shape_of(tensor)
            pending.extend(
                _same_values(x)
                for x in tensor.op.inputs
                if x.op.type not in ("Const", "Max", "Mean") and shape_of(x) == shape
            )
    return found


def _same_values(tensor: Any) -> Any:
    while tensor.op.type in _SAME_VALUES and tensor.op.inputs:
        tensor = tensor.op.inputs[0]
    return tensor


def flows_unchanged(start: Any, end: Any) -> bool:
    """Whether `end` holds the values of `start`, through reshapes and casts alone."""
    return bool(_same_values(start) is _same_values(end))


def _constants(tensor: Any, axes: tuple[int, ...] | None) -> tuple[int, ...] | None:
    import tensorflow as tf

    value = tf.get_static_value(tensor)
    if value is None:
        return None
    flat = tuple(int(x) for x in value.reshape(-1))
    return flat if axes is None else tuple(flat[axis] for axis in axes)
