"""Lost recall has two causes with different cures: a wrong threshold, or a ranking that cannot tell the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from poolaudit.errors import listed
from poolaudit.evidence.evaluation import ClassMetrics, EvaluationEvidence, RecoverableRecall, ThresholdAdvice
from poolaudit.evidence.wording import percent, with_interval
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.low_rates import not_evaluated
from poolaudit.pitfalls.rates import accused, judge_rates, judged_classes, recalls
from poolaudit.policy import Policy
from poolaudit.results import Evidence

# A precision of exactly 0.85 must count as reaching 0.85 although 0.85 is no binary fraction.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class _Loss:
    """A judged class whose recall is not shown to be good, and what other thresholds could reach.

    Precisions are measured on a fixed grid. What is reached at the nearest precision not below the demand is reached
    at the demand as well; what is out of reach at the nearest one not above it is out of reach there as well.

    Attributes:
        is_below: Recall as shipped is shown to be below the bar.
        at_least: Measured at the nearest precision not below the demanded one; None beyond the grid.
        at_most: Measured at the nearest precision not above the demanded one; None beyond the grid.
        reached_in_sample: Some threshold reaches the demanded recall and precision on the test items themselves.
    """

    metrics: ClassMetrics
    is_below: bool
    at_least: RecoverableRecall | None
    at_most: RecoverableRecall | None
    reached_in_sample: bool

    def is_recoverable(self, policy: Policy) -> bool:
        """Another threshold reaches the demanded recall, and is not shown to miss the demanded precision."""
        best = self.at_least
        return (
            best is not None
            and best.recall.low is not None
            and best.recall.low >= policy.good_recall
            and best.precision.high is not None
            and best.precision.high >= policy.good_precision
        )

    def is_lost(self, policy: Policy) -> bool:
        """No threshold reaches the demand. With few items of the class a half of them can lack any threshold by
        chance; then one that holds on all items speaks against a loss."""
        best = self.at_most
        return (
            best is not None
            and best.recall.high is not None
            and best.recall.high < policy.good_recall
            and not self.reached_in_sample
        )

    def facts(self) -> tuple[Fact, ...]:
        name = self.metrics.name
        measured = dict.fromkeys(best for best in (self.at_least, self.at_most) if best is not None)
        return (
            Fact(f"Recall of {name!r} as shipped", with_interval(self.metrics.recall)),
            *(
                Fact(
                    f"Recall at a precision of {percent(best.wanted_precision)}, threshold chosen on the other half",
                    with_interval(best.recall),
                )
                for best in measured
            ),
            Fact("Average precision", with_interval(self.metrics.average_precision)),
        )


@detector("PA208", Severity.MAJOR)
def threshold_costs_no_recall(evidence: Evidence, policy: Policy) -> Judgement:
    """The threshold costs no recall.

    Why: A model that ranks the cases well but ships with the wrong threshold misses cases it has seen. Moving the
        threshold costs nothing; retraining would be wasted.
    How: Where recall is not shown to be good, the threshold is chosen on one half of the test items and judged on the
        other (cross-fitting, so no item is judged by a threshold it chose; the median over many divisions). If
        recall at the demanded precision then reaches `good_recall` with its whole interval, the threshold is to blame:
        failed where recall as shipped is below the bar with its whole interval, undecided where it straddles the bar.
    Do: Choose the threshold on validation data (`--validation`): the report then states the threshold, where it comes
        from, and its precision and recall on the test split.
    False alarm: The scores were calibrated or the threshold fixed for a different prevalence than the test split has.
    """
    return _judge(evidence, policy, blame_threshold=True)


@detector("PA209", Severity.MAJOR)
def scores_rank_the_class_high_enough(evidence: Evidence, policy: Policy) -> Judgement:
    """The scores tell the class from the others.

    Why: Where no threshold reaches the demanded recall at the demanded precision, the information is not in the
        scores: pooling, capacity, data or labels lost it, and no threshold brings it back.
    How: As for PA208; if recall at the demanded precision stays below `good_recall` with its whole interval, and no
        threshold reaches both demands even on the test items themselves, the ranking is to blame. Average precision
        stands beside it. Scores that rank backwards (ROC AUC below 50 % with its whole interval) fail whatever the
        recall: where nearly everything is called the class, its recall says nothing.
    Do: Look upstream: over-pooling (PA3xx), wrongly scaled inputs (PA210), too little or mislabelled training data.
    False alarm: The demanded precision is higher than the task needs; lower `good_precision`.
    """
    judged = _judge(evidence, policy, blame_threshold=False)
    evaluation = evidence.evaluation
    if evaluation is None:
        return judged
    classes = judged_classes(evaluation)
    rates = judge_rates(recalls(classes), policy.good_recall)
    backwards = _ranked_backwards(classes)
    if backwards is not None:
        return replace(backwards, subjects=backwards.subjects + judged.subjects)
    coin = _ranked_like_a_coin(classes, {rate.class_name for rate in rates.below + rates.open})
    if coin is None:
        return judged
    subjects = judged.subjects + coin.subjects
    return replace(judged if judged.outcome is Outcome.FAILED else coin, subjects=subjects)


def _judge(evidence: Evidence, policy: Policy, *, blame_threshold: bool) -> Judgement:
    evaluation = evidence.evaluation
    if evaluation is None:
        return not_evaluated()
    classes = judged_classes(evaluation)
    judged = judge_rates(recalls(classes), policy.good_recall)
    suspects = {rate.class_name for rate in judged.below + judged.open}
    if not suspects:
        return Judgement(Outcome.PASSED, "Recall is good at the shipped operating point: nothing is lost.")
    below = {rate.class_name for rate in judged.below}
    losses = _losses(evaluation, [c for c in classes if c.name in suspects], below, policy)
    if not losses:
        return Judgement(Outcome.SKIPPED, _why_unknown(evaluation, suspects))
    recoverable = [loss for loss in losses if loss.is_recoverable(policy)]
    lost = [loss for loss in losses if loss.is_lost(policy)]
    blamed, cleared = (recoverable, lost) if blame_threshold else (lost, recoverable)
    proven = [loss for loss in blamed if loss.is_below or not blame_threshold]
    settled = {loss.metrics.name for loss in (*proven, *cleared)}
    subjects = accused(
        "recall",
        recalls([loss.metrics for loss in proven]),
        recalls([c for c in classes if c.name in suspects - settled]),
    )
    if proven:
        worst = min(proven, key=_shipped_recall)
        return replace(_blamed(evaluation, worst, policy, blame_threshold), subjects=subjects)
    if len(cleared) == len(suspects):
        text = (
            "No threshold reaches the demanded recall: the threshold is not to blame (PA209)."
            if blame_threshold
            else "Another threshold reaches the demanded recall and precision: the ranking is not to blame (PA208)."
        )
        return Judgement(Outcome.PASSED, text, cleared[0].facts())
    open_losses = [loss for loss in losses if loss not in cleared]
    if not open_losses:
        known = {loss.metrics.name for loss in losses}
        return Judgement(
            Outcome.UNDECIDED,
            f"What other thresholds could reach is not known for {listed(sorted(suspects - known))}.",
            cleared[0].facts(),
            subjects=subjects,
            would_change="The class named with `--positive`, or more test items of it.",
        )
    first = min(open_losses, key=_shipped_recall)
    return Judgement(
        Outcome.UNDECIDED,
        f"For {first.metrics.name!r} the test items do not decide whether "
        + ("the shipped threshold or only another one reaches" if first in blamed else "another threshold would reach")
        + f" a recall of {percent(policy.good_recall)} at a precision of {percent(policy.good_precision)}.",
        first.facts() + _advice_facts(evaluation, first.metrics.name),
        f"More test items of {first.metrics.name!r}, or "
        + (_other_threshold if blame_threshold else _better_ranking)(evaluation, first.metrics.name)
        + ".",
        subjects=subjects,
        do=_left_to_do(evaluation, first.metrics.name) if blame_threshold else None,
    )


def _advice(evaluation: EvaluationEvidence, name: str) -> ThresholdAdvice | None:
    """The threshold that was chosen on other items than those of the test."""
    return next((a for a in evaluation.thresholds if a.class_name == name and a.threshold is not None), None)


def _named(advice: ThresholdAdvice) -> str:
    return f"threshold {advice.threshold:.4g}, which was chosen on the {advice.chosen_on}"


def _why_no_advice(evaluation: EvaluationEvidence, name: str) -> str | None:
    """Why validation data that were given yielded no threshold; None where none were given, or one was chosen."""
    reasons = (a.reason for a in evaluation.thresholds if a.class_name == name and a.threshold is None)
    return next((reason for reason in reasons if reason and "the validation split" in reason), None)


def _other_threshold(evaluation: EvaluationEvidence, name: str) -> str:
    advice, reason = _advice(evaluation, name), _why_no_advice(evaluation, name)
    if advice is not None:
        return f"the {_named(advice)}, in the place of this one"
    if reason is not None:
        return f"more validation items to choose a threshold on (so far: {reason})"
    return "validation data to choose a threshold on"


def _better_ranking(evaluation: EvaluationEvidence, name: str) -> str:
    reason = _why_no_advice(evaluation, name)
    told = f" (validation data do not tell either: {reason})" if reason is not None else ""
    return f"a model whose scores tell {name!r} from the others more clearly{told}"


def _left_to_do(evaluation: EvaluationEvidence, name: str) -> str | None:
    """What is left where validation data were given; None where they are what is asked for."""
    advice, reason = _advice(evaluation, name), _why_no_advice(evaluation, name)
    if advice is not None:
        return (
            f"Decide {name!r} at the {_named(advice)}, if its precision and recall on the test split suffice, and "
            "audit the model with it."
        )
    if reason is not None:
        return f"More test items of {name!r}, or more validation items to choose a threshold on (so far: {reason})."
    return None


def _advice_facts(evaluation: EvaluationEvidence, name: str) -> tuple[Fact, ...]:
    advice = _advice(evaluation, name)
    if advice is None or advice.recall is None or advice.precision is None:
        return ()
    where = f"at the threshold {advice.threshold:.4g} (chosen on the {advice.chosen_on})"
    return (
        Fact(f"Recall {where}", with_interval(advice.recall)),
        Fact(f"Precision {where}", with_interval(advice.precision)),
    )


def _ranked_backwards(classes: Sequence[ClassMetrics]) -> Judgement | None:
    backwards = [c for c in classes if c.roc_auc.high is not None and c.roc_auc.high < 0.5]
    if not backwards:
        return None
    worst = min(backwards, key=lambda c: c.roc_auc.value or 0.0)
    also = [c.name for c in backwards if c is not worst]
    return Judgement(
        Outcome.FAILED,
        f"The scores rank {worst.name!r} backwards (ROC AUC {percent(worst.roc_auc.value)}, a coin has 50 %): high "
        f"scores mean the other class.{f' Likewise {listed(also, 5)}.' if also else ''}",
        _ranking_facts(worst),
        "Scores with the other sign, or the classes in the other order.",
        subjects=tuple(Subject(f"order of {c.name}") for c in backwards),
    )


def _ranked_like_a_coin(classes: Sequence[ClassMetrics], suspects: set[str]) -> Judgement | None:
    """Where recall is good, scores that are not shown to tell anything."""
    unproven = [c for c in classes if c.name not in suspects and c.roc_auc.low is not None and c.roc_auc.low <= 0.5]
    if not unproven:
        return None
    first = min(unproven, key=lambda c: c.roc_auc.value or 0.0)
    return Judgement(
        Outcome.UNDECIDED,
        f"Recall of {first.name!r} is good, but its scores are not shown to rank better than a coin (ROC AUC "
        f"{percent(first.roc_auc.value)}): the recall may come from calling nearly everything {first.name!r}.",
        _ranking_facts(first),
        f"More test items, or scores that tell {first.name!r} from the others.",
        subjects=accused("recall", (), recalls(unproven)),
    )


def _ranking_facts(metrics: ClassMetrics) -> tuple[Fact, ...]:
    return (
        Fact("ROC AUC", with_interval(metrics.roc_auc)),
        Fact("Average precision", with_interval(metrics.average_precision)),
        Fact(f"Recall of {metrics.name!r} as shipped", with_interval(metrics.recall)),
    )


def _blamed(evaluation: EvaluationEvidence, loss: _Loss, policy: Policy, blame_threshold: bool) -> Judgement:
    name = loss.metrics.name
    if blame_threshold:
        assert loss.at_least is not None
        return Judgement(
            Outcome.FAILED,
            f"The model ranks {name!r} well, but the shipped threshold finds only "
            f"{percent(loss.metrics.recall.value)} of it; another threshold would find about "
            f"{percent(loss.at_least.recall.value)} at a precision of {percent(loss.at_least.precision.value)}.",
            loss.facts() + _advice_facts(evaluation, name),
            _confirmed_threshold(evaluation, name),
            do=_left_to_do(evaluation, name),
        )
    assert loss.at_most is not None
    return Judgement(
        Outcome.FAILED,
        f"No threshold helps: at a precision of {percent(loss.at_most.wanted_precision)} the scores of {name!r} reach "
        f"a recall of only {percent(loss.at_most.recall.value)}. The information is not in the scores.",
        loss.facts(),
        f"A model whose scores reach a recall of {percent(policy.good_recall)} at that precision.",
    )


def _confirmed_threshold(evaluation: EvaluationEvidence, name: str) -> str:
    advice, reason = _advice(evaluation, name), _why_no_advice(evaluation, name)
    if advice is not None:
        return f"The {_named(advice)}, confirmed on the test split."
    if reason is not None:
        return f"More validation items to choose a threshold on (so far: {reason})."
    return "A threshold chosen on validation data and confirmed on the test split."


def _losses(
    evaluation: EvaluationEvidence, classes: list[ClassMetrics], below: set[str], policy: Policy
) -> list[_Loss]:
    losses = []
    for metrics in classes:
        measured = [
            r for r in evaluation.recoverable_recall if r.class_name == metrics.name and r.recall.value is not None
        ]
        if measured:
            demand = policy.good_precision
            above = [r for r in measured if r.wanted_precision >= demand - _ROUNDING]
            beneath = [r for r in measured if r.wanted_precision <= demand + _ROUNDING]
            losses.append(
                _Loss(
                    metrics,
                    metrics.name in below,
                    min(above, key=lambda r: r.wanted_precision, default=None),
                    max(beneath, key=lambda r: r.wanted_precision, default=None),
                    _reached_in_sample(evaluation, metrics.name, policy),
                )
            )
    return losses


def _reached_in_sample(evaluation: EvaluationEvidence, name: str, policy: Policy) -> bool:
    return any(
        point.recall >= policy.good_recall - _ROUNDING
        and point.precision is not None
        and point.precision >= policy.good_precision - _ROUNDING
        for curve in evaluation.curves
        if curve.class_name == name
        for point in curve.points
    )


def _shipped_recall(loss: _Loss) -> float:
    return loss.metrics.recall.value or 0.0


def _why_unknown(evaluation: EvaluationEvidence, suspects: set[str]) -> str:
    for measured in evaluation.recoverable_recall:
        if measured.class_name in suspects and measured.recall.reason:
            return f"What other thresholds could reach is not known: {measured.recall.reason}."
    empty = [c.name for c in evaluation.per_class if c.name in suspects and not c.support]
    if empty and len(empty) == len(suspects):
        return f"What other thresholds could reach is not known: no test item is of class {listed(empty)}."
    ranked = sorted(
        c.name for c in evaluation.per_class if c.name in suspects and c.average_precision.value is not None
    )
    if ranked:  # judged by a higher bar than the one they were measured under
        return (
            f"What other thresholds could reach was measured for other classes only, and is not known for "
            f"{listed(ranked)}."
        )
    return "The predictions hold no scores, so what other thresholds could reach is not known."
