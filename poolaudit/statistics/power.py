"""What a comparison over seeds and items can show: before it is run, and after."""

from __future__ import annotations

import math

from scipy import special

from poolaudit.statistics.crossed import Crossed

MOST_SEEDS = 200
# Between two trainings of one small network, recall commonly moves by about this much (standard deviation of the
# difference), and this share of the items changes sides; only for the plan, replaced by what was measured.
ASSUMED_SEED_DEVIATION = 0.03
ASSUMED_DISAGREEMENT = 0.10


def standard_error(difference: Crossed, seeds: int | None = None) -> float:
    """Of the mean difference; for another number of seeds of the same spread where one is given."""
    planned = difference.seeds if seeds is None else seeds
    return math.sqrt(
        difference.seed_variance * difference.seeds / planned + difference.item_variance + difference.other_variance
    )


def planned_difference(seeds: int, support: int) -> Crossed:
    """The components to reckon with before anything was trained, for so many seeds and items of the class."""
    return Crossed(
        value=0.0,
        seed_variance=ASSUMED_SEED_DEVIATION**2 / seeds,
        item_variance=ASSUMED_DISAGREEMENT / max(1, support) / 2,
        other_variance=0.0,
        seeds=seeds,
        support=support,
    )


def power(difference: Crossed, effect: float, level: float, seeds: int | None = None) -> float:
    """Chance that the two-sided interval at `level` excludes 0 on the right side if the true effect is `effect`."""
    error = standard_error(difference, seeds)
    if error == 0.0 or not math.isfinite(error):
        return 0.0
    return float(special.ndtr((abs(effect) - difference.half_width(level, seeds)) / error))


def detectable_effect(difference: Crossed, level: float, wanted: float = 0.8, seeds: int | None = None) -> float:
    """The smallest true effect whose difference from 0 is shown with the wanted power."""
    half = difference.half_width(level, seeds)
    return half + float(special.ndtri(wanted)) * standard_error(difference, seeds)


def chance_to_decide(difference: Crossed, level: float, equivalence_level: float, margin: float, seeds: int) -> float:
    """Chance that with so many seeds in all the difference is shown to be one, or to be within the margin.

    Predicted from the seeds at hand: the mean of the further seeds is as uncertain as the mean of these.

    Args:
        level: Two-sided level of the test for a difference.
        equivalence_level: Two-sided level of the interval that must lie within the margin.
        margin: Smallest effect that matters, above 0.
        seeds: In all, at least those at hand.
    """
    half = difference.half_width(level, seeds)
    room = margin - difference.half_width(equivalence_level, seeds)
    spread = math.sqrt(max(0.0, difference.seed_variance * (1 - difference.seeds / seeds)))
    if not math.isfinite(half):
        return 0.0
    if spread == 0.0:
        return float(abs(difference.value) > half or abs(difference.value) < room)
    below, above = (-half - difference.value) / spread, (half - difference.value) / spread
    chance = float(special.ndtr(below) + special.ndtr(-above))
    if room > 0:
        chance += float(
            special.ndtr((room - difference.value) / spread) - special.ndtr((-room - difference.value) / spread)
        )
    return min(1.0, chance)


def seeds_to_decide(difference: Crossed, level: float, equivalence_level: float, margin: float) -> int | None:
    """Seeds in all at which the same observed difference would be decided; None where no number up to 200 does."""
    for seeds in range(max(2, difference.seeds + 1), MOST_SEEDS + 1):
        room = margin - difference.half_width(equivalence_level, seeds)
        if abs(difference.value) > difference.half_width(level, seeds) or abs(difference.value) < room:
            return seeds
    return None


def items_to_decide(difference: Crossed, level: float, equivalence_level: float, margin: float) -> int | None:
    """Items of the support at which the same observed difference would be decided with the seeds at hand.

    None where the seeds' spread alone leaves it open.
    """
    for factor in (1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128):
        more = Crossed(
            difference.value,
            difference.seed_variance,
            difference.item_variance / factor,
            difference.other_variance / factor,
            difference.seeds,
            difference.support,
        )
        if abs(more.value) > more.half_width(level) or abs(more.value) < margin - more.half_width(equivalence_level):
            return math.ceil(difference.support * factor)
    return None
