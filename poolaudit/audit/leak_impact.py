"""What the leak does to this model: metrics, verdict and the ablation's ranking with and without the leaked items."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from poolaudit.ablation.settings import RETRAINED
from poolaudit.audit.stages import decided, evaluated, predictions_of
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.leakage import AgainstLeader, LeakedEffect, LeakImpact, RankingWithoutLeak

if TYPE_CHECKING:
    from poolaudit.ablation.again import MeasuredAgain
    from poolaudit.audit.stages import StageContext
    from poolaudit.evidence.ablation import AblationEvidence
    from poolaudit.evidence.evaluation import EvaluationEvidence
    from poolaudit.statistics.crossed import Crossed
    from poolaudit.subject.predictions import Predictions
    from poolaudit.subject.splits import DataSplit

# Training items that are predicted to hold their accuracy against that of the test.
_TRAINING_ITEMS = 2_000
_FEWEST_CLEAN = 2
_NOT_RANKED = "The effects of trained variants were measured on all test items only: {}."
ONLY_MEASURED_CLEAN = (
    "The trainings saw the originals of the leaked items, as the shipped model did: they are measured without the "
    "leak, not trained without it."
)


def impact_of(context: StageContext, leaked: Any) -> LeakImpact:
    """Measured on the clean test items again, and on a sample of the training items.

    Args:
        leaked: (test items,) bool.
    """
    from poolaudit.leakage.impact import measure_impact, no_impact
    from poolaudit.statistics.intervals import wilson
    from poolaudit.subject.heads import find_head, to_probabilities
    from poolaudit.subject.models import predict

    subject, confidence = context.subject, context.plan.policy.confidence
    if not leaked.any():
        return no_impact("no test item is leaked")
    assert subject.test is not None
    assert subject.train is not None
    model = context.model
    raw = context.raw_outputs(subject.test)
    head = find_head(model, raw)
    predictions = predictions_of(model, head, subject.test, raw)
    step = max(1, len(subject.train) // _TRAINING_ITEMS)
    labels = subject.train.labels[::step]
    right = decided(to_probabilities(predict(model, subject.train.inputs[::step]), head)) == labels
    impact = measure_impact(
        predictions.labels,
        predictions.predicted,
        predictions.class_names,
        leaked,
        confidence,
        wilson(int(right.sum()), len(labels), confidence),
    )
    validation = None
    if subject.validation is not None:
        validation = predictions_of(model, head, subject.validation, context.raw_outputs(subject.validation))
    ranking, ablation = _ablation(context, subject.test, ~leaked)
    evaluation = _evaluation(context, predictions, validation, ~leaked)
    return replace(impact, evaluation=evaluation, ranking=ranking, ablation=ablation)


def _evaluation(
    context: StageContext, predictions: Predictions, validation: Predictions | None, clean: Any
) -> EvaluationEvidence | None:
    before, plan = context.evidence.evaluation, context.plan
    if before is None or clean.sum() < _FEWEST_CLEAN or len(np.unique(predictions.labels[clean])) < _FEWEST_CLEAN:
        return None
    found = evaluated(
        plan,
        predictions.rows(clean),
        validation=validation,
        recoverable_at=sorted({r.wanted_precision for r in before.recoverable_recall}) or [plan.policy.good_precision],
        loss=Estimate.not_estimable("it was measured on all test items only"),
        input_scaling=before.input_scaling,
        head_problem=before.head_problem,
        decides_where_known=before.decides_where_known,
    )
    # The curves are drawn once, for all items.
    return replace(found, curves=())


def _ablation(
    context: StageContext, test: DataSplit, clean: Any
) -> tuple[RankingWithoutLeak | None, AblationEvidence | None]:
    """The exchanged pooling ranked with and without the leak, and the trained variants decided again without it."""
    before = context.evidence.ablation
    if before is None:
        return None, None
    metric = next((m for m in (before.primary, "average_precision", "recall") if _swaps(before, m)), None)
    ranked = RankingWithoutLeak(metric or before.primary, () if metric is None else _swaps(before, metric), ())
    if metric is None:
        ranked = replace(ranked, reason="no variant was exchanged under the shipped weights")
    retrained = before.depth == RETRAINED
    context.tell(0, 1, "the ablation without the leaked items")
    try:
        again = _measured_again(context, before, test, clean)
    except Exception as error:  # copies that were found are not lost because their impact cannot be measured
        told = isinstance(error, InvalidInputError)
        reason = str(error).rstrip(".") if told else f"it crashed ({type(error).__name__}: {error})"
        not_ranked = _NOT_RANKED.format(reason) if retrained else ""
        return replace(ranked, reason=ranked.reason or reason, not_ranked=not_ranked), None
    after, confidence = again.evidence, context.plan.policy.confidence
    if metric is not None:
        ranked = replace(ranked, clean=_swaps(after, metric))
    if again.not_trained:
        return replace(ranked, not_ranked=_NOT_RANKED.format(again.not_trained.rstrip("."))), None
    leaked = tuple(
        LeakedEffect(
            arm.name,
            _estimate(again.others.get(arm.name), confidence, 1.0),
            _estimate(shift := again.shifts.get(arm.name), confidence, 2.0),
            None if shift is None else shift.p_value(),
        )
        for arm in after.variants
        if arm.comparison is not None
    )
    against = tuple(
        AgainstLeader(name, _estimate(found, confidence, 1.0), None if found is None else found.p_value())
        for name, found in again.against_leader.items()
    )
    ranked = replace(ranked, leaked=leaked, leader=again.leader, against_leader=against)
    return ranked, replace(after, notes=(ONLY_MEASURED_CLEAN,)) if retrained else None


def _measured_again(context: StageContext, before: AblationEvidence, test: DataSplit, clean: Any) -> MeasuredAgain:
    from poolaudit.ablation.again import measure_again
    from poolaudit.ablation.subject import subject_of

    plan, subject, retrained = context.plan, context.subject, before.depth == RETRAINED
    return measure_again(
        subject_of(context.model, trust_model_code=plan.trust_model_code),
        before,
        clean,
        test=test,
        train=subject.train if retrained else None,
        validation=subject.validation,
        positive=plan.positive,
        settings=plan.ablation_settings(retrains=retrained),
        policy=plan.policy,
        tell=context.tell,
    )


def _estimate(found: Crossed | None, confidence: float, limit: float) -> Estimate:
    if found is None:
        return Estimate.not_estimable("fewer than 3 pairs of seeds learned and define it on these items")
    return found.estimate(confidence, -limit, limit)


def _swaps(evidence: AblationEvidence, metric: str) -> tuple[tuple[str, float], ...]:
    """Variants and the difference that exchanging their pooling makes, best first."""
    found = [
        (arm.name, round(effect.estimate.value, 6))
        for arm in evidence.variants
        for effect in arm.swap
        if effect.metric == metric and effect.estimate.value is not None
    ]
    return tuple(sorted(found, key=lambda pair: (-pair[1], pair[0])))
