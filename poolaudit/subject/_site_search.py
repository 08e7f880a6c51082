"""Walks the trace of a model and lists the pooling sites in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from poolaudit.evidence.geometry import PoolingSite
from poolaudit.subject._graph_pooling import (
    PYTHON_OPERATIONS,
    GraphPooling,
    flows_unchanged,
    pooling_in,
)
from poolaudit.subject._loaded import LoadedModel, Shape
from poolaudit.subject._pooling_layers import (
    adaptive_operation,
    looks_like_pooling,
    pooling_class,
    site_of_layer,
    stated_rank,
    stated_window,
)
from poolaudit.subject._possible_pooling import possible_pooling
from poolaudit.subject._trace import Call, Trace, called_graphs, operations_of, shape_of

_POOLING_OPERATIONS = frozenset(
    {
        "MaxPool", "AveragePool", "Mean", "Average", "Max", "Amax", "Sum", "Min", "Amin", "Logsumexp", "Norm", "Std",
        "Var", "Nanmean", "Nanmax", "Nanmin", "Nansum",
    }
)  # fmt: skip
# Layers of Keras that join tensors, and with slices for inputs can pool.
_JOINING_LAYERS = frozenset({"Maximum", "Minimum", "Average", "Add"})


class SiteSearch:
    """Collects sites in order of execution, and sentences on what could not be looked into."""

    def __init__(self, loaded: LoadedModel, traced: Trace) -> None:
        self.sites: list[PoolingSite] = []
        # The layer or operation that is the site, one entry a site; None where it is code inside something larger.
        self.owners: list[Any] = []
        self.not_seen: list[str] = []
        self._model = loaded.keras_model
        self._names: Counter[str] = Counter()
        self._called: set[int] = set()
        self._scanned_graphs: set[int] = set()
        self._keeps_graphs = traced
        self._operations: dict[int, tuple[Any, list[Any]]] = {}
        self._channels_first = self._model is not None and any(
            getattr(layer, "data_format", None) == "channels_first" for layer in self._model._flatten_layers()
        )

    def call(self, call: Call, path: str) -> None:
        """Lists the sites of one recorded call; `path` is that of the caller."""
        layer = call.operation
        self._called.add(id(layer))
        name = f"{path}/{layer.name}" if path else str(layer.name)
        if pooling_class(layer) is not None:
            self._add(site_of_layer(layer, name, *_shapes(call)), layer)
        elif not _is_layer(layer):
            self._operation(call, name)
        elif _is_transparent(layer):
            before = len(self.sites)
            self.inside(call, name)
            if looks_like_pooling(layer):
                self._custom(call, name, before)
            elif len(self.sites) == before and self._shrinks_unexplained(call):
                source, result = _shapes(call)
                self.not_seen.append(
                    f"{_quoted(name)} ({type(layer).__name__}) shrinks its input from {source} to {result} in a way "
                    "that was not recognised; if it pools, it is not listed."
                )
        elif type(layer).__name__ in _JOINING_LAYERS:
            self._note_possible(call, name)
        else:  # a layer of Keras itself: what it computes is known not to be pooling, but it may wrap layers
            once = {id(child.operation): child for child in reversed(call.children)}
            for child in sorted(once.values(), key=call.children.index):
                self.call(child, name)  # a wrapper such as TimeDistributed calls its layer once a time step

    def inside(self, call: Call, path: str) -> None:
        """Lists the sites of everything a call did: the calls it made, and its own operations, in order."""
        self._called.add(id(call.operation))
        operations = self._all_operations(call.graph)
        position = call.start
        for child in call.children:
            if child.graph is not call.graph:
                self.call(child, path)
                continue
            self.scan(operations[position : child.start], path)
            self.call(child, path)
            position = child.end
        self.scan(operations[position : call.end], path)

    def scan(self, operations: list[Any], path: str, *, scoped: bool = False) -> None:
        """Lists pooling among graph operations; with `scoped`, named by their scopes, since no layers are known."""
        for operation in operations:
            found = pooling_in(operation, channels_first=self._channels_first)
            if found is not None:
                scope = operation.name.rpartition("/")[0] if scoped else path
                short = found.label.rpartition(".")[2]
                # A scope inside the model's own is a layer's; the model's own says too little.
                if not (scoped and "/" in scope):
                    scope = f"{scope}/{short}" if scope else short
                self._add(_graph_site(found, scope, "trace"))
            elif operation.type in PYTHON_OPERATIONS:
                where = operation.name.rpartition("/")[0] if scoped else path
                self.not_seen.append(
                    f"{_quoted(where)} calls Python code (tf.py_function or tf.numpy_function), "
                    "which cannot be looked into."
                )
            elif operation.type == "XlaCallModule":
                self.not_seen.append(f"{_quoted(path)} calls compiled XLA code, which cannot be looked into.")
            else:
                self._note(operation, operation.name.rpartition("/")[0] if scoped else path)
                for graph in called_graphs(operation):
                    self._function(graph, path)

    def report_uncalled(self) -> None:
        """Notes pooling layers that the model owns but does not use to predict."""
        if self._scanned_graphs:
            return  # a function traced earlier hides the calls of the layers in it
        for layer in operations_of(self._model):
            if id(layer) not in self._called and _is_layer(layer) and pooling_class(layer) is not None:
                self.not_seen.append(
                    f"Pooling layer {layer.name!r} belongs to the model but is not called when it predicts."
                )

    def _function(self, graph: Any, path: str) -> None:
        if id(graph) in self._scanned_graphs:
            return
        recorded = [call for call in _all_calls(self._keeps_graphs.root) if call.graph is graph]
        if recorded:
            outer = [call for call in recorded if not any(call in other.children for other in recorded)]
            operations, position = self._all_operations(graph), 0
            for call in outer:
                if id(call.operation) not in self._called:
                    self.call(call, path)
                self.scan(operations[position : call.start], path)
                position = call.end
            self.scan(operations[position:], path)
            return
        self._scanned_graphs.add(id(graph))
        self.scan(graph.get_operations(), path, scoped=self._model is None)

    def _operation(self, call: Call, name: str) -> None:
        """A keras.ops operation in a functional graph."""
        operation = call.operation
        label = f"keras.ops.{_snake(type(operation).__name__)}"
        adaptive = adaptive_operation(operation)
        if adaptive is not None:
            shapes = _shapes(call)
            rank = len(shapes[0]) - 2 if shapes[0] else 0
            data_format = getattr(operation, "data_format", None) or "channels_last"
            self._add(
                PoolingSite(name, label, adaptive, rank, None, None, None, data_format, *shapes, found_by="operation"),
                operation,
            )
            return
        if type(operation).__name__ not in _POOLING_OPERATIONS:
            self._note_possible(call, name)
            return
        for graph_operation in self._all_operations(call.graph)[call.start : call.end]:
            found = pooling_in(graph_operation, channels_first=self._channels_first)
            if found is not None:
                site = _graph_site(found, name, "operation")
                self._add(replace(site, layer=label), operation)

    def _note_possible(self, call: Call, name: str) -> None:
        for operation in self._all_operations(call.graph)[call.start : call.end]:
            self._note(operation, name)

    def _note(self, operation: Any, path: str) -> None:
        done = possible_pooling(operation)
        if done is not None:
            self.not_seen.append(f"{_quoted(path)} {done}, which may be pooling and is not followed.")

    def _custom(self, call: Call, name: str, before: int) -> None:
        """Turns what was found inside a custom pooling layer into one site: the layer itself."""
        inner = self.sites[before:]
        if any(site.found_by == "layer" for site in inner):
            return
        for site in inner:
            self._names[_base(site.name)] -= 1
        del self.sites[before:], self.owners[before:]
        window, strides, padding = stated_window(call.operation)
        shapes = _shapes(call)
        site = PoolingSite(
            name,
            type(call.operation).__name__,
            "custom",
            stated_rank(shapes[0], window),
            window,
            strides,
            padding,
            getattr(call.operation, "data_format", None),
            *shapes,
            found_by="heuristic",
        )
        if inner:
            only = self._whole_of(call) if len(inner) == 1 else None
            first = inner[0]
            stated = strides * first.rank if strides is not None and len(strides) == 1 else strides
            # A layer that does more than its one operation, such as pool densely and blur, has strides of its own.
            states_its_own = only is None and stated is not None and len(stated) == first.rank
            site = replace(
                site,
                found_by="trace",
                rank=first.rank,
                kind=first.kind if only is not None else "custom",
                window=first.window if len(inner) == 1 else window,
                strides=first.strides if len(inner) == 1 and not states_its_own else stated,
                padding=first.padding if len(inner) == 1 else padding,
                data_format=site.data_format or first.data_format,
            )
        self._add(site, call.operation)

    def _shrinks_unexplained(self, call: Call) -> bool:
        """Whether a custom layer makes its input smaller in space without a layer or convolution that does it."""
        source, result = _shapes(call)
        if _is_model(call.operation) or call.children or source is None or result is None:
            return False
        if len(source) < 3 or len(source) != len(result):
            return False
        pairs = list(zip(source[1:-1], result[1:-1], strict=True))
        if not any(a is not None and b is not None and b < a for a, b in pairs):
            return False
        made = self._all_operations(call.graph)[call.start : call.end]
        return not any("Conv" in operation.type or called_graphs(operation) for operation in made)

    def _whole_of(self, call: Call) -> GraphPooling | None:
        """The one pooling operation, where the layer does nothing else to its input."""
        for operation in self._all_operations(call.graph)[call.start : call.end]:
            found = pooling_in(operation, channels_first=self._channels_first)
            if found is not None and call.inputs and call.outputs:
                same_in = flows_unchanged(call.inputs[0], found.source)
                if same_in and flows_unchanged(found.result, call.outputs[0]):
                    return found
        return None

    def _all_operations(self, graph: Any) -> list[Any]:
        if id(graph) not in self._operations:
            self._operations[id(graph)] = (graph, graph.get_operations())
        return self._operations[id(graph)][1]

    def _add(self, site: PoolingSite, owner: Any = None) -> None:
        self.owners.append(owner)
        self._names[site.name] += 1
        number = self._names[site.name]
        self.sites.append(site if number == 1 else replace(site, name=f"{site.name}@{number}"))


def _shapes(call: Call) -> tuple[Shape | None, Shape | None]:
    first = shape_of(call.inputs[0]) if call.inputs else None
    return first, shape_of(call.outputs[0]) if call.outputs else None


def _graph_site(found: GraphPooling, name: str, found_by: str) -> PoolingSite:
    return PoolingSite(
        name,
        found.label,
        found.kind,
        found.rank,
        found.window,
        found.strides,
        found.padding,
        found.data_format,
        found.input_shape,
        found.output_shape,
        found_by,
    )


def _all_calls(call: Call | None) -> Iterator[Call]:
    if call is not None:
        yield call
        for child in call.children:
            yield from _all_calls(child)


def _is_layer(operation: Any) -> bool:
    import keras

    return isinstance(operation, keras.Layer)


def _is_model(layer: Any) -> bool:
    import keras

    return isinstance(layer, keras.Model)


def _is_transparent(layer: Any) -> bool:
    """Whether the layer's own operations may hide pooling: models, user code, and Keras layers that run user code."""
    if _is_model(layer) or type(layer).__name__ in ("Lambda", "TFSMLayer"):
        return True
    return not type(layer).__module__.startswith(("keras.", "keras_hub."))


def _base(name: str) -> str:
    return name.rpartition("@")[0] if "@" in name else name


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def _quoted(path: str) -> str:
    return f"Layer {path!r}" if path else "The model"
