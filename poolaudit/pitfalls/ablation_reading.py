"""What the detectors on ablation share: which arms can be judged, and how an effect is worded."""

from __future__ import annotations

from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence, Effect, TrialRow
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.wording import more_seeds
from poolaudit.findings import Fact
from poolaudit.outcomes import Outcome
from poolaudit.pitfalls.detector import Judgement
from poolaudit.policy import Policy
from poolaudit.results import Evidence

RETRAINED = "retrained"
LEARNED = "learned"
PROVEN, OPEN, REFUTED = "proven", "open", "refuted"
METRIC_NAMES = {
    "recall_at_matched_precision": "recall at matched precision",
    "average_precision": "average precision",
    "recall": "recall at the shipped threshold",
    "precision": "precision",
    "f1": "F1",
    "accuracy": "accuracy",
    "matthews_correlation": "Matthews correlation",
    "log_loss": "log loss",
}


def not_retrained(evidence: Evidence) -> Judgement | None:
    """Why nothing can be judged, where no arm was trained from scratch; None where arms were."""
    ablation = evidence.ablation
    if ablation is None:
        return Judgement(Outcome.SKIPPED, "The pooling was not ablated (no ablation stage ran).")
    if ablation.depth != RETRAINED:
        return Judgement(
            Outcome.SKIPPED,
            "No variant was retrained: exchanging pooling under trained weights shows how sensitive they are to it, "
            "not what a model trained with other pooling would find. Retraining takes training data and a budget above "
            "`quick`, or `poolaudit ablate`.",
            swap_facts(ablation),
        )
    return None


def swap_facts(ablation: AblationEvidence) -> tuple[Fact, ...]:
    """The three variants whose swap moves recall most."""
    moved = []
    for arm in ablation.variants:
        effect = next((e for e in arm.swap if e.metric == "recall" and e.estimate.value is not None), None)
        if effect is not None and effect.estimate.value is not None:
            moved.append((abs(effect.estimate.value), arm, effect))
    moved.sort(key=lambda entry: -entry[0])
    return tuple(
        Fact(f"{arm.name}, swapped under the trained weights: change of recall", points(effect.estimate))
        for _, arm, effect in moved[:3]
    )


def points(estimate: Estimate) -> str:
    """ "+0.12 (+0.08 to +0.16)", or why there is none."""
    if estimate.value is None:
        return f"not estimable: {estimate.reason}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.3f} (no interval: {estimate.reason})"
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"


def primary_effect(ablation: AblationEvidence, arm: ArmEvidence) -> Effect | None:
    return arm.effect(ablation.primary)


def arm_facts(ablation: AblationEvidence, arm: ArmEvidence) -> tuple[Fact, ...]:
    """The arm's decision, its corrected interval, and the metrics that could speak against it."""
    facts: list[Fact] = []
    comparison, effect = arm.comparison, primary_effect(ablation, arm)
    if effect is not None:
        facts.append(
            Fact(
                f"{arm.name}: change of {METRIC_NAMES[ablation.primary]}",
                f"{points(effect.estimate)}, {effect.seeds} pairs of seeds",
            )
        )
    if comparison is not None and comparison.low is not None and comparison.high is not None:
        facts.append(
            Fact(
                f"{arm.name}: the same, corrected for {ablation.hypotheses} comparisons and all looks",
                f"{comparison.low:+.3f} to {comparison.high:+.3f}: {comparison.decision}",
            )
        )
    for metric in ("average_precision", "recall"):
        other = arm.effect(metric)
        if other is not None and metric != ablation.primary:
            facts.append(Fact(f"{arm.name}: change of {METRIC_NAMES[metric]}", points(other.estimate)))
    return tuple(facts)


def trained_variants(ablation: AblationEvidence, direction: str) -> list[ArmEvidence]:
    return [arm for arm in ablation.variants if arm.direction == direction and arm.comparison is not None]


def gain_shown(arm: ArmEvidence, policy: Policy) -> tuple[str, str]:
    """Whether the arm gains more than the smallest effect that matters: proven, open or refuted, and why."""
    comparison = arm.comparison
    if comparison is None or comparison.beyond_low is None or comparison.beyond_high is None:
        return OPEN, comparison.reason if comparison is not None else "it was not trained"
    low, high = comparison.beyond_low, comparison.beyond_high
    if low > policy.smallest_effect:
        return PROVEN, ""
    words = f"the interval that would show a gain above {policy.smallest_effect:g} is {low:+.3f} to {high:+.3f}"
    if comparison.decision == "equivalent":
        return REFUTED, "it is equivalent to the baseline"
    if comparison.decision == "worse":
        return REFUTED, "it is worse than the baseline"
    return (OPEN, words) if high > policy.smallest_effect else (REFUTED, words)


def metric_of(row: TrialRow, metric: str) -> float | None:
    return dict(row.metrics).get(metric)


def class_words(ablation: AblationEvidence) -> str:
    return repr(ablation.positive) if ablation.positive is not None else "the classes, on average"


def open_question(ablation: AblationEvidence, arm: ArmEvidence) -> str:
    """What would decide an open comparison."""
    comparison = arm.comparison
    if comparison is None:
        return "Trained trials of this variant."
    if comparison.seeds_to_decide is not None:
        more = more_seeds(comparison.seeds_to_decide - comparison.seeds)
        return f"About {more} of {arm.name!r}, if the difference stays as it is (`--seeds`)."
    if comparison.items_to_decide is not None:
        return (
            f"About {comparison.items_to_decide - ablation.support:,} further test items of "
            f"{class_words(ablation)}; more seeds would not decide it."
        )
    if comparison.stopped == "budget" or (ablation.stopped == "budget" and not comparison.stopped):
        # Also of a comparison that never began, because the time did not do for the seeds of its first look.
        return "More time for the trainings (`--minutes`): it was spent before enough of them had been done."
    if comparison.low is None and any(a.learned < a.trained for a in (arm, ablation.baseline)):
        return "Training in which more seeds learn: a lower learning rate, other start weights, or more epochs."
    return "More seeds and more test items."
