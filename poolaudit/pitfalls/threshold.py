"""Lost recall has two causes with different cures: a wrong threshold, or a ranking that cannot tell the classes."""

from __future__ import annotations

from dataclasses import dataclass

from poolaudit.evidence.evaluation import ClassMetrics, EvaluationEvidence, RecoverableRecall
from poolaudit.evidence.wording import percent, with_interval
from poolaudit.findings import Fact
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.pitfalls.low_rates import not_evaluated
from poolaudit.pitfalls.rates import judge_rates, judged_classes, recalls
from poolaudit.policy import Policy
from poolaudit.results import Evidence


@dataclass(frozen=True, slots=True)
class _Loss:
    """A judged class whose recall is not shown to be good, and what other thresholds could reach."""

    metrics: ClassMetrics
    best: RecoverableRecall

    def facts(self) -> tuple[Fact, ...]:
        name, best = self.metrics.name, self.best
        return (
            Fact(f"Recall of {name!r} as shipped", with_interval(self.metrics.recall)),
            Fact(
                f"Recall at a precision of {percent(best.wanted_precision)}, threshold chosen on the other half",
                with_interval(best.recall),
            ),
            Fact("Average precision", with_interval(self.metrics.average_precision)),
        )


@detector("PA208", Severity.MAJOR)
def threshold_costs_no_recall(evidence: Evidence, policy: Policy) -> Judgement:
    """The threshold costs no recall.

    Why: A model that ranks the cases well but ships with the wrong threshold misses cases it has seen. Moving the
        threshold costs nothing; retraining would be wasted.
    How: Where recall is not shown to be good, the threshold is chosen on one half of the test items and judged on the
        other (cross-fitting, so no item is judged by a threshold it chose). If recall at the demanded precision then
        reaches `good_recall` with its whole interval, the threshold is to blame.
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
    How: As for PA208; if recall at the demanded precision stays below `good_recall` with its whole interval, the
        ranking is to blame. Average precision stands beside it.
    Do: Look upstream: over-pooling (PA3xx), wrongly scaled inputs (PA210), too little or mislabelled training data.
    False alarm: The demanded precision is higher than the task needs; lower `good_precision`.
    """
    return _judge(evidence, policy, blame_threshold=False)


def _judge(evidence: Evidence, policy: Policy, *, blame_threshold: bool) -> Judgement:
    evaluation = evidence.evaluation
    if evaluation is None:
        return not_evaluated()
    classes = judged_classes(evaluation)
    judged = judge_rates(recalls(classes), policy.good_recall)
    suspects = {rate.class_name for rate in judged.below + judged.open}
    if not suspects:
        return Judgement(Outcome.PASSED, "Recall is good at the shipped operating point: nothing is lost.")
    losses = _losses(evaluation, [c for c in classes if c.name in suspects], policy.good_precision)
    if not losses:
        return Judgement(Outcome.SKIPPED, _why_unknown(evaluation, suspects))
    recoverable = [loss for loss in losses if _at_least(loss.best.recall.low, policy.good_recall)]
    lost = [loss for loss in losses if _below(loss.best.recall.high, policy.good_recall)]
    blamed, cleared = (recoverable, lost) if blame_threshold else (lost, recoverable)
    if blamed:
        worst = min(blamed, key=lambda loss: loss.metrics.recall.value or 0.0)
        return _blamed(worst, policy, blame_threshold)
    if len(cleared) == len(losses):
        text = (
            "No threshold reaches the demanded recall: the threshold is not to blame (PA209)."
            if blame_threshold
            else "Another threshold reaches the demanded recall and precision: the ranking is not to blame (PA208)."
        )
        return Judgement(Outcome.PASSED, text, cleared[0].facts())
    open_losses = [loss for loss in losses if loss not in cleared]
    first = min(open_losses, key=lambda loss: loss.metrics.recall.value or 0.0)
    return Judgement(
        Outcome.UNDECIDED,
        f"For {first.metrics.name!r} the test items do not decide whether another threshold would reach a recall of "
        f"{percent(policy.good_recall)} at a precision of {percent(first.best.wanted_precision)}.",
        first.facts(),
        f"More test items of {first.metrics.name!r}, or validation data to choose a threshold on.",
    )


def _blamed(loss: _Loss, policy: Policy, blame_threshold: bool) -> Judgement:
    name, best = loss.metrics.name, loss.best
    if blame_threshold:
        return Judgement(
            Outcome.FAILED,
            f"The model ranks {name!r} well, but the shipped threshold finds only "
            f"{percent(loss.metrics.recall.value)} of it; another threshold would find about "
            f"{percent(best.recall.value)} at a precision of {percent(best.precision.value)}.",
            loss.facts(),
            "A threshold chosen on validation data and confirmed on the test split.",
        )
    return Judgement(
        Outcome.FAILED,
        f"No threshold helps: at a precision of {percent(best.wanted_precision)} the scores of {name!r} reach a recall "
        f"of only {percent(best.recall.value)}. The information is not in the scores.",
        loss.facts(),
        f"A model whose scores reach a recall of {percent(policy.good_recall)} at that precision.",
    )


def _losses(evaluation: EvaluationEvidence, classes: list[ClassMetrics], wanted_precision: float) -> list[_Loss]:
    losses = []
    for metrics in classes:
        measured = [
            r for r in evaluation.recoverable_recall if r.class_name == metrics.name and r.recall.value is not None
        ]
        if measured:
            # The grid of measured precisions is fixed; the nearest one not below the demand keeps the promise.
            high_enough = [r for r in measured if r.wanted_precision >= wanted_precision - 1e-9]
            chosen = min(high_enough or measured[-1:], key=lambda r: r.wanted_precision)
            losses.append(_Loss(metrics, chosen))
    return losses


def _why_unknown(evaluation: EvaluationEvidence, suspects: set[str]) -> str:
    for measured in evaluation.recoverable_recall:
        if measured.class_name in suspects and measured.recall.reason:
            return f"What other thresholds could reach is not known: {measured.recall.reason}."
    return "The predictions hold no scores, so what other thresholds could reach is not known."


def _at_least(value: float | None, bar: float) -> bool:
    return value is not None and value >= bar


def _below(value: float | None, bar: float) -> bool:
    return value is not None and value < bar
