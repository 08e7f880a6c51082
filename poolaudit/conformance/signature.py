"""Which of the field's arguments a factory takes, and under which names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

ALIASES: dict[str, tuple[str, ...]] = {
    "pool_size": ("pool_size", "window", "window_size", "kernel_size", "ksize", "pool"),
    "strides": ("strides", "stride", "step", "steps", "hop"),
    "padding": ("padding", "pad", "pad_mode", "border_mode"),
    "dilation_rate": ("dilation_rate", "dilation", "dilations"),
    "output_size": ("output_size", "target_size"),
    "keepdims": ("keepdims", "keep_dims"),
    "levels": ("levels", "pyramid_levels"),
    "data_format": ("data_format",),
    "p": ("p", "power", "exponent"),
    "alpha": ("alpha",),
    "sharpness": ("sharpness", "r"),
}
"""The field's argument to the names under which layers take it, the usual one first."""


def parameter_names(factory: Callable[..., Any]) -> tuple[dict[str, str], bool, tuple[str, ...]]:
    """The arguments that can be given.

    Returns:
        The field's argument to the factory's own name for it, whether `dtype` can be given, and the parameters
        without a default that nothing is known of.

    A padding whose default is a number of cells is none of the field's, and is left out.
    """
    own, takes_dtype = _named_parameters(factory)
    taken: dict[str, str] = {}
    for argument, names in ALIASES.items():
        found = next((name for name in names if name in own), None)
        if found is not None:
            taken[argument] = found
    if "padding" in taken and not isinstance(default_of(factory, taken["padding"]), str | None):
        del taken["padding"]
    known = set(taken.values()) | {"dtype", "name", "self"}
    missing = tuple(name for name, needed in own.items() if needed and name not in known)
    return taken, takes_dtype, missing


def own_names(factory: Callable[..., Any]) -> tuple[str, ...]:
    """The names of all arguments that can be given by keyword."""
    return tuple(_named_parameters(factory)[0])


def default_of(factory: Callable[..., Any], name: str) -> Any:
    """The default of a parameter; None where it has none."""
    found = _parameter(factory, name)
    return None if found is None or found.default is found.empty else found.default


def claims_integer(factory: Callable[..., Any], name: str) -> bool:
    """Whether a parameter's annotation, or else its default, says that it is one integer."""
    found = _parameter(factory, name)
    if found is None:
        return False
    if found.annotation is not found.empty:
        words = set(re.findall(r"\w+", inspect.formatannotation(found.annotation)))
        return "int" in words and words <= {"int", "None", "NoneType", "Optional", "Union", "typing"}
    return isinstance(found.default, int) and not isinstance(found.default, bool)


def extra_arguments(factory: Callable[..., Any], known: set[str]) -> dict[str, int | float]:
    """Numbers and flags that a layer class takes beyond the known arguments, each changed from its default."""
    changed: dict[str, int | float] = {}
    for base in getattr(factory, "__mro__", ()):
        if base.__module__.startswith("keras."):
            break
        for p in _parameters(vars(base)["__init__"])[1:] if "__init__" in vars(base) else ():
            if p.name in known or p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) or p.name in changed:
                continue
            if isinstance(p.default, bool):
                changed[p.name] = not p.default
            elif isinstance(p.default, int | float):
                changed[p.name] = p.default + 1 if isinstance(p.default, int) else p.default * 1.5 + 0.125
    return changed


def arguments_left_out(layer_class: type, configuration: Mapping[str, Any]) -> tuple[str, ...]:
    """Constructor arguments that a layer's own `get_config` does not return; empty where it has its own from_config."""
    owners = {}
    for method in ("get_config", "from_config", "__init__"):
        owners[method] = next((base for base in layer_class.__mro__ if method in vars(base)), object)
    if any(owners[method].__module__.startswith("keras.") for method in ("get_config", "__init__")):
        return ()  # Keras keeps the arguments itself
    if not owners["from_config"].__module__.startswith("keras."):
        return ()
    named = [p.name for p in _parameters(vars(owners["__init__"])["__init__"])[1:] if p.kind in _BY_NAME]
    return tuple(name for name in named if name not in configuration)


def _named_parameters(factory: Callable[..., Any]) -> tuple[dict[str, bool], bool]:
    """Every keyword to whether it is needed; a class passes `**kwargs` on to its base."""
    if not inspect.isclass(factory):
        parameters = _parameters(factory)
        named = {
            p.name: p.default is p.empty for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        }
        if any(p.kind is p.VAR_KEYWORD for p in parameters) and not named:
            named = {names[0]: False for names in ALIASES.values()}
        return named, "dtype" in named
    named = {}
    for base in factory.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = _parameters(vars(base)["__init__"])[1:]
        for p in parameters:
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
                named.setdefault(p.name, p.default is p.empty and base is factory)
        passes_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if base.__module__.startswith("keras.") and base.__name__ in ("Layer", "BasePooling", "BaseGlobalPooling"):
            return named, True
        if not passes_on:
            return named, "dtype" in named
    return named, "dtype" in named


def _parameter(factory: Callable[..., Any], name: str) -> inspect.Parameter | None:
    holders = [vars(base)["__init__"] for base in getattr(factory, "__mro__", ()) if "__init__" in vars(base)]
    return next((p for holder in holders or [factory] for p in _parameters(holder) if p.name == name), None)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []
