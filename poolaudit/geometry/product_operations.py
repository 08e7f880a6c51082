"""Operations that read axes whole: reductions, products, softmax, prefix sums."""

from __future__ import annotations

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


def _matrix_product(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    first, second = (tensor.shape.rank for tensor in operation.inputs)
    names = [chr(ord("a") + place) for place in range(max(first, second) - 2)]
    flipped = [
        operation.get_attr(name)
        for name in (("transpose_a", "transpose_b") if operation.type == "MatMul" else ("adj_x", "adj_y"))
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
        longest = max(
            (
                tensor.shape.rank - len(term) + 3
                for term, tensor in zip(terms.split(","), operation.inputs, strict=True)
                if "..." in term
            ),
            default=0,
        )
        result = result.replace("...", "".join(chr(0x100 + place) for place in range(longest))[::-1])
    if any(len(set(term)) != len(term) for term in operands):
        raise NotFollowedError(f"with the equation {equation}")
    return _product(operation, inputs, operands, list(result))


def _product(operation: Any, inputs: Inputs, operands: list[list[str]], result: list[str]) -> Dependence:
    """Axes that are summed over are read whole; the others stay where they are."""
    shape = shape_of(operation.outputs[0])
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


def _reduction(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    (entry, *_) = inputs
    assert entry is not None
    rank = len(entry.axes)
    axes = [axis % rank for axis in integers(static, operation.inputs[1])]
    keep = operation.type not in ("ArgMax", "ArgMin") and operation.get_attr("keep_dims")
    result = entry.contract(axes)
    return result if keep else result.drop(axes)


def _softmax(operation: Any, inputs: Inputs, static: Static) -> Dependence | list[Dependence | None]:
    (entry,) = inputs
    assert entry is not None
    if entry.shape[-1] == 1:  # always 1, whatever goes in
        return [None]
    return entry.contract([len(entry.axes) - 1]).broadcast(entry.shape)


def _last_axis(operation: Any, inputs: Inputs, static: Static) -> list[Dependence | None]:
    """Each output reads the whole last axis: Fourier transforms, the largest k."""
    (entry, *_) = inputs
    assert entry is not None
    whole = entry.contract([len(entry.axes) - 1])
    return [whole.broadcast(shape_of(output)) for output in operation.outputs]


def _cumulative(operation: Any, inputs: Inputs, static: Static) -> Dependence:
    entry = inputs[0]
    assert entry is not None
    axis = integers(static, operation.inputs[1])[0] % len(entry.axes)
    index, _ = stencils.prefix(
        entry.shape[axis], exclusive=operation.get_attr("exclusive"), reverse=operation.get_attr("reverse")
    )
    return entry.window(axis, index)


PRODUCTS: dict[str, Handler] = {
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matrix_product),
    "Einsum": _einsum,
    **dict.fromkeys(
        ("Mean", "Sum", "Max", "Min", "Prod", "All", "Any", "EuclideanNorm", "ArgMax", "ArgMin"), _reduction
    ),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("TopKV2", "FFT", "IFFT", "RFFT", "IRFFT"), _last_axis),
    **dict.fromkeys(("Cumsum", "Cumprod", "CumulativeLogsumexp"), _cumulative),
}
