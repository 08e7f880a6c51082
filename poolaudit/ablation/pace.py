"""How long a run will still take, from the work that was done so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from poolaudit.ablation.executors.executor import EpochDone, TrialDone


@dataclass(slots=True)
class Pace:
    """Work done since the start, in trainings; a started one counts by its epochs.

    Attributes:
        budget_seconds: After which nothing new begins; None for no budget.
        started: By the monotonic clock.
        worked: Trainings done since then, parts included; what the store held already is no work.
        known: Trainings of this round that the store holds.
        fresh: Those it does not.
        most: Trainings that may come at most after this round.
    """

    budget_seconds: float | None = None
    started: float = field(default_factory=time.monotonic)
    worked: float = 0.0
    known: int = 0
    fresh: int = 0
    most: int = 0
    _told: int = 0
    _parts: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)

    def begin_round(self, known: int, fresh: int, most: int) -> None:
        self.known, self.fresh, self.most = known, fresh, most
        self._told = 0
        self._parts.clear()

    def hear(self, event: EpochDone | TrialDone) -> None:
        if isinstance(event, EpochDone):
            key = event.arm, event.seed
            worked = self._parts.get(key, (0.0, 0.0))[0] + 1 / event.total
            self._parts[key] = worked, event.done / event.total
            self.worked += 1 / event.total
            return
        self._told += 1
        if self._told <= self.known:
            return
        self.fresh -= 1
        if self._parts.pop((event.spec.arm, event.spec.seed), None) is None:
            self.worked += 1.0  # code of the user's trained it, which tells of no epochs

    def is_over(self) -> bool:
        """Whether the budget is spent."""
        return self.budget_seconds is not None and time.monotonic() - self.started >= self.budget_seconds

    def words(self) -> str:
        """ "; about 3 min left of this round, at most 20 min in all", once there is something to judge by."""
        if self.worked <= 0 or self.fresh <= 0:
            return ""
        elapsed = time.monotonic() - self.started
        a_training = elapsed / self.worked
        this_round = a_training * (self.fresh - sum(done for _, done in self._parts.values()))
        in_all = this_round + a_training * self.most
        if self.budget_seconds is not None:
            in_all = min(in_all, max(0.0, self.budget_seconds - elapsed))
        if in_all <= this_round * 1.05:
            return f"; about {_spoken(in_all)} left"
        return f"; about {_spoken(this_round)} left of this round, at most {_spoken(in_all)} in all"


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"
