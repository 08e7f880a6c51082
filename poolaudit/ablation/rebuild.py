"""Builds a functional or Sequential model again with some of its calls replaced, on layers of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poolaudit.ablation.agreement import Disagreement, require_agreement
from poolaudit.ablation.control import Control
from poolaudit.ablation.copies import copied_layer, replaced_copy, shell_copy
from poolaudit.ablation.plan import PlannedCall, PlannedModel, graph_of, walk
from poolaudit.ablation.refusals import RefusedAction
from poolaudit.subject.memory import memory_limit_bytes

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Edits:
    """What to change.

    Attributes:
        calls: Replacement layer by (id of the layer or operation, how-manieth call).
        overrides: Entries of a layer's configuration to change, by the layer's id.
        control: What to put into the head so that the number of parameters matches; None for no control.
    """

    calls: Mapping[tuple[int, int], Any]
    overrides: Mapping[int, Mapping[str, Any]]
    control: Control | None = None


class Rebuild:
    """One pass over a plan.

    Attributes:
        copies: (path of the model it lies in, original, copy) of every layer that may hold weights.
        added: Likewise (path, layer) of those that are new.
        notes: Sentences on what was changed besides.
        resized: Names of the layers whose input has another width.
        reshaped: Whether any value has another shape than before.
    """

    def __init__(self, edits: Edits, plan: PlannedModel) -> None:
        self.edits = edits
        self._calls = Counter(id(call.operation) for _, call in walk(plan))
        self.copies: list[tuple[str, Any, Any]] = []
        self.added: list[tuple[str, Any]] = []
        self.notes: list[str] = []
        self.resized: list[str] = []
        self.reshaped = False
        self._layers: dict[int, Any] = {}
        self._models: dict[tuple[Any, ...], Any] = {}
        self._names: dict[str, int] = {}

    def model(self, plan: PlannedModel, sources: list[Any] | None = None, path: str = "") -> Any:
        """The model built anew.

        Args:
            plan: Of the model.
            sources: Symbolic inputs it will be called on, for a nested model; their shapes may differ from before.
            path: Of the model within the outermost one, which has "".

        Raises:
            RefusedAction: The changed model does not fit together; the text is the reason.
            Disagreement: Branches that met in one size no longer do.
        """
        import keras

        graph = plan.graph
        inputs = [self._input(tensor, None if sources is None else sources[i]) for i, tensor in enumerate(graph.inputs)]
        tensors = {id(old): new for old, new in zip(graph.inputs, inputs, strict=True)}
        made: list[Any] = []
        for call in plan.calls:
            self._run(call, tensors, made, path)
        outputs = [tensors[id(tensor)] for tensor in graph.outputs]
        name = self._free_name(plan.model)
        if isinstance(plan.model, keras.Sequential):
            model = keras.Sequential([inputs[0]._keras_history.operation, *made], name=name)
        else:
            model = self._functional(plan.model, graph, inputs, outputs, name)
        model._trainable = plan.model._trainable
        return model

    def _run(self, call: PlannedCall, tensors: dict[int, Any], made: list[Any], path: str) -> None:
        require_agreement(call.node, tensors)
        arguments, keywords = call.node.arguments.fill_in(tensors)
        replaced = (id(call.operation), call.occurrence) in self.edits.calls
        if replaced:  # what else the pooling was told, such as the axes of a mean, is the replacement's own matter
            arguments, keywords = tuple(tensors[id(old)] for old in call.node.input_tensors), {}
        operation = self._operation(call, arguments, path)
        before, after = self._around(call, operation, arguments, replaced)
        self.added += [(path, layer) for layer in (*before, *after)]
        for layer in before:
            arguments = (layer(arguments[0]), *arguments[1:])
        same = all(
            _same_spec(new, old) for new, old in zip(_flat((arguments, keywords)), call.node.input_tensors, strict=True)
        )
        known = same and not self._is_replaced(call) and id(call.operation) not in self.edits.overrides
        outputs = _called(operation, arguments, keywords, call.node.outputs if known else None)
        for layer in after:
            outputs = [layer(outputs[0])]
        self.reshaped |= any(
            tuple(new.shape) != tuple(old.shape) for new, old in zip(outputs, call.node.outputs, strict=True)
        )
        for old, new in zip(call.node.outputs, outputs, strict=True):
            tensors[id(old)] = new
        made += [*before, operation, *after]

    def _operation(self, call: PlannedCall, arguments: Any, path: str) -> Any:
        import keras

        operation = call.operation
        key = (id(operation), call.occurrence)
        if key in self.edits.calls:
            return self._replacement(key, operation, arguments, path)
        if isinstance(call.inner, PlannedModel):
            return self._nested(call.inner, _flat(arguments), _joined(path, operation))
        if call.inner is not None and self._touched(call):
            return self._repeated(call.inner, operation, arguments, _joined(path, operation))
        if not isinstance(operation, keras.Layer):
            return shell_copy(operation)
        if id(operation) not in self._layers:
            copy = copied_layer(operation, self.edits.overrides.get(id(operation)))
            self._guard_size(call, copy, arguments)
            self._layers[id(operation)] = copy
            self.copies.append((path, operation, copy))
        return self._layers[id(operation)]

    def _replacement(self, key: tuple[int, int], operation: Any, arguments: Any, path: str) -> Any:
        policy = getattr(operation, "dtype_policy", None)
        source = _flat(arguments)[0]
        name = str(operation.name) if self._calls[id(operation)] == 1 else f"{operation.name}_call_{key[1] + 1}"
        layer = replaced_copy(self.edits.calls[key], name, policy if policy is not None else source.dtype)
        if getattr(source, "_keras_mask", None) is not None and not layer.supports_masking:
            raise RefusedAction(
                f"the input of {operation.name!r} carries a mask, which {type(layer).__name__} would ignore"
            )
        self.added.append((path, layer))
        return layer

    def _nested(self, plan: PlannedModel, sources: list[Any], path: str) -> Any:
        key = (id(plan.model), tuple((tuple(s.shape), s.dtype) for s in sources), tuple(self._edits_in(plan)))
        if key not in self._models:
            self._models[key] = self.model(plan, sources, path)
        return self._models[key]

    def _repeated(self, repeated: PlannedCall, operation: Any, arguments: Any, path: str) -> Any:
        """A TimeDistributed around a changed layer or model."""
        import keras

        source = _flat(arguments)[0]
        step = keras.KerasTensor((source.shape[0], *source.shape[2:]), dtype=source.dtype)
        key = (id(repeated.operation), repeated.occurrence)
        if key in self.edits.calls:
            layer = self._replacement(key, repeated.operation, [step], path)
        elif isinstance(repeated.inner, PlannedModel):
            layer = self._nested(repeated.inner, [step], _joined(path, repeated.operation))
        else:
            raise RefusedAction(f"what {operation.name!r} repeats cannot be exchanged")
        return type(operation)(layer, name=operation.name, dtype=operation.dtype_policy)

    def _around(self, call: PlannedCall, layer: Any, arguments: Any, replaced: bool) -> tuple[list[Any], list[Any]]:
        """What the control puts in front of this call, and behind it."""
        sources = _flat(arguments)
        if self.edits.control is None or len(sources) != 1:
            return [], []
        before, after = self.edits.control.around(call, layer, sources[0], replaced)
        return before, after

    def _input(self, tensor: Any, source: Any) -> Any:
        import keras

        original = tensor._keras_history.operation
        config = original.get_config()
        if source is not None and tuple(source.shape) != tuple(tensor.shape):
            config["batch_shape"] = tuple(source.shape)
        return keras.layers.InputLayer.from_config(config).output

    def _functional(self, original: Any, graph: Any, inputs: list[Any], outputs: list[Any], name: str) -> Any:
        import keras

        ins = keras.tree.pack_sequence_as(graph._inputs_struct, inputs)
        outs = keras.tree.pack_sequence_as(graph._outputs_struct, outputs)
        if type(original).__module__.startswith("keras."):
            return keras.Model(ins, outs, name=name)
        try:
            return type(original)(inputs=ins, outputs=outs, name=name)
        except Exception:  # its constructor takes other arguments
            self.notes.append(
                f"{original.name!r} is rebuilt as a plain keras.Model: what its class {type(original).__name__} does "
                "besides, such as a train_step of its own, is lost."
            )
            return keras.Model(ins, outs, name=name)

    def _edits_in(self, plan: PlannedModel) -> list[tuple[Any, ...]]:
        """The edits inside a nested model as places in its plan, so that calls with the same ones share a copy."""
        found: list[tuple[Any, ...]] = []
        for place, call in enumerate(plan.calls):
            inner: Any = call
            while inner is not None and not isinstance(inner, PlannedModel):
                layer = self.edits.calls.get((id(inner.operation), inner.occurrence))
                if layer is not None:
                    found.append((place, -1, _description(layer)))
                inner = inner.inner
            if inner is not None:
                found += [(place, *entry) for entry in self._edits_in(inner)]
        return found

    def _touched(self, call: PlannedCall) -> bool:
        """Whether something inside a call is replaced."""
        inside = walk(PlannedModel(None, [call]))
        return any((id(each.operation), each.occurrence) in self.edits.calls for _, each in inside)

    def _is_replaced(self, call: PlannedCall) -> bool:
        inner: Any = call
        while inner is not None and not isinstance(inner, PlannedModel):
            if (id(inner.operation), inner.occurrence) in self.edits.calls:
                return True
            inner = inner.inner
        return inner is not None

    def _guard_size(self, call: PlannedCall, copy: Any, arguments: Any) -> None:
        units, tensors = getattr(copy, "units", None), _flat(arguments)
        if not isinstance(units, int) or len(tensors) != 1 or not tensors[0].shape or tensors[0].shape[-1] is None:
            return
        width = int(tensors[0].shape[-1])
        if width != call.node.input_tensors[0].shape[-1]:
            self.resized.append(str(copy.name))
            if width * units * 16 > memory_limit_bytes():  # weights, gradients and two slots of an optimizer
                raise RefusedAction(
                    f"layer {copy.name!r} would take {width:,} inputs and have {width * units:,} weights, more than "
                    "this machine can train"
                )

    def _free_name(self, model: Any) -> str:
        self._names[model.name] = self._names.get(model.name, 0) + 1
        number = self._names[model.name]
        return str(model.name) if number == 1 else f"{model.name}_call_{number}"


def _called(operation: Any, arguments: Any, keywords: Any, known: list[Any] | None) -> list[Any]:
    """Calls a layer or operation on symbolic tensors; where the outcome is `known`, without tracing what it computes.

    Raises:
        RefusedAction: It does not take these inputs.
    """
    import keras

    if known is not None and graph_of(operation) is None:
        specs = [keras.KerasTensor(t.shape, dtype=t.dtype, sparse=t.sparse) for t in known]
        vars(operation)["compute_output_spec"] = lambda *_, **__: specs[0] if len(specs) == 1 else list(specs)
    try:
        outputs = _flat(operation(*arguments, **keywords))
    except (RefusedAction, Disagreement):
        raise
    except Exception as error:  # shape errors arrive as ValueError, TypeError, or as the layer's own
        shapes = ", ".join(str(tuple(t.shape)) for t in _flat((arguments, keywords)) if hasattr(t, "shape"))
        text = _COLOURS.sub("", str(error))
        lines = [line.strip() for line in text.splitlines() if line.strip() and "encountered when" not in line]
        first = lines[0] if lines else type(error).__name__
        raise RefusedAction(
            f"{operation.name!r} ({type(operation).__name__}) does not take inputs of shape {shapes}: {first[:200]}"
        ) from error
    finally:
        vars(operation).pop("compute_output_spec", None)
    return outputs


def _joined(path: str, operation: Any) -> str:
    return f"{path}/{operation.name}" if path else str(operation.name)


def _description(layer: Any) -> str:
    """The same for layers that do the same."""
    try:
        config = {key: value for key, value in layer.get_config().items() if key != "name"}
    except Exception:  # a user's layer without a configuration is its own kind
        return str(id(layer))
    return f"{type(layer).__name__}{config!r}"


def _same_spec(new: Any, old: Any) -> bool:
    return tuple(new.shape) == tuple(old.shape) and new.dtype == old.dtype


def _flat(structure: Any) -> list[Any]:
    import keras

    return [item for item in keras.tree.flatten(structure) if isinstance(item, keras.KerasTensor)]
