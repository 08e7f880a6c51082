"""Low accuracy, against the two bars of the policy."""

from __future__ import annotations

from poolaudit.evidence.wording import percent, with_interval
from poolaudit.findings import Fact
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.low_rates import not_evaluated
from poolaudit.pitfalls.rates import Rate, accuracy_of, further_items
from poolaudit.policy import Policy
from poolaudit.results import Evidence


@detector("PA203", Severity.MAJOR)
def accuracy_meets_the_bar(evidence: Evidence, policy: Policy) -> Judgement:
    """Accuracy meets the bar.

    Why: The share of right answers is the least a release must show. It is never enough on its own (PA201).
    How: Accuracy with a Wilson interval: below `bad_accuracy` with the whole interval is critical, below
        `good_accuracy` is a failure, an interval around the bar is undecided.
    Do: Look at the confusion matrix for the classes that are mixed up, and at PA210 for wrongly scaled inputs.
    False alarm: Hard problems with many classes, where a useful model stays below the default bar; set
        `good_accuracy` and `bad_accuracy` in the policy before looking at the result.
    """
    evaluation = evidence.evaluation
    if evaluation is None:
        return not_evaluated()
    accuracy = evaluation.accuracy
    if accuracy.value is None or accuracy.low is None or accuracy.high is None:
        return Judgement(Outcome.UNDECIDED, f"Accuracy cannot be estimated: {accuracy.reason}.")
    facts = (Fact("Accuracy", with_interval(accuracy)),)
    bar = f"Accuracy above {percent(policy.good_accuracy)} with its whole interval."
    if accuracy.low > policy.good_accuracy:
        return Judgement(
            Outcome.PASSED,
            f"Accuracy is {percent(accuracy.value)}, above {percent(policy.good_accuracy)} with its whole interval.",
            facts,
        )
    if accuracy.high < policy.bad_accuracy:
        return Judgement(
            Outcome.FAILED,
            f"Accuracy is {percent(accuracy.value)}: of {evaluation.n:,} test items the model gets "
            f"{_wrong(evaluation.confusion):,} wrong. The policy stops a release below "
            f"{percent(policy.bad_accuracy)}.",
            facts,
            bar,
            Severity.CRITICAL,
            (accuracy_of(evaluation),),
        )
    if accuracy.high <= policy.good_accuracy:
        return Judgement(
            Outcome.FAILED,
            f"Accuracy is {percent(accuracy.value)}, not above {percent(policy.good_accuracy)}.",
            facts,
            bar,
            subjects=(accuracy_of(evaluation),),
        )
    right = sum(row[index] for index, row in enumerate(evaluation.confusion))
    more = further_items(Rate("all", accuracy, right), policy.good_accuracy)
    return Judgement(
        Outcome.UNDECIDED,
        f"Accuracy is {percent(accuracy.value)}, but with {accuracy.n:,} items it could be anything from "
        f"{percent(accuracy.low)} to {percent(accuracy.high)}; the bar is {percent(policy.good_accuracy)}.",
        facts,
        f"About {more:,} further test items would decide." if more is not None else bar,
        subjects=(accuracy_of(evaluation, is_shown=False),),
    )


def _wrong(confusion: tuple[tuple[int, ...], ...]) -> int:
    return sum(sum(row) - row[index] for index, row in enumerate(confusion))
