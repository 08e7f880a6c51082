"""Walks a traced model and computes, tensor by tensor, which input cells each cell depends on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from poolaudit.geometry import operations, recurrent
from poolaudit.geometry.dependence import Dependence
from poolaudit.geometry.runs import TooComplexError
from poolaudit.geometry.window_operations import dilated_convolution
from poolaudit.subject._trace import Call, Trace, called_graphs

_FUNCTION_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_BEFORE_CONVOLUTION = frozenset({"ExpandDims", "Squeeze", "Reshape", "Identity"})
_FROM_OUTSIDE = ("Placeholder", "ReadVariableOp", "VarHandleOp", "ResourceGather", "Random", "StatelessRandom")
_LARGEST_CONSTANT = 1 << 22


@dataclass
class Walk:
    """The dependence of every tensor that was met.

    Attributes:
        values: By graph and tensor name; None where a tensor does not depend on the model's inputs.
        order: Keys of `values` for tensors that do, in order of execution.
        tensors: The tensors behind `order`.
    """

    values: dict[tuple[int, str], Dependence | None] = field(default_factory=dict)
    order: list[tuple[int, str]] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)
    _graphs: list[Any] = field(default_factory=list)
    _recurrent: dict[tuple[int, int], Call] = field(default_factory=dict)
    _constants: dict[tuple[int, str], Any] = field(default_factory=dict)
    _sessions: dict[int, Any] = field(default_factory=dict)

    def of(self, tensor: Any) -> Dependence | None:
        return self.values.get((id(tensor.graph), tensor.name))


def walk(traced: Trace, inputs: Sequence[Any], shapes: Sequence[Sequence[int]]) -> Walk:
    """Computes the dependence of every tensor of the traced graph.

    Args:
        traced: The model, traced at fixed sizes.
        inputs: The graph's input tensors, in order.
        shapes: Their sizes without the batch.
    """
    result = Walk()
    if traced.root is not None:
        for call in _calls(traced.root):
            if recurrent.is_recurrent(call.operation):
                result._recurrent[id(call.graph), call.start] = call
    for number, (tensor, shape) in enumerate(zip(inputs, shapes, strict=True)):
        _keep(result, tensor, Dependence.of_input(number, shape))
    _run(result, traced.graph)
    for session in result._sessions.values():
        session.close()
    return result


def _calls(call: Call) -> Iterator[Call]:
    yield call
    for child in call.children:
        yield from _calls(child)


def _keep(result: Walk, tensor: Any, value: Dependence | None) -> None:
    key = (id(tensor.graph), tensor.name)
    result.values[key] = value
    if value is not None:
        result.order.append(key)
        result.tensors.append(tensor)


def _run(result: Walk, graph: Any) -> None:
    result._graphs.append(graph)  # an id is only good while its graph lives
    made = graph.get_operations()
    position = 0
    fused: dict[Any, Any] = {}
    while position < len(made):
        call = result._recurrent.get((id(graph), position))
        if call is not None and call.inputs and call.outputs and call.end > position:
            known = recurrent.dependence(call.operation, [result.of(t) for t in call.inputs], call.outputs)
            if known is not None:
                for tensor, entry in zip(call.outputs, known, strict=True):
                    _keep(result, tensor, entry)
                position = call.end
                continue
        operation = made[position]
        position += 1
        if operation.outputs and (id(graph), operation.outputs[0].name) in result.values:
            continue
        if operation in fused:
            _keep(result, operation.outputs[0], _guarded(operation, result, fused.pop(operation)))
            continue
        inputs = [result.of(tensor) for tensor in operation.inputs]
        if operation.type == "SpaceToBatchND" and inputs[0] is not None:
            found = _dilated(operation, result)
            if found is not None:
                fused[found[0]] = found[1]
                continue
        if operation.type in _FUNCTION_CALLS and any(entry is not None for entry in inputs):
            outputs = _called(result, operation, inputs)
        else:
            outputs = _applied(operation, inputs, result)
        for tensor, value in zip(operation.outputs, outputs, strict=True):
            _keep(result, tensor, value)


def _applied(operation: Any, inputs: Sequence[Dependence | None], result: Walk) -> list[Dependence | None]:
    try:
        return operations.apply(operation, inputs, lambda tensor: _static(result, tensor))
    except TooComplexError:
        return operations.everything(operation, inputs, f"At {operation.name!r} the exact sets are too large to hold")
    except Exception as error:  # a setting nobody thought of must not cost the rest of the analysis
        reason = f"{operation.name!r} ({operation.type}) is not followed ({type(error).__name__}: {error})"
        return operations.everything(operation, inputs, reason[:300])


def _called(result: Walk, operation: Any, inputs: Sequence[Dependence | None]) -> list[Dependence | None]:
    """The function behind a call, walked with what its arguments depend on."""
    graphs = called_graphs(operation)
    if len(graphs) != 1 or len(graphs[0].inputs) != len(inputs):
        return operations.everything(
            operation, inputs, f"{operation.name!r} calls a function that cannot be looked into"
        )
    (graph,) = graphs
    if id(graph) in {id(known) for known in result._graphs}:
        # A function that is called again reads other things; what was found the first time does not hold.
        for key in [key for key in result.values if key[0] == id(graph)]:
            del result.values[key]
    for tensor, value in zip(graph.inputs, inputs, strict=True):
        _keep(result, tensor, value)
    _run(result, graph)
    return [result.of(tensor) for tensor in graph.outputs]


def _dilated(first: Any, result: Walk) -> tuple[Any, Any] | None:
    """The BatchToSpace that ends what a SpaceToBatch began around one convolution, and how to compute it."""
    convolution, operation = None, first
    for _ in range(8):
        following = operation.outputs[0].consumers()
        if len(following) != 1:
            return None
        (operation,) = following
        if operation.type == "BatchToSpaceND":
            break
        if operation.type in ("Conv2D", "Conv3D", "DepthwiseConv2dNative") and convolution is None:
            convolution = operation
        elif operation.type not in _BEFORE_CONVOLUTION:
            return None
    settings = [_static(result, tensor) for tensor in (*first.inputs[1:], *operation.inputs[1:])]
    if convolution is None or operation.type != "BatchToSpaceND" or any(value is None for value in settings):
        return None
    block, paddings, _, crops = settings
    entry = result.of(first.inputs[0])
    depthwise = convolution.type == "DepthwiseConv2dNative"
    kernel = convolution.inputs[1].shape.as_list()
    grouped = not depthwise and kernel[-2] != first.inputs[0].shape.as_list()[-1]
    padded = convolution.get_attr("padding") != b"VALID" or any(s != 1 for s in convolution.get_attr("strides"))
    if grouped or padded or entry is None:
        return None
    before = (np.asarray(paddings)[:, 0] - np.asarray(crops)[:, 0]).tolist()
    return operation, (entry, np.asarray(block).tolist(), before, convolution)


def _guarded(operation: Any, result: Walk, fused: Any) -> Dependence | None:
    entry, block, before, convolution = fused
    try:
        return dilated_convolution(entry, block, before, convolution, operation.outputs[0])
    except Exception:
        reason = f"the dilated convolution at {operation.name!r} is not followed"
        return operations.everything(operation, [entry], reason)[0]


def _static(result: Walk, tensor: Any) -> Any:
    """The value of a tensor that depends on neither data nor weights; None for all others."""
    import tensorflow as tf

    key = (id(tensor.graph), tensor.name)
    if key not in result._constants:
        value = tf.get_static_value(tensor)
        if value is None and result.of(tensor) is None and _is_constant(tensor):
            graph = tensor.graph
            if id(graph) not in result._sessions:
                result._sessions[id(graph)] = tf.compat.v1.Session(graph=graph)
            value = result._sessions[id(graph)].run(tensor)
        result._constants[key] = value
    return result._constants[key]


def _is_constant(tensor: Any) -> bool:
    pending, seen = [tensor.op], set()
    if (tensor.shape.num_elements() or 0) > _LARGEST_CONSTANT:
        return False
    while pending:
        operation = pending.pop()
        if operation.name in seen:
            continue
        seen.add(operation.name)
        if len(seen) > 400 or operation.type.startswith(_FROM_OUTSIDE) or operation.type in _FUNCTION_CALLS:
            return False
        if operation.type not in ("Shape", "Size", "Rank"):
            pending += [source.op for source in operation.inputs]
    return True
