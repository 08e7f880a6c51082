"""Ratios of two runs on one machine; two machines are never compared."""

from __future__ import annotations

from poolaudit.benchmarks.timing import over
from poolaudit.evidence.benchmarks import BenchmarkEvidence, SpeedRatio
from poolaudit.evidence.estimates import Estimate


def ratios(new: BenchmarkEvidence, old: BenchmarkEvidence, *, same_machine: bool) -> tuple[SpeedRatio, ...]:
    """New median over old one of everything that both runs measured, in the new run's order."""
    before = _by_case(old)
    found = []
    for case, seconds in _by_case(new).items():
        if case not in before:
            continue
        if not same_machine or (new.device, new.threads) != (old.device, old.threads):
            ratio = Estimate.not_estimable("the earlier run is from another machine, device or number of threads")
        else:
            ratio = over(seconds, before[case])
        found.append(SpeedRatio(case, ratio))
    return tuple(found)


def _by_case(evidence: BenchmarkEvidence) -> dict[str, Estimate]:
    found = {}
    for entry in evidence.layers:
        shape = "x".join(map(str, entry.input_shape))
        for timing in entry.timings:
            case = f"{entry.site}, {entry.variant}, {entry.dtype}, {shape}, {timing.direction}"
            found[case] = timing.seconds
    return found
