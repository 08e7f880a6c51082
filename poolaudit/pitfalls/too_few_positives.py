"""Too few positives: the test split cannot show what the release needs to know."""

from __future__ import annotations

import math

from poolaudit.errors import listed
from poolaudit.evidence.evaluation import ClassMetrics
from poolaudit.evidence.wording import percent, with_interval
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.low_rates import not_evaluated
from poolaudit.pitfalls.rates import Rate, further_items, judge_rates, judged_classes, recalls
from poolaudit.policy import Policy
from poolaudit.results import Evidence
from poolaudit.statistics.binomial import smallest_detectable_loss
from poolaudit.statistics.intervals import normal_quantile


@detector("PA207", Severity.MAJOR)
def positives_suffice_to_decide(evidence: Evidence, policy: Policy) -> Judgement:
    """There are enough test items of each judged class.

    Why: With a handful of positives a recall of 100 % may be luck, and a real loss of recall goes unseen.
    How: A class whose recall is decided against `good_recall` has enough items. Otherwise, where even a perfect model
        could not show a recall at the bar with so few items, the check fails; where more items would decide, it is
        undecided and says how many. Where no class of interest is named, a class without any test item is undecided
        too. The smallest loss of recall that the split would show (one-sided exact test at
        5 %, power 80 %) stands beside it.
    Do: Collect the stated number of further test items of the class; do not move them over from training.
    False alarm: None known: the demand follows from the bar. A lower `good_recall` needs fewer items.
    """
    evaluation = evidence.evaluation
    if evaluation is None:
        return not_evaluated()
    classes = judged_classes(evaluation)
    judged = judge_rates(recalls(classes), policy.good_recall)
    undecided = {rate.class_name for rate in judged.open}
    # What is charged comes first, and where anything is, nothing else stands beside it.
    shown_classes = [c for c in classes if c.name in undecided] or list(classes)
    facts = tuple(_fact(c, policy) for c in sorted(shown_classes, key=lambda c: c.support)[:12])
    untested = [c.name for c in evaluation.per_class if c.support == 0] if evaluation.positive is None else []
    if not judged.open and untested:
        shown = listed(untested, 5)
        return Judgement(
            Outcome.UNDECIDED,
            f"No test item is of class {shown}: how the model does on {'it' if len(untested) == 1 else 'them'} is not "
            "known.",
            facts,
            f"Test items of {shown}, or a class of interest named.",
            subjects=tuple(Subject(name, False) for name in untested),
        )
    if not judged.open:
        fewest = min(classes, key=lambda c: c.support)
        return Judgement(
            Outcome.PASSED,
            f"The {fewest.support:,} test items of {fewest.name!r} decide whether its recall reaches "
            f"{percent(policy.good_recall)}."
            if len(classes) == 1
            else f"Every judged class has enough test items to decide whether its recall reaches "
            f"{percent(policy.good_recall)}; the fewest are {fewest.support:,} of {fewest.name!r}.",
            facts,
        )
    smallest = min(judged.open, key=lambda rate: rate.estimate.n)
    needed = _needed_if_perfect(policy)
    open_names = [rate.class_name for rate in judged.open]
    subjects = tuple(
        Subject(rate.class_name, is_shown=needed is None or rate.estimate.n < needed) for rate in judged.open
    ) + tuple(Subject(name, is_shown=False) for name in untested if name not in open_names)
    if needed is None or smallest.estimate.n < needed:
        return Judgement(
            Outcome.FAILED,
            f"There {_only(smallest.estimate.n)} of {smallest.class_name!r}: even a perfect model "
            f"could not show a recall of {percent(policy.good_recall)} with "
            + ("any number of items." if needed is None else f"fewer than {needed:,}."),
            facts,
            "A `good_recall` below 1: no number of items shows that nothing is ever missed."
            if needed is None
            else f"At least {needed - smallest.estimate.n:,} further test items of {smallest.class_name!r}; more, if "
            "the model misses any.",
            subjects=subjects,
        )
    first = min(judged.open, key=lambda rate: rate.estimate.value or 0.0)
    more = further_items(first, policy.good_recall)
    return Judgement(
        Outcome.UNDECIDED,
        f"The {first.estimate.n:,} test items of {first.class_name!r} do not decide whether its recall reaches "
        f"{percent(policy.good_recall)}.",
        facts,
        f"About {more:,} further test items of {first.class_name!r}, if its recall stays as it is."
        if more is not None
        else "Recall lies right at the bar: no number of further items would decide.",
        subjects=subjects,
    )


def _only(items: int) -> str:
    return {0: "is no test item", 1: "is only 1 test item"}.get(items, f"are only {items:,} test items")


def _needed_if_perfect(policy: Policy) -> int | None:
    """The Wilson interval of n hits in n begins at n / (n + z^2): the smallest n at which that reaches the bar."""
    if policy.good_recall >= 1.0:
        return None
    z = normal_quantile(policy.confidence)
    return max(1, math.ceil(policy.good_recall * z * z / (1.0 - policy.good_recall) - 1e-9))


def _fact(metrics: ClassMetrics, policy: Policy) -> Fact:
    rate = Rate(metrics.name, metrics.recall, metrics.true_positives)
    if rate.estimate.value is None:
        return Fact(f"Recall of {metrics.name!r}", with_interval(rate.estimate))
    loss = smallest_detectable_loss(metrics.support, rate.estimate.value)
    seen = f"a loss of {100 * loss:.1f} points or more would be seen" if loss is not None else "no loss would be seen"
    return Fact(f"Recall of {metrics.name!r}", f"{with_interval(rate.estimate)}; {seen}")
