"""A number with its interval, its n and its method."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured number and how far it can be trusted.

    Attributes:
        value: The point estimate; None where it cannot be estimated, never a stand-in such as 0.0.
        low: Lower end of the interval; None where no interval can be given.
        high: Upper end of the interval.
        n: The number of items the estimate rests on (for recall: the positives).
        method: How the interval was made, for example "Wilson score".
        confidence: The interval's coverage, in (0, 1).
        reason: Why there is no value, or no interval; None where both are there.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    confidence: float = 0.95
    reason: str | None = None

    def __post_init__(self) -> None:
        numbers = [x for x in (self.value, self.low, self.high) if x is not None]
        if not all(math.isfinite(x) for x in numbers):
            raise ValueError(f"an estimate is finite or None with a reason, not {numbers}")
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has two ends")
        if len(numbers) < 3 and not self.reason:
            raise ValueError("an estimate without value or interval carries a reason")

    @classmethod
    def not_estimable(cls, reason: str, *, n: int = 0, method: str = "none") -> Estimate:
        return cls(value=None, low=None, high=None, n=n, method=method, reason=reason)
