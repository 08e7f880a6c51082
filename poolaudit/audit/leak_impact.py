"""What the leak does to this model: metrics, verdict and the ablation's ranking with and without the leaked items."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from poolaudit.audit.stages import decided, predictions_of
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.leakage import LeakImpact, RankingWithoutLeak

if TYPE_CHECKING:
    from poolaudit.audit.stages import StageContext
    from poolaudit.evidence.ablation import AblationEvidence
    from poolaudit.evidence.evaluation import EvaluationEvidence
    from poolaudit.subject.predictions import Predictions
    from poolaudit.subject.splits import DataSplit

# Training items that are predicted to hold their accuracy against that of the test.
_TRAINING_ITEMS = 2_000
_FEWEST_CLEAN = 2


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
    raw = predict(model, subject.test.inputs)
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
        validation = predictions_of(model, head, subject.validation, predict(model, subject.validation.inputs))
    return replace(
        impact,
        evaluation=_evaluation(context, predictions, validation, ~leaked),
        ranking=_ranking(context, subject.test, ~leaked),
    )


def _evaluation(
    context: StageContext, predictions: Predictions, validation: Predictions | None, clean: Any
) -> EvaluationEvidence | None:
    from poolaudit.evaluation.evaluate import evaluate
    from poolaudit.evidence.estimates import Estimate

    before, plan = context.evidence.evaluation, context.plan
    if before is None or clean.sum() < _FEWEST_CLEAN or len(np.unique(predictions.labels[clean])) < _FEWEST_CLEAN:
        return None
    kept = replace(
        predictions,
        labels=predictions.labels[clean],
        predicted=predictions.predicted[clean],
        probabilities=None if predictions.probabilities is None else predictions.probabilities[clean],
        groups=None if predictions.groups is None else predictions.groups[clean],
        times=None if predictions.times is None else predictions.times[clean],
        paths=None if predictions.paths is None else predictions.paths[clean],
    )
    found = evaluate(
        kept,
        positive=plan.positive,
        confidence=plan.policy.confidence,
        seed=plan.seed,
        validation=validation,
        wanted_precision=plan.policy.good_precision,
        wanted_recall=plan.policy.good_recall,
        recoverable_at=sorted({r.wanted_precision for r in before.recoverable_recall}) or [plan.policy.good_precision],
        loss=Estimate.not_estimable("it was measured on all test items only"),
        input_scaling=before.input_scaling,
        head_problem=before.head_problem,
        decides_where_known=before.decides_where_known,
    )
    # The curves are drawn once, for all items.
    return replace(found, curves=())


def _ranking(context: StageContext, test: DataSplit, clean: Any) -> RankingWithoutLeak | None:
    from poolaudit.audit.ablation import stage_evidence

    before = context.evidence.ablation
    if before is None:
        return None
    not_ranked = ""
    if before.depth != "swap":
        not_ranked = "The effects of trained variants were measured on all test items only."
    metric = next((m for m in (before.primary, "average_precision", "recall") if _swaps(before, m)), None)
    if metric is None:
        return RankingWithoutLeak(
            before.primary, (), (), "no variant was exchanged under the shipped weights", not_ranked
        )
    everything = _swaps(before, metric)
    rows = np.flatnonzero(clean)
    kept = replace(
        test,
        inputs=test.inputs[rows],
        labels=test.labels[rows],
        groups=None if test.groups is None else test.groups[rows],
        times=None if test.times is None else test.times[rows],
        paths=None if test.paths is None else test.paths[rows],
        sizes=None if test.sizes is None else test.sizes[rows],
    )
    plan = context.plan
    context.tell(0, 1, "the ablation without the leaked items")
    try:
        after = stage_evidence(
            context.model,
            test=kept,
            train=None,
            validation=context.subject.validation,
            positive=plan.positive,
            budget="quick",
            policy=plan.policy,
            seed=plan.seed,
            trust_model_code=plan.trust_model_code,
            store=Path(plan.trial_store),
            tell=context.tell,
        )
    except InvalidInputError as error:
        return RankingWithoutLeak(metric, everything, (), str(error), not_ranked)
    return RankingWithoutLeak(metric, everything, _swaps(after, metric), None, not_ranked)


def _swaps(evidence: AblationEvidence, metric: str) -> tuple[tuple[str, float], ...]:
    """Variants and the difference that exchanging their pooling makes, best first."""
    found = [
        (arm.name, round(effect.estimate.value, 6))
        for arm in evidence.variants
        for effect in arm.swap
        if effect.metric == metric and effect.estimate.value is not None
    ]
    return tuple(sorted(found, key=lambda pair: (-pair[1], pair[0])))
