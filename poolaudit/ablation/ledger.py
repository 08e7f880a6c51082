"""The trials of a run by arm and seed, measured once each, and the decisions that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from poolaudit.ablation.effects import HARDLY_EVER, Pairing, difference, pair, states
from poolaudit.ablation.measures import AVERAGE_PRECISION, LEARNED, MATCHED, METRICS, TrialMeasures
from poolaudit.ablation.race import EQUIVALENT, UNDECIDED, Rules, Standing, replay, wanted
from poolaudit.ablation.trial import BASELINE, CONTROL_SUFFIX
from poolaudit.evidence.ablation import Comparison, Effect
from poolaudit.evidence.estimates import Estimate
from poolaudit.statistics.crossed import Crossed
from poolaudit.statistics.power import detectable_effect, items_to_decide, seeds_to_decide
from poolaudit.statistics.sequential import holm_levels

# Two pairs can agree by luck so closely that their spread says nothing.
FEWEST_PAIRS = 3


@dataclass(slots=True)
class Ledger:
    """What is known of each arm.

    Attributes:
        names: Arms that are compared with the baseline; each is a hypothesis.
        rules: Of the race.
        primary: The metric that decides.
        arms: Trials by seed, by arm; "baseline" is one of them.
    """

    names: tuple[str, ...]
    rules: Rules
    primary: str = MATCHED
    arms: dict[str, dict[int, TrialMeasures]] = field(default_factory=dict)

    def add(self, arm: str, seed: int, trial: TrialMeasures) -> None:
        self.arms.setdefault(arm, {})[seed] = trial

    def arm(self, name: str) -> Mapping[int, TrialMeasures]:
        return self.arms.get(name, {})

    def seeds_of(self, name: str) -> int:
        """k where seeds 0 to k - 1 of the arm are there."""
        known = self.arm(name)
        return next(k for k in range(len(known) + 1) if k not in known)

    def trained(self, name: str) -> int:
        """Seeds that are there for the arm and for the baseline."""
        return min(self.seeds_of(name), self.seeds_of(BASELINE))

    def pairing(self, name: str, seeds: int) -> Pairing:
        return pair(self.arm(name), self.arm(BASELINE), range(seeds), self._learning_level())

    def measure(self, name: str, seeds: int) -> Crossed | None:
        """The paired difference on the primary metric; None until three pairs of seeds define it."""
        return self.difference(name, BASELINE, self.pairing(name, seeds).seeds)

    def difference(self, name: str, other: str, seeds: Sequence[int], less: Ledger | None = None) -> Crossed | None:
        """An arm minus another on the primary metric, paired by these seeds; None where fewer than three define it.

        Args:
            less: The same trials on other test items; the difference there is taken off.
        """
        taken_off = None if less is None else (less.arm(name), less.arm(other))
        found = difference(self.arm(name), self.arm(other), seeds, self.primary, taken_off)
        return found if found is not None and found.seeds >= FEWEST_PAIRS else None

    def standings(self) -> dict[str, Standing]:
        return replay(self.names, self.trained, self.measure, self.rules, self.neither_learns, self.controls)

    @property
    def controls(self) -> dict[str, str]:
        """The variant of each parameter-matched control."""
        found = {name: name.removesuffix(CONTROL_SUFFIX) for name in self.names if name.endswith(CONTROL_SUFFIX)}
        return {control: variant for control, variant in found.items() if variant in self.names}

    def neither_learns(self, name: str, seeds: int) -> bool:
        """Whether both arms hardly ever learned in so many seeds."""
        return all(
            sum(self.arm(arm)[seed].state == LEARNED for seed in range(seeds)) <= HARDLY_EVER * seeds
            for arm in (name, BASELINE)
        )

    def needs(self) -> list[tuple[str, int]]:
        """Trials (arm, seed) that the open arms need for their next look, the baseline's first."""
        targets = wanted(self.standings(), self.trained, self.rules, self.controls)
        most = max((seeds for _, seeds in targets), default=0)
        missing = [(BASELINE, seed) for seed in range(most) if seed not in self.arm(BASELINE)]
        missing += [(name, seed) for name, seeds in targets for seed in range(seeds) if seed not in self.arm(name)]
        return sorted(missing, key=lambda need: (need[1], need[0] != BASELINE))

    def most_left(self) -> int:
        """Trials that the open arms need at most, should each take all its planned seeds."""
        open_arms = [name for name, standing in self.standings().items() if standing.stopped is None]
        return sum(self.rules.planned - self.seeds_of(name) for name in (BASELINE, *open_arms)) if open_arms else 0

    def effects(self, name: str, confidence: float) -> tuple[Effect, ...]:
        """Every metric's paired difference over all seeds at hand."""
        pairing = self.pairing(name, self.trained(name))
        effects = []
        for metric in METRICS:
            found = difference(self.arm(name), self.arm(BASELINE), pairing.seeds, metric)
            if found is None:
                if metric != MATCHED or self.primary == MATCHED:
                    reason = "no pair of seeds learned and defines it"
                    effects.append(Effect(metric, Estimate.not_estimable(reason), 0))
                continue
            limit = float("inf") if metric == "log_loss" else 2.0 if metric == "matthews_correlation" else 1.0
            effects.append(Effect(metric, found.estimate(confidence, -limit, limit), found.seeds))
        return tuple(effects)

    def comparison(self, name: str, standing: Standing, *, out_of_time: bool = False) -> Comparison:
        """The standing as evidence, with what would decide it."""
        found = standing.difference
        pairing = self.pairing(name, standing.seeds)
        stopped = standing.stopped or ("budget" if out_of_time and standing.seeds else "")
        if found is None or standing.seeds == 0:
            return Comparison(
                UNDECIDED,
                seeds=standing.seeds,
                pairs=len(pairing.seeds),
                stopped=stopped,
                never_learns=pairing.never_learns,
                reason=self._why_no_difference(name, standing),
            )
        decides = standing.equivalence_level if standing.decision == EQUIVALENT else standing.level
        low, high = _possible(found.limits(decides))
        beyond_low, beyond_high = _possible(found.limits(standing.margin_level))
        seeds_more = items_more = None
        reason = ""
        if standing.decision == UNDECIDED:
            rest = found, standing.level, standing.equivalence_level, self.rules.margin
            seeds_more = seeds_to_decide(*rest)
            items_more = items_to_decide(*rest) if seeds_more is None else None
            reason = "the corrected interval holds both no difference and one that matters"
        return Comparison(
            decision=standing.decision,
            low=low,
            high=high,
            beyond_low=beyond_low,
            beyond_high=beyond_high,
            seeds=standing.seeds,
            pairs=found.seeds,
            stopped=stopped,
            seeds_to_decide=seeds_more,
            items_to_decide=items_more,
            detectable=detectable_effect(found, standing.level),
            never_learns=pairing.never_learns,
            reason=reason,
        )

    def _why_no_difference(self, name: str, standing: Standing) -> str:
        if standing.stopped == "moot":
            return "its variant shows no gain that the number of parameters might explain"
        if standing.seeds == 0:
            return f"{self.trained(name)} of the {self.rules.looks()[0]} seeds that a first decision takes were trained"
        if len(self.pairing(name, standing.seeds).seeds) >= FEWEST_PAIRS:
            return f"fewer than {FEWEST_PAIRS} pairs of seeds define it on these test items"
        ends = ", ".join(
            f"{count} {state}" for arm in (name, BASELINE) for state, count in sorted(states(self.arm(arm)).items())
        )
        return f"fewer than {FEWEST_PAIRS} pairs of seeds learned in both arms ({ends})"

    def _learning_level(self) -> float:
        return holm_levels(len(self.names), 0, self.rules.error)


def _possible(limits: tuple[float, float]) -> tuple[float, float]:
    """Cut to what a difference of two shares can be; every primary metric is a share."""
    return max(-1.0, limits[0]), min(1.0, limits[1])


def primary_metric(has_validation: bool, classes: Sequence[int], most_classes: int) -> str:
    """Recall at matched precision where thresholds can be chosen on validation data, else average precision."""
    return MATCHED if has_validation and len(classes) <= most_classes else AVERAGE_PRECISION
