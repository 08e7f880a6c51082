"""Makes a case smaller that kills or hangs its process: greedy, with one fresh process a try."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from poolaudit.conformance.case import Case


def simpler(case: Case) -> Iterator[Case]:
    """Cases with one thing made smaller, the greatest steps first; only valid ones where the case is valid."""
    valid = not case.configuration.problems(case.input_shape)
    for candidate in _candidates(case):
        if candidate != case and (not valid or not candidate.configuration.problems(candidate.input_shape)):
            yield candidate


def _candidates(case: Case) -> Iterator[Case]:
    for axis, size in enumerate(case.input_shape):
        for smaller in (1, 2, size // 2, size - 1):
            if 0 < smaller < size:
                shape = (*case.input_shape[:axis], smaller, *case.input_shape[axis + 1 :])
                yield replace(case, input_shape=shape)
    configuration = case.configuration
    if isinstance(configuration.output_size, tuple):
        for at, size in enumerate(configuration.output_size):
            for smaller in (1, size - 1) if isinstance(size, int) else ():
                if 0 < smaller < size:
                    changed = (*configuration.output_size[:at], smaller, *configuration.output_size[at + 1 :])
                    yield replace(case, configuration=replace(configuration, output_size=changed))
    if configuration.keepdims is True:
        yield replace(case, configuration=replace(configuration, keepdims=False))
    for name in ("window", "strides"):
        sizes = getattr(configuration, name)
        if not isinstance(sizes, tuple):
            continue
        for at, size in enumerate(sizes):
            for smaller in (1, 2):
                if isinstance(size, int) and smaller < size < 2**20:
                    changed = (*sizes[:at], smaller, *sizes[at + 1 :])
                    if name == "window":
                        yield replace(case, configuration=replace(configuration, window=changed))
                    else:
                        yield replace(case, configuration=replace(configuration, strides=changed))
    if configuration.strides is not None and case.flaw is None:
        yield replace(case, configuration=replace(configuration, strides=None))
    if case.data != "constant" and case.value_range is None:
        yield replace(case, data="constant")
    if case.seed:
        yield replace(case, seed=0)


def shrink(case: Case, still_fails: Callable[[Case], bool], seconds: float, tries: int) -> Case:
    """The smallest case reached from `case` by single steps that still fails."""
    ends, left = time.monotonic() + seconds, tries
    improved = True
    while improved:
        improved = False
        for candidate in simpler(case):
            if left <= 0 or time.monotonic() > ends:
                return case
            left -= 1
            if still_fails(candidate):
                case, improved = candidate, True
                break
    return case
