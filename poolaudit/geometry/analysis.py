"""The model traced at fixed sizes, and the dependence of all its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from poolaudit.errors import InvalidInputError
from poolaudit.geometry.dependence import Dependence
from poolaudit.geometry.graph import Walk, walk
from poolaudit.geometry.window_operations import CONVOLUTIONS, POOLS
from poolaudit.subject._loaded import LoadedModel
from poolaudit.subject._trace import Trace, trace

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


@dataclass(frozen=True)
class ModelInput:
    """One input of the model.

    Attributes:
        name: As the model calls it.
        shape: Without the batch.
        spatial: Which of these axes are spatial.
        channel: Which holds the channels; None where there are none.
    """

    name: str
    shape: tuple[int, ...]
    spatial: tuple[int, ...]
    channel: int | None

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self.shape[axis] for axis in self.spatial)

    @property
    def axes(self) -> tuple[str, ...]:
        count = len(self.spatial)
        return AXES.get(count, tuple(f"axis {axis + 1}" for axis in range(count)))


@dataclass(frozen=True)
class Analysis:
    """What is known of a model's geometry.

    Attributes:
        placeholders: The traced graph's input tensors.
        outputs: Dependence of each output of the model; None where it depends on no input.
    """

    inputs: tuple[ModelInput, ...]
    traced: Trace
    walked: Walk
    placeholders: tuple[Any, ...]
    outputs: tuple[Dependence | None, ...]
    channels_first: bool = False

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Of each input, by NumPy's name."""
        return tuple(tensor.dtype.as_numpy_dtype().dtype.name for tensor in self.placeholders)

    @property
    def doubt(self) -> str | None:
        return next((output.doubt for output in self.outputs if output is not None and output.doubt), None)


def input_shapes(loaded: LoadedModel, given: Sequence[Sequence[int]] | None = None) -> tuple[tuple[int, ...], ...]:
    """Shape of each input without the batch, every size known.

    Args:
        given: Shapes from the user or the data, without the batch; one for each input.

    Raises:
        InvalidInputError: A size is open and not given, or what is given does not fit the model.
    """
    stated = _stated_shapes(loaded)
    if given is None:
        if stated is None or any(size is None for shape in stated for size in shape):
            raise InvalidInputError(
                f"{loaded.name} leaves sizes of its input open "
                f"({'no input shape is stated' if stated is None else _text(stated)})",
                "fixed sizes: what the network sees depends on them",
                "Give them, channels included, for example --input-shape 224x224x3",
            )
        return tuple(tuple(int(size or 1) for size in shape) for shape in stated)
    shapes = tuple(tuple(int(size) for size in shape) for shape in given)
    if stated is None:
        return shapes
    fits = len(shapes) == len(stated) and all(
        len(have) == len(want)
        and all(
            w is None or w == h or (not loaded.fixed_sizes and axis < len(want) - 1)
            for axis, (h, w) in enumerate(zip(have, want, strict=True))
        )
        for have, want in zip(shapes, stated, strict=True)
    )
    if not fits:
        raise InvalidInputError(
            f"The input shape {_text(shapes)} does not fit {loaded.name}",
            _text(stated) + (" (any: not fixed by the model)" if "any" in _text(stated) else ""),
            "Give one shape an input, channels included",
        )
    return shapes


def analyse(loaded: LoadedModel, shapes: Sequence[Sequence[int]]) -> Analysis:
    """Traces the model on one item of these shapes and walks its graph; raises whatever the model's own code raises."""
    traced = trace(loaded, [(1, *shape) for shape in shapes])
    placeholders = _input_tensors(loaded, traced, len(shapes))
    walked = walk(traced, placeholders, shapes)
    windowed = [layer for layer in _layers(loaded) if hasattr(layer, "kernel_size") or hasattr(layer, "pool_size")]
    first = bool(windowed) and getattr(windowed[0], "data_format", None) == "channels_first"
    channels = _channels_by_windows(walked)
    inputs = tuple(
        read_input(name, tuple(shape), channels.get(number, usual_channel(len(shape), first=first)))
        for number, (name, shape) in enumerate(zip(_names(loaded, len(shapes)), shapes, strict=True))
    )
    return Analysis(
        inputs, traced, walked, tuple(placeholders), tuple(walked.of(tensor) for tensor in traced.outputs), first
    )


def _channels_by_windows(walked: Walk) -> dict[int, int | None]:
    """By input, the axis that the first window which moves over it takes for channels, where that tells of all axes.

    (height, width) that a model turns into (height, width, 1) has no channels, and a model may turn its input round.
    """
    found: dict[int, int | None] = {}
    for tensor in walked.tensors:
        operation = tensor.op
        value = walked.of(operation.inputs[0]) if operation.type in (*CONVOLUTIONS, *POOLS) else None
        if value is None or len({term.source for term in value.terms}) != 1:
            continue
        source = value.terms[0].source
        if source in found:
            continue
        rank = len(value.axes)
        first = operation.get_attr("data_format").startswith(b"NC")
        channel_axis = 1 if first else rank - 1
        channels, unknown = [], []
        for axis in range(len(value.terms[0].parts)):
            entry = value.local.get((source, axis))
            homes = {
                place
                for place, atoms in enumerate(value.axes)
                if entry is not None and entry.atoms and set(entry.atoms) & set(atoms)
            }
            if not homes:
                unknown.append(axis)
            elif homes == {channel_axis}:
                channels.append(axis)
        if len(channels) + len(unknown) > 1:
            continue  # the axes were folded or reduced before; the usual order is assumed
        found[source] = next(iter((*channels, *unknown)), None)
    return found


def usual_channel(rank: int, *, first: bool = False) -> int | None:
    """The axis of the channels by custom; None for a number or a row of numbers."""
    if rank < 2:
        return None
    return 0 if first else rank - 1


def read_input(name: str, shape: tuple[int, ...], channel: int | None) -> ModelInput:
    """The input with every axis spatial but that of the channels."""
    return ModelInput(name, shape, tuple(axis for axis in range(len(shape)) if axis != channel), channel)


def _stated_shapes(loaded: LoadedModel) -> tuple[tuple[int | None, ...], ...] | None:
    if loaded.input_shape is not None:
        return (tuple(loaded.input_shape[1:]),)
    if loaded.signature is not None:
        found = [shape for _, shape, _ in loaded.signature.inputs]
        return None if any(shape is None for shape in found) else tuple(tuple(shape[1:]) for shape in found)
    try:
        tensors = list(getattr(loaded.keras_model, "inputs", None) or ())
    except (AttributeError, ValueError):  # a Sequential model that has not been built
        return None
    return tuple(tuple(tensor.shape[1:]) for tensor in tensors) or None


def _input_tensors(loaded: LoadedModel, traced: Trace, count: int) -> list[Any]:
    if loaded.signature is None:
        return list(traced.graph.inputs[:count])
    captured = {id(inner) for _, inner in traced.graph.captures}
    return [tensor for tensor in traced.graph.inputs if id(tensor) not in captured][:count]


def _layers(loaded: LoadedModel) -> Sequence[Any]:
    return loaded.keras_model._flatten_layers() if loaded.keras_model is not None else ()


def _names(loaded: LoadedModel, count: int) -> list[str]:
    if loaded.signature is not None:
        return [name for name, _, _ in loaded.signature.inputs][:count]
    names = [] if count == 1 else [str(tensor.name) for tensor in loaded.keras_model.inputs]
    return (
        names if len(names) == count else [f"input {number + 1}" if count > 1 else "input" for number in range(count)]
    )


def _text(shapes: Sequence[Sequence[int | None]]) -> str:
    return ", ".join(
        " x ".join("any" if size is None else str(size) for size in shape) or "a number" for shape in shapes
    )
