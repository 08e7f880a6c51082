"""Copies of single layers with weights of their own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from poolaudit.ablation.refusals import RefusedAction


def copied_layer(layer: Any, changed: Mapping[str, Any] | None = None) -> Any:
    """A new layer with the same configuration, not built.

    Args:
        changed: Entries of the configuration to replace.

    Raises:
        RefusedAction: The layer cannot describe itself, so no copy with weights of its own can be made.
    """
    import keras

    try:
        with keras.saving.custom_object_scope(_own_objects(layer)):
            if isinstance(layer, keras.layers.Lambda):
                if changed:
                    raise ValueError("a Lambda layer has no configuration to change")
                return shell_copy(layer)
            return type(layer).from_config({**layer.get_config(), **(changed or {})})
    except Exception as error:  # a user's layer may fail in any way
        if not changed and not layer.variables and not any(True for _ in layer._flatten_layers(include_self=False)):
            return shell_copy(layer)
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise RefusedAction(
            f"layer {layer.name!r} ({type(layer).__name__}) cannot be copied from its configuration "
            f"({type(error).__name__}: {first[:160]}); give it a get_config"
        ) from error


def shell_copy(operation: Any) -> Any:
    """A second object with the same attributes and no place in a graph yet; for operations without weights."""
    copy = object.__new__(type(operation))
    vars(copy).update(vars(operation))
    vars(copy).update(_inbound_nodes=[], _outbound_nodes=[])
    return copy


def carry_weights(original: Any, copy: Any) -> tuple[list[str], list[str]]:
    """Assigns the original's weights to the copy where every shape of the layer agrees.

    A layer is carried over whole or not at all: a bias tuned to another kernel means nothing.

    Returns:
        Paths of the weights kept, and of those left as they were initialised.
    """
    ours, theirs = _state(copy), _state(original)
    names = [weight_name(variable) for variable in ours]
    if len(ours) != len(theirs) or any(a.shape != b.shape for a, b in zip(ours, theirs, strict=True)):
        return [], names
    for target, source in zip(ours, theirs, strict=True):
        target.assign(source)
    for layer in copy._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()  # Normalization and its like compute constants from their weights
    return names, []


def weight_name(variable: Any) -> str:
    return str(getattr(variable, "path", None) or variable.name)


def replaced_copy(candidate: Any, name: str, dtype: Any) -> Any:
    """A fresh copy of a replacement layer under the site's name and dtype policy."""
    import keras

    try:
        config = {**candidate.get_config(), "name": name}
        if dtype is not None and "dtype" in config:
            # A policy object would stay in the configuration that Keras derives from the arguments, and not be savable.
            is_policy = isinstance(dtype, keras.DTypePolicy)
            config["dtype"] = keras.dtype_policies.serialize(dtype) if is_policy else dtype
        return type(candidate).from_config(config)
    except Exception:  # a user's layer without a configuration is used as it came
        return candidate


def _state(layer: Any) -> list[Any]:
    return list(layer.variables)


def _own_objects(layer: Any) -> dict[str, Any]:
    """Functions and classes outside Keras that the layer's attributes hold, by name: its configuration names them."""
    found: dict[str, Any] = {}
    for part in (layer, *layer._flatten_layers(include_self=False)):
        for value in vars(part).values():
            known = value if inspect.isfunction(value) or inspect.isclass(value) else type(value)
            if not str(getattr(known, "__module__", "")).startswith(("keras.", "builtins", "tensorflow.", "numpy")):
                found[known.__name__] = known
        if not type(part).__module__.startswith("keras."):
            found[type(part).__name__] = type(part)
    return found
