"""Differences between two arms measured with several seeds on the same items: intervals that cover both.

Seeds and items are crossed: each seed's model meets every item. The variance of the mean difference is

    (seed variance + interaction / items) / seeds  +  item variance / items,

estimated as for two-way clustered data (Cameron, Gelbach and Miller 2011; Owen 2007): from the spread of the seeds'
differences, from the items' influences averaged over seeds, less the interaction that both contain.

Two intervals are made from it. The one that is shown has the degrees of freedom of Satterthwaite (1946), and covers
what it says in simulations from real trials. The one that decides, at far smaller levels, keeps a quantile of its own
for each component - Student's t at seeds - 1 degrees of freedom for the seeds - and adds the half-widths in quadrature
(Zou and Donner 2008): it errs on the safe side where three seeds happen to agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from poolaudit.evidence.estimates import Estimate

Floats = npt.NDArray[np.float64]

# One pseudo-seed of this deviation stands beside the seeds at hand: three seeds can agree by luck, and a rare bad seed
# that they did not show is still possible. It weighs one part in as many as there are seeds, and is added.
PRIOR_DEVIATION = 0.02

METHOD = "seeds and items crossed, t with Satterthwaite's degrees of freedom"


@dataclass(frozen=True, slots=True)
class Crossed:
    """A mean paired difference with its variance components.

    Attributes:
        value: Mean over the seeds.
        seed_variance: Of the mean, from the seeds; falls as 1 / seeds. NaN for a single seed.
        item_variance: Of the mean, from the items; does not fall with seeds.
        other_variance: Of the mean, from anything else that more seeds do not cure (validation items behind a
            threshold).
        seeds: Pairs of seeds.
        support: Items the metric rests on.
    """

    value: float
    seed_variance: float
    item_variance: float
    other_variance: float
    seeds: int
    support: int

    def half_width(self, level: float, seeds: int | None = None) -> float:
        """Half the width of the deciding interval, which misses with probability `level` at most, two-sided.

        Args:
            level: In (0, 1).
            seeds: Foresees the half-width for so many seeds of the same spread; None for the seeds at hand.
        """
        planned = self.seeds if seeds is None else seeds
        fixed = self.item_variance + self.other_variance
        normal = float(special.ndtri(1 - level / 2))
        if planned < 2 or not math.isfinite(self.seed_variance):
            return math.inf
        student = float(special.stdtrit(planned - 1, 1 - level / 2))
        return math.sqrt(student**2 * self.seed_variance * self.seeds / planned + normal**2 * fixed)

    def limits(self, level: float) -> tuple[float, float]:
        half = self.half_width(level)
        return self.value - half, self.value + half

    def p_value(self, hypothesis: float = 0.0) -> float:
        """The level at which the interval just touches `hypothesis`, two-sided."""
        distance = abs(self.value - hypothesis)
        if self.half_width(0.999999) >= distance:
            return 1.0
        low, high = 1e-12, 0.999999
        for _ in range(80):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self.half_width(middle) < distance else (middle, high)
        return high

    def estimate(self, confidence: float, lowest: float = -1.0, highest: float = 1.0) -> Estimate:
        """With interval where two seeds or more were trained; cut at the ends of the metric's range."""
        if self.seeds < 2:
            reason = "one seed has no spread; an interval needs at least two"
            return Estimate(self.value, None, None, self.support, METHOD, confidence, reason)
        variance = self.seed_variance + self.item_variance + self.other_variance
        freedom = (self.seeds - 1) * (variance / self.seed_variance) ** 2 if self.seed_variance > 0 else math.inf
        half = float(special.stdtrit(min(freedom, 1e6), 0.5 + confidence / 2)) * math.sqrt(variance)
        low, high = self.value - half, self.value + half
        return Estimate(
            self.value,
            max(lowest, min(low, self.value)),
            min(highest, max(high, self.value)),
            self.support,
            f"{METHOD}, {self.seeds} seeds",
            confidence,
        )


def crossed_difference(
    differences: Floats,
    influences: Floats,
    support: int,
    *,
    other_variance: float = 0.0,
    scale: float = 1.0,
    prior_deviation: float = PRIOR_DEVIATION,
) -> Crossed:
    """The mean difference of two arms over seeds and items.

    Args:
        differences: Metric of the variant minus that of the baseline, one a seed, shape (seeds,).
        influences: Of each item on each seed's difference, shape (seeds, items); each row sums to 0.
        support: Items the metric rests on.
        other_variance: Added to the variance of the mean.
        prior_deviation: Of the pseudo-seed.
        scale: What one item of the support can change at most is scale / support.

    Raises:
        ValueError: The shapes do not fit, or there is no seed.
    """
    seeds, items = influences.shape
    if differences.shape != (seeds,) or seeds == 0:
        raise ValueError(f"{differences.shape} differences and influences of shape {influences.shape}")
    by_item = influences.mean(axis=0)
    small = items / max(1, items - 1)
    item_total = float((by_item**2).sum()) * small
    unseen = prior_deviation**2 / seeds**2
    seed_variance = float(differences.var(ddof=1)) / seeds + unseen if seeds > 1 else math.nan
    interaction = float(((influences - by_item) ** 2).sum()) * small / (seeds * (seeds - 1)) if seeds > 1 else 0.0
    # Items that all seeds of both arms agree on still leave open what other items would do: never less than the
    # spread that one disagreement would bring.
    floor = (scale / (support + 2)) ** 2
    return Crossed(
        value=float(differences.mean()),
        seed_variance=seed_variance,
        item_variance=max(item_total - interaction, floor),
        other_variance=other_variance,
        seeds=seeds,
        support=support,
    )
