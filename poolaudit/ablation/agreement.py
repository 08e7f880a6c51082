"""Branches that met in one size must still do so: the other branch is changed as well, or the variant is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poolaudit.ablation.refusals import RefusedAction


class Disagreement(Exception):
    """Inputs of one node had the same size along an axis and no longer do.

    Attributes:
        node: Where they meet.
        tensors: New symbolic tensor by the id of the old one.
        axes: Tensor axes along which they differ.
    """

    def __init__(self, node: Any, tensors: Mapping[int, Any], axes: tuple[int, ...]) -> None:
        self.node, self.tensors, self.axes = node, tensors, axes
        super().__init__(self.described())

    def described(self) -> str:
        shapes = " and ".join(str(tuple(self.tensors[id(old)].shape)) for old in self.node.input_tensors)
        return f"{self.node.operation.name!r} joins branches of the same size, and now gets {shapes}"


def require_agreement(node: Any, tensors: Mapping[int, Any]) -> None:
    """Raises Disagreement where sizes that were equal before differ now.

    Broadcasting would hide it: a map of 2x2 added to one of 1x1 runs, and means something else.
    """
    olds = [tensor for tensor in node.input_tensors if len(tensor.shape) >= 3]
    if len(olds) < 2 or len({len(tensor.shape) for tensor in olds}) > 1:
        return
    news = [tensors[id(old)] for old in olds]
    axes = []
    for axis in range(1, len(olds[0].shape)):
        before = {old.shape[axis] for old in olds}
        after = {new.shape[axis] for new in news if len(new.shape) == len(olds[0].shape)}
        if len(before) == 1 and None not in before | after and len(after) > 1:
            axes.append(axis)
    if axes or len({len(new.shape) for new in news}) > 1:
        raise Disagreement(node, tensors, tuple(axes))


def matching_overrides(found: Disagreement, edited: frozenset[int]) -> tuple[dict[int, dict[str, Any]], str]:
    """Configuration changes that give the other branches the size of the changed one, and a sentence on them.

    Upstream of each other input, the nearest layer with a stride gets the stride that the changed branch has lost
    or gained; its weights stay as they are.

    Args:
        edited: Ids of the layers that the variant replaces; they are not touched here.

    Raises:
        RefusedAction: There is no such layer, it serves other branches too, or no stride gives the size.
    """
    olds = list(found.node.input_tensors)
    leading = _leading(found, edited)
    following = [old for old in olds if all(old is not other for other in leading)]
    targets = {tuple(found.tensors[id(old)].shape[axis] for axis in found.axes) for old in leading}
    if not found.axes or len(targets) != 1:
        raise RefusedAction(found.described())
    target = dict(zip(found.axes, targets.pop(), strict=True))
    following = [old for old in following if any(_new_size(found, old, axis) != n for axis, n in target.items())]
    shared = {id(node) for old in leading for node in _upstream(old)}
    overrides: dict[int, dict[str, Any]] = {}
    told = []
    for old in following:
        node = _nearest_strided(old, edited)
        if node is None or id(node) in shared or len(node.operation._inbound_nodes) > 1:
            raise RefusedAction(f"{found.described()}; no stride in the other branch can be changed to match")
        settings = _settings(found, node, target)
        if settings is None:
            raise RefusedAction(f"{found.described()}; no stride of {node.operation.name!r} gives that size")
        overrides[id(node.operation)] = settings
        told.append(
            f"{node.operation.name!r} now has strides {settings['strides']} and padding {settings['padding']!r}, so "
            f"that the branches of {found.node.operation.name!r} agree."
        )
    return overrides, " ".join(told)


def _leading(found: Disagreement, edited: frozenset[int]) -> list[Any]:
    """The inputs whose own branch holds a replaced layer; the others have to follow.

    Where no branch can be told so, as with a site inside a nested model, those whose shape has changed lead.
    """
    olds = list(found.node.input_tensors)
    above = {id(old): _upstream(old) for old in olds}
    common = set.intersection(*({id(node) for node in nodes} for nodes in above.values()))
    leading = [
        old for old in olds if any(id(node.operation) in edited and id(node) not in common for node in above[id(old)])
    ]
    return leading or [old for old in olds if tuple(found.tensors[id(old)].shape) != tuple(old.shape)]


def _new_size(found: Disagreement, old: Any, axis: int) -> int | None:
    size: int | None = found.tensors[id(old)].shape[axis]
    return size


def _upstream(tensor: Any) -> list[Any]:
    nodes, pending, seen = [], [tensor], set()
    while pending:
        history = pending.pop()._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) not in seen:
            seen.add(id(node))
            nodes.append(node)
            pending.extend(node.input_tensors)
    return nodes


def _nearest_strided(tensor: Any, edited: frozenset[int]) -> Any:
    """The nearest node above that has a stride, going up through single inputs."""
    while True:
        history = tensor._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        strides = getattr(node.operation, "strides", None)
        if isinstance(strides, list | tuple) and id(node.operation) not in edited and max(strides) > 1:
            return node
        if node.is_input or len(node.input_tensors) != 1:
            return None
        tensor = node.input_tensors[0]


def _settings(found: Disagreement, node: Any, target: dict[int, int]) -> dict[str, Any] | None:
    """Strides and padding of a layer with which its output has the target sizes."""
    operation = node.operation
    source, result = found.tensors[id(node.input_tensors[0])].shape, found.tensors[id(node.outputs[0])].shape
    first = 2 if getattr(operation, "data_format", None) == "channels_first" else 1
    strides = list(operation.strides)
    window = getattr(operation, "kernel_size", None) or getattr(operation, "pool_size", None)
    dilation = getattr(operation, "dilation_rate", None) or (1,) * len(strides)
    own = str(getattr(operation, "padding", "valid"))
    if window is None:
        return None
    for padding in dict.fromkeys((own, "same")):
        chosen = list(strides)
        for axis, size in target.items():
            number = axis - first
            if not 0 <= number < len(strides) or source[axis] is None or result[axis] is None:
                return None
            span = (window[number] - 1) * dilation[number] + 1
            steps = [s for s in range(1, 4 * strides[number] + 1) if _size(source[axis], span, s, padding) == size]
            if not steps:
                break
            own_step = strides[number]
            # Among several that give the size, a multiple or a divisor of the stride that was there.
            chosen[number] = min(steps, key=lambda s: (bool(s % own_step and own_step % s), abs(s - own_step)))
        else:
            return {"strides": tuple(chosen), "padding": padding}
    return None


def _size(cells: int, span: int, stride: int, padding: str) -> int:
    return -(-cells // stride) if padding == "same" else (cells - span) // stride + 1
