"""What a check can end in, how much it weighs, and what an audit can conclude."""

from __future__ import annotations

from enum import Enum


class Outcome(str, Enum):
    """How one check ended. Only PASSED is good news; the last three always carry a reason."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    UNDECIDED = "UNDECIDED"
    SKIPPED = "SKIPPED"
    CRASHED = "CRASHED"

    def __str__(self) -> str:
        return self.value


class Severity(str, Enum):
    """What a failed check means for the release, heaviest first.

    CRITICAL: do not release. MAJOR: a person must look before release. MINOR: worth mending. INFO: worth knowing.
    """

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    INFO = "info"

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        """0 for the heaviest."""
        return list(Severity).index(self)

    def at_least(self, other: Severity) -> bool:
        return self.rank <= other.rank


class Verdict(str, Enum):
    """The conclusion of an audit."""

    READY = "READY"
    NEEDS_REVIEW = "NEEDS_REVIEW"
    NOT_READY = "NOT_READY"
    INCONCLUSIVE = "INCONCLUSIVE"

    def __str__(self) -> str:
        return self.value
