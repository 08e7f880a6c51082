"""What an ablation is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from poolaudit.ablation.executors.names import EXECUTORS
from poolaudit.errors import InvalidInputError, did_you_mean, listed

SWAP, RECALIBRATED, RETRAINED = "swap", "recalibrated", "retrained"
DEPTHS = (SWAP, RECALIBRATED, RETRAINED)
DEFAULT_SEEDS = 12
FEWEST_SEEDS = 3
DEFAULT_STORE = Path("poolaudit-trials")


@dataclass(frozen=True, slots=True)
class AblationSettings:
    """How deep and how far.

    Attributes:
        depth: "swap" exchanges the pooling under the trained weights; "recalibrated" also re-estimates statistics and
            fine-tunes for an epoch; "retrained" also trains every arm from scratch with several seeds.
        variants: Texts such as "weaker@stem"; None chooses from what applies to the model.
        seeds: A variant gets at most, 3 or more.
        epochs: Passes over the training data; None for the recipe's or the default.
        batch_size: Items a step; None likewise.
        race: Add seeds only where the decision is open; False trains every arm with every seed.
        executor: "local" or "ray".
        workers: Worker processes, or trials at a time; None for one a core.
        store: Folder of trials, kept between runs.
        waits: For another run that uses the store; False refuses to run beside it.
        resume: Trials in the store count; False trains them again.
        budget_seconds: No new seeds are begun after this; None for no limit.
        seed: Of everything random outside the trials, whose seeds are 0, 1, 2 and so on.
    """

    depth: str = RETRAINED
    variants: tuple[str, ...] | None = None
    seeds: int = DEFAULT_SEEDS
    epochs: int | None = None
    batch_size: int | None = None
    race: bool = True
    executor: str = "local"
    workers: int | None = None
    store: Path = DEFAULT_STORE
    waits: bool = False
    resume: bool = True
    budget_seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, allowed in (("depth", self.depth, DEPTHS), ("executor", self.executor, EXECUTORS)):
            if value not in allowed:
                raise InvalidInputError(f"There is no {name} {value!r}", listed(allowed), did_you_mean(value, allowed))
        limits = (("seeds", FEWEST_SEEDS), ("epochs", 1), ("batch_size", 1), ("workers", 1))
        for name, lowest in limits:
            number = getattr(self, name)
            if number is not None and number < lowest:
                raise InvalidInputError(f"{name} is {number}", f"{lowest} or more")
        if self.budget_seconds is not None and not self.budget_seconds > 0:
            raise InvalidInputError(f"The time budget is {self.budget_seconds} seconds", "more than 0")
        if self.variants is not None and not self.variants:
            raise InvalidInputError("No variant is named", "at least one, or none at all for a choice by the model")
