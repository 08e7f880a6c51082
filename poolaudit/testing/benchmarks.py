"""What the fixture `benchmark_pooling` does: each case of a layer is an entry of its own in pytest-benchmark."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from poolaudit.benchmarks.layers import AS_SHIPPED, Case, Prepared, evidence_of, name_of, prepare, with_yardsticks
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.benchmarks import BenchmarkEvidence

_YARDSTICK_ROUNDS = 20


class PoolingBenchmarks:
    """Times layers through the `benchmark` fixture of pytest-benchmark.

    Attributes:
        record: Takes what was measured, for the report of the session; None where there is none.
    """

    def __init__(self, benchmark: Any, record: Callable[[BenchmarkEvidence], None] | None = None) -> None:
        self._benchmark = benchmark
        self._record = record
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
        cases = [_prepared(layer, tuple(shape), dtype, rng) for shape in shapes for dtype in dtypes]
        samples = self._timed(cases)
        if self._record is not None and all(samples.values()):
            self._record(evidence_of(cases, _yardsticks() | samples))

    def _timed(self, cases: Sequence[Prepared]) -> dict[str, list[float]]:
        """Seconds a call; nothing where pytest-benchmark measures nothing, as with --benchmark-disable."""
        entries = [(n, prepared, direction) for n, prepared in enumerate(cases) for direction in prepared.work]
        samples = {}
        for number, prepared, direction in entries:
            # pytest-benchmark gives one entry a fixture: all but the last are timed with a copy of it.
            last = (number, direction) == (entries[-1][0], entries[-1][2])
            timer = self._benchmark if last else copy.copy(self._benchmark)
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
            samples[name_of(number, direction)] = [] if timer.stats is None else list(timer.stats.stats.data)
        return samples


def _prepared(layer: Any, shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Prepared:
    made = layer if hasattr(layer, "get_config") and not isinstance(layer, type) else layer(dtype=dtype)
    case = Case(type(made).__name__, AS_SHIPPED, made, shape, dtype)
    try:
        return prepare(case, rng)
    except Exception as error:
        raise InvalidInputError(
            f"{case.site} cannot run at {shape} in {dtype} ({type(error).__name__}: {str(error)[:200]})",
            "shapes with batch and channels",
        ) from error


@cache
def _yardsticks() -> dict[str, list[float]]:
    """Memory copy and empty call, timed once a process."""
    return with_yardsticks({}, _YARDSTICK_ROUNDS)
