"""What a timing on a shared machine has to say beside its seconds: CPU time, and what others took meanwhile."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Clock:
    """What a block of work took, this process and the children that ended in it together.

    Attributes:
        wall: Seconds.
        cpu: Seconds of processor time.
        others: Cores that other processes kept busy on average; None where the system does not tell.
        load: Load average of the last minute, at the end.
    """

    wall: float = 0.0
    cpu: float = 0.0
    others: float | None = None
    load: float = 0.0


@contextmanager
def clocked() -> Iterator[Clock]:
    clock = Clock()
    wall, cpu, busy = time.perf_counter(), _own(), _all()
    yield clock
    clock.wall, clock.cpu, clock.load = time.perf_counter() - wall, _own() - cpu, os.getloadavg()[0]
    after = _all()
    if busy is not None and after is not None:
        clock.others = max(0.0, (after - busy - clock.cpu) / clock.wall)


def _own() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(entry.ru_utime + entry.ru_stime for entry in used)


def _all() -> float | None:
    """Seconds of processor time that all processes have used since the machine started."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    except (OSError, ValueError, IndexError):
        return None
    user, nice, system, _, _, irq, softirq = ticks[:7]
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
