"""Low recall, low precision: a class of interest that the model misses, or that it cries out too often."""

from __future__ import annotations

from dataclasses import replace

from poolaudit.evidence.evaluation import EvaluationEvidence
from poolaudit.evidence.wording import percent
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.rates import (
    Rate,
    RateJudgement,
    accused,
    further_items,
    judge_rates,
    judged_classes,
    precisions,
    rate_facts,
    recalls,
)
from poolaudit.policy import Policy
from poolaudit.results import Evidence


@detector("PA204", Severity.MAJOR)
def recall_meets_the_bar(evidence: Evidence, policy: Policy) -> Judgement:
    """Recall meets the bar.

    Why: Recall is the share of true cases that the model finds; the rest are missed in silence.
    How: Recall of the class of interest, or of every class where none is named, with a Wilson interval against
        `good_recall`. Below the bar with the whole interval and by an exact binomial test fails (over several classes
        with Holm's correction); an interval that straddles the bar, or such a test that does not show it, is undecided.
        Below `bad_recall` in the same way is critical.
    Do: Look at the missed items first. Then see whether the threshold (PA208) or the ranking (PA209) loses them.
    False alarm: The class of interest was not named, and a class that nobody acts on is judged with the others; name
        it with `--positive`.
    """
    if evidence.evaluation is None:
        return not_evaluated()
    rates = recalls(judged_classes(evidence.evaluation))
    judgement = _judged("Recall", rates, judge_rates(rates, policy.good_recall), policy.good_recall, "test items")
    # Without this a model could gain by losing accuracy: PA201 only judges recall where accuracy looks good.
    stops = judge_rates(rates, policy.bad_recall).below
    return replace(judgement, severity=Severity.CRITICAL) if stops else judgement


@detector("PA205", Severity.MAJOR)
def precision_meets_the_bar(evidence: Evidence, policy: Policy) -> Judgement:
    """Precision meets the bar.

    Why: Precision is the share of alarms that are true; where it is low, people stop heeding them.
    How: As for recall (PA204), against `good_precision`. A class that is never predicted has no precision, and that
        is said, not counted as 0 or 1.
    Do: Raise the threshold if recall can afford it (PA208 says whether it can); otherwise add training data of the
        classes that are mistaken for this one: the confusion matrix names them.
    False alarm: Screening, where each alarm is checked by a person and precision may be low on purpose; set
        `good_precision` accordingly. Precision also depends on how common the class is: a test split that is richer
        or poorer in it than real life moves it.
    """
    if evidence.evaluation is None:
        return not_evaluated()
    rates = precisions(judged_classes(evidence.evaluation))
    return _judged("Precision", rates, judge_rates(rates, policy.good_precision), policy.good_precision, "alarms")


def not_evaluated() -> Judgement:
    """The judgement of every detector that needs predictions where there are none."""
    return Judgement(Outcome.SKIPPED, "There are no predictions to judge: the evaluation did not run.")


def missed_in_words(evaluation: EvaluationEvidence, name: str) -> str:
    """How many items of a class are missed, in a sentence without a rate."""
    metrics = next(c for c in evaluation.per_class if c.name == name)
    return f"it misses {metrics.false_negatives:,} of the {metrics.support:,} {name!r} cases in the test data"


def more_classes(number: int) -> str:
    """ "1 more class", "2 more classes"."""
    return f"{number:,} more {'class' if number == 1 else 'classes'}"


def _judged(what: str, rates: tuple[Rate, ...], judged: RateJudgement, bar: float, unit: str) -> Judgement:
    subjects = accused(what.lower(), judged.below, judged.open)
    facts = rate_facts(what, judged.below or judged.open or tuple(sorted(rates, key=_value)))
    if judged.outcome is Outcome.PASSED:
        lowest = min(rates, key=_value)
        return Judgement(
            Outcome.PASSED,
            f"{what} is at least {percent(bar)} with its whole interval for "
            + (f"{lowest.class_name!r}." if len(rates) == 1 else f"all {len(rates)} classes."),
            facts,
        )
    if judged.outcome is Outcome.FAILED:
        worst = judged.below[0]
        others = f" (and {more_classes(len(judged.below) - 1)})" if len(judged.below) > 1 else ""
        return Judgement(
            Outcome.FAILED,
            f"{what} of {worst.class_name!r} is {percent(worst.estimate.value)}{others}, below {percent(bar)} "
            "with its whole interval.",
            facts,
            f"{what} of {worst.class_name!r} at or above {percent(bar)} with its whole interval.",
            subjects=subjects,
        )
    first = min(judged.open, key=_value)
    more = further_items(first, bar)
    others = f" (and {more_classes(len(judged.open) - 1)})" if len(judged.open) > 1 else ""
    if first.estimate.value is None:
        summary = f"{what} of {first.class_name!r}{others} cannot be estimated: {first.estimate.reason}."
        change = f"A test split with items of {first.class_name!r} that the model predicts."
    else:
        summary = (
            f"{what} of {first.class_name!r}{others} is {percent(first.estimate.value)}, but with "
            f"{first.estimate.n:,} {unit} it could be anything from {percent(first.estimate.low)} to "
            f"{percent(first.estimate.high)}; the bar is {percent(bar)}."
        )
        if first.estimate.high is not None and first.estimate.high < bar:
            summary += " That interval is an approximation: an exact test does not show it below the bar."
        change = (
            f"About {more:,} further {unit} of {first.class_name!r} would decide, if {what.lower()} stays as it is."
            if more is not None
            else f"{what} lies right at the bar: no number of further items would decide."
        )
    return Judgement(Outcome.UNDECIDED, summary, facts, change, subjects=subjects)


def _value(rate: Rate) -> float:
    return -1.0 if rate.estimate.value is None else rate.estimate.value
