"""What is known of a Keras layer's pooling from its class and its attributes."""

from __future__ import annotations

from functools import cache
from typing import Any

from poolaudit.evidence.geometry import PoolingSite
from poolaudit.subject._loaded import Shape


@cache
def _classes() -> tuple[tuple[type, str, int], ...]:
    import keras

    kinds = {
        "Max": "max",
        "Average": "average",
        "GlobalMax": "global_max",
        "GlobalAverage": "global_average",
        "AdaptiveMax": "adaptive_max",
        "AdaptiveAverage": "adaptive_average",
    }
    found = []
    for rank in (1, 2, 3):
        for prefix, kind in kinds.items():
            layer = getattr(keras.layers, f"{prefix}Pooling{rank}D", None)  # adaptive ones came later
            if layer is not None:
                found.append((layer, kind, rank))
    return tuple(found)


def pooling_class(layer: Any) -> tuple[type, str, int] | None:
    """The Keras pooling class a layer is of, its kind and number of pooled axes; None for any other layer."""
    return next((entry for entry in _classes() if isinstance(layer, entry[0])), None)


def site_of_layer(layer: Any, name: str, input_shape: Shape | None, output_shape: Shape | None) -> PoolingSite:
    """The site of a Keras pooling layer; of kind "custom" where a subclass computes something of its own."""
    entry = pooling_class(layer)
    if entry is None:
        raise TypeError(f"{type(layer).__name__} is no Keras pooling layer")
    base, kind, rank = entry
    window = strides = padding = None
    if kind in ("max", "average"):
        window, strides = _sizes(layer.pool_size, rank), _sizes(layer.strides, rank)
        strides = window if strides is None else strides
        padding = str(layer.padding).lower()
    if _overrides_call(type(layer), base):
        kind = "custom"
    return PoolingSite(
        name,
        type(layer).__name__,
        kind,
        rank,
        window,
        strides,
        padding,
        getattr(layer, "data_format", None),
        input_shape,
        output_shape,
        found_by="layer",
    )


def _overrides_call(layer: type, base: type) -> bool:
    return getattr(layer, "call", None) is not getattr(base, "call", None)


def looks_like_pooling(layer: Any) -> bool:
    """Whether a layer outside Keras says by its class name or its attributes that it pools."""
    import keras

    if isinstance(layer, keras.Model) or type(layer).__module__.startswith("keras."):
        return False
    name = type(layer).__name__.lower()
    named = "pool" in name and "unpool" not in name
    return named or _sizes(vars(layer).get("pool_size"), None) is not None


def stated_window(
    layer: Any,
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None, str | None]:
    """Window, strides and padding as a custom layer's attributes state them; None where they do not."""
    own = vars(layer)
    window = next(
        (size for key in ("pool_size", "window", "kernel_size", "ksize") if (size := _sizes(own.get(key), None))),
        None,
    )
    strides = next((size for key in ("strides", "stride") if (size := _sizes(own.get(key), None))), None)
    padding = own.get("padding")
    known = padding.lower() if isinstance(padding, str) and padding.lower() in ("same", "valid") else None
    if window is not None and strides is not None and len(strides) != len(window):
        longer = max(len(window), len(strides))
        window = window * longer if len(window) == 1 else window
        strides = strides * longer if len(strides) == 1 else strides
    return window, strides, known


def stated_rank(shape: Shape | None, window: tuple[int, ...] | None) -> int:
    """Number of pooled axes, by the window or else by the input shape."""
    return len(window) if window else max(1, min(3, len(shape) - 2)) if shape else 2


def _sizes(value: Any, rank: int | None) -> tuple[int, ...] | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return (value,) * (rank or 1)
    if isinstance(value, list | tuple) and value and all(isinstance(size, int) for size in value):
        return tuple(value)
    return None


def adaptive_operation(operation: Any) -> str | None:
    """The kind of a keras.ops adaptive pooling operation; None for any other."""
    name = type(operation).__name__
    return {"AdaptiveMaxPool": "adaptive_max", "AdaptiveAveragePool": "adaptive_average"}.get(name)
