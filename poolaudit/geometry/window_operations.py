"""Operations that move a window over a map: convolutions, their transposes, pooling, resizing."""

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
)

CONVOLUTIONS = ("Conv2D", "Conv3D", "DepthwiseConv2dNative")
TRANSPOSED_CONVOLUTIONS = ("Conv2DBackpropInput", "Conv3DBackpropInputV2")
POOLS = ("MaxPool", "MaxPoolV2", "AvgPool", "MaxPool3D", "AvgPool3D")


def _convolution(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry, kernel = inputs[0], operation.inputs[1]
    if entry is None or inputs[1] is not None:
        raise NotFollowedError("with a kernel that depends on the input")
    spatial, channel = _axes(operation, len(entry.axes))
    taps = kernel.shape.as_list()
    result = _windows(operation, entry, spatial, taps[: len(spatial)], shape_of(operation.outputs[0]))
    size, read = result.shape[channel], taps[-2]
    if operation.type == "DepthwiseConv2dNative":
        return result.window(channel, np.repeat(np.arange(size), taps[-1])[:, None])
    outputs = shape_of(operation.outputs[0])
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
        operation.get_attr("ksize") if "ksize" in operation.node_def.attr else integers(static, operation.inputs[1])
    )
    axes = [axis for axis in range(len(entry.axes)) if windows[axis] > 1 or operation.get_attr("strides")[axis] > 1]
    result = _windows(operation, entry, axes, [windows[axis] for axis in axes], shape_of(operation.outputs[0]))
    return [result] * len(operation.outputs)


def _transposed_convolution(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[2]
    if entry is None or inputs[1] is not None:
        raise NotFollowedError("with a kernel that depends on the input")
    spatial, channel = _axes(operation, len(entry.axes))
    kernel, outputs = operation.inputs[1].shape.as_list(), shape_of(operation.outputs[0])
    strides, dilations = operation.get_attr("strides"), operation.get_attr("dilations")
    padding, attributes = operation.get_attr("padding").decode(), operation.node_def.attr
    if kernel[-1] != entry.shape[channel]:
        raise NotFollowedError("in groups")
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
    outputs, kernel = shape_of(result), convolution.inputs[1].shape.as_list()
    taps = kernel[len(kernel) - 2 - len(block) : -2]
    first = 2 if convolution.get_attr("data_format").startswith(b"NC") else 1
    for axis, (size, dilation, pad) in enumerate(zip(taps, block, before, strict=True), start=first):
        entry = entry.window(axis, *stencils.window(entry.shape[axis], outputs[axis], size, 1, dilation, pad))
    channel = 1 if first == 2 else len(entry.axes) - 1
    if convolution.type == "DepthwiseConv2dNative":
        return entry.window(channel, np.repeat(np.arange(entry.shape[channel]), kernel[-1])[:, None])
    return entry.contract([channel]).broadcast(outputs)


def _resize(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    outputs = shape_of(operation.outputs[0])
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


def _patches(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    """Each place holds the cells of its window one behind the other, taken together here."""
    entry = inputs[0]
    assert entry is not None
    outputs = shape_of(operation.outputs[0])
    windows, strides, rates = (operation.get_attr(name) for name in ("ksizes", "strides", "rates"))
    for axis in (1, 2):
        size, stride, rate = windows[axis], strides[axis], rates[axis]
        before = stencils.padding_before(operation.get_attr("padding").decode(), entry.shape[axis], size, stride, rate)
        entry = entry.window(axis, *stencils.window(entry.shape[axis], outputs[axis], size, stride, rate, before))
    return entry.contract([3]).broadcast(outputs)


WINDOWS: dict[str, Handler] = {
    "ExtractImagePatches": _patches,
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(TRANSPOSED_CONVOLUTIONS, _transposed_convolution),
    **dict.fromkeys((*POOLS, "MaxPoolWithArgmax"), _pooling),
    **dict.fromkeys(("ResizeNearestNeighbor", "ResizeBilinear"), _resize),
}
