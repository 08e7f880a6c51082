"""Takes one pooling site for its dense, blurred version for a while, with the model's weights as they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from poolaudit.configuration.windows import same_padding
from poolaudit.evidence.geometry import PoolingSite
from poolaudit.subject._loaded import LoadedModel


def why_not(site: PoolingSite, owner: Any, owners: Sequence[Any], place: int) -> str | None:
    """Why the site cannot be blurred; None where it can."""
    if site.kind not in ("max", "average"):
        return "only windows that move over the map can be blurred"
    if site.strides is None or site.window is None or max(site.strides) < 2:
        return "it does not thin the map out: its stride is 1"
    if site.found_by != "layer" or owner is None:
        return "it is an operation inside other code, which is not taken apart"
    if any(other is owner for other in owners[:place]):
        return "it is a further call of a layer that was blurred at its first call"
    return None


@contextmanager
def blurred(loaded: LoadedModel, site: PoolingSite, owner: Any) -> Iterator[LoadedModel]:
    """The model with the site pooled at stride 1, then low-passed and thinned out at the same places.

    After Zhang, "Making convolutional networks shift-invariant again" (2019). The filter is binomial of order
    2 (stride - 1): 1-2-1 for stride 2. Output shapes stay what they were.
    """
    if "call" in vars(owner):
        raise ValueError(f"the layer {site.name!r} has a call of its own")
    vars(owner)["call"] = _dense_then_thinned(site)
    try:
        yield replace(loaded, compiled={})
    finally:
        vars(owner).pop("call", None)


def _dense_then_thinned(site: PoolingSite) -> Any:
    import tensorflow as tf

    window, strides = site.window, site.strides
    assert window is not None
    assert strides is not None
    first = site.data_format == "channels_first"

    def call(inputs: Any) -> Any:
        x = tf.convert_to_tensor(inputs)
        rank = x.shape.rank - 2
        if first:
            x = tf.transpose(x, (0, *range(2, rank + 2), 1))
        sizes = x.shape.as_list()[1:-1]
        padding = "SAME" if site.padding == "same" else "VALID"
        kind = "MAX" if site.kind == "max" else "AVG"
        dense = tf.nn.pool(x, window, kind, strides=[1] * rank, padding=padding)
        for axis, (size, taps, stride) in enumerate(zip(sizes, window, strides, strict=True)):
            dense = _thinned(tf, dense, 1 + axis, _places(size, taps, stride, padding), stride)
        return tf.transpose(dense, (0, rank + 1, *range(1, rank + 1))) if first else dense

    return call


def _places(size: int, window: int, stride: int, padding: str) -> list[int]:
    """Where the strided windows lie among the dense ones."""
    if padding == "VALID":
        return list(range(0, size - window + 1, stride))
    before, dense = same_padding(size, window, stride)[0], same_padding(size, window, 1)[0]
    return [min(max(start - before + dense, 0), size - 1) for start in range(0, size, stride)]


def _thinned(tf: Any, x: Any, axis: int, places: list[int], stride: int) -> Any:
    if stride == 1:
        return tf.gather(x, places, axis=axis)
    reach, last = stride - 1, x.shape[axis] - 1
    taps = [math.comb(2 * reach, tap) / 4**reach for tap in range(2 * reach + 1)]
    return tf.add_n(
        [
            tf.cast(weight, x.dtype) * tf.gather(x, [min(max(p + tap - reach, 0), last) for p in places], axis=axis)
            for tap, weight in enumerate(taps)
        ]
    )
