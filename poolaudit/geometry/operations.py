"""What TensorFlow's operations read: each handler maps the dependence of the inputs to that of the outputs.

An operation without a handler is taken to read everything of its inputs, and the dependence says that this is a
guess upwards: a cell that is found to be without influence then is so for certain, the others may be.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from poolaudit.geometry.dependence import Dependence
from poolaudit.geometry.operation_settings import Handler, Inputs, NotFollowedError, Static, place_of, shape_of
from poolaudit.geometry.product_operations import PRODUCTS
from poolaudit.geometry.rearranging_operations import REARRANGING
from poolaudit.geometry.window_operations import WINDOWS

_ELEMENTWISE = frozenset(
    {
        "Abs", "Acos", "Acosh", "Add", "AddN", "AddV2", "Asin", "Asinh", "Atan", "Atan2", "Atanh",
        "Bucketize", "Cast", "Ceil", "CheckNumerics", "ClipByValue", "ComplexAbs", "Cos", "Cosh", "DeepCopy",
        "Digamma", "Div", "DivNoNan", "Elu", "EnsureShape", "Equal", "Erf", "Erfc", "Erfinv", "Exp", "Expm1",
        "FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "Floor", "FloorDiv", "FloorMod", "Greater",
        "GreaterEqual", "Identity", "Imag", "Inv", "IsFinite", "IsInf", "IsNan", "LeakyRelu", "Less", "LessEqual",
        "Lgamma", "Log", "Log1p", "LogicalAnd", "LogicalNot", "LogicalOr", "Maximum", "Minimum", "Mod", "MulNoNan",
        "Neg", "NextAfter", "NotEqual", "PlaceholderWithDefault", "Pow", "PreventGradient", "QuantizeAndDequantizeV2",
        "QuantizeAndDequantizeV4", "Real", "RealDiv", "Reciprocal", "Relu", "Relu6", "Rint", "Round", "Rsqrt",
        "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Snapshot", "Softplus", "Softsign", "Sqrt",
        "Square", "SquaredDifference", "StopGradient", "Sub", "Tan", "Tanh", "TruncateDiv", "Xdivy", "Xlogy",
    }
)  # fmt: skip
_SHAPE_ONLY = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike", "BroadcastArgs", "NoOp"})


def apply(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    """The dependence of each output; None where it does not depend on the model's input."""
    count = len(operation.outputs)
    if all(entry is None for entry in inputs) or operation.type in _SHAPE_ONLY:
        return [None] * count
    handler = _HANDLERS.get(operation.type)
    if handler is None:
        return everything(operation, inputs, f"{place_of(operation)} runs {operation.type}, which is not followed")
    try:
        result = handler(operation, inputs, static)
    except NotFollowedError as reason:
        return everything(operation, inputs, f"{place_of(operation)} runs {operation.type} {reason}")
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
    return [united.broadcast(_shape_or_ones(output)) for output in operation.outputs]


def _shape_or_ones(tensor: Any) -> tuple[int, ...]:
    """Sizes that nobody knows are taken for 1: what is read of such a map is everything in any case."""
    return () if tensor.shape.rank is None else tuple(size or 1 for size in tensor.shape.as_list())


def _elementwise(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    shape = shape_of(operation.outputs[0])
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


def _selection(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    """A constant condition lets each cell through from one side only."""
    condition = static(operation.inputs[0]) if inputs[0] is None else None
    shape = shape_of(operation.outputs[0])
    if condition is None or (operation.type == "Select" and np.shape(condition) != shape):
        return _elementwise(operation, inputs, static)
    chosen = np.broadcast_to(condition, shape)
    sides = [
        entry.broadcast(shape).masked(keep)
        for entry, keep in ((inputs[1], chosen), (inputs[2], ~chosen))
        if entry is not None
    ]
    return sides[0] if len(sides) == 1 else sides[0].union(sides[1])


def _bias(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    """A bias lies along the channels; Keras adds whole maps of one item this way too."""
    value, bias = inputs
    if bias is not None and operation.get_attr("data_format").startswith(b"NC"):
        for _ in range(len(operation.inputs[0].shape) - 2):
            bias = bias.insert(1)
    return _elementwise(operation, (value, bias), static)


def _identity_each(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    return list(inputs)


def _normalisation(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    if operation.get_attr("is_training"):
        raise NotFollowedError("in training mode")
    result = inputs[0]
    if result is None or any(entry is not None for entry in inputs[1:]):
        raise NotFollowedError("with statistics that depend on the input")
    return result


_HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    "IdentityN": _identity_each,
    "BiasAdd": _bias,
    "Mul": _multiplication,
    **dict.fromkeys(("Select", "SelectV2"), _selection),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _normalisation),
    **WINDOWS,
    **REARRANGING,
    **PRODUCTS,
}
