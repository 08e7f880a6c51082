"""Whether the trials stand for the shipped model: its average precision beside that of the retrained baseline."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence
from poolaudit.evidence.wording import percent
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome
from poolaudit.pitfalls.ablation_reading import LEARNED, metric_of
from poolaudit.pitfalls.detector import Judgement
from poolaudit.policy import Policy

FEWEST_TRAININGS = 3
TRAINED_AS_SHIPPED = (
    "Trials trained as the shipped model was: for more epochs (`--epochs`) and the time they take (`--minutes`), or by "
    "a recipe with its own training code."
)
_WIDE = 0.15


@dataclass(frozen=True, slots=True)
class Retraining:
    """The shipped model beside the trainings of the baseline that learned, by average precision.

    Attributes:
        shipped: Of the model as shipped.
        mean: Over the trainings.
        reach: Half the width of the interval in which one more training would fall.
        trainings: That learned.
        margin: Smallest effect that matters.
    """

    shipped: float
    mean: float
    reach: float
    trainings: int
    margin: float

    @property
    def falls_short(self) -> bool:
        """The trials are trained worse than the model that ships."""
        return self.shipped > self.mean + self.reach + self.margin

    @property
    def surpasses(self) -> bool:
        """The model that ships is worse than what its own architecture learns."""
        return self.shipped < self.mean - self.reach - self.margin

    def is_outdone_by(self, arm: ArmEvidence) -> bool:
        """Even trained so, the variant ranks better than the model that ships."""
        effect = arm.effect("average_precision")
        return effect is not None and effect.estimate.low is not None and self.mean + effect.estimate.low > self.shipped

    @property
    def vouches_for_nothing(self) -> bool:
        """The trainings spread so widely that hardly any model would lie outside."""
        return abs(self.shipped - self.mean) > self.margin and self.reach > _WIDE

    @property
    def spread(self) -> str:
        """ "0.488 ± 0.970": no share of anything where it leaves the range of one."""
        return f"{self.mean:.3f} ± {self.reach:.3f}"

    @property
    def facts(self) -> tuple[Fact, ...]:
        return (
            Fact("Average precision as shipped", f"{self.shipped:.3f}"),
            Fact(f"Average precision of the retrained baseline, {self.trainings} seeds", self.spread),
        )


def retraining(ablation: AblationEvidence, policy: Policy) -> Retraining | None:
    """None where the shipped model has no average precision, or fewer than three trainings of the baseline learned."""
    shipped = dict(ablation.shipped).get("average_precision")
    learned = [row for row in ablation.trials if row.arm == ablation.baseline.name and row.state == LEARNED]
    values = [value for row in learned if (value := metric_of(row, "average_precision")) is not None]
    if shipped is None or len(values) < FEWEST_TRAININGS:
        return None
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    student = float(special.stdtrit(len(values) - 1, 0.5 + policy.confidence / 2))
    reach = student * spread * (1 + 1 / len(values)) ** 0.5
    return Retraining(shipped, mean, reach, len(values), policy.smallest_effect)


def untold_by_the_trials(
    ablation: AblationEvidence,
    policy: Policy,
    shown: str,
    facts: tuple[Fact, ...],
    names: tuple[str, ...],
    gaining: Sequence[ArmEvidence] = (),
) -> Judgement | None:
    """Undecided where the trials fall short of the shipped model; None where they do not, or nothing tells.

    Badly trained trials show neither that other pooling gains nor that it does not: what learns faster leads. A variant
    that even so outdoes the model that ships has shown its gain.

    Args:
        shown: What the trials show, a clause without its full stop.
        facts: On the variants.
        names: Of the variants.
        gaining: Variants that are shown to gain in the trials.
    """
    found = retraining(ablation, policy)
    if found is None or not found.falls_short or any(map(found.is_outdone_by, gaining)):
        return None
    return Judgement(
        Outcome.UNDECIDED,
        f"{shown}; but the retrained baseline (average precision {percent(found.mean)}) does not reach the shipped "
        f"model ({percent(found.shipped)}), so what these trainings show need not hold for it.",
        (*facts, *found.facts),
        TRAINED_AS_SHIPPED,
        subjects=tuple(Subject(name, False) for name in names),
    )
