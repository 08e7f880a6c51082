"""What the fixture `benchmark_pooling` does: each case of a layer is an entry of its own in pytest-benchmark."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from poolaudit.benchmarks.layers import AS_SHIPPED, Case, prepare
from poolaudit.errors import InvalidInputError


class PoolingBenchmarks:
    """Times layers through the `benchmark` fixture of pytest-benchmark."""

    def __init__(self, benchmark: Any) -> None:
        self._benchmark = benchmark
        self._used = False

    def __call__(
        self, layer: Any, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str] = ("float32",), seed: int = 0
    ) -> None:
        """Times the layer at every shape and dtype, forward and gradient.

        Args:
            layer: A layer, or a class or function that makes one when it is given `dtype=...`.
            shapes: Of the inputs, batch included.
            dtypes: Of the inputs; a layer that exists already runs in its own.
            seed: Of the inputs, which are standard normal.

        Raises:
            InvalidInputError: No shape or no dtype, or the layer cannot run at one of them.
        """
        if self._used:
            raise InvalidInputError(
                "benchmark_pooling was called twice in a test", "one call", "Give all shapes and dtypes in one call"
            )
        self._used = True
        if not shapes or not dtypes:
            raise InvalidInputError("No shape or no dtype is given", "shapes such as [(32, 56, 56, 64)]")
        rng = np.random.default_rng(seed)
        entries = []
        for shape in shapes:
            for dtype in dtypes:
                made = layer if hasattr(layer, "get_config") and not isinstance(layer, type) else layer(dtype=dtype)
                case = Case(type(made).__name__, AS_SHIPPED, made, tuple(shape), dtype)
                try:
                    prepared = prepare(case, rng)
                except Exception as error:
                    raise InvalidInputError(
                        f"{case.site} cannot run at {shape} in {dtype} ({type(error).__name__}: {str(error)[:200]})",
                        "shapes with batch and channels",
                    ) from error
                entries += [(prepared, direction) for direction in prepared.work]
        for number, (prepared, direction) in enumerate(entries):
            # pytest-benchmark gives one entry a fixture: all but the last are timed with a copy of it.
            timer = self._benchmark if number == len(entries) - 1 else copy.copy(self._benchmark)
            case = prepared.case
            label = f"{case.site}-{'x'.join(map(str, case.shape))}-{case.dtype}-{direction}"
            timer.name, timer.fullname = f"{timer.name}[{label}]", f"{timer.fullname}[{label}]"
            timer.extra_info = {
                "shape": list(case.shape),
                "dtype": case.dtype,
                "direction": direction,
                "bytes_moved": prepared.bytes_moved(direction),
            }
            timer(prepared.work[direction])
