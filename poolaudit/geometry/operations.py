"""What TensorFlow's operations read: each handler maps the dependence of the inputs to that of the outputs.

An operation without a handler is taken to read everything of its inputs, and the dependence says that this is a
guess upwards: a cell that is found to be without influence then is so for certain, the others may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from poolaudit.geometry import stencils
from poolaudit.geometry.dependence import Dependence

Inputs = Sequence["Dependence | None"]
Static = Callable[[Any], "np.ndarray[Any, Any] | None"]
Handler = Callable[[Any, Inputs, Static], "Dependence | None | list[Dependence | None]"]

_ELEMENTWISE = frozenset(
    """
    Abs Acos Acosh Add AddN AddV2 Asin Asinh Atan Atan2 Atanh BiasAdd Cast Ceil CheckNumerics ClipByValue
    ComplexAbs Cos Cosh DeepCopy Digamma Div DivNoNan Elu Equal Erf Erfc Erfinv Exp Expm1 FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxVars Floor FloorDiv FloorMod Greater GreaterEqual Identity Imag Inv IsFinite IsInf IsNan
    LeakyRelu Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr Maximum Minimum Mod MulNoNan Neg
    NextAfter NotEqual PlaceholderWithDefault Pow PreventGradient Real RealDiv Reciprocal Relu Relu6 Rint Round Rsqrt
    Select SelectV2 Selu Sigmoid Sign Sin Sinh Snapshot Softplus Softsign Sqrt Square SquaredDifference StopGradient
    Sub Tan Tanh TruncateDiv Xdivy Xlogy Bucketize EnsureShape QuantizeAndDequantizeV2 QuantizeAndDequantizeV4
    """.split()
)
_SHAPE_ONLY = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike", "BroadcastArgs", "NoOp"})
_REDUCTIONS = frozenset(
    {"Mean", "Sum", "Max", "Min", "Prod", "All", "Any", "EuclideanNorm", "ArgMax", "ArgMin", "LogSumExp"}
)


def apply(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    """The dependence of each output; None where it does not depend on the model's input."""
    count = len(operation.outputs)
    if all(entry is None for entry in inputs) or operation.type in _SHAPE_ONLY:
        return [None] * count
    handler = _HANDLERS.get(operation.type)
    if operation.type in _ELEMENTWISE:
        handler = _elementwise
    elif operation.type in _REDUCTIONS:
        handler = _reduction
    elif operation.type.startswith("Resource") or handler is None:
        return everything(operation, inputs, f"{_place(operation)} runs {operation.type}, which is not followed")
    try:
        result = handler(operation, inputs, static)
    except _NotFollowedError as reason:
        return everything(operation, inputs, f"{_place(operation)} runs {operation.type} {reason}")
    return result if isinstance(result, list) else [result, *[None] * (count - 1)]


def everything(operation: Any, inputs: Inputs, reason: str) -> list[Dependence | None]:
    """Every output cell may depend on all that the inputs depend on; `reason` is kept as the doubt."""
    united: Dependence | None = None
    for entry in inputs:
        if entry is not None:
            whole = entry.contract(range(len(entry.axes))).drop(range(len(entry.axes)))
            united = whole if united is None else united.union(whole)
    assert united is not None
    united = united.doubted(reason)
    return [united.broadcast(_shape(output)) for output in operation.outputs]


class _NotFollowedError(Exception):
    """The operation is known and its setting is not."""


def _place(operation: Any) -> str:
    scope = operation.name.rpartition("/")[0]
    return f"Part {scope!r} of the graph" if scope else "The model"


def _shape(tensor: Any) -> tuple[int, ...]:
    """Static sizes; an open batch is one item."""
    if tensor.shape.rank is None:
        raise _NotFollowedError("with an output of unknown rank")
    sizes = tensor.shape.as_list()
    if None in sizes[1:]:
        raise _NotFollowedError("with an output of unknown size")
    return tuple(1 if size is None else size for size in sizes)


def _value(static: Static, tensor: Any) -> Any:
    value = static(tensor)
    if value is None:
        raise _NotFollowedError("with settings that are computed at run time")
    return value


def _integers(static: Static, tensor: Any) -> list[int]:
    return [int(number) for number in np.asarray(_value(static, tensor)).ravel()]


def _elementwise(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    shape = _shape(operation.outputs[0])
    result: Dependence | None = None
    for entry in inputs:
        if entry is not None:
            wide = entry.broadcast(shape)
            result = wide if result is None else result.union(wide)
    assert result is not None
    return result


def _multiplication(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    """A factor that is constantly 0 lets nothing through."""
    result = _elementwise(operation, inputs, static)
    for tensor, entry in zip(operation.inputs, inputs, strict=True):
        if entry is None and (tensor.shape.num_elements() or 0) > 1:
            factor = static(tensor)
            if factor is not None and not np.all(factor):
                result = result.masked(np.broadcast_to(factor != 0, result.shape))
    return result


def _identity_each(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    return list(inputs)


def _normalisation(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    if operation.get_attr("is_training"):
        raise _NotFollowedError("in training mode")
    result = inputs[0]
    if result is None or any(entry is not None for entry in inputs[1:]):
        raise _NotFollowedError("with statistics that depend on the input")
    return result


def _reduction(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    (entry, *_) = inputs
    assert entry is not None
    rank = len(entry.axes)
    axes = [axis % rank for axis in _integers(static, operation.inputs[1])]
    keep = operation.type not in ("ArgMax", "ArgMin") and operation.get_attr("keep_dims")
    result = entry.contract(axes)
    return result if keep else result.drop(axes)


def _convolution(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry, kernel = inputs[0], operation.inputs[1]
    if entry is None or inputs[1] is not None:
        raise _NotFollowedError("with a kernel that depends on the input")
    spatial, channel = _axes(operation, len(entry.axes))
    taps = kernel.shape.as_list()
    result = _windows(operation, entry, spatial, taps[: len(spatial)], _shape(operation.outputs[0]))
    size, read = result.shape[channel], taps[-2]
    if operation.type == "DepthwiseConv2dNative":
        return result.window(channel, np.repeat(np.arange(size), taps[-1])[:, None])
    outputs = _shape(operation.outputs[0])
    if read == size:
        return result.contract([channel]).broadcast(outputs)
    each = outputs[channel] // (size // read)  # grouped convolution
    index = np.arange(outputs[channel])[:, None] // each * read + np.arange(read)
    return result.window(channel, index)


def _axes(operation: Any, rank: int) -> tuple[list[int], int]:
    """Spatial axes and the channel axis."""
    if operation.get_attr("data_format").startswith(b"NC"):
        return list(range(2, rank)), 1
    return list(range(1, rank - 1)), rank - 1


def _windows(
    operation: Any, entry: Dependence, axes: list[int], taps: Sequence[int], outputs: tuple[int, ...]
) -> Dependence:
    strides = operation.get_attr("strides")
    attributes = operation.node_def.attr
    dilations = operation.get_attr("dilations") if "dilations" in attributes else [1] * len(strides)
    padding = operation.get_attr("padding").decode()
    explicit = operation.get_attr("explicit_paddings") if "explicit_paddings" in attributes else []
    for axis, size in zip(axes, taps, strict=True):
        stride, dilation, before = strides[axis], dilations[axis], 0
        if padding == "EXPLICIT":
            before = explicit[2 * axis]
        else:
            before = stencils.padding_before(padding, entry.shape[axis], size, stride, dilation)
        if (size, stride) != (1, 1) or before or outputs[axis] != entry.shape[axis]:
            entry = entry.window(
                axis, *stencils.window(entry.shape[axis], outputs[axis], size, stride, dilation, before)
            )
    return entry


def _pooling(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    (entry, *_) = inputs
    assert entry is not None
    windows = (
        operation.get_attr("ksize") if "ksize" in operation.node_def.attr else _integers(static, operation.inputs[1])
    )
    axes = [axis for axis in range(len(entry.axes)) if windows[axis] > 1 or operation.get_attr("strides")[axis] > 1]
    result = _windows(operation, entry, axes, [windows[axis] for axis in axes], _shape(operation.outputs[0]))
    return [result] * len(operation.outputs)


def _transposed_convolution(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[2]
    if entry is None or inputs[1] is not None:
        raise _NotFollowedError("with a kernel that depends on the input")
    spatial, channel = _axes(operation, len(entry.axes))
    kernel, outputs = operation.inputs[1].shape.as_list(), _shape(operation.outputs[0])
    strides, dilations = operation.get_attr("strides"), operation.get_attr("dilations")
    padding, attributes = operation.get_attr("padding").decode(), operation.node_def.attr
    if kernel[-1] != entry.shape[channel]:
        raise _NotFollowedError("in groups")
    for axis, size in zip(spatial, kernel, strict=False):
        if padding == "EXPLICIT" and "explicit_paddings" in attributes:
            before = operation.get_attr("explicit_paddings")[2 * axis]
        else:
            before = stencils.padding_before(padding, outputs[axis], size, strides[axis], dilations[axis])
        shape = (entry.shape[axis], outputs[axis], size, strides[axis], dilations[axis], before)
        entry = entry.window(axis, *stencils.transposed(*shape))
    return entry.contract([channel]).broadcast(outputs)


def dilated_convolution(
    entry: Dependence, block: Sequence[int], before: Sequence[int], convolution: Any, result: Any
) -> Dependence:
    """A dilated convolution that TensorFlow wrote as SpaceToBatch, a plain convolution and BatchToSpace.

    Args:
        entry: What goes into the first of them.
        block: The dilation of each spatial axis.
        before: Cells put in front of each spatial axis, less those cut off afterwards.
        convolution: The plain convolution.
        result: What comes out of the last of them.
    """
    outputs, kernel = _shape(result), convolution.inputs[1].shape.as_list()
    taps = kernel[len(kernel) - 2 - len(block) : -2]
    first = 2 if convolution.get_attr("data_format").startswith(b"NC") else 1
    for axis, (size, dilation, pad) in enumerate(zip(taps, block, before, strict=True), start=first):
        entry = entry.window(
            axis, *stencils.window(entry.shape[axis], outputs[axis], size, 1, dilation, pad)
        )
    channel = 1 if first == 2 else len(entry.axes) - 1
    if convolution.type == "DepthwiseConv2dNative":
        return entry.window(channel, np.repeat(np.arange(entry.shape[channel]), kernel[-1])[:, None])
    return entry.contract([channel]).broadcast(outputs)


def _softmax(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    (entry,) = inputs
    assert entry is not None
    return entry.contract([len(entry.axes) - 1]).broadcast(entry.shape)


def _last_axis(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    """Each output reads the whole last axis: Fourier transforms, the largest k."""
    (entry, *_) = inputs
    assert entry is not None
    whole = entry.contract([len(entry.axes) - 1])
    return [whole.broadcast(_shape(output)) for output in operation.outputs]


def _reshape(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    if entry is None:
        raise _NotFollowedError("with settings that depend on the input")
    return entry.reshape(_shape(operation.outputs[0]))


def _transpose(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    assert inputs[0] is not None
    return inputs[0].transpose(_integers(static, operation.inputs[1]))


def _pad(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    mirror = operation.get_attr("mode").decode() if operation.type == "MirrorPad" else None
    paddings = np.asarray(_value(static, operation.inputs[1])).tolist()
    for axis, (before, after) in enumerate(paddings):
        if before or after:
            size = entry.shape[axis]
            if mirror is not None:
                cells = np.pad(np.arange(size), (before, after), mode=mirror.lower())  # type: ignore[call-overload]
                entry = entry.window(axis, cells[:, None])
            else:
                entry = entry.window(axis, *stencils.padded(size, before, after))
    return entry


def _picked(entry: Dependence, axis: int, cells: Sequence[int]) -> Dependence:
    if list(cells) == list(range(entry.shape[axis])):
        return entry
    return entry.window(axis, *stencils.pick(cells))


def _strided_slice(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    begin, end, strides = (_integers(static, tensor) for tensor in operation.inputs[1:4])
    bits = {
        name: int(operation.get_attr(f"{name}_mask"))
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    has_ellipsis = bits["ellipsis"] != 0
    consumed = sum(
        1 for place in range(len(begin)) if not (bits["ellipsis"] >> place & 1 or bits["new_axis"] >> place & 1)
    )
    axis, shrunk = 0, []
    for place in range(len(begin)):
        if bits["ellipsis"] >> place & 1:
            axis += len(entry.axes) - axis - sum(
                1 for later in range(place + 1, len(begin)) if not bits["new_axis"] >> later & 1
            )
            continue
        if bits["new_axis"] >> place & 1:
            entry = entry.insert(axis)
            axis += 1
            continue
        size = entry.shape[axis]
        if bits["shrink_axis"] >> place & 1:
            cells = [begin[place] % size]
            shrunk.append(axis)
        else:
            start = None if bits["begin"] >> place & 1 else begin[place]
            stop = None if bits["end"] >> place & 1 else end[place]
            cells = list(range(size))[start : stop : strides[place]]
        entry = _picked(entry, axis, cells)
        axis += 1
    del has_ellipsis, consumed
    return entry.drop(shrunk)


def _slice(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    begin = _integers(static, operation.inputs[1])
    for axis, (start, size) in enumerate(zip(begin, _shape(operation.outputs[0]), strict=True)):
        entry = _picked(entry, axis, range(start, start + size))
    return entry


def _split(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    place = 0 if operation.type == "Split" else 2
    entry = inputs[1 - place // 2]
    assert entry is not None
    axis = _integers(static, operation.inputs[place])[0] % len(entry.axes)
    pieces: list[Dependence | None] = []
    start = 0
    for output in operation.outputs:
        size = _shape(output)[axis]
        pieces.append(_picked(entry, axis, range(start, start + size)))
        start += size
    return pieces


def _unpack(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    (entry,) = inputs
    assert entry is not None
    axis = operation.get_attr("axis") % len(entry.axes)
    return [_picked(entry, axis, [place]).drop([axis]) for place in range(len(operation.outputs))]


def _concatenation(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    shape = _shape(operation.outputs[0])
    axis = _integers(static, operation.inputs[-1])[0] % len(shape)
    return _placed([(entry, tensor.shape.as_list()[axis] or 1) for entry, tensor in zip(inputs[:-1], operation.inputs, strict=False)], axis, shape)


def _stack(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    shape = _shape(operation.outputs[0])
    axis = operation.get_attr("axis") % len(shape)
    return _placed([(None if entry is None else entry.insert(axis), 1) for entry in inputs], axis, shape)


def _placed(pieces: Sequence[tuple[Dependence | None, int]], axis: int, shape: tuple[int, ...]) -> Dependence:
    """Pieces laid one behind the other along an axis."""
    result: Dependence | None = None
    start = 0
    for entry, size in pieces:
        if entry is not None:
            before, after = start, shape[axis] - start - size
            if before or after:
                entry = entry.window(axis, *stencils.padded(size, before, after))
            result = entry if result is None else result.union(entry)
        start += size
    assert result is not None
    return result


def _gather(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    values, indices = inputs[0], inputs[1]
    axis = _integers(static, operation.inputs[2])[0] if operation.type == "GatherV2" else 0
    if operation.type == "GatherV2" and operation.get_attr("batch_dims"):
        raise _NotFollowedError("with batch axes")
    shape = _shape(operation.outputs[0])
    if values is None:  # an embedding: which entry is read depends on the input
        assert indices is not None
        for _ in range(len(shape) - len(indices.axes)):
            indices = indices.insert(len(indices.axes))
        return indices.broadcast(shape)
    axis %= len(values.axes)
    if indices is not None:
        whole = values.contract([axis]).drop([axis])
        spread = indices.contract(range(len(indices.axes))).drop(range(len(indices.axes)))
        if len(whole.axes) + len(indices.axes) != len(shape):
            raise _NotFollowedError("with indices that depend on the input")
        for _ in range(len(indices.axes)):
            whole = whole.insert(axis)
        return whole.broadcast(shape).union(spread.broadcast(shape))
    cells = np.asarray(_value(static, operation.inputs[1]))
    picked = values.window(axis, (cells.ravel() % values.shape[axis])[:, None], stencils.pick(cells.ravel())[1])
    return picked.reshape(shape)


def _tile(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    for axis, times in enumerate(_integers(static, operation.inputs[1])):
        size = entry.shape[axis]
        if times > 1 and size == 1:
            entry = entry.broadcast((*entry.shape[:axis], times, *entry.shape[axis + 1 :]))
        elif times != 1:
            entry = entry.window(axis, np.tile(np.arange(size), times)[:, None])
    return entry


def _broadcast(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    assert inputs[0] is not None
    return inputs[0].broadcast(_shape(operation.outputs[0]))


def _expand(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    assert inputs[0] is not None
    axis = _integers(static, operation.inputs[1])[0]
    return inputs[0].insert(axis if axis >= 0 else axis + len(inputs[0].axes) + 1)


def _squeeze(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    (entry,) = inputs
    assert entry is not None
    return entry.drop(_squeezed(operation, entry))


def _squeezed(operation: Any, entry: Dependence) -> list[int]:
    stated = [axis % len(entry.axes) for axis in operation.get_attr("squeeze_dims")]
    return stated or [axis for axis, size in enumerate(entry.shape) if size == 1]


def _reverse(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    for axis in _integers(static, operation.inputs[1]):
        size = entry.shape[axis]
        entry = entry.window(axis % len(entry.axes), np.arange(size - 1, -1, -1)[:, None])
    return entry


def _roll(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    for shift, axis in zip(
        _integers(static, operation.inputs[1]), _integers(static, operation.inputs[2]), strict=True
    ):
        cells = np.roll(np.arange(entry.shape[axis]), shift)
        entry = entry.window(axis % len(entry.axes), cells[:, None])
    return entry


def _space_to_depth(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry, block = inputs[0], operation.get_attr("block_size")
    assert entry is not None
    if operation.get_attr("data_format").startswith(b"NC"):
        raise _NotFollowedError("with channels first")
    batch, height, width, channels = entry.shape
    if operation.type == "SpaceToDepth":
        split = entry.reshape((batch, height // block, block, width // block, block, channels))
        return split.transpose((0, 1, 3, 2, 4, 5)).reshape(_shape(operation.outputs[0]))
    split = entry.reshape((batch, height, width, block, block, channels // block**2))
    return split.transpose((0, 1, 3, 2, 4, 5)).reshape(_shape(operation.outputs[0]))


def _resize(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    outputs = _shape(operation.outputs[0])
    rule = stencils.nearest if operation.type == "ResizeNearestNeighbor" else stencils.bilinear
    for axis in (1, 2):
        index, phases = rule(
            entry.shape[axis],
            outputs[axis],
            align_corners=operation.get_attr("align_corners"),
            half_pixel_centers=operation.get_attr("half_pixel_centers"),
        )
        entry = entry.window(axis, index, phases)
    return entry


def _cumulative(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    axis = _integers(static, operation.inputs[1])[0] % len(entry.axes)
    index, _ = stencils.prefix(
        entry.shape[axis], exclusive=operation.get_attr("exclusive"), reverse=operation.get_attr("reverse")
    )
    return entry.window(axis, index)


def _matrix_product(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    first, second = (tensor.shape.rank for tensor in operation.inputs)
    names = [chr(ord("a") + place) for place in range(max(first, second) - 2)]
    batch = _shape(operation.outputs[0])[:-2]
    del batch
    flipped = [
        operation.get_attr(name) for name in (("transpose_a", "transpose_b") if operation.type == "MatMul" else ("adj_x", "adj_y"))
    ]
    left = [*names[len(names) - first + 2 :], *("ki" if flipped[0] else "ik")]
    right = [*names[len(names) - second + 2 :], *("jk" if flipped[1] else "kj")]
    known = static(operation.inputs[1]) if second == 2 and inputs[0] is not None and inputs[1] is None else None
    if known is not None and not np.all(known):
        return _sparse_product(inputs[0], left, known.T if flipped[1] else known)
    return _product(operation, inputs, [left, right], [*names, "i", "j"])


def _sparse_product(entry: Dependence | None, left: list[str], matrix: Any) -> Dependence:
    """A product with a constant matrix reads only where the matrix is not 0."""
    assert entry is not None
    axis = left.index("k")
    rows = [np.flatnonzero(matrix[:, column]) for column in range(matrix.shape[1])]
    index = np.full((len(rows), max(1, *(len(row) for row in rows))), -1, np.int64)
    for place, row in enumerate(rows):
        index[place, : len(row)] = row
    result = entry.window(axis, index)
    if axis == len(result.axes) - 1:
        return result
    return result.transpose([*(a for a in range(len(result.axes)) if a != axis), axis])


def _einsum(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    equation = operation.get_attr("equation").decode().replace(" ", "")
    terms, _, result = equation.partition("->")
    operands = []
    for term, tensor in zip(terms.split(","), operation.inputs, strict=True):
        if "..." in term:
            missing = tensor.shape.rank - (len(term) - 3)
            term = term.replace("...", "".join(chr(0x100 + place) for place in range(missing))[::-1])
        operands.append(list(term))
    if "..." in result:
        longest = max((tensor.shape.rank - len(term) + 3 for term, tensor in zip(terms.split(","), operation.inputs, strict=True) if "..." in term), default=0)
        result = result.replace("...", "".join(chr(0x100 + place) for place in range(longest))[::-1])
    if any(len(set(term)) != len(term) for term in operands):
        raise _NotFollowedError(f"with the equation {equation}")
    return _product(operation, inputs, operands, list(result))


def _product(operation: Any, inputs: Inputs, operands: list[list[str]], result: list[str]) -> Dependence:
    """Axes that are summed over are read whole; the others stay where they are."""
    shape = _shape(operation.outputs[0])
    united: Dependence | None = None
    for entry, names in zip(inputs, operands, strict=True):
        if entry is None:
            continue
        summed = [place for place, name in enumerate(names) if name not in result]
        entry = entry.contract(summed).drop(summed)
        kept = [name for name in names if name in result]
        entry = entry.transpose([kept.index(name) for name in result if name in kept])
        for place, name in enumerate(result):
            if name not in kept:
                entry = entry.insert(place)
        entry = entry.broadcast(shape)
        united = entry if united is None else united.union(entry)
    assert united is not None
    return united


_HANDLERS: dict[str, Handler] = {
    "IdentityN": _identity_each,
    "Mul": _multiplication,
    "FusedBatchNorm": _normalisation,
    "FusedBatchNormV2": _normalisation,
    "FusedBatchNormV3": _normalisation,
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative"), _convolution),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _transposed_convolution),
    **dict.fromkeys(("MaxPool", "MaxPoolV2", "AvgPool", "MaxPool3D", "AvgPool3D", "MaxPoolWithArgmax"), _pooling),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("TopKV2", "FFT", "IFFT", "RFFT", "IRFFT"), _last_axis),
    "Reshape": _reshape,
    "Transpose": _transpose,
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _pad),
    "StridedSlice": _strided_slice,
    "Slice": _slice,
    **dict.fromkeys(("Split", "SplitV"), _split),
    "Unpack": _unpack,
    "ConcatV2": _concatenation,
    "Pack": _stack,
    **dict.fromkeys(("Gather", "GatherV2", "ResourceGather"), _gather),
    "Tile": _tile,
    "BroadcastTo": _broadcast,
    "ExpandDims": _expand,
    "Squeeze": _squeeze,
    "ReverseV2": _reverse,
    "Roll": _roll,
    **dict.fromkeys(("SpaceToDepth", "DepthToSpace"), _space_to_depth),
    **dict.fromkeys(("ResizeNearestNeighbor", "ResizeBilinear"), _resize),
    **dict.fromkeys(("Cumsum", "Cumprod", "CumulativeLogsumexp"), _cumulative),
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matrix_product),
    "Einsum": _einsum,
}
_ = math
