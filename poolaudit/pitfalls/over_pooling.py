"""Over-pooling and under-pooling, shown by models trained with weaker and with stronger pooling."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.ablation_reading import (
    METRIC_NAMES,
    OPEN,
    PROVEN,
    REFUTED,
    arm_facts,
    class_words,
    gain_shown,
    not_retrained,
    open_question,
    primary_effect,
    trained_variants,
)
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.trained_as_shipped import untold_by_the_trials
from poolaudit.policy import Policy
from poolaudit.results import Evidence


@dataclass(frozen=True, slots=True)
class _Case:
    """One variant's case against the baseline's pooling: whether it gains, and what else could explain it."""

    arm: ArmEvidence
    state: str
    why: str
    facts: tuple[Fact, ...] = ()


@detector("PA350", Severity.MAJOR)
def weaker_pooling_recovers_no_recall(evidence: Evidence, policy: Policy) -> Judgement:
    """Weaker pooling recovers no recall.

    Why: Pooling that is too strong throws away what tells the class of interest from the others. The model then misses
        cases that the same network, trained with less pooling, finds.
    How: Variants with weaker or removed pooling are trained from scratch beside the baseline, over several seeds. It
        fails where recall at matched precision (thresholds chosen on validation data) rises by more than
        `smallest_effect` with the whole interval, corrected for the number of variants and for looking after every
        seed. Other causes are ruled out first: a mere threshold (average precision must rise as well), capacity (where
        the head grew, the parameter-matched control must show the gain), collapsed seeds (left out and counted). A
        gain that stays below `smallest_effect` passes; what is open is undecided. So is all of it where the retrained
        baseline does not reach the shipped model (PA505) and no variant that gains outdoes it: such trials show
        neither a gain nor that there is none.
    Do: Take the weaker variant named here, or the one with the better trade of recall against latency in the table of
        variants; retrain and audit it again.
    False alarm: The trials were trained otherwise than the model that ships, and PA505, which compares them by average
        precision, does not see it.
    """
    skipped = not_retrained(evidence)
    if skipped is not None:
        return skipped
    ablation = evidence.ablation
    assert ablation is not None
    arms = trained_variants(ablation, "weaker")
    if not arms:
        others = [arm for arm in ablation.variants if arm.unavailable and arm.direction != "stronger"]
        reasons = "; ".join(f"{arm.name}: {arm.unavailable}" for arm in others)
        return Judgement(Outcome.SKIPPED, f"No variant with weaker pooling was trained. {reasons}".strip())
    cases = [_case(ablation, arm, policy) for arm in arms]
    dose = _dose_response(ablation)
    untold = _untold(ablation, policy, cases, dose)
    if untold is not None:
        return untold
    proven = [case for case in cases if case.state == PROVEN]
    if proven:
        best = max(proven, key=lambda case: _gain(ablation, case.arm))
        gain = _gain(ablation, best.arm)
        collapsed = best.arm.comparison is not None and best.arm.comparison.never_learns == "baseline"
        other = (
            "The baseline hardly ever learns at all; the variant does. Threshold and capacity do not explain it; a "
            "training under which the baseline learns as well would tell how much of it is the pooling's."
            if collapsed
            else "Threshold, capacity and collapsed seeds do not explain it."
        )
        return Judgement(
            Outcome.FAILED,
            f"The pooling costs recall: {best.arm.name!r} finds {100 * gain:.0f} percentage points more of "
            f"{class_words(ablation)} {_at(ablation)}. {other}",
            (*best.facts, *dose, *_static(evidence, recovers=True)),
            f"Pooling as in {best.arm.name!r}, retrained and audited again.",
            subjects=_subjects(cases),
        )
    still_open = [case for case in cases if case.state == OPEN]
    if still_open:
        first = max(still_open, key=lambda case: _gain(ablation, case.arm))
        return Judgement(
            Outcome.UNDECIDED,
            f"Whether weaker pooling recovers recall is open for {first.arm.name!r}: {first.why}.",
            (*first.facts, *dose),
            open_question(ablation, first.arm),
            subjects=_subjects(cases),
        )
    return Judgement(
        Outcome.PASSED,
        f"No variant with weaker pooling gains more than {policy.smallest_effect:g} in "
        f"{METRIC_NAMES[ablation.primary]}, or the gain has another cause ({cases[0].why}).",
        (*(fact for case in cases[:4] for fact in case.facts[:2]), *dose, *_static(evidence, recovers=False)),
    )


@detector("PA351", Severity.MINOR)
def stronger_pooling_gains_no_recall(evidence: Evidence, policy: Policy) -> Judgement:
    """Stronger pooling gains no recall.

    Why: Pooling that is too weak leaves the model with noise, needless parameters and needless computation.
    How: As PA350, for variants with stronger pooling; undecided, too, where the trials were trained so briefly that the
        weakly pooled baseline, which learns more slowly, does not reach the shipped model (PA505).
    Do: Take the stronger variant named here: it finds more and costs less.
    False alarm: As for PA350.
    """
    skipped = not_retrained(evidence)
    if skipped is not None:
        return skipped
    ablation = evidence.ablation
    assert ablation is not None
    arms = trained_variants(ablation, "stronger")
    if not arms:
        return Judgement(Outcome.SKIPPED, "No variant with stronger pooling was trained.")
    cases = [_case(ablation, arm, policy) for arm in arms]
    untold = _untold(ablation, policy, cases)
    if untold is not None:
        return untold
    for state, outcome in ((PROVEN, Outcome.FAILED), (OPEN, Outcome.UNDECIDED)):
        chosen = [case for case in cases if case.state == state]
        if chosen:
            best = max(chosen, key=lambda case: _gain(ablation, case.arm))
            words = (
                f"{best.arm.name!r} finds {100 * _gain(ablation, best.arm):.0f} percentage points more "
                f"{_at(ablation)}: the pooling is too weak."
                if outcome is Outcome.FAILED
                else f"Whether stronger pooling gains recall is open for {best.arm.name!r}: {best.why}."
            )
            change = f"Pooling as in {best.arm.name!r}." if state == PROVEN else open_question(ablation, best.arm)
            return Judgement(outcome, words, best.facts, change, subjects=_subjects(cases))
    return Judgement(
        Outcome.PASSED,
        f"No variant with stronger pooling gains more than {policy.smallest_effect:g}.",
        tuple(fact for case in cases[:4] for fact in case.facts[:2]),
    )


def _untold(
    ablation: AblationEvidence, policy: Policy, cases: list[_Case], dose: tuple[Fact, ...] = ()
) -> Judgement | None:
    """Undecided where the trials are trained worse than the model that ships."""
    if any(case.state == PROVEN for case in cases):
        best = max((case for case in cases if case.state == PROVEN), key=lambda case: _gain(ablation, case.arm))
        gain = 100 * _gain(ablation, best.arm)
        shown = f"In the trials {best.arm.name!r} finds {gain:.0f} percentage points more {_at(ablation)}"
    elif any(case.state == OPEN for case in cases):
        best = next(case for case in cases if case.state == OPEN)
        shown = f"In the trials it is open whether {best.arm.name!r} finds more: {best.why}"
    else:
        best = cases[0]
        shown = f"In the trials no {best.arm.direction} pooling gains more than {policy.smallest_effect:g}"
    names = tuple(case.arm.name for case in cases)
    gaining = [case.arm for case in cases if case.state == PROVEN]
    return untold_by_the_trials(ablation, policy, shown, (*best.facts, *dose), names, gaining)


def _subjects(cases: list[_Case]) -> tuple[Subject, ...]:
    return tuple(Subject(case.arm.name, case.state == PROVEN) for case in cases if case.state != REFUTED)


def _case(ablation: AblationEvidence, arm: ArmEvidence, policy: Policy) -> _Case:
    """Is the gain shown, and does anything but the pooling explain it?"""
    facts = arm_facts(ablation, arm)
    state, why = gain_shown(arm, policy)
    ranking = arm.effect("average_precision")
    if state == REFUTED and ranking is not None and (ranking.estimate.low or 0.0) > policy.smallest_effect:
        return _Case(arm, OPEN, "average precision rises, although recall at this one precision does not", facts)
    if state != PROVEN:
        return _Case(arm, state, why, facts)
    if ranking is None or ranking.estimate.low is None:
        return _Case(arm, OPEN, "average precision, which would rule out a mere threshold, is not known", facts)
    if ranking.estimate.high is not None and ranking.estimate.high <= 0:
        return _Case(arm, REFUTED, "average precision falls: only the threshold moved", facts)
    if ranking.estimate.low <= 0:
        return _Case(arm, OPEN, "average precision is not shown to rise, so the threshold may explain it", facts)
    if not _has_other_capacity(ablation, arm):
        return _Case(arm, PROVEN, "", facts)
    control = ablation.control_for(arm.name)
    if control is None or control.comparison is None:
        reason = control.unavailable if control is not None and control.unavailable else "no control was trained"
        return _Case(arm, OPEN, f"the variant has another number of parameters, and {reason}", facts)
    facts += arm_facts(ablation, control)
    state, why = gain_shown(control, policy)
    if state == PROVEN:
        return _Case(arm, PROVEN, "", facts)
    if state == REFUTED:
        return _Case(
            arm, REFUTED, "with as many parameters as the baseline the gain is gone: capacity, not pooling", facts
        )
    return _Case(arm, OPEN, f"the parameter-matched control leaves open whether capacity explains it ({why})", facts)


def _has_other_capacity(ablation: AblationEvidence, arm: ArmEvidence) -> bool:
    ours, theirs = arm.parameters, ablation.baseline.parameters
    if arm.head_resized or ours is None or theirs is None:
        return True
    return abs(ours - theirs) > 0.05 * theirs


def _gain(ablation: AblationEvidence, arm: ArmEvidence) -> float:
    effect = primary_effect(ablation, arm)
    return -1.0 if effect is None or effect.estimate.value is None else effect.estimate.value


def _at(ablation: AblationEvidence) -> str:
    if ablation.matched_precision is None:
        return f"by {METRIC_NAMES[ablation.primary]}"
    return f"at a precision of {ablation.matched_precision:.2f}"


def _dose_response(ablation: AblationEvidence) -> tuple[Fact, ...]:
    """Gains by total downsampling, strongest pooling first."""
    doses = [
        (arm.downsampling, _gain(ablation, arm), arm.name)
        for arm in ablation.variants
        if arm.downsampling is not None
        and arm.direction in ("weaker", "stronger")
        and primary_effect(ablation, arm) is not None
        and _gain(ablation, arm) > -1.0
    ]
    base = ablation.baseline.downsampling
    if base is None or len({dose for dose, _, _ in doses} - {base}) < 2:
        return ()
    doses.append((base, 0.0, "baseline"))
    doses.sort(key=lambda entry: -entry[0])
    text = "; ".join(f"{dose:g}: {gain:+.3f} ({name})" for dose, gain, name in doses)
    gains = [gain for _, gain, _ in doses]
    least = ablation.smallest_effect
    if max(gains) - min(gains) < least:
        shape = f"all within the smallest effect that matters ({least:g})"
    elif all(later >= earlier - least for earlier, later in itertools.pairwise(gains)) and gains[-1] > gains[0]:
        shape = "the less downsampling, the more is found"
    else:
        shape = "not in step with the downsampling"
    return (Fact("Dose and response (total downsampling: change)", f"{text}: {shape}"),)


def _static(evidence: Evidence, *, recovers: bool) -> tuple[Fact, ...]:
    """What the network's geometry says to it: whether one step of the last map is wider than what is looked for."""
    geometry = evidence.geometry
    if geometry is None or geometry.feature_size is None:
        return ()
    if not geometry.bottleneck:
        return ()
    step = max(geometry.bottleneck)
    agreement = "agrees" if (step > geometry.feature_size) == recovers else "disagrees"
    return (
        Fact(
            "Geometry",
            f"{agreement}: the smallest feature measures {geometry.feature_size:g} cells and the coarsest map on every "
            f"way has one cell for every {step:g}",
        ),
    )
