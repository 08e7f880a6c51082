"""What a model costs: parameters, floating-point operations of one item, and the time one batch takes."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.evidence.estimates import Estimate
from poolaudit.subject._keras_load import quiet_keras
from poolaudit.subject._trace import called_graphs, shape_of

_CONVOLUTIONS = frozenset({"Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2dNative"})
_POOLING = frozenset({"MaxPool", "MaxPoolV2", "MaxPool3D", "AvgPool", "AvgPool3D"})
_PRODUCTS = frozenset({"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"})
_REDUCTIONS = frozenset({"Mean", "Sum", "Max", "Min", "Prod"})
# Operations that move values and compute nothing.
_FREE = frozenset(
    {
        "Placeholder", "Identity", "ReadVariableOp", "Const", "Reshape", "Squeeze", "ExpandDims", "Transpose", "Pad",
        "PadV2", "MirrorPad", "Cast", "ConcatV2", "StridedSlice", "Slice", "Shape", "Pack", "Unpack", "Split",
        "SplitV", "GatherV2", "Range", "Tile", "NoOp", "StopGradient", "BroadcastTo", "Fill", "ZerosLike", "OnesLike",
        "SpaceToBatchND", "BatchToSpaceND",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Costs:
    """What a model costs to run.

    Attributes:
        parameters: Values in all weights.
        flops: Floating-point operations for one item; a multiply-add counts as two. None where they cannot be counted.
        flops_reason: Why not.
        latency_seconds: Median time of one batch, with its interval.
        batch_size: Items of that batch.
    """

    parameters: int
    flops: int | None
    flops_reason: str | None
    latency_seconds: Estimate
    batch_size: int


def measure_costs(model: Any, item_shape: tuple[int, ...], *, batch_size: int = 1, repeats: int = 20) -> Costs:
    """Costs of a built model of one input.

    Args:
        item_shape: Without batch.
        batch_size: For the latency.
        repeats: Timed runs, after one that is not.
    """
    try:
        flops, reason = count_flops(model, item_shape), None
    except Exception as error:  # the model's own code is traced
        flops, reason = None, f"the model cannot be traced ({type(error).__name__})"
    latency = measure_latency(model, item_shape, batch_size=batch_size, repeats=repeats)
    return Costs(int(model.count_params()), flops, reason, latency, batch_size)


def count_flops(model: Any, item_shape: tuple[int, ...]) -> int:
    """Floating-point operations of one item at inference, from the traced graph; a multiply-add counts as two.

    Convolutions and products count their multiply-adds, pooling one operation a cell of each window, reductions one a
    cell of their input, and all else that computes one a cell of its output. Moving values is free. A loop counts one
    turn.
    """
    import tensorflow as tf

    with quiet_keras():
        function = tf.function(lambda x: model(x, training=False), autograph=False)
        concrete = function.get_concrete_function(tf.TensorSpec((1, *item_shape), _dtype(model)))
    return _of_graph(concrete.graph, set())


def measure_latency(model: Any, item_shape: tuple[int, ...], *, batch_size: int = 1, repeats: int = 20) -> Estimate:
    """Median wall-clock seconds of one compiled batch, with the distribution-free interval of order statistics."""
    import tensorflow as tf

    with quiet_keras():
        function = tf.function(lambda x: model(x, training=False), autograph=False)
        batch = tf.zeros((batch_size, *item_shape), _dtype(model))
        times = []
        for number in range(repeats + 1):
            start = time.perf_counter()
            outputs = function(batch)
            for part in tf.nest.flatten(outputs):
                np.asarray(part)
            if number:  # the first compiles
                times.append(time.perf_counter() - start)
    return _median(times)


def _median(times: list[float], confidence: float = 0.95) -> Estimate:
    from scipy.stats import binom

    ordered, n = sorted(times), len(times)
    method = "median, interval of order statistics"
    rank = int(binom.ppf((1 - confidence) / 2, n, 0.5))
    if n < 6 or rank < 1:
        return Estimate(
            float(np.median(ordered)), None, None, n, method, reason="fewer than 6 repeats give no interval"
        )
    return Estimate(float(np.median(ordered)), ordered[rank - 1], ordered[n - rank], n, method, confidence)


def _of_graph(graph: Any, seen: set[int]) -> int:
    total = 0
    for operation in graph.get_operations():
        inner = called_graphs(operation)
        for called in inner:
            if id(called) not in seen or "PartitionedCall" in operation.type:
                total += _of_graph(called, seen | {id(called)})
        if not inner:
            total += _of_operation(operation)
    return total


def _of_operation(operation: Any) -> int:
    kind = operation.type
    if kind in _FREE or not operation.outputs or not operation.outputs[0].dtype.is_floating:
        return 0
    cells = _cells(operation.outputs[0])
    if kind in _CONVOLUTIONS:
        kernel = shape_of(operation.inputs[1]) or ()
        read = kernel[:-2] if kind == "DepthwiseConv2dNative" else kernel[:-1]
        return 2 * cells * math.prod(size or 1 for size in read)
    if kind in _PRODUCTS:
        left = shape_of(operation.inputs[0]) or (1,)
        attributes = operation.node_def.attr
        flipped = any(key in attributes and attributes[key].b for key in ("transpose_a", "adj_x"))
        return 2 * cells * ((left[-2] if flipped else left[-1]) or 1)
    if kind in _POOLING:
        size = operation.get_attr("ksize") if "ksize" in operation.node_def.attr else (1,)
        return cells * math.prod(size)
    if kind in _REDUCTIONS:
        return _cells(operation.inputs[0])
    if kind == "Einsum":
        return 2 * _einsum_cells(operation)
    return cells


def _einsum_cells(operation: Any) -> int:
    terms = operation.get_attr("equation").decode().replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, source in zip(terms, operation.inputs, strict=True):
        sizes.update(zip(term.replace(".", ""), (size or 1 for size in shape_of(source) or ()), strict=False))
    return math.prod(sizes.values())


def _cells(tensor: Any) -> int:
    return math.prod(size or 1 for size in shape_of(tensor) or ())


def _dtype(model: Any) -> str:
    inputs = getattr(model, "inputs", None)
    return str(inputs[0].dtype) if inputs else str(getattr(model, "input_dtype", None) or "float32")
