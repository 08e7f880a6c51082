"""The settings of a model's pooling site, and the smallest shape on which it does what it does in the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from poolaudit.configuration import KINDS, PoolConfiguration
from poolaudit.conformance.case import cast
from poolaudit.reference import pool
from poolaudit.subject.activations import SiteActivations

_TRIED = ("max", "average", "min", "median", "rms")
# Spread and start of the data tried. On values around 1 alone a log-sum-exp agrees with a root mean square: both are
# the mean and half the variance, to third order.
_RANGES = ((1.0, 0.5), (3.0, 0.25))


def site_configuration(seen: SiteActivations) -> PoolConfiguration | None:
    """The configuration of a site whose kind is known, or shows in what the layer computes; else None.

    A custom layer counts as of a kind only if it gives the values of that kind, and of no other, on positive data:
    its name alone proves nothing.
    """
    site = seen.site
    if site.kind != "custom":
        return _configuration(seen, site.kind)
    matching = [found for found in _candidates(seen) if _computes(seen, found)]
    kinds = {found.kind for found in matching}
    return matching[0] if len(kinds) == 1 else None


def unknown_configuration(seen: SiteActivations) -> PoolConfiguration:
    """The settings that a custom layer states, of no kind."""
    site = seen.site
    return PoolConfiguration(
        "unknown",
        site.rank,
        window=site.window,
        strides=site.strides,
        padding=site.padding or "valid",
        data_format=site.data_format or "channels_last",
    )


def small_shape(configuration: PoolConfiguration, shape: tuple[int, ...], channels: int = 3) -> tuple[int, ...]:
    """The shape with at most 2 items, 3 windows and a few channels; what a stride leaves over stays the same.

    Under VALID the rest behind the last window depends on (n - k) mod s, under SAME the padding on n mod s and on
    whether n < k. Both are kept, since an axis longer than k + 3 s is cut to k + 2 s + (n - k) mod s.
    """
    small = [min(size, 2) if axis == 0 else min(size, channels) for axis, size in enumerate(shape)]
    if len(shape) != configuration.rank + 2:
        return shape
    for axis, position in enumerate(configuration.spatial_axes()):
        small[position] = _small(configuration, axis, shape[position])
    return tuple(small)


def _small(configuration: PoolConfiguration, axis: int, size: int) -> int:
    if configuration.layout == "windowed" and configuration.window is not None:
        window, stride = configuration.window[axis], configuration.effective_strides[axis]
        return size if size <= window + 3 * stride else window + 2 * stride + (size - window) % stride
    if configuration.layout == "adaptive" and configuration.output_size is not None:
        outputs = configuration.output_size[axis]
        return size if size <= 3 * outputs else 2 * outputs + size % outputs
    return size if size <= 9 else 8 + size % 2


def _configuration(seen: SiteActivations, kind: str) -> PoolConfiguration | None:
    site, config = seen.site, seen.config or {}
    plain = PoolConfiguration(kind, site.rank, data_format=site.data_format or "channels_last")
    layout = KINDS.get(kind).layout
    if layout == "windowed":
        if site.window is None:
            return None
        return replace(plain, window=site.window, strides=site.strides, padding=site.padding or "valid")
    if layout == "adaptive":
        size = getattr(seen.live, "output_size", None) or config.get("output_size")
        if isinstance(size, int):
            size = (size,) * site.rank
        return replace(plain, output_size=tuple(size)) if isinstance(size, list | tuple) else None
    keepdims = seen.output_shape is not None and len(seen.output_shape) == site.rank + 2
    return replace(plain, keepdims=bool(config.get("keepdims", keepdims)))


def _candidates(seen: SiteActivations) -> Iterator[PoolConfiguration]:
    site = seen.site
    for kind in _TRIED:
        if site.window is not None and len(site.window) == site.rank:
            paddings = [site.padding] if site.padding is not None else []
            for padding in dict.fromkeys([*paddings, "same", "valid"]):
                yield PoolConfiguration(
                    kind,
                    site.rank,
                    window=site.window,
                    strides=site.strides,
                    padding=padding,
                    data_format=site.data_format or "channels_last",
                )
        elif f"global_{kind}" in KINDS:
            found = _configuration(seen, f"global_{kind}")
            if found is not None:
                yield found


def _computes(seen: SiteActivations, configuration: PoolConfiguration) -> bool:
    """Whether the live layer gives the values of the configuration on distinct positive data."""
    shape = seen.input_shape
    if seen.live is None or shape is None or len(shape) != configuration.rank + 2 or 0 in shape:
        return False
    channels = max(shape) if getattr(seen.live, "weights", ()) else 3
    shape = small_shape(configuration, shape, channels)
    if configuration.problems(shape):
        return False
    values = np.random.default_rng(7).permutation(int(np.prod(shape))).reshape(shape) / np.prod(shape)
    near = 2e-2 if seen.compute_dtype in ("float16", "bfloat16") else 1e-3
    for spread, start in _RANGES:
        x = cast(spread * values + start, seen.compute_dtype)
        expected = pool(configuration, x)
        observed = _output(seen.live, x)
        if observed is None or observed.shape != expected.shape:
            return False
        if not np.allclose(observed.astype(np.float64), expected, rtol=near, atol=near):
            return False
    return True


def _output(live: Any, x: Any) -> Any:
    import tensorflow as tf

    try:
        return np.asarray(live(tf.constant(x)))
    except Exception:  # the user's code may refuse a smaller map
        return None
