"""The calls a functional model makes, in order of execution, with the models nested in it opened up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class PlannedCall:
    """One call of a layer or operation.

    Attributes:
        node: Keras's record of the call: its arguments and its symbolic outputs.
        operation: The layer or operation.
        occurrence: 0 for the first call of this object, counted over the whole model.
        inner: What a nested functional model, or the layer that a TimeDistributed repeats, does.
        repeated: Whether a TimeDistributed makes the call: the node is its, with an axis of steps.
    """

    node: Any
    operation: Any
    occurrence: int
    inner: PlannedModel | PlannedCall | None = None
    repeated: bool = False


@dataclass(eq=False)
class PlannedModel:
    """A functional or Sequential model and its calls; no calls for any other model or layer."""

    model: Any
    calls: list[PlannedCall] = field(default_factory=list)

    @property
    def graph(self) -> Any:
        """The functional model that holds the nodes; a Sequential model keeps one inside."""
        return graph_of(self.model)


def planned(model: Any) -> PlannedModel:
    """The plan of a model; without calls where the model is no graph of layers."""
    return _planned(model, Counter())


def walk(plan: PlannedModel, path: str = "") -> Iterator[tuple[str, PlannedCall]]:
    """Every call outside opaque layers with its path, nested parts joined by "/"."""
    for call in plan.calls:
        yield from _walk_call(call, path)


def graph_of(model: Any) -> Any:
    """The functional graph that a model runs; None where its `call` is code."""
    import keras
    from keras.src.models.functional import Functional

    if isinstance(model, keras.Sequential):
        return model._functional if type(model).call is keras.Sequential.call else None
    if isinstance(model, Functional) and type(model).call is Functional.call and "call" not in vars(model):
        return model
    return None


def repeats_a_layer(operation: Any) -> bool:
    """Whether it is a TimeDistributed, whose inner layer can be exchanged."""
    import keras

    return type(operation) is keras.layers.TimeDistributed


def _planned(model: Any, counts: Counter[int]) -> PlannedModel:
    plan, graph = PlannedModel(model), graph_of(model)
    if graph is None:
        return plan
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.operation is not None and not node.is_input:
                plan.calls.append(_call(node, node.operation, counts))
    return plan


def _call(node: Any, operation: Any, counts: Counter[int]) -> PlannedCall:
    call = PlannedCall(node, operation, counts[id(operation)])
    counts[id(operation)] += 1
    if repeats_a_layer(operation):
        call.inner = _call(node, operation.layer, counts)
        call.inner.repeated = True
    elif graph_of(operation) is not None:
        call.inner = _planned(operation, counts)
    return call


def _walk_call(call: PlannedCall, path: str) -> Iterator[tuple[str, PlannedCall]]:
    name = f"{path}/{call.operation.name}" if path else str(call.operation.name)
    yield name, call
    if isinstance(call.inner, PlannedModel):
        yield from walk(call.inner, name)
    elif call.inner is not None:
        yield from _walk_call(call.inner, name)
