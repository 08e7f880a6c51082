"""What becomes of the ablation's decisions when its trainings are measured without the leaked test items."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence, Comparison
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.leakage import AgainstLeader, LeakageEvidence, LeakedEffect, RankingWithoutLeak
from poolaudit.evidence.wording import p_value
from poolaudit.findings import Fact
from poolaudit.pitfalls.ablation_reading import METRIC_NAMES, points
from poolaudit.results import Evidence

SAME, CHANGED, WITHIN, OPEN = "the same", "changed", "not shown to change", "cannot be told"
_RANK = {"better": 1, "worse": -1}
_VARIANTS_NAMED = 6


@dataclass(frozen=True, slots=True)
class VariantWithoutLeak:
    """One trained variant on all test items and on the clean ones, on the metric that decides.

    Attributes:
        place: By its effect on all test items, from 1.
        clean_place: By that on the clean ones; None where it has none there.
        all, clean: The effects.
        decision, clean_decision: "better", "worse", "equivalent" or "undecided".
        leaked: On the leaked items; None where it was not compared there.
        state: "the same", "changed", "not shown to change" where the decisions differ and chance may be why, or
            "cannot be told" where the effects lie apart and the leaked items alone have none to test that by.
    """

    name: str
    place: int
    clean_place: int | None
    all: Estimate
    clean: Estimate
    decision: str
    clean_decision: str
    leaked: LeakedEffect | None
    state: str


def variants_without_leak(evidence: Evidence) -> tuple[VariantWithoutLeak, ...]:
    """The trained variants, best on all test items first; empty where none was measured again.

    A decision has changed where the two contradict each other, or where they differ, the leaked items pull the effect
    that way, and leaked and clean items differ in it beyond chance (corrected for the number of variants). So has one
    that was beyond the smallest effect that matters and no longer is, in the same way. A decision that is merely lost
    with the items that were left out has not.
    """
    before, leak = evidence.ablation, evidence.leakage
    after = None if leak is None else leak.impact.ablation
    if before is None or leak is None or after is None:
        return ()
    leaked = {found.name: found for found in leak.impact.ranking.leaked} if leak.impact.ranking else {}
    error = before.family_wise_error / max(1, sum(found.p_value is not None for found in leaked.values()))
    theirs = {arm.name: arm for arm in after.variants}
    pairs = [(arm, theirs[arm.name]) for arm in before.variants if arm.comparison is not None and arm.name in theirs]
    places, clean_places = _places(before, [ours for ours, _ in pairs]), _places(after, [other for _, other in pairs])
    rows = [
        VariantWithoutLeak(
            ours.name,
            places.get(ours.name, len(pairs)),
            clean_places.get(ours.name),
            _effect(before, ours),
            _effect(after, other),
            ours.comparison.decision,
            other.comparison.decision,
            leaked.get(ours.name),
            _state(
                ours.comparison,
                other.comparison,
                _effect(before, ours),
                _effect(after, other),
                leaked.get(ours.name),
                before,
                error,
            ),
        )
        for ours, other in pairs
        if ours.comparison is not None and other.comparison is not None
    ]
    return tuple(sorted(rows, key=lambda row: (row.place, row.name)))


def overtaken_by(evidence: Evidence) -> AgainstLeader | None:
    """The variant that is shown to do better on the clean items than the one that does best on all; None without one.

    By an interval corrected for the number of variants compared with the best.
    """
    leak, before = evidence.leakage, evidence.ablation
    if leak is None or before is None or leak.impact.ranking is None:
        return None
    against = [found for found in leak.impact.ranking.against_leader if found.p_value is not None]
    error = before.family_wise_error / max(1, len(against))
    ahead = [f for f in against if (f.p_value or 0.0) < error and (f.difference.value or 0.0) > 0]
    return max(ahead, key=lambda found: found.difference.value or 0.0, default=None)


def decided_words(decision: str, effect: Estimate) -> str:
    """ "better (+0.120)"."""
    return decision if effect.value is None else f"{decision} ({effect.value:+.3f})"


def trained_facts(evidence: Evidence) -> tuple[Fact, ...]:
    """What becomes of the trained variants, those whose decision changes first."""
    variants, leak = variants_without_leak(evidence), evidence.leakage
    if not variants or leak is None:
        return ()
    same = sum(variant.state == SAME for variant in variants)
    changed = sum(variant.state == CHANGED for variant in variants)
    told = f"the same on {same} of {len(variants)} trained variants, changed on {changed}"
    untold = sum(variant.state == OPEN for variant in variants)
    within = len(variants) - same - changed - untold
    told += f"; not shown to change on {within}" if within else ""
    told += f"; cannot be told on {untold}" if untold else ""
    facts = [Fact("Decisions of the ablation without the leak", told)]
    if leak.impact.ranking is not None and leak.impact.ranking.leader:
        facts.append(Fact("Best trained variant without the leak", _leader_words(evidence, leak.impact.ranking)))
    worth = sorted((v for v in variants if v.state != SAME), key=lambda v: (v.state != CHANGED, v.place))
    for variant in worth[:_VARIANTS_NAMED]:
        shift = ""
        if variant.leaked is not None and variant.leaked.p_value is not None:
            shift = f"; leaked minus clean {points(variant.leaked.shift)}, {p_value(variant.leaked.p_value)}"
        facts.append(
            Fact(
                f"{variant.name} without the leak: {variant.state}",
                f"all {variant.decision}, {points(variant.all)}; clean {variant.clean_decision}, "
                f"{points(variant.clean)}{shift}",
            )
        )
    if leak.impact.ablation is not None:
        facts += [Fact("What the trainings saw", note) for note in leak.impact.ablation.notes]
    return tuple(facts)


def _leader_words(evidence: Evidence, ranking: RankingWithoutLeak) -> str:
    overtaker = overtaken_by(evidence)
    if overtaker is None:
        return f"{ranking.leader}, best on all test items, is not shown to be overtaken on the clean ones"
    return (
        f"{overtaker.name} overtakes {ranking.leader}, best on all test items, on the clean ones by "
        f"{points(overtaker.difference)}"
    )


def exchanged_facts(leak: LeakageEvidence) -> tuple[Fact, ...]:
    """How the exchanged pooling ranks without the leak, and what could not be measured again."""
    ranking = leak.impact.ranking
    if ranking is None:
        return ()
    facts, metric = [], METRIC_NAMES.get(ranking.metric, ranking.metric)
    if ranking.reason is not None:
        facts.append(Fact("Ranking of the exchanged pooling without the leak", f"not measured: {ranking.reason}"))
    elif not _turned(ranking):
        facts.append(Fact("Ranking of the exchanged pooling without the leak", f"the same, by {metric}"))
    else:
        orders = [", ".join(name for name, _ in order[:4]) for order in (ranking.all, ranking.clean)]
        facts.append(
            Fact(
                "Ranking of the exchanged pooling without the leak",
                f"all: {orders[0]}; clean: {orders[1]} ({metric})",
            )
        )
    if ranking.not_ranked:
        facts.append(Fact("Ranking of the trained variants", ranking.not_ranked))
    return tuple(facts)


def _turned(ranking: RankingWithoutLeak) -> bool:
    """Whether two variants swap places; those that come to share one do not."""
    clean = dict(ranking.clean)
    known = [(value, clean[name]) for name, value in ranking.all if name in clean]
    return len(known) < len(ranking.all) or any(
        (first[0] - second[0]) * (first[1] - second[1]) < 0 for first, second in itertools.combinations(known, 2)
    )


def shared_places(ranked: Sequence[tuple[str, float]]) -> dict[str, int]:
    """Places from 1, best first; equal values share a place."""
    return {name: 1 + sum(other > value for _, other in ranked) for name, value in ranked}


def _effect(ablation: AblationEvidence, arm: ArmEvidence) -> Estimate:
    found = arm.effect(ablation.primary)
    return Estimate.not_estimable("not measured") if found is None else found.estimate


def _places(ablation: AblationEvidence, arms: list[ArmEvidence]) -> dict[str, int]:
    return shared_places([(arm.name, value) for arm in arms if (value := _effect(ablation, arm).value) is not None])


def _state(
    ours: Comparison,
    theirs: Comparison,
    all_items: Estimate,
    clean: Estimate,
    leaked: LeakedEffect | None,
    ablation: AblationEvidence,
    error: float,
) -> str:
    margin = ablation.smallest_effect
    was_beyond, is_beyond = _beyond(ours, margin), _beyond(theirs, margin)
    if ours.decision == theirs.decision and was_beyond in (0, is_beyond):
        return SAME
    if _contradict(ours, theirs, margin) or _contradict(theirs, ours, margin):
        return CHANGED
    if leaked is None or leaked.p_value is None or leaked.shift.value is None:
        if all_items.value is None or clean.value is None:
            return WITHIN
        # Items left out by chance hardly move the effect so far.
        return OPEN if abs(all_items.value - clean.value) > margin else WITHIN
    if leaked.p_value >= error:
        return WITHIN
    pull = (_RANK.get(ours.decision, 0) - _RANK.get(theirs.decision, 0)) or was_beyond - is_beyond
    if pull:
        return CHANGED if pull * leaked.shift.value > 0 else WITHIN
    # Equivalent and undecided: what was equivalent is so no longer where the effect lies beyond the margin, or where
    # nothing is learned any more that could be compared.
    lost = ours.decision == "equivalent" and (clean.value is None or abs(clean.value) > margin)
    return CHANGED if lost else WITHIN


def _beyond(comparison: Comparison, margin: float) -> int:
    """1 or -1 where it is shown to be better or worse by more than the margin, else 0."""
    if comparison.decision == "better":
        return int(comparison.beyond_low is not None and comparison.beyond_low > margin)
    return -int(comparison.decision == "worse" and comparison.high is not None and comparison.high < -margin)


def _contradict(first: Comparison, second: Comparison, margin: float) -> bool:
    """Whether both cannot be true; better by less than the margin is equivalent as well."""
    if first.decision == "better" and second.decision == "worse":
        return True
    if second.decision != "equivalent":
        return False
    return _beyond(first, margin) != 0
