"""The race: which variants are decided, and which trials the open ones need next.

A race is replayed from what has been trained, look by look, whenever it is asked: the same trials give the same
decisions, whether the run was interrupted or not.

Three families of false statements are each kept at the family-wise error over all variants and looks: that a difference
exists, that a variant is equivalent, and that a variant gains more than the smallest effect that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from poolaudit.statistics.crossed import Crossed
from poolaudit.statistics.power import chance_to_decide
from poolaudit.statistics.sequential import holm_levels, looks_taken, nominal_levels

BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "equivalent", "undecided"
FIRST_LOOK = 4
# A variant that would be decided with less than this chance at the end of the plan gets no further seeds.
FUTILE = 0.1
_FEWEST_BEFORE_FUTILE = 4

# The paired difference of a variant when so many seeds were trained of it; None where no pair of seeds learned.
Measure = Callable[[str, int], "Crossed | None"]


@dataclass(frozen=True, slots=True)
class Rules:
    """How the race decides.

    Attributes:
        margin: Smallest effect that matters.
        error: Family-wise error over variants and looks.
        planned: Seeds a variant gets at most.
        first: Seeds before the first look.
        stops_early: False trains the full grid and looks once, at the end.
    """

    margin: float = 0.03
    error: float = 0.05
    planned: int = 10
    first: int = FIRST_LOOK
    stops_early: bool = True

    def looks(self) -> tuple[int, ...]:
        if not self.stops_early or self.planned <= self.first:
            return (self.planned,)
        return tuple(range(self.first, self.planned + 1))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one variant stands.

    Attributes:
        decision: "better", "worse", "equivalent" or "undecided".
        matters: The gain is shown to exceed the smallest effect that matters.
        seeds: Trained when it was last looked at.
        difference: At that look.
        level: Two-sided level of the interval that decides on a difference, corrected for variants and looks.
        equivalence_level: Of the interval that must lie within the margin.
        margin_level: Of the interval that must lie above the margin.
        stopped: "decided", "futile", "planned" (all seeds are in), "moot" (a control without a gain to explain) or None
            while it goes on.
    """

    decision: str = UNDECIDED
    matters: bool = False
    seeds: int = 0
    difference: Crossed | None = None
    level: float = 0.0
    equivalence_level: float = 0.0
    margin_level: float = 0.0
    stopped: str | None = None


@dataclass(slots=True)
class _State:
    standings: dict[str, Standing] = field(default_factory=dict)
    different: set[str] = field(default_factory=set)
    equivalent: set[str] = field(default_factory=set)
    beyond: set[str] = field(default_factory=set)


def replay(
    variants: Sequence[str],
    trained: Callable[[str], int],
    measure: Measure,
    rules: Rules,
    is_hopeless: Callable[[str, int], bool] = lambda name, seeds: False,
    controls: Mapping[str, str] | None = None,
) -> dict[str, Standing]:
    """Where each variant stands, given how many seeds of it (and of the baseline) have been trained.

    Args:
        variants: Names; each is a hypothesis that shares the error.
        trained: Seeds 0 to k - 1 of this variant and of the baseline are in the store: gives k.
        measure: The paired difference on the primary metric at so many seeds.
        rules: Of the race.
        is_hopeless: Whether neither variant nor baseline learns, after so many seeds.
        controls: The variant of each name that is a parameter-matched control.
    """
    state = _State(standings={name: Standing() for name in variants})
    for look in rules.looks():
        for name in variants:
            standing = state.standings[name]
            if standing.stopped is None and trained(name) >= look:
                state.standings[name] = replace(standing, seeds=look, difference=measure(name, look))
        _decide(variants, state, rules)
        for name in variants:
            standing = state.standings[name]
            state.standings[name] = _stopped(standing, rules, is_hopeless(name, standing.seeds))
        for control, variant in (controls or {}).items() if rules.stops_early else ():
            ours, theirs = state.standings[control], state.standings[variant]
            if ours.stopped is None and theirs.stopped is not None and not theirs.matters:
                state.standings[control] = replace(ours, stopped="moot")
    return state.standings


def wanted(
    standings: dict[str, Standing],
    trained: Callable[[str], int],
    rules: Rules,
    controls: Mapping[str, str] | None = None,
) -> list[tuple[str, int]]:
    """Variants that are open and the number of seeds each needs for its next look.

    A control says whether capacity explains a gain, so it waits until its variant is shown to gain more than the
    margin. Training less of it never adds a false statement.
    """
    needs = []
    for name, standing in standings.items():
        variant = (controls or {}).get(name)
        waits = rules.stops_early and variant is not None and not standings[variant].matters
        if standing.stopped is None and not waits:
            upcoming = [look for look in rules.looks() if look > trained(name)]
            if upcoming:
                needs.append((name, upcoming[0]))
    return needs


def _decide(variants: Sequence[str], state: _State, rules: Rules) -> None:
    """Rejects what can be rejected; each rejection raises the level of those that remain, so it goes round again."""
    count = len(variants)
    changed = True
    while changed:
        changed = False
        for name in variants:
            standing = state.standings[name]
            if standing.difference is None or standing.seeds == 0:
                continue
            judged = _judge(name, standing, state, count, rules)
            state.standings[name] = judged
            before = len(state.different), len(state.equivalent), len(state.beyond)
            if judged.decision in (BETTER, WORSE):
                state.different.add(name)
            if judged.decision == EQUIVALENT:
                state.equivalent.add(name)
            if judged.matters:
                state.beyond.add(name)
            changed |= before != (len(state.different), len(state.equivalent), len(state.beyond))


def _judge(name: str, standing: Standing, state: _State, count: int, rules: Rules) -> Standing:
    difference = standing.difference
    assert difference is not None
    taken = looks_taken(rules.looks(), standing.seeds)

    def level(rejected: set[str], sides: int) -> float:
        share = sides * holm_levels(count, len(rejected - {name}), rules.error)
        return nominal_levels(taken, rules.planned, min(0.999, share))[-1]

    # One of the two sides of an equivalence, and the one side of "more than the margin", may err with the whole share.
    levels = level(state.different, 1), level(state.equivalent, 2), level(state.beyond, 1)
    decision, matters = standing.decision, standing.matters
    low, high = difference.limits(levels[0])
    within = difference.limits(levels[1])
    if decision == UNDECIDED:
        if -rules.margin < within[0] and within[1] < rules.margin:
            decision = EQUIVALENT
        elif low > 0:
            decision = BETTER
        elif high < 0:
            decision = WORSE
    matters = matters or difference.limits(levels[2])[0] > rules.margin
    return replace(
        standing,
        decision=decision,
        matters=matters,
        level=levels[0],
        equivalence_level=levels[1],
        margin_level=levels[2],
    )


def _stopped(standing: Standing, rules: Rules, is_hopeless: bool) -> Standing:
    """The reason to give this variant no further seeds, if there is one."""
    if standing.stopped is not None or standing.seeds == 0:
        return standing
    if standing.seeds >= rules.planned:
        return replace(standing, stopped="planned")
    difference = standing.difference
    if difference is None:
        # Where neither arm learns, further seeds will hardly bring pairs that do.
        return replace(standing, stopped="futile") if is_hopeless else standing
    if standing.decision in (WORSE, EQUIVALENT) or (standing.decision == BETTER and standing.matters):
        return replace(standing, stopped="decided")
    if standing.decision == BETTER:
        # Better, but by how much is open: worth further seeds only while the margin is within reach.
        if difference.limits(standing.margin_level)[1] < rules.margin or standing.seeds < _FEWEST_BEFORE_FUTILE:
            return replace(standing, stopped="decided") if standing.seeds >= _FEWEST_BEFORE_FUTILE else standing
        beyond = replace(difference, value=difference.value - rules.margin)
        chance = chance_to_decide(beyond, standing.margin_level, 1e-9, rules.margin, rules.planned)
        return replace(standing, stopped="futile") if chance < FUTILE else standing
    if standing.seeds >= _FEWEST_BEFORE_FUTILE and difference.seeds >= _FEWEST_BEFORE_FUTILE - 1:
        chance = chance_to_decide(difference, standing.level, standing.equivalence_level, rules.margin, rules.planned)
        if chance < FUTILE:
            return replace(standing, stopped="futile")
    return standing
