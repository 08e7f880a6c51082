"""What stands for a pooling site in the engine: its class where another process can build it, else a copy of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.loading import LoadedSubject
from poolaudit.conformance.signature import ALIASES, parameter_names
from poolaudit.conformance.subjects import Subject, builtin_like, subject_of, tensorflow_pooling_operations
from poolaudit.subject.activations import SiteActivations

Factory = Callable[..., Any]


def site_subject(seen: SiteActivations, configuration: PoolConfiguration) -> tuple[Subject, Factory | None] | str:
    """The subject of a site and, where no other process can build it, its factory; or why there is none.

    A custom layer is built from its class where the class and the field's arguments give the very layer of the model.
    Where they do not - weights, further arguments, a class inside a function - copies are made of the live layer.
    """
    site, live = seen.site, seen.live
    if site.found_by == "operation" and site.kind != "custom":
        twin = builtin_like(site.kind, site.rank)
        return "Keras has no layer of that kind" if twin is None else (twin, None)
    if live is None:
        for subject in tensorflow_pooling_operations():
            if subject.name == site.layer and configuration.data_format == "channels_last":
                return subject, None
        return f"there is no stand-in for {site.layer} outside the model"
    if (seen.layer or "").startswith("keras.layers:"):
        return subject_of(type(live), None, None), None
    if not hasattr(live, "get_config"):
        return "it is no layer that could be built again"
    if seen.layer is not None and _made_by_class(seen, configuration):
        return Subject(type(live).__name__, seen.layer, configuration.kind, site.rank), None
    if seen.config is None:
        return "its get_config fails, so no copy of it can be made"
    return Subject(type(live).__name__, None, configuration.kind, site.rank), copies_of(live)


def copies_of(live: Any) -> Factory:
    """A factory of layers like the live one, weights included, with the field's arguments still open."""
    layer = type(live)
    taken, _, _ = parameter_names(layer)
    own = live.get_config()
    weights = [np_value(weight) for weight in live.weights]
    shape = live.get_build_config() if weights else None

    def factory(**arguments: Any) -> Any:
        given = {taken.get(name, name): value for name, value in arguments.items()}
        copy = layer.from_config({**own, **given})
        if weights and shape is not None:
            copy.build_from_config(shape)
            copy.set_weights(weights)
        return copy

    open_ones = [name for name in ALIASES if name in taken and taken[name] in own]
    factory.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in (*open_ones, "dtype")]
    )
    factory.__name__ = layer.__name__
    return factory


def np_value(weight: Any) -> Any:
    """A weight as an array."""
    import numpy as np

    return np.asarray(weight)


def _made_by_class(seen: SiteActivations, configuration: PoolConfiguration) -> bool:
    live = seen.live
    if getattr(live, "weights", ()):
        return False
    try:
        taken, takes_dtype, missing = parameter_names(type(live))
        if missing:
            return False
        subject = LoadedSubject(
            Subject(type(live).__name__, seen.layer),
            type(live),
            configuration.kind,
            configuration.rank,
            taken,
            takes_dtype,
        )
        made = subject.build(configuration, seen.dtype_policy)
        return _settings(made) == _settings(live)
    except Exception:  # the user's constructor
        return False


def _settings(layer: Any) -> dict[str, Any]:
    """The configuration without names; a size stated as one integer equals the same size an axis."""
    plain = {key: value for key, value in layer.get_config().items() if key not in ("name", "dtype", "trainable")}
    return {key: _one(value) for key, value in plain.items()}


def _one(value: Any) -> Any:
    if isinstance(value, list | tuple):
        entries = tuple(value)
        return entries[0] if entries and len(set(map(str, entries))) == 1 else entries
    return value
