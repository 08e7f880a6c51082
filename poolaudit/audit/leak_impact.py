"""What the leak does to this model: metrics, verdict and the ablation's ranking with and without the leaked items."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from poolaudit.audit.stages import ablated, decided, evaluated, predictions_of
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
    return replace(
        impact,
        evaluation=_evaluation(context, predictions, validation, ~leaked),
        ranking=_ranking(context, subject.test, ~leaked),
    )


def _evaluation(
    context: StageContext, predictions: Predictions, validation: Predictions | None, clean: Any
) -> EvaluationEvidence | None:
    from poolaudit.evidence.estimates import Estimate

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


def _ranking(context: StageContext, test: DataSplit, clean: Any) -> RankingWithoutLeak | None:
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
    context.tell(0, 1, "the ablation without the leaked items")
    try:
        after = ablated(context, test.rows(clean), None)
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
