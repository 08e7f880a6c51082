"""Arguments whose name alone does not tell what they are: found out by what they do to the output's size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

_NAMES = (
    "size",
    "kernel",
    "kernel_shape",
    "window_shape",
    "window_length",
    "pool_length",
    "pool_width",
    "k",
    "n",
    "m",
    "width",
    "length",
    "factor",
    "scale",
    "rate",
    "ratio",
    "reduction",
    "downsample",
    "downsampling",
    "bins",
    "out",
    "out_size",
    "output_shape",
    "output_length",
    "target_shape",
    "grid",
)
"""What else people call a window or an output size, and much else as well."""

_LENGTH = 8


def told_by_size(
    factory: Callable[..., Any], own: Sequence[str], known: Mapping[str, str], dims: int | None
) -> dict[str, str]:
    """`{"pool_size": name}` or `{"output_size": name}` for one argument that sets the output's size.

    Args:
        own: Names of the factory's arguments.
        known: The field's arguments that were recognised by name.
        dims: Spatial axes; None tries 2, 1 and 3.
    """
    if "pool_size" in known or "output_size" in known:
        return {}
    for name in _NAMES:
        if name in own and name not in known.values():
            for rank in (2, 1, 3) if dims is None else (dims,):
                small, large = (_size(factory, name, value, rank) for value in (2, 4))
                if (small, large) == (2, 4):
                    return {"output_size": name}
                if (small, large) in ((4, 2), (7, 5)):
                    return {"pool_size": name}
    return {}


def _size(factory: Callable[..., Any], name: str, value: int, rank: int) -> int | None:
    """The one size of all spatial axes that comes out; None where there is no such thing."""
    import tensorflow as tf

    x = np.arange(2 * _LENGTH**rank * 3, dtype=np.float32).reshape(2, *(_LENGTH,) * rank, 3)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = np.asarray(factory(**{name: value})(tf.constant(x)))
    except Exception:  # the user's code may raise anything, and here nothing is judged
        return None
    sizes = set(y.shape[1:-1])
    return int(sizes.pop()) if y.ndim == rank + 2 and len(sizes) == 1 and y.shape[-1] == 3 else None
