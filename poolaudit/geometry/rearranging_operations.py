"""Operations that move cells about: slices, padding, joins, reshapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from poolaudit.geometry import stencils
from poolaudit.geometry.dependence import Dependence
from poolaudit.geometry.operation_settings import (
    Handler,
    Inputs,
    NotFollowedError,
    Static,
    integers,
    shape_of,
    value_of,
)


def _reshape(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    if entry is None:
        raise NotFollowedError("with settings that depend on the input")
    return entry.reshape(shape_of(operation.outputs[0]))


def _transpose(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    assert inputs[0] is not None
    return inputs[0].transpose(integers(static, operation.inputs[1]))


def _pad(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    mirror = operation.get_attr("mode").decode() if operation.type == "MirrorPad" else None
    paddings = np.asarray(value_of(static, operation.inputs[1])).tolist()
    for axis, (before, after) in enumerate(paddings):
        if before or after:
            size = entry.shape[axis]
            if mirror is not None:
                cells = np.pad(np.arange(size), (before, after), mode="reflect" if mirror == "REFLECT" else "symmetric")
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
    begin, end, strides = (integers(static, tensor) for tensor in operation.inputs[1:4])
    bits = {
        name: int(operation.get_attr(f"{name}_mask"))
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    axis, shrunk = 0, []
    for place in range(len(begin)):
        if bits["ellipsis"] >> place & 1:
            axis += (
                len(entry.axes)
                - axis
                - sum(1 for later in range(place + 1, len(begin)) if not bits["new_axis"] >> later & 1)
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
    return entry.drop(shrunk)


def _slice(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    begin = integers(static, operation.inputs[1])
    for axis, (start, size) in enumerate(zip(begin, shape_of(operation.outputs[0]), strict=True)):
        entry = _picked(entry, axis, range(start, start + size))
    return entry


def _split(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    place = 0 if operation.type == "Split" else 2
    entry = inputs[1 - place // 2]
    assert entry is not None
    axis = integers(static, operation.inputs[place])[0] % len(entry.axes)
    pieces: list[Dependence | None] = []
    start = 0
    for output in operation.outputs:
        size = shape_of(output)[axis]
        pieces.append(_picked(entry, axis, range(start, start + size)))
        start += size
    return pieces


def _unpack(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    (entry,) = inputs
    assert entry is not None
    axis = operation.get_attr("axis") % len(entry.axes)
    return [_picked(entry, axis, [place]).drop([axis]) for place in range(len(operation.outputs))]


def _concatenation(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    shape = shape_of(operation.outputs[0])
    axis = integers(static, operation.inputs[-1])[0] % len(shape)
    return _placed(
        [
            (entry, tensor.shape.as_list()[axis] or 1)
            for entry, tensor in zip(inputs[:-1], operation.inputs, strict=False)
        ],
        axis,
        shape,
    )


def _stack(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    shape = shape_of(operation.outputs[0])
    axis = operation.get_attr("axis") % len(shape)
    return _placed([(None if entry is None else entry.insert(axis), 1) for entry in inputs], axis, shape)


def _placed(pieces: Sequence[tuple[Dependence | None, int]], axis: int, shape: tuple[int, ...]) -> Dependence:
    """Pieces laid one behind the other along an axis."""
    result: Dependence | None = None
    start = 0
    steps = _steps([entry for entry, _ in pieces])
    for entry, size in pieces:
        if entry is not None:
            entry = entry.running(axis, steps) if steps and size == 1 else entry
            before, after = start, shape[axis] - start - size
            if before or after:
                entry = entry.window(axis, *stencils.padded(size, before, after))
            result = entry if result is None else result.union(entry)
        start += size
    assert result is not None
    return result


def _steps(pieces: Sequence[Dependence | None]) -> dict[tuple[int, int], float]:
    """Input axes of which each piece sees one place, another than the piece before: by how many cells it moves."""
    first, second = (pieces[0], pieces[1]) if len(pieces) > 1 else (None, None)
    if first is None or second is None:
        return {}
    found = {}
    for key, entry in first.local.items():
        if entry.atoms == () and key in second.local and second.local[key].atoms == ():
            places = [
                min(int(t.parts[key[1]].runs.low.min()) for t in piece.terms if t.source == key[0])
                for piece in (first, second)
                if any(t.source == key[0] and not t.parts[key[1]].atoms for t in piece.terms)
            ]
            if len(places) == 2 and places[0] != places[1]:
                found[key] = float(abs(places[1] - places[0]))
    return found


def _gather(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    values, indices = inputs[0], inputs[1]
    axis = integers(static, operation.inputs[2])[0] if operation.type == "GatherV2" else 0
    if operation.type == "GatherV2" and operation.get_attr("batch_dims"):
        raise NotFollowedError("with batch axes")
    shape = shape_of(operation.outputs[0])
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
            raise NotFollowedError("with indices that depend on the input")
        for _ in range(len(indices.axes)):
            whole = whole.insert(axis)
        return whole.broadcast(shape).union(spread.broadcast(shape))
    cells = np.asarray(value_of(static, operation.inputs[1]))
    picked = values.window(axis, (cells.ravel() % values.shape[axis])[:, None], stencils.pick(cells.ravel())[1])
    return picked.reshape(shape)


def _tile(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    for axis, times in enumerate(integers(static, operation.inputs[1])):
        size = entry.shape[axis]
        if times > 1 and size == 1:
            entry = entry.broadcast((*entry.shape[:axis], times, *entry.shape[axis + 1 :]))
        elif times != 1:
            entry = entry.window(axis, np.tile(np.arange(size), times)[:, None])
    return entry


def _broadcast(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    assert inputs[0] is not None
    return inputs[0].broadcast(shape_of(operation.outputs[0]))


def _expand(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    assert inputs[0] is not None
    axis = integers(static, operation.inputs[1])[0]
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
    for axis in integers(static, operation.inputs[1]):
        size = entry.shape[axis]
        entry = entry.window(axis % len(entry.axes), np.arange(size - 1, -1, -1)[:, None])
    return entry


def _roll(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    for shift, axis in zip(integers(static, operation.inputs[1]), integers(static, operation.inputs[2]), strict=True):
        cells = np.roll(np.arange(entry.shape[axis]), shift)
        entry = entry.window(axis % len(entry.axes), cells[:, None])
    return entry


def _space_to_depth(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry, block = inputs[0], operation.get_attr("block_size")
    assert entry is not None
    if operation.get_attr("data_format").startswith(b"NC"):
        raise NotFollowedError("with channels first")
    batch, height, width, channels = entry.shape
    if operation.type == "SpaceToDepth":
        split = entry.reshape((batch, height // block, block, width // block, block, channels))
        return split.transpose((0, 1, 3, 2, 4, 5)).reshape(shape_of(operation.outputs[0]))
    split = entry.reshape((batch, height, width, block, block, channels // block**2))
    return split.transpose((0, 1, 3, 2, 4, 5)).reshape(shape_of(operation.outputs[0]))


REARRANGING: dict[str, Handler] = {
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
}
