"""Recall far below precision: the model is sure when it speaks, and mostly silent."""

from __future__ import annotations

from poolaudit.evidence.evaluation import ClassMetrics
from poolaudit.evidence.wording import difference_with_interval, percent
from poolaudit.findings import Fact
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.low_rates import missed_in_words, not_evaluated
from poolaudit.pitfalls.rates import accused, judge_rates, judged_classes, recalls
from poolaudit.policy import Policy
from poolaudit.results import Evidence


@detector("PA206", Severity.CRITICAL)
def recall_is_not_traded_away_for_precision(evidence: Evidence, policy: Policy) -> Judgement:
    """Recall is not traded away for precision.

    Why: A precision of 90 % with a recall of 50 % looks careful and misses every second case.
    How: Precision minus recall of each judged class, with Newcombe's interval. A gap above
        `precision_recall_gap` together with recall below `bad_recall`, both with their whole intervals, fails;
        where the intervals leave room for both, it is undecided, and likewise where recall may be below `bad_recall`
        and there is no precision to hold it against.
    Do: Lower the threshold (PA208 says what that would give back) or weigh the missed class more in training.
    False alarm: A task where a missed case costs little and a false alarm much; say so in the policy.
    """
    evaluation = evidence.evaluation
    if evaluation is None:
        return not_evaluated()
    classes = judged_classes(evaluation)
    recall_below = {rate.class_name for rate in judge_rates(recalls(classes), policy.bad_recall).below}
    failing = [c for c in classes if _gap_low(c) > policy.precision_recall_gap and c.name in recall_below]
    could = [c for c in classes if _could_fail(c, policy)]
    subjects = accused("recall", recalls(failing), recalls([c for c in could if c not in failing]))
    if failing:
        worst = max(failing, key=lambda c: c.precision_minus_recall.value or 0.0)
        return Judgement(
            Outcome.FAILED,
            f"For {worst.name!r} precision is {percent(worst.precision.value)} but recall only "
            f"{percent(worst.recall.value)}: {missed_in_words(evaluation, worst.name)}.",
            _facts(failing[:12]),
            f"Recall of {worst.name!r} at or above {percent(policy.bad_recall)}, or within "
            f"{100 * policy.precision_recall_gap:g} points of precision.",
            subjects=subjects,
        )
    if could:
        worst = max(could, key=_gap_high)
        gap = worst.precision_minus_recall
        return Judgement(
            Outcome.UNDECIDED,
            f"For {worst.name!r} recall cannot be held against precision: {gap.reason}."
            if gap.value is None
            else f"For {worst.name!r} recall is {percent(worst.recall.value)} and precision "
            f"{percent(worst.precision.value)}; {worst.support:,} test items are too few to tell whether recall lies "
            f"more than {100 * policy.precision_recall_gap:g} points lower and below {percent(policy.bad_recall)}.",
            _facts(could[:12]),
            f"More test items of {worst.name!r}.",
            Severity.MAJOR,
            subjects,
        )
    return Judgement(
        Outcome.PASSED,
        f"No judged class can have a recall below {percent(policy.bad_recall)} that lies more than "
        f"{100 * policy.precision_recall_gap:g} points below its precision.",
        _facts(classes[:12]),
    )


def _gap_low(metrics: ClassMetrics) -> float:
    low = metrics.precision_minus_recall.low
    return -1.0 if low is None else low


def _gap_high(metrics: ClassMetrics) -> float:
    high = metrics.precision_minus_recall.high
    return 1.0 if high is None else high


def _could_fail(metrics: ClassMetrics, policy: Policy) -> bool:
    recall_low = metrics.recall.low
    return (recall_low is None or recall_low < policy.bad_recall) and _gap_high(metrics) > policy.precision_recall_gap


def _facts(classes: list[ClassMetrics] | tuple[ClassMetrics, ...]) -> tuple[Fact, ...]:
    return tuple(
        Fact(f"Precision minus recall of {c.name!r}", difference_with_interval(c.precision_minus_recall))
        for c in classes
    )
