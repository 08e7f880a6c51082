"""Effects: variant minus baseline on one metric, paired by seed and by test item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from poolaudit.ablation.measures import COLLAPSED, DEAD, LEARNED, MATCHED, TrialMeasures
from poolaudit.evidence.estimates import Estimate
from poolaudit.statistics.crossed import Crossed, crossed_difference
from poolaudit.statistics.intervals import normal_quantile

ITEMS_ONLY = "this one trained model, items only"

Arm = Mapping[int, TrialMeasures]


# An arm that learns with at most this share of its seeds hardly ever learns.
HARDLY_EVER = 0.2


@dataclass(frozen=True, slots=True)
class Pairing:
    """Seeds in which variant and baseline can be compared.

    A trial that never learned is left out, and counted: seeds differ more than variants do. Only where an arm hardly
    ever learns although it is alive, and the other learns so much more often that chance does not explain it, is not
    learning what that arm does; then its living trials are its measure.

    Attributes:
        seeds: Those compared.
        never_learns: "baseline" or "variant" where that arm hardly ever learns and its trials are kept; "" otherwise.
    """

    seeds: tuple[int, ...]
    never_learns: str = ""


def pair(variant: Arm, baseline: Arm, seeds: Sequence[int], level: float) -> Pairing:
    """Which seeds to compare.

    Args:
        variant: Trials by seed.
        baseline: Likewise.
        seeds: Those looked at.
        level: Of the one-sided exact test (Fisher) that one arm learns more often than the other.
    """
    common = [seed for seed in seeds if seed in variant and seed in baseline]
    for rare, other, name in ((baseline, variant, "baseline"), (variant, baseline, "variant")):
        living = [seed for seed in common if rare[seed].state in (LEARNED, COLLAPSED)]
        learned = sum(rare[seed].state == LEARNED for seed in living)
        others = sum(other[seed].state == LEARNED for seed in common)
        if (
            living
            and learned <= HARDLY_EVER * len(living)
            and learns_more_often(others, len(common), learned, len(living)) <= level
        ):
            return Pairing(tuple(seed for seed in living if other[seed].state == LEARNED), name)
    return Pairing(tuple(seed for seed in common if variant[seed].state == baseline[seed].state == LEARNED))


def learns_more_often(learned: int, seeds: int, other_learned: int, other_seeds: int) -> float:
    """One-sided exact p-value (Fisher 1935) that the first arm learns no more often than the second."""
    total = learned + other_learned
    ways = special.binom(seeds + other_seeds, total)
    tail = sum(
        special.binom(seeds, k) * special.binom(other_seeds, total - k) for k in range(learned, min(seeds, total) + 1)
    )
    return float(tail / ways)


def difference(
    variant: Arm, baseline: Arm, seeds: Sequence[int], metric: str, less: tuple[Arm, Arm] | None = None
) -> Crossed | None:
    """The paired difference with its variance components; None where no pair of seeds defines the metric.

    Args:
        variant: Trials by seed.
        baseline: Likewise.
        seeds: Those to compare.
        metric: Its name.
        less: Variant and baseline measured on other test items; their difference is taken off.
    """
    measured = ((1.0, variant, baseline), *(((-1.0, *less),) if less else ()))
    kept = [s for s in seeds if all(np.isfinite(arm[s].metrics[metric].value) for _, *arms in measured for arm in arms)]
    if not kept:
        return None
    pairs = [[(sign, v[seed].metrics[metric], b[seed].metrics[metric]) for sign, v, b in measured] for seed in kept]
    differences = np.array([sum(sign * (v.value - b.value) for sign, v, b in pair) for pair in pairs])
    influences = np.stack(
        [np.concatenate([sign * (v.influences - b.influences) for sign, v, b in pair]) for pair in pairs]
    )
    support = min(min(v.support, b.support) for pair in pairs for _, v, b in pair)
    from_validation = 0.0
    if metric == MATCHED:
        drawn = [
            sum(sign * (v[seed].matched_draws - b[seed].matched_draws) for sign, v, b in measured) for seed in kept
        ]
        from_validation = validation_variance(np.stack(drawn))
    return crossed_difference(differences, influences, support, other_variance=from_validation)


def validation_variance(drawn: npt.NDArray[np.float64]) -> float:
    """Variance of the mean difference that the choice of validation items brings, whatever the seeds.

    Args:
        drawn: Difference by seed for each draw of validation items, shape (seeds, draws). What the draws do to single
            seeds is part of the seeds' spread already, and is taken off.
    """
    seeds, draws = drawn.shape
    if draws < 2:
        return 0.0
    by_draw = drawn.mean(axis=0)
    total = float(by_draw.var(ddof=1))
    if seeds < 2:
        return total
    own = drawn - by_draw
    own = own - own.mean(axis=1, keepdims=True)
    interaction = float((own**2).sum()) / ((draws - 1) * seeds * (seeds - 1))
    return float(max(0.0, total - interaction))


def swap_difference(variant: TrialMeasures, baseline: TrialMeasures, metric: str, confidence: float) -> Estimate:
    """The difference of two models with fixed weights: the interval covers the items, no seeds."""
    found = difference({0: variant}, {0: baseline}, (0,), metric)
    if found is None:
        return Estimate.not_estimable("0 divided by 0 in one of the two", method=ITEMS_ONLY)
    half = normal_quantile(confidence) * (found.item_variance + found.other_variance) ** 0.5
    limit = np.inf if metric == "log_loss" else 1.0
    low, high = max(-limit, found.value - half), min(limit, found.value + half)
    return Estimate(found.value, float(low), float(high), found.support, ITEMS_ONLY, confidence)


def states(arm: Arm) -> dict[str, int]:
    """How many trials of the arm ended in each state."""
    counts: dict[str, int] = {}
    for trial in arm.values():
        counts[trial.state] = counts.get(trial.state, 0) + 1
    return counts


def unlearned(arm: Arm) -> int:
    """Trials that never learned: collapsed or dead."""
    return sum(trial.state in (COLLAPSED, DEAD) for trial in arm.values())
