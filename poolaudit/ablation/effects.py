"""Effects: variant minus baseline on one metric, paired by seed and by test item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from poolaudit.ablation.measures import COLLAPSED, DEAD, LEARNED, MATCHED, TrialMeasures
from poolaudit.evidence.estimates import Estimate
from poolaudit.statistics.crossed import Crossed, crossed_difference
from poolaudit.statistics.intervals import normal_quantile

ITEMS_ONLY = "this one trained model, items only"

Arm = Mapping[int, TrialMeasures]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Seeds in which variant and baseline can be compared.

    Attributes:
        seeds: In both, and learned in both; or, where `never_learns` says so, learned in one of them.
        never_learns: "baseline" or "variant" where that arm is alive but learned in none of its seeds, and the other
            so much more often that chance does not explain it; "" otherwise. Then not learning is what that arm does,
            and its trials are its measure; otherwise a trial that never learned is left out, and counted.
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
    learned = [seed for seed in common if variant[seed].state == baseline[seed].state == LEARNED]
    if learned:
        return Pairing(tuple(learned))
    for never, other, name in ((baseline, variant, "baseline"), (variant, baseline, "variant")):
        alive = all(never[seed].state == COLLAPSED for seed in common)
        others = [seed for seed in common if other[seed].state == LEARNED]
        if common and alive and _learns_more_often(len(others), len(common)) <= level:
            return Pairing(tuple(others), name)
    return Pairing(())


def _learns_more_often(learned: int, seeds: int) -> float:
    """One-sided Fisher test of `learned` of `seeds` against none of `seeds`: C(n, k) / C(2n, k)."""
    return float(special.binom(seeds, learned) / special.binom(2 * seeds, learned))


def difference(variant: Arm, baseline: Arm, pairing: Pairing, metric: str) -> Crossed | None:
    """The paired difference with its variance components; None where no pair of seeds defines the metric."""
    pairs = [
        (variant[seed], baseline[seed])
        for seed in pairing.seeds
        if np.isfinite(variant[seed].metrics[metric].value) and np.isfinite(baseline[seed].metrics[metric].value)
    ]
    if not pairs:
        return None
    differences = np.array([v.metrics[metric].value - b.metrics[metric].value for v, b in pairs])
    influences = np.stack([v.metrics[metric].influences - b.metrics[metric].influences for v, b in pairs])
    support = min(min(v.metrics[metric].support, b.metrics[metric].support) for v, b in pairs)
    from_validation = 0.0
    if metric == MATCHED:
        drawn = np.mean([v.matched_draws - b.matched_draws for v, b in pairs], axis=0)
        from_validation = float(drawn.var(ddof=1)) if len(drawn) > 1 else 0.0
    return crossed_difference(differences, influences, support, other_variance=from_validation)


def swap_difference(variant: TrialMeasures, baseline: TrialMeasures, metric: str, confidence: float) -> Estimate:
    """The difference of two models with fixed weights: the interval covers the items, no seeds."""
    pairing = Pairing((0,))
    found = difference({0: variant}, {0: baseline}, pairing, metric)
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
