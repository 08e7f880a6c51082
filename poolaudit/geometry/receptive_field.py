"""Receptive field, effective stride and start of every layer.

After Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks" (Distill 2019), on the
traced graph, so that nested, shared and subclassed models are treated alike.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.evidence.geometry import AxisField, LayerField
from poolaudit.geometry.analysis import Analysis
from poolaudit.geometry.dependence import Dependence
from poolaudit.geometry.runs import Runs, TooComplexError
from poolaudit.geometry.window_operations import CONVOLUTIONS, POOLS, TRANSPOSED_CONVOLUTIONS
from poolaudit.subject._pooling_layers import pooling_class
from poolaudit.subject._trace import Call

_WINDOWED = (*CONVOLUTIONS, *TRANSPOSED_CONVOLUTIONS, *POOLS)


@dataclass(frozen=True, slots=True)
class _Windows:
    """What moves over a layer's input; see `LayerField`."""

    kind: str
    window: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    channels_first: bool


def layer_fields(analysis: Analysis) -> tuple[tuple[LayerField, ...], LayerField | None, Dependence | None]:
    """Every layer's field in order of execution, the last one that still has places, and its dependence."""
    found: list[tuple[LayerField, Dependence]] = []
    counts: Counter[str] = Counter()
    for name, operation, inputs, output, windows in _steps(analysis):
        value = analysis.walked.of(output)
        if value is None or not value.terms:
            continue
        counts[name] += 1
        unique = name if counts[name] == 1 else f"{name}@{counts[name]}"
        source = next((analysis.walked.of(tensor) for tensor in inputs if analysis.walked.of(tensor) is not None), None)
        found.append((_field(analysis, unique, operation, source, value, windows), value))
    with_places = [(field, value) for field, value in found if has_places(analysis, value)]
    maps = [(field, value) for field, value in with_places if len(field.output_shape) > 2] or with_places
    last = maps[-1] if maps else (None, None)
    return tuple(field for field, _ in found), *last


def listed_calls(analysis: Analysis) -> Iterator[tuple[Call, str]]:
    """The calls that are told of one by one, with their names; none for a SavedModel, whose layers are gone."""
    if analysis.traced.root is not None:
        yield from _listed(analysis.traced.root, "")


def owner_of(analysis: Analysis, name: str) -> Any:
    """The layer of a name that was called once; None for others."""
    owners = [call.operation for call, own in listed_calls(analysis) if own == name]
    return owners[0] if len(owners) == 1 else None


def has_places(analysis: Analysis, value: Dependence) -> bool:
    """Whether the map has several cells along a spatial axis of any input."""
    return any(
        bool(entry.atoms) for (source, axis), entry in value.local.items() if axis in analysis.inputs[source].spatial
    )


def _field(
    analysis: Analysis, name: str, operation: Any, source: Dependence | None, value: Dependence, windows: _Windows
) -> LayerField:
    value = _joined(value)
    number = min(term.source for term in value.terms)
    model_input = analysis.inputs[number]
    fields = []
    for label, axis in zip(model_input.axes, model_input.spatial, strict=True):
        entry = value.local[number, axis]
        hull = entry.wide
        widest = _widest(value, number, axis)
        fields.append(
            AxisField(
                axis=label,
                size=None if hull is None else hull.size,
                stride=None if hull is None else float(hull.stride),
                start=None if hull is None else hull.start,
                smallest=None if entry.narrow is None else entry.narrow.size,
                widest=widest,
                whole=entry.whole,
            )
        )
    return LayerField(
        name=name,
        layer=operation,
        kind=windows.kind,
        window=windows.window,
        strides=windows.strides,
        input_shape=None if source is None else source.shape,
        output_shape=value.shape,
        fields=tuple(fields),
        before=() if source is None else tuple(_narrow(source, number, axis) for axis in model_input.spatial),
        live=_live(source, windows.channels_first) if windows.kind == "convolution" and source is not None else (),
        channels_first=windows.channels_first,
        source=number,
        doubt=value.doubt,
    )


def _live(source: Dependence, channels_first: bool) -> tuple[int, ...]:
    """Cells of each spatial axis of a map that any way leads to."""
    spatial = range(2, len(source.axes)) if channels_first else range(1, len(source.axes) - 1)
    found = []
    for axis in spatial:
        atoms = source.axes[axis]
        filled = np.zeros(source.shape[axis], bool)
        for term in source.terms:
            alive = np.ones(source.shape[axis], bool)
            for part in term.all_parts:
                own = tuple(atom for atom in part.atoms if atom in atoms)
                if own:
                    sizes = [source.sizes[atom] for atom in part.atoms]
                    gone = tuple(place for place, atom in enumerate(part.atoms) if atom not in atoms)
                    rows = np.asarray(part.runs.filled.reshape(sizes).any(axis=gone))
                    rows = rows.transpose([own.index(atom) for atom in atoms if atom in own])
                    shape = [source.sizes[atom] if atom in own else 1 for atom in atoms]
                    alive &= np.broadcast_to(rows.reshape(shape), [source.sizes[a] for a in atoms]).ravel()
            filled |= alive
        found.append(int(filled.sum()))
    return tuple(found)


def _widest(value: Dependence, number: int, axis: int) -> int:
    """Cells from the first to the last that any cell of the map sees along an input axis, all ways taken together."""
    terms = [term for term in value.terms if term.source == number]
    alone = max(term.parts[axis].runs.widest() for term in terms)
    if len(terms) == 1:
        return alone
    atoms = tuple(dict.fromkeys(atom for term in terms for part in term.all_parts for atom in part.atoms))
    united: Runs | None = None
    try:
        for term in terms:
            present = np.logical_and.reduce([part.over(atoms, value.sizes).filled for part in term.all_parts])
            seen = term.parts[axis].over(atoms, value.sizes).emptied(present)
            united = seen if united is None else united.union(seen)
    except TooComplexError:
        return alone
    assert united is not None
    return united.widest()


def _joined(value: Dependence) -> Dependence:
    """The map with axes that were enlarged as one piece again; what runs along two input axes stays in pieces."""
    for axis, atoms in enumerate(value.axes):
        along = [entry for entry in value.local.values() if entry.atoms and set(entry.atoms) & set(atoms)]
        if len(value.axes) > 2 and len(atoms) > 1 and len(along) == 1:
            value = value.single(axis)
    return value


def _narrow(source: Dependence, number: int, axis: int) -> int | None:
    entry = _joined(source).local.get((number, axis))
    return None if entry is None or entry.narrow is None else entry.narrow.size


def _steps(analysis: Analysis) -> Iterator[tuple[str, str, tuple[Any, ...], Any, _Windows]]:
    """Name, class, inputs, output and windows of every layer called; of every windowed operation in a SavedModel.

    A layer that runs several windowed operations itself is told operation by operation.
    """
    if analysis.traced.root is None:
        for operation in _windowed(tensor.op for tensor in analysis.walked.tensors):
            scope = operation.name.rpartition("/")[0] or operation.name
            yield _step(scope, operation)
        return
    for call, name in listed_calls(analysis):
        inner = _windowed(call.graph.get_operations()[call.start : call.end])
        if len(inner) > 1 and not call.children and not type(call.operation).__module__.startswith("keras."):
            for number, operation in enumerate(inner, start=1):
                yield _step(f"{name}/{operation.type} {number}", operation)
        elif call.outputs:
            windows = _windows_of_call(call, first=analysis.channels_first)
            yield name, type(call.operation).__name__, call.inputs, call.outputs[0], windows


def _windowed(operations: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(op for op in operations if op.type in _WINDOWED))


def _step(name: str, operation: Any) -> tuple[str, str, tuple[Any, ...], Any, _Windows]:
    return name, operation.type, tuple(operation.inputs), operation.outputs[0], _windows_of_operation(operation)


def _listed(call: Call, path: str) -> Iterator[tuple[Call, str]]:
    import keras

    children = call.children
    if isinstance(call.operation, keras.layers.TimeDistributed):  # once a step, and each step alike
        children = list({id(child.operation): child for child in reversed(children)}.values())
    for child in children:
        operation = child.operation
        name = f"{path}/{operation.name}" if path else str(operation.name)
        own = not type(operation).__module__.startswith("keras.")
        wraps = isinstance(operation, keras.layers.Wrapper) and not isinstance(operation, keras.layers.Bidirectional)
        if child.children and (isinstance(operation, keras.Model) or own or wraps):
            yield from _listed(child, name)
        elif type(operation).__name__ != "InputLayer":
            yield child, name
    if not call.children and not path:
        yield call, str(call.operation.name)


def _windows_of_call(call: Call, *, first: bool) -> _Windows:
    layer = call.operation
    order = getattr(layer, "data_format", None)
    first = first if order is None else order == "channels_first"
    kernel = getattr(layer, "kernel_size", None)
    if pooling_class(layer) is None and isinstance(kernel, tuple) and type(layer).__module__.startswith("keras."):
        dilation = getattr(layer, "dilation_rate", 1)
        rates = dilation if isinstance(dilation, tuple) else (dilation,) * len(kernel)
        span = tuple((size - 1) * rate + 1 for size, rate in zip(kernel, rates, strict=True))
        strides = getattr(layer, "strides", 1)
        each = tuple(strides) if isinstance(strides, tuple) else (strides,) * len(kernel)
        return _Windows("convolution", span, each, first)
    windowed = _windowed(call.graph.get_operations()[call.start : call.end])
    if len(windowed) == 1 and not call.children:
        found = _windows_of_operation(windowed[0])
        window, steps, rank = found.window, found.strides, len(call.outputs[0].shape) - 2
        if window is not None and steps is not None and 0 < rank < len(window):  # 1-D work done in 2-D
            kept = slice(-rank, None) if window[0] == 1 else slice(rank)
            window, steps = window[kept], steps[kept]
        return _Windows(found.kind, window, steps, first)
    return _Windows("pooling" if pooling_class(layer) is not None else "other", None, None, first)


def _windows_of_operation(operation: Any) -> _Windows:
    rank = operation.outputs[0].shape.rank
    first = operation.get_attr("data_format").startswith(b"NC")
    axes = range(2, rank) if first else range(1, rank - 1)
    strides = tuple(operation.get_attr("strides")[axis] for axis in axes)
    if operation.type in POOLS:
        if "ksize" not in operation.node_def.attr:
            return _Windows("pooling", None, strides, first)
        return _Windows("pooling", tuple(operation.get_attr("ksize")[axis] for axis in axes), strides, first)
    dilations = operation.get_attr("dilations")
    taps = itertools.islice(operation.inputs[1].shape.as_list(), rank - 2)
    span = tuple((size - 1) * dilations[a] + 1 for size, a in zip(taps, axes, strict=True))
    return _Windows("convolution", span, strides, first)
