"""Runs a functional model step by step, so that a run can be cut in front of a pooling site and go on from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poolaudit.ablation.plan import PlannedCall, PlannedModel, planned


class NotStepwise(Exception):
    """The model cannot be run step by step; the text says why."""


@dataclass(eq=False)
class Step:
    """One call of a layer or operation, models nested in the model opened up.

    Attributes:
        key: (id of the operation, how-manieth call); (0, 0) for a change of dtype between a model and a nested one.
        reads: Numbers of the values it takes, in the order of the call's tensors.
        writes: Numbers of the values it makes.
        run: Maps the values it takes to those it makes.
    """

    key: tuple[int, int]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    run: Callable[[Sequence[Any]], list[Any]]


class StepwiseModel:
    """A functional or Sequential model as a list of steps.

    Attributes:
        steps: In order of execution.
        inputs, outputs: Numbers of the values that go in and come out.

    Raises:
        NotStepwise: It is written as code, passes masks between layers, or nests a model in an unusual way.
    """

    def __init__(self, model: Any) -> None:
        plan = planned(model)
        if plan.graph is None:
            raise NotStepwise("the model is written as code, so only whole runs are possible")
        self._values = 0
        self.graph = plan.graph
        self.steps: list[Step] = []
        self.inputs = tuple(self._new() for _ in plan.graph.inputs)
        self.outputs = tuple(self._open(plan, self.inputs))
        self._last_reader: dict[int, int] = {}
        for place, step in enumerate(self.steps):
            self._last_reader.update(dict.fromkeys(step.reads, place))
        self._last_reader.update(dict.fromkeys(self.outputs, len(self.steps)))

    def place(self, key: tuple[int, int]) -> int | None:
        """Where in the steps a call stands; None where it is no step of its own."""
        return next((place for place, step in enumerate(self.steps) if step.key == key), None)

    def live(self, place: int) -> tuple[int, ...]:
        """The values made before a step that it or a later one needs."""
        made = [*self.inputs, *(value for step in self.steps[:place] for value in step.writes)]
        return tuple(value for value in made if self._last_reader.get(value, -1) >= place)

    def run(self, values: Mapping[int, Any], start: int, stop: int) -> dict[int, Any]:
        """Runs some steps; returns the values that are needed after them."""
        held = dict(values)
        for place in range(start, stop):
            step = self.steps[place]
            held.update(zip(step.writes, step.run([held[value] for value in step.reads]), strict=True))
            for value in step.reads:
                if self._last_reader.get(value, -1) <= place:
                    held.pop(value, None)
        wanted = self.live(stop)
        return {value: held[value] for value in wanted}

    def first_values(self, batch: Any) -> dict[int, Any]:
        """The values of a batch of inputs, as the model itself would take them."""
        return dict(zip(self.inputs, self.graph._standardize_inputs(batch), strict=True))

    def _open(self, plan: PlannedModel, inputs: Sequence[int]) -> list[int]:
        numbers = {id(tensor): number for tensor, number in zip(plan.graph.inputs, inputs, strict=True)}
        for call in plan.calls:
            sources = [numbers[id(tensor)] for tensor in call.node.input_tensors]
            if any(getattr(tensor, "_keras_mask", None) is not None for tensor in call.node.outputs):
                raise NotStepwise(f"{call.operation.name!r} passes on a mask")
            if isinstance(call.inner, PlannedModel):
                made = self._nested(call, call.inner, sources)
            else:
                made = [self._new() for _ in call.node.outputs]
                self.steps.append(Step((id(call.operation), call.occurrence), tuple(sources), tuple(made), _run(call)))
            numbers.update(zip((id(tensor) for tensor in call.node.outputs), made, strict=True))
        return [numbers[id(tensor)] for tensor in plan.graph.outputs]

    def _nested(self, call: PlannedCall, inner: PlannedModel, sources: list[int]) -> list[int]:
        outer, wanted = call.node.input_tensors, inner.graph.inputs
        if len(outer) != len(wanted) or any(len(a.shape) != len(b.shape) for a, b in zip(outer, wanted, strict=True)):
            raise NotStepwise(f"the nested model {inner.model.name!r} is called in an unusual way")
        cast = list(sources)
        for place, (given, taken) in enumerate(zip(outer, wanted, strict=True)):
            if given.dtype != taken.dtype:
                cast[place] = self._new()
                self.steps.append(Step((0, 0), (sources[place],), (cast[place],), _cast(taken.dtype)))
        return self._open(inner, cast)

    def _new(self) -> int:
        self._values += 1
        return self._values


def _run(call: PlannedCall) -> Callable[[Sequence[Any]], list[Any]]:
    import keras

    operation, arguments = call.operation, call.node.arguments
    tensors = [id(tensor) for tensor in call.node.input_tensors]
    takes_training = "training" in (
        getattr(operation, "_call_context_args", None)
        or (("training",) if getattr(operation, "_call_has_training_arg", False) else ())
    )

    def run(values: Sequence[Any]) -> list[Any]:
        positional, keywords = arguments.fill_in(dict(zip(tensors, values, strict=True)))
        if takes_training:
            keywords = {**keywords, "training": False}
        return list(keras.tree.flatten(operation(*positional, **keywords)))

    return run


def _cast(dtype: str) -> Callable[[Sequence[Any]], list[Any]]:
    import keras

    return lambda values: [keras.ops.cast(values[0], dtype)]
