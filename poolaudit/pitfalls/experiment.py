"""The experiment itself: seeds that never learned, variants that change nothing, comparisons without power."""

from __future__ import annotations

from collections import Counter

from scipy import special

from poolaudit.evidence.ablation import BACKWARDS, AblationEvidence, ArmEvidence
from poolaudit.evidence.wording import more_seeds, percent
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.ablation_reading import (
    LEARNED,
    METRIC_NAMES,
    OPEN,
    PROVEN,
    class_words,
    gain_shown,
    metric_of,
    not_retrained,
)
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.trained_as_shipped import TRAINED_AS_SHIPPED, retraining
from poolaudit.policy import Policy
from poolaudit.results import Evidence

_UNSTABLE_SHARE = 0.2


@detector("PA501", Severity.MAJOR)
def every_training_learns(evidence: Evidence, policy: Policy) -> Judgement:
    """Every training learns.

    Why: A training that collapses with some seeds will collapse again when the model is retrained for its next release.
        Averaged in, one collapsed seed passes for an effect of the pooling.
    How: A trial counts as collapsed where its scores rank the class of interest no better than chance, as dead where it
        gives the same answer for every item, as diverged where it ends in NaN. All are counted and none enters an
        effect. Any of them in the baseline fails; it is a minor finding where they are at most a fifth of its trials,
        or stand in variants alone. Where the test items of the class are so few that a training with a ROC AUC of 0.7
        would often pass for chance, a collapse is not shown, and the check is undecided. Fails too where most of the
        baseline's trainings rank the class backwards: labels of test and training do not fit each other then.
    Do: Lower the learning rate, warm it up, change the start weights or add normalisation until every seed learns.
    False alarm: The pooling itself leaves nothing to learn from: then the arm collapses with every seed (PA350).
    """
    skipped = not_retrained(evidence)
    if skipped is not None:
        return skipped
    ablation = evidence.ablation
    assert ablation is not None
    arms = [ablation.baseline, *ablation.arms]
    lost = [arm for arm in arms if _lost(arm)]
    trained = sum(arm.trained for arm in arms)
    if not trained:
        return Judgement(Outcome.SKIPPED, "No trial was trained.")
    facts = tuple(Fact(arm.name, _states(arm)) for arm in lost)
    own = [row for row in ablation.trials if row.arm == ablation.baseline.name and row.state == LEARNED]
    backwards = [row for row in own if row.reason == BACKWARDS]
    if 2 * len(backwards) > len(own):
        return Judgement(
            Outcome.FAILED,
            f"{len(backwards)} of {len(own)} trainings of the baseline rank {class_words(ablation)} backwards in the "
            "test: its labels are in another order than those of the training, or it is of another kind. No effect "
            "below means what it says.",
            facts,
            "Test labels in the order of the training's.",
            subjects=(Subject("order of the test labels"),),
        )
    if not lost:
        return Judgement(Outcome.PASSED, f"All {trained} trainings learned.")
    total = sum(_lost(arm) for arm in lost)
    if all(_lost(arm) == arm.collapsed for arm in lost) and not _shows_collapse(ablation):
        return Judgement(
            Outcome.UNDECIDED,
            f"{total} of {trained} trainings are not shown to rank better than chance, but {ablation.support} test "
            f"items of {class_words(ablation)} are too few to tell a training that learned from one that did not.",
            facts,
            "More test items of the class.",
        )
    baseline = ablation.baseline
    share = _lost(baseline) / baseline.trained if baseline.trained else 0.0
    failed = [row.reason for row in ablation.trials if row.state == "failed"]
    untrained = f" {len(failed)} could not be trained at all: {failed[0].rstrip('.')}." if failed else ""
    severity = Severity.MAJOR if share > _UNSTABLE_SHARE else Severity.MINOR
    return Judgement(
        Outcome.FAILED,
        f"{total} of {trained} trainings never learned ({_lost(baseline)} of {baseline.trained} of the baseline)."
        f"{untrained} They are shown, and left out of every effect.",
        facts,
        "Trainings that learn with every seed.",
        severity,
        tuple(Subject(arm.name, extent=(_lost(arm) / max(arm.trained, 1),) * 2) for arm in lost),
    )


@detector("PA502", Severity.MINOR)
def every_variant_changes_the_model(evidence: Evidence, policy: Policy) -> Judgement:
    """Every variant changes the model.

    Why: An ablation that silently ablates nothing (a misspelt layer, a window of 1) trains the baseline twice and
        reports an effect of zero.
    How: Each variant's graph is compared with the baseline's, and its outputs bit by bit. A variant that equals the
        baseline is refused and listed here; it never becomes an effect.
    Do: Name another site or action; PA354 says whether the pooling at that site does nothing.
    False alarm: None is known.
    """
    ablation = evidence.ablation
    if ablation is None:
        return Judgement(Outcome.SKIPPED, "The pooling was not ablated (no ablation stage ran).")
    same = [arm for arm in ablation.variants if arm.unchanged]
    if same:
        return Judgement(
            Outcome.FAILED,
            f"{len(same)} of {len(ablation.variants)} variants equal the baseline and say nothing: "
            + ", ".join(repr(arm.name) for arm in same[:5])
            + ".",
            tuple(Fact(arm.name, arm.unavailable) for arm in same),
            "Variants that change what the model computes.",
            subjects=tuple(Subject(arm.name) for arm in same),
        )
    built = [arm for arm in ablation.variants if not arm.unavailable]
    if not built:
        return Judgement(Outcome.SKIPPED, "No variant of this model could be built.")
    return Judgement(Outcome.PASSED, f"Each of {len(built)} variants computes something else than the baseline.")


@detector("PA503", Severity.MINOR)
def the_comparison_could_show_what_matters(evidence: Evidence, policy: Policy) -> Judgement:
    """The comparison could show what matters.

    Why: "No difference was found" is no news where no difference could have been found.
    How: For every variant that is neither better, worse nor equivalent, the smallest true difference that seeds and
        test items would have shown with 80 % power is held against `smallest_effect`. A parameter-matched control
        counts where its variant gains and it leaves open whether it gains as well; elsewhere it has nothing to explain.
    Do: Add seeds where seeds are what is missing, test items of the class of interest where those are; each undecided
        variant says which.
    False alarm: A difference of `smallest_effect` does not matter for this release; raise it in the policy.
    """
    skipped = not_retrained(evidence)
    if skipped is not None:
        return skipped
    ablation = evidence.ablation
    assert ablation is not None
    compared = [arm for arm in ablation.arms if arm.comparison is not None and _is_asked(ablation, arm, policy)]
    if not compared:
        return Judgement(Outcome.SKIPPED, "No variant was compared.")
    weak = [arm for arm in compared if _is_undecided(arm, policy)]
    if not weak:
        return Judgement(Outcome.PASSED, f"All {len(compared)} comparisons are decided.")
    known = [a.comparison.detectable for a in weak if a.comparison is not None and a.comparison.detectable is not None]
    told = ""
    if known:
        most = max(known)  # a share cannot differ by more than 1
        told = f"; they would have shown a difference of {most:.2f} or more"
        if most > 1:
            told = "; they would not have shown even the largest possible difference"
    return Judgement(
        Outcome.FAILED,
        f"{len(weak)} of {len(compared)} comparisons are undecided; {policy.smallest_effect:g} is what matters{told}.",
        tuple(Fact(arm.name, _undecided(arm)) for arm in weak),
        "The seeds or test items named in the evidence.",
        subjects=tuple(Subject(arm.name) for arm in weak),
    )


@detector("PA504", Severity.MINOR)
def one_seed_would_have_told_the_same(evidence: Evidence, policy: Policy) -> Judgement:
    """One seed would have told the same.

    Why: Where the best variant changes with the seed, whoever trains each variant once picks one by luck.
    How: For each seed that all arms learned with, the arm of highest recall at matched precision is noted (average
        precision where there is no matched precision). Fails where the most frequent winner wins with fewer than four
        fifths of the seeds and the winners differ by more than `smallest_effect` within a seed.
    Do: Compare variants over several seeds, as done here, and trust the corrected decisions only.
    False alarm: The arms are equivalent, so that it does not matter which one is chosen.
    """
    skipped = not_retrained(evidence)
    if skipped is not None:
        return skipped
    ablation = evidence.ablation
    assert ablation is not None
    winners, matters = _winners(ablation, policy.smallest_effect)
    if len(winners) < 3:
        return Judgement(Outcome.SKIPPED, "With fewer than three seeds did every arm that was trained learn.")
    name, wins = Counter(winners).most_common(1)[0]
    facts = tuple(Fact(f"{arm} is best", f"{n} of {len(winners)} seeds") for arm, n in Counter(winners).most_common())
    if not matters:
        return Judgement(Outcome.PASSED, f"With none of {len(winners)} seeds is an arm ahead by what matters.")
    if wins >= 0.8 * len(winners):
        return Judgement(Outcome.PASSED, f"{name!r} is best with {wins} of {len(winners)} seeds.", facts)
    return Judgement(
        Outcome.FAILED,
        f"Which arm is best hangs on the seed: {name!r} wins with only {wins} of {len(winners)} seeds.",
        facts,
        "Arms that differ by more than their seeds do.",
    )


@detector("PA505", Severity.MAJOR)
def the_trials_reach_the_shipped_model(evidence: Evidence, policy: Policy) -> Judgement:
    """The trials rank as the shipped model does.

    Why: What holds for a baseline that was trained for fewer epochs, or otherwise than the model that ships, need not
        hold for that model.
    How: Average precision of the shipped model is held against the interval in which one more training of the baseline
        that learns would fall (prediction interval, Student's t, at the policy's confidence). Fails where it lies
        outside that interval by more than `smallest_effect`: above it the trials are trained worse than the model;
        below it the model is worse than what its own architecture learns from these data. Undecided where it lies
        inside an interval so wide (0.15 to each side) that hardly any model would lie outside.
    Do: Above: train the trials as the model was trained: --epochs, --batch-size, or a recipe with its own training
        code. Below: look for classes in another order (PA211), other scaling of the inputs (PA210), or a training that
        was cut short; or ship a retrained model.
    False alarm: The shipped model was picked as the best of very many trainings, or saw the test items (PA4xx); or it
        was trained on less data on purpose.
    """
    skipped = not_retrained(evidence)
    if skipped is not None:
        return skipped
    ablation = evidence.ablation
    assert ablation is not None
    if dict(ablation.shipped).get("average_precision") is None:
        return Judgement(Outcome.SKIPPED, "The baseline comes from code and brings no trained weights to compare with.")
    found = retraining(ablation, policy)
    if found is None:
        return Judgement(Outcome.SKIPPED, "Fewer than three trainings of the baseline learned.")
    shipped, mean, facts = percent(found.shipped), percent(found.mean), found.facts
    if found.falls_short:
        return Judgement(
            Outcome.FAILED,
            f"The retrained baseline (average precision {mean}) does not reach the shipped model ({shipped}): the "
            "trials were trained otherwise, and what they show may not hold for it.",
            facts,
            TRAINED_AS_SHIPPED,
            subjects=(Subject("trials below the shipped model"),),
        )
    if found.surpasses:
        return Judgement(
            Outcome.FAILED,
            f"The shipped model (average precision {shipped}) ranks worse than its own architecture, trained anew on "
            f"these data ({mean}): it was trained otherwise, or is fed otherwise.",
            facts,
            "A shipped model that ranks as its retrained baseline does.",
            subjects=(Subject("shipped model below its trials"),),
        )
    if found.vouches_for_nothing:
        return Judgement(
            Outcome.UNDECIDED,
            f"{found.trainings} trainings of the baseline spread so widely (average precision {found.spread}) that "
            f"they do not tell whether the shipped model ({found.shipped:.3f}) is one of them.",
            facts,
            "More seeds of the baseline, or a training that is more stable.",
        )
    return Judgement(Outcome.PASSED, "The retrained baseline ranks as the shipped model does.", facts)


def _is_asked(ablation: AblationEvidence, arm: ArmEvidence, policy: Policy) -> bool:
    """A control only says whether capacity explains its variant's gain."""
    if not arm.is_control:
        return True
    variant = next((other for other in ablation.variants if other.name == arm.control_of), None)
    return variant is not None and gain_shown(variant, policy)[0] == PROVEN


def _is_undecided(arm: ArmEvidence, policy: Policy) -> bool:
    assert arm.comparison is not None
    undecided = arm.comparison.decision == "undecided"
    return undecided and (not arm.is_control or gain_shown(arm, policy)[0] == OPEN)


def _lost(arm: ArmEvidence) -> int:
    return arm.collapsed + arm.dead + arm.diverged + arm.failed


def _shows_collapse(ablation: AblationEvidence) -> bool:
    """Whether the test items tell a ROC AUC of 0.7 from 0.5 with 80 % power at 5 % (Hanley and McNeil 1982)."""
    positives = ablation.support / max(1, len(ablation.targets))
    negatives = ablation.test_items - positives
    if min(positives, negatives) <= 0:
        return False
    error = ((positives + negatives + 1) / (12 * positives * negatives)) ** 0.5
    return bool((special.ndtri(0.975) + special.ndtri(0.8)) * error <= 0.7 - 0.5)


def _states(arm: ArmEvidence) -> str:
    counts = (("collapsed", arm.collapsed), ("dead", arm.dead), ("diverged", arm.diverged), ("failed", arm.failed))
    return f"{arm.learned} of {arm.trained} learned; " + ", ".join(f"{n} {name}" for name, n in counts if n)


def _undecided(arm: ArmEvidence) -> str:
    comparison = arm.comparison
    assert comparison is not None
    parts = [comparison.reason]
    if comparison.seeds_to_decide is not None:
        parts.append(f"{more_seeds(comparison.seeds_to_decide - comparison.seeds)} would decide")
    if comparison.items_to_decide is not None:
        parts.append(f"{comparison.items_to_decide:,} items of the class would decide, more seeds would not")
    return "; ".join(part for part in parts if part)


def _winners(ablation: AblationEvidence, margin: float) -> tuple[list[str], bool]:
    """The best arm with each seed that every arm learned with, and whether first and last differ by the margin."""
    metric = ablation.primary if ablation.primary in METRIC_NAMES else "average_precision"
    by_seed: dict[int, dict[str, float]] = {}
    arms = {row.arm for row in ablation.trials if not row.arm.endswith(" (control)")}
    for row in ablation.trials:
        value = metric_of(row, metric)
        if row.arm in arms and row.state == LEARNED and value is not None:
            by_seed.setdefault(row.seed, {})[row.arm] = value
    whole = [values for values in by_seed.values() if len(values) == len(arms)]
    matters = any(max(values.values()) - min(values.values()) > margin for values in whole)
    return [max(values, key=lambda arm: values[arm]) for values in whole], matters
