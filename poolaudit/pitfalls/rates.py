"""Judging rates of one or many classes against a bar, by their intervals.

To say that every class passes, each must pass on its own (an intersection-union test; no correction is due). To say
that some class fails, the chance of one false alarm among many classes must stay small: exact binomial tests with
Holm's correction. With many classes a single unlucky interval below the bar is therefore not yet a failure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import ClassMetrics, EvaluationEvidence
from poolaudit.evidence.wording import with_interval
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome
from poolaudit.statistics.binomial import holm, items_to_decide, probability_at_most


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate of one class: `successes` of `estimate.n`."""

    class_name: str
    estimate: Estimate
    successes: int


@dataclass(frozen=True, slots=True)
class RateJudgement:
    """How a family of rates stands against a bar.

    Attributes:
        below: Rates shown to lie below the bar, lowest first.
        open: Rates that could lie on either side, or that could not be estimated.
        outcome: FAILED where any is below, else UNDECIDED where any is open, else PASSED.
    """

    below: tuple[Rate, ...]
    open: tuple[Rate, ...]

    @property
    def outcome(self) -> Outcome:
        if self.below:
            return Outcome.FAILED
        return Outcome.UNDECIDED if self.open else Outcome.PASSED


def judged_classes(evaluation: EvaluationEvidence) -> tuple[ClassMetrics, ...]:
    """The class of interest, or every class that occurs in the test split or among the predictions."""
    if evaluation.positive is not None:
        return tuple(c for c in evaluation.per_class if c.name == evaluation.positive)
    return tuple(c for c in evaluation.per_class if c.support or c.false_positives)


def recalls(classes: Sequence[ClassMetrics]) -> tuple[Rate, ...]:
    return tuple(Rate(c.name, c.recall, c.true_positives) for c in classes)


def precisions(classes: Sequence[ClassMetrics]) -> tuple[Rate, ...]:
    # Where no item is of a class, each prediction of it is wrong whatever the model is worth.
    absent = Estimate.not_estimable("no test item is of this class")
    return tuple(Rate(c.name, c.precision if c.support else absent, c.true_positives) for c in classes)


def judge_rates(rates: Sequence[Rate], bar: float) -> RateJudgement:
    """Which rates are below `bar`, and which could be, at the estimates' own confidence."""
    known = [rate for rate in rates if rate.estimate.value is not None]
    unknown = [rate for rate in rates if rate.estimate.value is None]
    tail = [probability_at_most(rate.successes, rate.estimate.n, bar) for rate in known]
    adjusted = holm(tail)
    below, undecided = [], []
    for rate, p_value in zip(known, adjusted, strict=True):
        error = (1.0 - rate.estimate.confidence) / 2
        if _high(rate) < bar and p_value <= error:
            below.append(rate)
        elif _low(rate) < bar:
            undecided.append(rate)
    by_value = sorted(below, key=lambda rate: (rate.estimate.value or 0.0, rate.class_name))
    return RateJudgement(tuple(by_value), tuple(undecided + unknown))


def accused(metric: str, shown: Sequence[Rate], could_be: Sequence[Rate]) -> tuple[Subject, ...]:
    """Every class that is charged, by the rate it is charged with."""
    return tuple(
        Subject(rate.class_name, is_shown, metric, rate.successes, rate.estimate.n)
        if rate.estimate.n
        else Subject(rate.class_name, is_shown)
        for rates, is_shown in ((shown, True), (could_be, False))
        for rate in rates
    )


def accuracy_of(evaluation: EvaluationEvidence, *, is_shown: bool = True) -> Subject:
    """The accuracy as what is charged."""
    right = sum(row[index] for index, row in enumerate(evaluation.confusion))
    return Subject("all items", is_shown, "accuracy", right, evaluation.n)


def further_items(rate: Rate, bar: float) -> int | None:
    """How many further items of the same kind would decide, at the observed rate; None where none would."""
    if rate.estimate.value is None:
        return None
    needed = items_to_decide(rate.successes, rate.estimate.n, bar, rate.estimate.confidence)
    return None if needed is None else max(needed - rate.estimate.n, 1)


def rate_facts(what: str, rates: Sequence[Rate], limit: int = 12) -> tuple[Fact, ...]:
    """One line of evidence a rate; the number left out is stated."""
    facts = tuple(Fact(f"{what} of {rate.class_name!r}", with_interval(rate.estimate)) for rate in rates[:limit])
    if len(rates) > limit:
        facts += (Fact("and further classes", str(len(rates) - limit)),)
    return facts


def _low(rate: Rate) -> float:
    return -math.inf if rate.estimate.low is None else rate.estimate.low


def _high(rate: Rate) -> float:
    return math.inf if rate.estimate.high is None else rate.estimate.high
