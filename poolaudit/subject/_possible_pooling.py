"""Graph operations that can pool in ways that are not followed: named in the report, never passed over in silence."""

from __future__ import annotations

from typing import Any

from poolaudit.subject._graph_pooling import REDUCTIONS, pooling_in
from poolaudit.subject._trace import called_graphs, shape_of

_NAMES = {
    "TopKV2": "takes the largest values (top_k)",
    "Dilation2D": "runs a morphological dilation",
    "Erosion2D": "runs a morphological erosion",
    "ResizeArea": "resizes by area",
    "Median": "takes medians",
}
_PAIRWISE = frozenset({"Maximum", "Minimum", "AddV2", "Add", "AddN", "Mul", "Pack", "ConcatV2"})
_LOOPS = frozenset({"While", "StatelessWhile"})
_SAME = frozenset({"Identity", "StopGradient", "Cast", "Reshape", "ExpandDims"})


def possible_pooling(operation: Any) -> str | None:
    """What an operation does that may be pooling, in words that follow a layer's name; None for all others."""
    kind = operation.type
    if kind in _NAMES:
        return _NAMES[kind]
    if "Segment" in kind:
        return f"reduces over segments ({kind})"
    if kind in _PAIRWISE and _joins_strided_slices(operation):
        return "joins strided slices of one tensor"
    if kind == "Einsum" and _drops_an_axis(operation):
        return "sums over an axis with einsum"
    if kind in _LOOPS and any(_reduces(graph) for graph in called_graphs(operation)):
        return "reduces inside a loop (map_fn, scan or while_loop)"
    return None


def _joins_strided_slices(operation: Any) -> bool:
    sources = []
    for tensor in operation.inputs:
        while tensor.op.type in _SAME and tensor.op.inputs:
            tensor = tensor.op.inputs[0]
        if tensor.op.type == "StridedSlice" and _has_stride(tensor.op):
            sources.append(tensor.op.inputs[0])
    return len(sources) > 1 and any(a is b for i, a in enumerate(sources) for b in sources[i + 1 :])


def _has_stride(operation: Any) -> bool:
    import tensorflow as tf

    strides = tf.get_static_value(operation.inputs[3])
    return strides is not None and bool((strides > 1).any())


def _drops_an_axis(operation: Any) -> bool:
    """Whether an axis of one operand alone is summed away; a product over a shared axis is a layer or attention."""
    terms, arrow, result = operation.get_attr("equation").decode().replace(" ", "").partition("->")
    operands = terms.split(",")
    return bool(arrow) and any(
        letter.isalpha() and letter not in result and sum(letter in other for other in operands) == 1
        for letter in "".join(operands)
    )


def _reduces(graph: Any) -> bool:
    return any(
        operation.type in REDUCTIONS
        and operation.inputs[0].dtype.is_floating
        and len(shape_of(operation.inputs[0]) or ()) >= 2
        and pooling_in(operation) is None
        for operation in graph.get_operations()
    )
