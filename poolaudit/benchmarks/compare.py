"""Ratios of two runs on one machine; two machines are never compared."""

from __future__ import annotations

from poolaudit.benchmarks.timing import over
from poolaudit.evidence.benchmarks import BenchmarkEvidence, SpeedRatio
from poolaudit.evidence.estimates import Estimate

CONTROL = "control: a copy of memory"


def ratios(new: BenchmarkEvidence, old: BenchmarkEvidence, *, same_machine: bool) -> tuple[SpeedRatio, ...]:
    """New median over old one of everything that both runs measured, in the new run's order.

    Where anything is compared, a copy of memory comes first: it runs no code of the model, so its ratio is what the
    machine itself changed between the runs.
    """
    before, after = _by_case(old), _by_case(new)
    both = [case for case in after if case in before]
    if not same_machine or (new.device, new.threads) != (old.device, old.threads):
        unlike = Estimate.not_estimable("the earlier run is from another machine, device or number of threads")
        return tuple(SpeedRatio(case, unlike) for case in both)
    found = [SpeedRatio(case, over(after[case], before[case])) for case in both]
    # Bytes a second are the reciprocal of time, so the old run's are above.
    control = SpeedRatio(CONTROL, over(old.bytes_per_second, new.bytes_per_second))
    return (control, *found) if found else ()


def _by_case(evidence: BenchmarkEvidence) -> dict[str, Estimate]:
    found = {}
    for entry in evidence.layers:
        shape = "x".join(map(str, entry.input_shape))
        for timing in entry.timings:
            case = f"{entry.site}, {entry.variant}, {entry.dtype}, {shape}, {timing.direction}"
            found[case] = timing.seconds
    return found
