"""Max or average: which kind of pooling serves this model, and pooling that does nothing."""

from __future__ import annotations

from poolaudit.evidence.ablation import ArmEvidence
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.ablation_reading import arm_facts, not_retrained, open_question, points
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.trained_as_shipped import untold_by_the_trials
from poolaudit.policy import Policy
from poolaudit.results import Evidence
from poolaudit.statistics.intervals import normal_quantile

_OTHER = {"max": "average", "average": "max"}


@detector("PA352", Severity.MINOR)
def the_other_kind_of_pooling_gains_no_recall(evidence: Evidence, policy: Policy) -> Judgement:
    """The other kind of pooling gains no recall.

    Why: It is said that max pooling keeps the strongest signal and helps recall, and that average pooling smooths and
        may help precision. Whether that holds depends on the data: a faint, wide feature is averaged up, a small bright
        one is averaged away.
    How: Max pooling is exchanged for average pooling, or the other way round, retrained over several seeds and compared
        by recall at matched precision, as in PA350. It fails where the other kind gains more than `smallest_effect`
        with the whole corrected interval and average precision rises as well. The changes of recall and precision at
        the shipped threshold stand beside it, by intervals that are not corrected. Undecided, as in PA350, where the
        retrained baseline does not reach the shipped model (PA505).
    Do: Exchange the kind of pooling at the sites named here, retrain and audit again.
    False alarm: As for PA350.
    """
    skipped = not_retrained(evidence)
    if skipped is not None:
        return skipped
    ablation = evidence.ablation
    assert ablation is not None
    arms = [arm for arm in ablation.variants if arm.kind and arm.comparison is not None and arm.direction == "same"]
    if not arms:
        return Judgement(Outcome.SKIPPED, "No variant with the other kind of pooling was trained.")
    better = [arm for arm in arms if _gains(arm, policy)]
    facts = tuple(fact for arm in arms[:4] for fact in (*arm_facts(ablation, arm)[:2], *_precision(arm)))
    still_open = [arm for arm in arms if arm not in better and _is_open(arm, policy)]
    subjects = tuple(Subject(arm.name, arm in better) for arm in (*better, *still_open))
    shown = "gains no recall that matters"
    if better or still_open:
        first = (*better, *still_open)[0]
        shown = f"{'finds more' if better else 'may find more'} ({first.kind} pooling as in {first.name!r})"
    untold = untold_by_the_trials(
        ablation,
        policy,
        f"In the trials the other kind of pooling {shown}",
        facts,
        tuple(arm.name for arm in arms),
        better,
    )
    if untold is not None:
        return untold
    if better:
        arm = max(better, key=lambda a: a.comparison.beyond_low or 0.0 if a.comparison else 0.0)
        return Judgement(
            Outcome.FAILED,
            f"{arm.kind.capitalize()} pooling as in {arm.name!r} finds more than this model's "
            f"{_OTHER[arm.kind]} pooling.{_saying(arms)}",
            facts,
            f"{arm.kind.capitalize()} pooling as in {arm.name!r}.",
            subjects=subjects,
        )
    if still_open:
        return Judgement(
            Outcome.UNDECIDED,
            f"Whether {still_open[0].kind} pooling as in {still_open[0].name!r} finds more is open.",
            facts,
            open_question(ablation, still_open[0]),
            subjects=subjects,
        )
    return Judgement(Outcome.PASSED, f"The other kind of pooling gains no recall that matters.{_saying(arms)}", facts)


@detector("PA354", Severity.MINOR)
def every_pooling_changes_the_outcome(evidence: Evidence, policy: Policy) -> Judgement:
    """Every pooling changes the outcome.

    Why: Pooling that changes nothing is a leftover or a mistake: a window of 1, a map that was one cell wide already.
    How: A variant that exchanges or removes the pooling at a site, and whose outputs on the test items equal the
        baseline's bit by bit, shows that this pooling does nothing.
    Do: Remove the layer, or give it the window it was meant to have.
    False alarm: The site lies on a branch that is switched off for these inputs.
    """
    ablation = evidence.ablation
    if ablation is None:
        return Judgement(Outcome.SKIPPED, "The pooling was not ablated (no ablation stage ran).")
    idle = [arm for arm in ablation.variants if arm.unchanged]
    tried = [arm for arm in ablation.variants if arm.swap or arm.trained]
    if idle:
        return Judgement(
            Outcome.FAILED,
            f"Exchanging the pooling changes nothing in {len(idle)} of {len(idle) + len(tried)} variants: "
            + "; ".join(f"{arm.name}: {arm.unavailable}" for arm in idle[:3])
            + ".",
            tuple(Fact(arm.name, arm.unavailable) for arm in idle),
            "Pooling layers that pool, or none.",
            subjects=tuple(Subject(arm.name) for arm in idle),
        )
    if not tried:
        return Judgement(Outcome.SKIPPED, "No variant of this model could be built.")
    return Judgement(Outcome.PASSED, f"Each of {len(tried)} variants gives other outputs than the baseline.")


@detector("PA353", Severity.MAJOR)
def accuracy_and_recall_agree_on_the_variants(evidence: Evidence, policy: Policy) -> Judgement:
    """Accuracy and recall agree on the variants.

    Why: A variant chosen by accuracy can be the one that misses more of the class of interest: the accuracy paradox,
        met while choosing an architecture.
    How: Fails where a variant's accuracy rises and its recall at the shipped threshold falls by more than
        `smallest_effect`, both with their whole intervals, widened for the number of variants. Undecided where both
        estimates say so and the interval of one of them leaves it open.
    Do: Choose among variants by recall at matched precision, never by accuracy.
    False alarm: The variant's threshold is to be moved anyway, and recall at matched precision does not fall.
    """
    skipped = not_retrained(evidence)
    if skipped is not None:
        return skipped
    ablation = evidence.ablation
    assert ablation is not None
    judged = [arm for arm in ablation.variants if _both(arm)]
    if not judged:
        return Judgement(Outcome.SKIPPED, "No variant was trained with two seeds that learned.")
    shown = {arm.name: _paradox(arm, policy, len(judged)) for arm in judged}
    paradox = [arm for arm in judged if all(shown[arm.name])]
    if paradox:
        arm = paradox[0]
        accuracy, recall = arm.effect("accuracy"), arm.effect("recall")
        assert accuracy is not None
        assert recall is not None
        return Judgement(
            Outcome.FAILED,
            f"{arm.name!r} wins on accuracy ({points(accuracy.estimate)}), loses recall ({points(recall.estimate)}): "
            "whoever chooses by accuracy releases the model that misses more.",
            _changes(paradox),
            "A choice by recall at matched precision.",
            subjects=tuple(Subject(arm.name) for arm in paradox),
        )
    seeming = [arm for arm in judged if any(shown[arm.name]) and _seems_paradox(arm, policy)]
    if seeming:
        return Judgement(
            Outcome.UNDECIDED,
            f"{seeming[0].name!r} seems to gain accuracy while it loses recall; one of the two is not shown.",
            _changes(seeming),
            "More seeds and more test items.",
            subjects=tuple(Subject(arm.name, False) for arm in seeming),
        )
    return Judgement(Outcome.PASSED, f"No variant of {len(judged)} is shown to gain accuracy while it loses recall.")


def _changes(arms: list[ArmEvidence]) -> tuple[Fact, ...]:
    return tuple(
        Fact(f"{arm.name}: change of {metric}", points(effect.estimate))
        for arm in arms
        for metric in ("accuracy", "recall")
        if (effect := arm.effect(metric)) is not None
    )


def _seems_paradox(arm: ArmEvidence, policy: Policy) -> bool:
    accuracy, recall = arm.effect("accuracy"), arm.effect("recall")
    if accuracy is None or recall is None or accuracy.estimate.value is None or recall.estimate.value is None:
        return False
    return accuracy.estimate.value > 0 and recall.estimate.value < -policy.smallest_effect


def _gains(arm: ArmEvidence, policy: Policy) -> bool:
    comparison, ranking = arm.comparison, arm.effect("average_precision")
    return (
        comparison is not None
        and comparison.beyond_low is not None
        and comparison.beyond_low > policy.smallest_effect
        and ranking is not None
        and ranking.estimate.low is not None
        and ranking.estimate.low > 0
    )


def _is_open(arm: ArmEvidence, policy: Policy) -> bool:
    comparison = arm.comparison
    if comparison is None or comparison.beyond_high is None:
        return True
    return comparison.decision not in ("equivalent", "worse") and comparison.beyond_high > policy.smallest_effect


def _saying(arms: list[ArmEvidence]) -> str:
    """Whether "max helps recall, average helps precision" holds at the threshold the model ships with; "" unless known.

    By intervals that are not corrected for the number of variants: said beside a decision, never as one.
    """
    said = []
    for metric, favoured in (("recall", "max"), ("precision", "average")):
        votes = []
        for arm in arms:
            effect = arm.effect(metric)
            if effect is None or effect.estimate.low is None or effect.estimate.high is None:
                continue
            gain = 1 if effect.estimate.low > 0 else -1 if effect.estimate.high < 0 else 0
            votes.append(gain if arm.kind == favoured else -gain)
        if not votes:
            continue
        if not any(votes):
            said.append(f"that {favoured} pooling helps {metric} does not show here")
        elif min(votes) < 0 < max(votes):
            said.append(f"{favoured} pooling helps {metric} at some sites and harms it at others")
        else:
            said.append(f"{favoured} pooling {'helps' if max(votes) > 0 else 'harms'} {metric} here")
    if not said:
        return ""
    text = "; ".join(said)
    return f" {text[0].upper()}{text[1:]} (at the shipped threshold, by intervals that are not corrected)."


def _precision(arm: ArmEvidence) -> tuple[Fact, ...]:
    effect = arm.effect("precision")
    return () if effect is None else (Fact(f"{arm.name}: change of precision", points(effect.estimate)),)


def _both(arm: ArmEvidence) -> bool:
    effects = arm.effect("accuracy"), arm.effect("recall")
    return all(effect is not None and effect.estimate.low is not None for effect in effects)


def _paradox(arm: ArmEvidence, policy: Policy, count: int) -> tuple[bool, bool]:
    """Whether accuracy is shown to rise, and whether recall is shown to fall by more than what matters."""
    accuracy, recall = arm.effect("accuracy"), arm.effect("recall")
    assert accuracy is not None
    assert recall is not None
    low, value = accuracy.estimate.low, accuracy.estimate.value
    high, recalled = recall.estimate.high, recall.estimate.value
    if low is None or value is None or high is None or recalled is None:
        return False, False
    # Bonferroni on the normal scale: the 95 % interval stretched to one of 1 - 0.05 / count.
    widen = normal_quantile(1 - 0.05 / count) / normal_quantile(0.95)
    return value - widen * (value - low) > 0, recalled + widen * (high - recalled) < -policy.smallest_effect
