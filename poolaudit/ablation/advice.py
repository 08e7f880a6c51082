"""The change of code that a variant means."""

from __future__ import annotations

import inspect
from typing import Any

from poolaudit.ablation.surgery import BuiltVariant

_SKIPPED = frozenset({"name", "trainable", "dtype", "activity_regularizer"})


def code_changes(built: BuiltVariant) -> tuple[str, ...]:
    """One line a changed site, "pool2: keras.layers.MaxPooling2D(...) -> BlurPooling2D(...)", then the notes.

    Layers of poolaudit come from `poolaudit.ablation.layers`.
    """
    lines = [
        f"{entry.site.name}: {_before(entry.owner, entry.site.layer)} -> {constructor(layer)}"
        for entry, layer in built.sources
    ]
    return (*lines, *built.notes)


def constructor(layer: Any) -> str:
    """The expression that makes a layer, with the arguments that differ from their defaults."""
    import keras

    kind = type(layer)
    home = {"keras": "keras.layers.", "poolaudit": "poolaudit.ablation.layers."}.get(kind.__module__.split(".")[0], "")
    try:
        config = layer.get_config()
        defaults = {name: p.default for name, p in inspect.signature(kind.__init__).parameters.items()}
    except Exception:  # a user's layer without a configuration
        return f"{home}{kind.__name__}(...)"
    usual, shown = keras.config.image_data_format(), []
    for name, value in config.items():
        if name in _SKIPPED or value == defaults.get(name, inspect.Parameter.empty):
            continue
        if (name, value) in (("data_format", usual), ("strides", config.get("pool_size"))):
            continue
        text = _value(value)
        if text is not None and name in defaults:
            shown.append(f"{name}={text}")
    return f"{home}{kind.__name__}({', '.join(shown)})"


def _before(owner: Any, label: str) -> str:
    import keras

    return constructor(owner) if isinstance(owner, keras.Layer) else label


def _value(value: Any) -> str | None:
    if value == "linear":  # no activation
        return None
    if isinstance(value, dict):  # a serialised object: only what replaces a default of Keras is worth a word
        name = value.get("class_name")
        return f"poolaudit.ablation.layers.{name}()" if name == "AverageKernel" else None
    return repr(value) if isinstance(value, bool | int | float | str | tuple | list) else None
