"""Does the test split lie after the training split in time?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from poolaudit.evidence.leakage import TimeOverlap


def time_overlap(train: Sequence[str | None], test: Sequence[str | None]) -> TimeOverlap | str:
    """The order of the splits in time, or why it is not known.

    Times are numbers or ISO 8601; a mixture of both, or of times with and without a zone, cannot be ordered.
    """
    first, second = ([value for value in side if value is not None] for side in (train, test))
    if not first or not second:
        return "the column time is empty in one of the splits"
    readers: tuple[Callable[[str], Any], ...] = (_number, _moment)
    for read in readers:
        try:
            a, b = [read(value) for value in first], [read(value) for value in second]
        except ValueError:
            continue
        try:
            last = max(a)
            before = sum(value <= last for value in b)
            ordered_a, ordered_b = sorted(zip(a, first, strict=True)), sorted(zip(b, second, strict=True))
        except TypeError:
            return "some times have a zone and others have none"
        return TimeOverlap(ordered_a[0][1], ordered_a[-1][1], ordered_b[0][1], ordered_b[-1][1], before, len(second))
    return f"the times are neither numbers nor ISO 8601, for example {first[0][:40]!r}"


def _number(value: str) -> float:
    number = float(value)
    if number != number:
        raise ValueError(value)
    return number


def _moment(value: str) -> datetime:
    return datetime.fromisoformat(value.replace("Z", "+00:00"))
