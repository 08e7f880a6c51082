"""What is under test, as a name that another process can resolve."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from poolaudit.errors import InvalidInputError, did_you_mean

_KERAS_KINDS = {
    "Max": "max",
    "Average": "average",
    "GlobalMax": "global_max",
    "GlobalAverage": "global_average",
    "AdaptiveMax": "adaptive_max",
    "AdaptiveAverage": "adaptive_average",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A layer or an operation under test.

    Attributes:
        name: How results call it.
        reference: `module:attribute` where another process can import it; None otherwise.
        like: Its kind; None where it has to be inferred.
        dims: Its spatial axes; None where they have to be inferred.
        builtin: Whether it is TensorFlow's or Keras's own.
    """

    name: str
    reference: str | None
    like: str | None = None
    dims: int | None = None
    builtin: bool = False


def keras_pooling_layers() -> tuple[Subject, ...]:
    """The 18 pooling layers of Keras 3.15; older releases lack the adaptive ones."""
    return tuple(
        Subject(f"{prefix}Pooling{rank}D", f"keras.layers:{prefix}Pooling{rank}D", kind, rank, builtin=True)
        for prefix, kind in _KERAS_KINDS.items()
        for rank in (1, 2, 3)
    )


def tensorflow_pooling_operations() -> tuple[Subject, ...]:
    """The pooling operations of `tf.nn`, windows dilated included."""
    home = "poolaudit.conformance.nn_operations"
    made = [
        Subject(f"tf.nn.{short}_pool{rank}d", f"{home}:{short}_pool_{rank}d", kind, rank, builtin=True)
        for short, kind in (("max", "max"), ("avg", "average"))
        for rank in (1, 2, 3)
    ]
    made += [
        Subject("tf.nn.max_pool", f"{home}:max_pool", "max", 2, builtin=True),
        Subject("tf.nn.avg_pool", f"{home}:avg_pool", "average", 2, builtin=True),
        Subject("tf.nn.max_pool_with_argmax", f"{home}:max_pool_with_argmax", "max", 2, builtin=True),
        Subject("tf.nn.pool(MAX)", f"{home}:dilated_max_pool", "max", 2, builtin=True),
        Subject("tf.nn.pool(AVG)", f"{home}:dilated_avg_pool", "average", 2, builtin=True),
    ]
    return tuple(made)


def builtin_like(kind: str, dims: int) -> Subject | None:
    """The Keras layer of a kind, against which a custom layer's failure is held; None where there is none."""
    for subject in keras_pooling_layers():
        if (subject.like, subject.dims) == (kind, dims):
            return subject
    return None


def dilated_operation(kind: str, dims: int) -> tuple[Subject, ...]:
    """`tf.nn.pool`, which alone dilates; nothing where it has not the kind."""
    name = {"max": "MAX", "average": "AVG"}.get(kind)
    if name is None:
        return ()
    home = "poolaudit.conformance.nn_operations"
    return (Subject(f"tf.nn.pool({name})", f"{home}:dilated_{name.lower()}_pool", kind, dims, builtin=True),)


def subject_of(layer: Any, like: str | None, dims: int | None, name: str | None = None) -> Subject:
    """Names a layer class, a factory, a `module:attribute` or a dotted path.

    Raises:
        InvalidInputError: Neither a callable nor the name of one.
    """
    if isinstance(layer, Subject):
        return layer
    if isinstance(layer, str):
        reference = layer if ":" in layer else ":".join(layer.rpartition(".")[::2])
        known = _builtin(reference.rpartition(":")[2]) if reference.startswith(("keras", "tensorflow.keras")) else None
        if known is not None:
            return known
        return Subject(name or reference.rpartition(":")[2], reference, like, dims)
    if not callable(layer):
        raise InvalidInputError(
            f"{layer!r} is not a layer class, a factory or the name of one",
            "a subclass of keras.layers.Layer, a function that returns a layer, 'package.module:Class'",
            "Give the class, not an instance of it" if hasattr(layer, "call") else "",
        )
    if inspect.isclass(layer) and layer.__module__.startswith("keras."):
        known = _builtin(layer.__name__)
        if known is not None:
            return known
    label = name or str(getattr(layer, "__name__", None) or type(layer).__name__)
    return Subject(label, _reference(layer), like, dims)


def resolve(reference: str) -> Callable[..., Any]:
    """The object that `module:attribute` names.

    Raises:
        InvalidInputError: Nothing bears that name.
    """
    module_name, _, attribute = reference.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # the module is the user's code, and may raise anything
        hint = f"Write {module_name}:{{Class}}" if attribute == "py" else ""
        raise InvalidInputError(
            f"Cannot import {module_name!r} ({type(error).__name__}: {str(error)[:200]})",
            "an importable 'package.module:Class'",
            hint,
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InvalidInputError(f"{module_name!r} has no attribute {part!r}", "", did_you_mean(part, dir(found)))
        found = getattr(found, part)
    if not callable(found):
        raise InvalidInputError(f"{reference!r} is not callable", "a layer class or a factory")
    return found  # type: ignore[no-any-return]


def _builtin(name: str) -> Subject | None:
    return next((subject for subject in keras_pooling_layers() if subject.name == name), None)


def _reference(layer: Any) -> str | None:
    """`module:qualname`, if that leads back to this very object in another process."""
    module, qualname = getattr(layer, "__module__", None), getattr(layer, "__qualname__", None)
    if not module or not qualname or module == "__main__" or "<" in qualname:
        return None
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return f"{module}:{qualname}" if found is layer else None
