"""The accuracy paradox: accuracy looks good because the class that matters is rare."""

from __future__ import annotations

from poolaudit.evidence.evaluation import ClassMetrics, EvaluationEvidence
from poolaudit.evidence.wording import p_value, percent, with_interval
from poolaudit.findings import Fact
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.low_rates import missed_in_words, more_classes, not_evaluated
from poolaudit.pitfalls.rates import (
    accuracy_of,
    accused,
    further_items,
    judge_rates,
    judged_classes,
    rate_facts,
    recalls,
)
from poolaudit.policy import Policy
from poolaudit.results import Evidence


@detector("PA201", Severity.CRITICAL)
def good_accuracy_hides_no_missed_class(evidence: Evidence, policy: Policy) -> Judgement:
    """Good accuracy hides no missed class.

    Why: Where one class is rare, a model that hardly ever finds it still has a high accuracy. Whoever reads only the
        accuracy releases a model that fails at its task: 98 % accuracy with 12 % recall on fraud.
    How: Where accuracy reaches `good_accuracy`, recall of the class of interest (of every class where none is named)
        is held against `bad_recall`: below it with the whole interval fails, an interval around it is undecided. So is
        a class of interest that is the most frequent one while another class is missed: a wrong `--positive` hides it.
    Do: Report recall and precision of the class of interest instead of accuracy; do not release before the missed
        class is found often enough. PA208 and PA209 tell whether a threshold would help or the information is gone.
    False alarm: A class that nobody acts on, such as a catch-all "other", is judged because no class of interest was
        named; name it with `--positive`.
    """
    evaluation = evidence.evaluation
    if evaluation is None:
        return not_evaluated()
    accuracy = evaluation.accuracy.value
    if accuracy is None or accuracy < policy.good_accuracy:
        return Judgement(
            Outcome.SKIPPED,
            f"Accuracy is {percent(accuracy)}, below {percent(policy.good_accuracy)}: it does not look good, so it "
            "misleads nobody. The low accuracy itself is judged by PA203.",
        )
    rates = recalls(judged_classes(evaluation))
    judged = judge_rates(rates, policy.bad_recall)
    facts = (Fact("Accuracy", with_interval(evaluation.accuracy)),)
    if judged.below:
        worst = judged.below[0]
        further = len(judged.below) - 1
        others = f" {more_classes(further)} {'is' if further == 1 else 'are'} missed as well." if further else ""
        return Judgement(
            Outcome.FAILED,
            f"The accuracy of {percent(accuracy)} hides that the model finds only "
            f"{percent(worst.estimate.value)} of {worst.class_name!r}: "
            f"{missed_in_words(evaluation, worst.class_name)}. Accuracy looks good only because "
            f"{worst.class_name!r} is {_share(worst.estimate.n, evaluation.n)} of the items.{others}",
            facts + rate_facts("Recall", judged.below),
            f"Recall of {worst.class_name!r} at or above {percent(policy.good_recall)} with its whole interval.",
            subjects=accused("recall", judged.below, judged.open),
        )
    if judged.open:
        first = min(judged.open, key=lambda r: -1.0 if r.estimate.value is None else r.estimate.value)
        more = further_items(first, policy.bad_recall)
        return Judgement(
            Outcome.UNDECIDED,
            f"Accuracy is {percent(accuracy)}, but there are too few test items of {first.class_name!r} "
            f"({first.estimate.n:,}) to rule out that the model misses that class.",
            facts + rate_facts("Recall", judged.open),
            f"About {more:,} further test items of {first.class_name!r}."
            if more is not None
            else f"More test items of {first.class_name!r}.",
            Severity.MAJOR,
            accused("recall", (), judged.open),
        )
    unnamed = _missed_beside_the_majority(evaluation, policy)
    if unnamed is not None:
        return Judgement(
            Outcome.UNDECIDED,
            f"The class of interest, {evaluation.positive!r}, is the most frequent one, and the model finds only "
            f"{percent(unnamed.recall.value)} of {unnamed.name!r}, which nothing in this audit judges.",
            (*facts, Fact(f"Recall of {unnamed.name!r}", with_interval(unnamed.recall))),
            f"An audit with `--positive` naming the class that must be found; `--positive {unnamed.name}`, perhaps.",
            Severity.MAJOR,
            accused("recall", (), recalls([unnamed])),
        )
    return Judgement(
        Outcome.PASSED,
        f"Accuracy is {percent(accuracy)}, and recall of "
        + (f"{rates[0].class_name!r} is" if len(rates) == 1 else "every class is")
        + f" above {percent(policy.bad_recall)} with its whole interval.",
        facts + rate_facts("Recall", rates),
    )


def _missed_beside_the_majority(evaluation: EvaluationEvidence, policy: Policy) -> ClassMetrics | None:
    """Where most items are of the class of interest: the other class that is found least, if it is missed."""
    if evaluation.positive is None or evaluation.positive != evaluation.no_information.majority_class:
        return None
    others = [m for m in evaluation.per_class if m.name != evaluation.positive and m.recall.high is not None]
    missed = [m for m in others if m.recall.high is not None and m.recall.high < policy.bad_recall]
    return min(missed, key=lambda m: m.recall.high or 0.0, default=None)


@detector("PA202", Severity.MAJOR)
def accuracy_beats_the_most_frequent_class(evidence: Evidence, policy: Policy) -> Judgement:
    """Accuracy beats always predicting the most frequent class.

    Why: Always answering with the most frequent class needs no model. An accuracy that is not above that share is no
        achievement, however high it is.
    How: One-sided exact binomial test of accuracy against the share of the most frequent class in the test split (the
        no-information rate), at 5 % for the default confidence. At or below that share fails; above it without
        significance is undecided. Critical where recall of a judged class is also below `bad_recall`.
    Do: Judge the model by recall and precision of the class of interest; rebalance or reweight the training data.
    False alarm: Screening with many false alarms on purpose: accuracy is then below the no-information rate by design
        while recall is high. Accept it with a policy, not in silence.
    """
    evaluation = evidence.evaluation
    if evaluation is None:
        return not_evaluated()
    test, accuracy = evaluation.no_information, evaluation.accuracy.value
    if accuracy is None:
        return Judgement(Outcome.SKIPPED, f"Accuracy is not estimable: {evaluation.accuracy.reason}.")
    facts = (
        Fact("Accuracy", with_interval(evaluation.accuracy)),
        Fact(f"Share of {test.majority_class!r}", percent(test.rate)),
        Fact("Exact binomial test, one-sided", p_value(test.p_value)),
    )
    error = 1.0 - policy.confidence
    if test.p_value < error:
        return Judgement(
            Outcome.PASSED,
            f"Accuracy ({percent(accuracy)}) is above the {percent(test.rate)} that always answering "
            f"{test.majority_class!r} would reach ({p_value(test.p_value)}).",
            facts,
        )
    change = f"Accuracy significantly above {percent(test.rate)}."
    if accuracy > test.rate:
        return Judgement(
            Outcome.UNDECIDED,
            f"Accuracy ({percent(accuracy)}) is above the {percent(test.rate)} that always answering "
            f"{test.majority_class!r} would reach, but {evaluation.n:,} items cannot tell this from luck "
            f"({p_value(test.p_value)}).",
            facts,
            change,
            subjects=(accuracy_of(evaluation, is_shown=False),),
        )
    missed = judge_rates(recalls(judged_classes(evaluation)), policy.bad_recall).below
    return Judgement(
        Outcome.FAILED,
        f"Accuracy ({percent(accuracy)}) is no better than always answering {test.majority_class!r} without any "
        f"model ({percent(test.rate)}).",
        facts,
        change,
        Severity.CRITICAL if missed else None,
        (accuracy_of(evaluation),),
    )


def _share(part: int, whole: int) -> str:
    return "none" if whole == 0 else percent(part / whole)
