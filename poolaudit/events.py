"""What a long run tells whoever listens; the engine emits, the command line and others only listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from poolaudit.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage began; `position` counts from 1."""

    stage: str
    position: int
    total: int


@dataclass(frozen=True, slots=True)
class StageProgress:
    """Within a stage `done` of `total` steps are finished; `what` names the step in words."""

    stage: str
    done: int
    total: int
    what: str = ""


@dataclass(frozen=True, slots=True)
class StageNews:
    """Within a stage something was settled that a reader wants to see at once, such as a variant that is decided."""

    stage: str
    text: str


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage ended, with the reason where it did not simply run."""

    stage: str
    outcome: Outcome
    duration_seconds: float
    reason: str | None = None


Event = StageStarted | StageProgress | StageNews | StageFinished
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener that does nothing."""
