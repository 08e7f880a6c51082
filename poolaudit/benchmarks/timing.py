"""Many kinds of work timed in turns, so that whatever slows the machine for a while slows all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from poolaudit.evidence.estimates import Estimate
from poolaudit.statistics.binomial import median_ranks

# A sample shorter than this is lost in the clock's and the scheduler's noise.
SAMPLE_SECONDS = 0.005
_MOST_CALLS = 2_000
# Four times the last cache of most machines, so that a copy has to go through memory.
COPY_BYTES = 128 << 20

Work = Callable[[], object]


def time_in_turns(
    work: Mapping[str, Work], rounds: int, tell: Callable[[int, int, str], None] = lambda done, total, what: None
) -> dict[str, list[float]]:
    """Seconds a call of each kind of work, one sample a round, each round through all of them.

    A sample is as many calls as take `SAMPLE_SECONDS`; the first calls, which compile and warm up, do not count.
    """
    calls = {}
    for name, run in work.items():
        run()
        run()
        took = max(_seconds(run, 1), 1e-9)
        calls[name] = min(max(1, round(SAMPLE_SECONDS / took)), _MOST_CALLS)
    samples: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds):
        for name, run in work.items():
            samples[name].append(_seconds(run, calls[name]) / calls[name])
        tell(number + 1, rounds, "rounds")
    return samples


def median_estimate(samples: list[float], confidence: float) -> Estimate:
    """The median with its distribution-free interval between order statistics."""
    ordered = sorted(samples)
    middle = float(np.median(ordered))
    ranks = median_ranks(len(ordered), confidence)
    if ranks is None:
        return Estimate(
            middle, None, None, len(ordered), "median", confidence, f"{len(ordered)} rounds are too few for an interval"
        )
    low, high = ranks
    return Estimate(middle, ordered[low], ordered[high], len(ordered), "median, order statistics", confidence)


def over(numerator: Estimate, denominator: Estimate) -> Estimate:
    """The quotient of two positive estimates; its interval holds whatever both intervals allow (Bonferroni)."""
    if numerator.value is None or denominator.value is None:
        return Estimate.not_estimable(numerator.reason or denominator.reason or "not measured")
    value, n = numerator.value / denominator.value, min(numerator.n, denominator.n)
    ends = (numerator.low, numerator.high, denominator.low, denominator.high)
    if any(end is None for end in ends):
        return Estimate(value, None, None, n, "ratio of medians", reason="too few rounds for an interval")
    assert numerator.low is not None
    assert numerator.high is not None
    assert denominator.low is not None
    assert denominator.high is not None
    confidence = round(numerator.confidence + denominator.confidence - 1, 6)
    method = "ratio of medians, Bonferroni over both intervals"
    return Estimate(value, numerator.low / denominator.high, numerator.high / denominator.low, n, method, confidence)


class MemoryCopy:
    """A copy of memory by several threads, as in STREAM (McCalpin, 1995): every byte is read and written once."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._source = np.ones(COPY_BYTES // 8, np.float64)
        self._target = np.zeros(COPY_BYTES // 8, np.float64)
        self._pool = ThreadPoolExecutor(threads)

    def __call__(self) -> None:
        parts = zip(np.array_split(self._target, self.threads), np.array_split(self._source, self.threads), strict=True)
        list(self._pool.map(lambda part: np.copyto(*part), parts))

    def close(self) -> None:
        self._pool.shutdown()


def usable_threads() -> int:
    """Threads that TensorFlow may use in one operation."""
    import tensorflow as tf

    stated = tf.config.threading.get_intra_op_parallelism_threads()
    stated = int(stated or os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return stated if stated > 0 else allowed


def _seconds(run: Work, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start
