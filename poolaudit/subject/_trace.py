"""Traces a Keras model once, and records which layer was at work while each graph operation was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from poolaudit.subject._keras_load import quiet_keras
from poolaudit.subject._loaded import LoadedModel, Shape


@dataclass(eq=False)
class Call:
    """One call of one layer or operation during the trace.

    Attributes:
        operation: The Keras layer or operation.
        graph: The graph that was being built.
        start: Number of operations in that graph before the call.
        end: The same after it.
        inputs: Tensors that went in.
        outputs: Tensors that came out; empty where the call failed.
        children: Calls made inside, in order.
    """

    operation: Any
    graph: Any
    start: int
    inputs: tuple[Any, ...]
    end: int = 0
    outputs: tuple[Any, ...] = ()
    children: list[Call] = field(default_factory=list)


@dataclass(frozen=True)
class Trace:
    """The graph of one inference call.

    Attributes:
        graph: The outermost graph.
        root: The call of the model itself; None for a SavedModel, whose layers are gone.
        outputs: Output tensors of the graph.
        owner: Keeps the traced function, and so its graphs, alive.
        run: Runs the graph on one tensor for each input, in order; gives the flat list of output tensors.
        call: The same without the graph: a first gradient comes sooner, as none has to be built, every other later.
    """

    graph: Any
    root: Call | None
    outputs: tuple[Any, ...]
    owner: Any
    run: Callable[[Sequence[Any]], list[Any]]
    call: Callable[[Sequence[Any]], list[Any]]


def trace(loaded: LoadedModel, shapes: Sequence[Sequence[int]] | None = None) -> Trace:
    """Traces the model at its input shape. Raises whatever the model's own code raises.

    Args:
        loaded: The model.
        shapes: Sizes of each input, batch included; by default those the model states, which may be open.
    """
    import tensorflow as tf

    if loaded.signature is not None:
        function = loaded.signature.function
        names = [name for name, _, _ in loaded.signature.inputs]

        def serve(tensors: Sequence[Any]) -> list[Any]:
            return list(tf.nest.flatten(function(**dict(zip(names, tensors, strict=True)))))

        graph, owner = (function.graph, function) if shapes is None else _at_fixed_sizes(function, names, shapes)
        return Trace(graph, None, tuple(graph.outputs), (owner, function), serve, serve)
    model = loaded.keras_model
    signature = _signature(model, loaded) if shapes is None else _fixed_signature(model, loaded, shapes)
    calls: list[Call] = []

    def infer(inputs: Any) -> Any:
        return model(inputs, training=False)

    if not getattr(model, "built", True):  # its inner layers may be made by the first call, too late to be recorded
        with quiet_keras():
            tf.function(infer, autograph=False).get_concrete_function(signature)
    with _recorded(model, calls), quiet_keras():
        function = tf.function(infer, autograph=False)
        concrete = function.get_concrete_function(signature)

    def run(tensors: Sequence[Any]) -> list[Any]:
        return list(tf.nest.flatten(concrete(tf.nest.pack_sequence_as(signature, list(tensors)))))

    def call(tensors: Sequence[Any]) -> list[Any]:
        return list(tf.nest.flatten(infer(tf.nest.pack_sequence_as(signature, list(tensors)))))

    return Trace(concrete.graph, calls[0], tuple(concrete.graph.outputs), (function, concrete), run, call)


def _at_fixed_sizes(function: Any, names: Sequence[str], shapes: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """The function's graph with its weights as constants and its functions inlined, made anew for one size.

    Where that fails (a model beyond 2 GB), the graph as it is.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    _, specs = function.structured_input_signature
    try:
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
        made = frozen.graph.as_graph_def()
        places = {tensor.name.partition(":")[0]: tensor.name for tensor in frozen.inputs}
        if set(names) <= set(places):
            wanted = [places[name] for name in names]
        else:
            wanted = [tensor.name for tensor in frozen.inputs]
        ends = [tensor.name for tensor in frozen.outputs]

        def run(*tensors: Any) -> Any:
            return tf.graph_util.import_graph_def(
                made, input_map=dict(zip(wanted, tensors, strict=True)), return_elements=ends, name=""
            )

        signature = [tf.TensorSpec(shape, specs[name].dtype) for name, shape in zip(names, shapes, strict=True)]
        fixed = tf.compat.v1.wrap_function(run, signature)
    except Exception:  # whatever the conversion raises, the graph itself is still there
        return function.graph, function
    return fixed.graph, fixed


def _signature(model: Any, loaded: LoadedModel) -> Any:
    import keras
    import tensorflow as tf

    structure = getattr(model, "input", None) if loaded.fixed_sizes else None
    if structure is not None:
        return keras.tree.map_structure(
            lambda tensor: tf.TensorSpec(tensor.shape, keras.backend.standardize_dtype(tensor.dtype)), structure
        )
    shape = loaded.input_shape
    if shape is None and loaded.compiled:  # it has predicted already, so the data told its shape
        shape = (None, *next(iter(loaded.compiled)))
    if shape is None:
        raise ValueError("the model states no input shape")
    return tf.TensorSpec(shape, loaded.input_dtype)


def _fixed_signature(model: Any, loaded: LoadedModel, shapes: Sequence[Sequence[int]]) -> Any:
    import keras
    import tensorflow as tf

    structure = getattr(model, "input", None) if loaded.fixed_sizes else None
    if structure is None:
        return tf.TensorSpec(shapes[0], loaded.input_dtype)
    specs = [
        tf.TensorSpec(shape, keras.backend.standardize_dtype(tensor.dtype))
        for tensor, shape in zip(keras.tree.flatten(structure), shapes, strict=True)
    ]
    return keras.tree.pack_sequence_as(structure, specs)


def operations_of(model: Any) -> tuple[Any, ...]:
    """The model, every layer in it and every operation of its functional graphs, each once."""
    found: dict[int, Any] = {}
    hidden: set[int] = set()
    for layer in model._flatten_layers():
        inner = getattr(layer, "_functional", None)
        if inner is not None:  # a Sequential model runs this twin of itself; it is no part of its own
            hidden.add(id(inner))
        found.setdefault(id(layer), layer)
        graph = inner if inner is not None else layer
        for operation in getattr(graph, "operations", None) or ():
            found.setdefault(id(operation), operation)
    return tuple(operation for key, operation in found.items() if key not in hidden)


@contextmanager
def _recorded(model: Any, calls: list[Call]) -> Iterator[None]:
    """Wraps `call` of every layer, on the instance and past Keras's own attribute tracking, and takes it off again."""
    stack: list[Call] = []
    wrapped: list[Any] = []
    try:
        for operation in operations_of(model):
            if "call" in vars(operation):
                continue  # the user did the same; their version is part of the model
            vars(operation)["call"] = _recording(operation, operation.call, stack, calls)
            wrapped.append(operation)
        yield
    finally:
        for operation in wrapped:
            vars(operation).pop("call", None)


def _recording(
    operation: Any, original: Callable[..., Any], stack: list[Call], calls: list[Call]
) -> Callable[..., Any]:
    import tensorflow as tf

    def call(*args: Any, **kwargs: Any) -> Any:
        graph = tf.compat.v1.get_default_graph()
        record = Call(operation, graph, _size(graph), _tensors((args, kwargs)))
        (stack[-1].children if stack else calls).append(record)
        stack.append(record)
        try:
            result = original(*args, **kwargs)
        finally:
            stack.pop()
            record.end = _size(graph)
        record.outputs = _tensors(result)
        return result

    return call


def _size(graph: Any) -> int:
    return len(graph.get_operations())


def _tensors(structure: Any) -> tuple[Any, ...]:
    import tensorflow as tf

    return tuple(item for item in tf.nest.flatten(structure) if isinstance(item, tf.Tensor))


def shape_of(tensor: Any) -> Shape | None:
    """Static shape with None for unknown sizes; None where not even the rank is known."""
    return None if tensor.shape.rank is None else tuple(tensor.shape.as_list())


def called_graphs(operation: Any) -> tuple[Any, ...]:
    """Graphs of the functions an operation calls."""
    graphs = []
    for attribute in operation.node_def.attr.values():
        names = [attribute.func.name] if attribute.HasField("func") else []
        names.extend(entry.name for entry in attribute.list.func)
        for name in names:
            graph = _function_graph(operation.graph, name)
            if graph is not None:
                graphs.append(graph)
    return tuple(graphs)


def _function_graph(graph: Any, name: str) -> Any:
    while graph is not None:
        try:
            function = graph._get_function(name)
        except (AttributeError, ValueError):
            return None
        if function is not None:
            return getattr(function, "graph", None)
        graph = getattr(graph, "outer_graph", None)
    return None
