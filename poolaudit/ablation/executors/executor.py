"""What every executor offers: trials go in, finished ones come out, the store has them by then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from poolaudit.ablation.trial import TrialSpec
from poolaudit.store.trials import StoredTrial


@dataclass(frozen=True, slots=True)
class EpochDone:
    """A running trial finished an epoch."""

    arm: str
    seed: int
    done: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class TrialDone:
    """A trial is in the store, whatever its outcome."""

    spec: TrialSpec
    trial: StoredTrial


OnEvent = Callable[[EpochDone | TrialDone], None]


class Executor(Protocol):
    """Runs trials somewhere; used as a context manager."""

    def __enter__(self) -> Executor: ...
    def __exit__(self, *exception: object) -> None: ...
    def run(self, specs: Sequence[TrialSpec], on_event: OnEvent) -> None:
        """Returns when all trials are stored.

        Raises:
            NoSpaceError: The disk is full; what was stored before is whole.
            KeyboardInterrupt: The user interrupted; likewise.
        """
        ...
