"""The stages of an audit, in order: each reads the subject and returns evidence, a field of the same name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poolaudit.audit.plan import STAGES, AuditPlan
from poolaudit.audit.subject import Subject
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.ablation import AblationEvidence
from poolaudit.evidence.conformance import PropertyResult
from poolaudit.evidence.evaluation import EvaluationEvidence, InputScaling
from poolaudit.evidence.geometry import GeometryEvidence
from poolaudit.evidence.leakage import LeakageEvidence
from poolaudit.results import Evidence

if TYPE_CHECKING:
    from poolaudit.geometry.measure import Items
    from poolaudit.subject.heads import Head
    from poolaudit.subject.models import LoadedModel
    from poolaudit.subject.predictions import Predictions
    from poolaudit.subject.splits import DataSplit


class StageSkipped(Exception):
    """A stage cannot say anything about this subject; its message is the reason the reader sees."""


@dataclass(frozen=True)
class StageContext:
    """What a stage can read.

    Attributes:
        evidence: Of the stages before this one.
        tell: Takes steps done, steps in all, and the step in words.
    """

    plan: AuditPlan
    subject: Subject
    evidence: Evidence
    tell: Callable[[int, int, str], None]

    @property
    def model(self) -> LoadedModel:
        assert self.subject.model is not None
        return self.subject.model

    def raw_outputs(self, split: DataSplit) -> Any:
        """The model's raw outputs for the test or validation split, shape (n, k); each split is run once an audit."""
        from poolaudit.subject.models import predict

        kept = self.subject.outputs
        if split.name not in kept:
            kept[split.name] = predict(
                self.model, split.inputs, on_batch=lambda done, total: self.tell(done, total, "predicting")
            )
        return kept[split.name]


@dataclass(frozen=True)
class Stage:
    """One stage; `run` returns the field of `Evidence` that bears the stage's name.

    Attributes:
        needs_model: It looks into the model itself; an audit of predictions alone does not list it.
    """

    name: str
    run: Callable[[StageContext], Any]
    needs_model: bool


def _geometry(context: StageContext) -> GeometryEvidence:
    from poolaudit.geometry.measure import measure_geometry

    plan, test = context.plan, context.subject.test
    assert test is not None
    items = _items(context, test)
    evidence = measure_geometry(
        context.model,
        shapes=[test.inputs.shape[1:]],
        items=None if isinstance(items, str) else items,
        feature_size=plan.feature_size,
        budget=plan.budget,
        confidence=plan.policy.confidence,
        seed=plan.seed,
        effective=plan.budget == "thorough",
        tell=context.tell,
    )
    if isinstance(items, str):
        return replace(evidence, shift_reason=items, by_size_reason=items)
    return evidence


def _items(context: StageContext, test: DataSplit) -> Items | str:
    """The test items with the model's decisions, or why it decides nothing."""
    from poolaudit.geometry.measure import Items
    from poolaudit.subject.heads import find_head, to_probabilities
    from poolaudit.subject.labels import resolve_class
    from poolaudit.subject.models import predict
    from poolaudit.subject.splits import check_against_classes

    model, positive = context.model, context.plan.positive
    try:
        raw = context.raw_outputs(test)
        head = find_head(model, raw)
        test = check_against_classes(test, head.classes, model.name)
    except InvalidInputError as error:
        # What the network sees is known all the same; the evaluation tells the user what is wrong.
        return f"the predictions cannot be read: {error}"
    return Items(
        inputs=test.inputs,
        labels=test.labels,
        class_names=test.class_names,
        positive=None if positive is None else resolve_class(positive, test.class_names),
        predicted=decided(to_probabilities(raw, head)),
        decide=lambda changed, inputs: decided(to_probabilities(predict(changed, inputs), head)),
        sizes=test.sizes,
        size_source=test.size_source or "column",
    )


def _evaluation(context: StageContext) -> EvaluationEvidence:
    from poolaudit.evaluation.evaluate import WANTED_PRECISIONS
    from poolaudit.evaluation.missed import missed_items
    from poolaudit.evidence.estimates import Estimate

    plan, subject, tell = context.plan, context.subject, context.tell
    loss = Estimate.not_estimable("there is no model, only predictions")
    head_problem: str | None = None
    decides_where_known = True
    scaling: InputScaling | None = None
    predictions, validation = subject.predictions, subject.validation_predictions
    if subject.model is not None and subject.test is not None:
        from poolaudit.evaluation.input_scaling import check_input_scaling
        from poolaudit.statistics.intervals import mean_interval
        from poolaudit.subject.compiled_loss import compiled_losses
        from poolaudit.subject.heads import find_head, to_probabilities
        from poolaudit.subject.models import predict

        model = subject.model
        raw = context.raw_outputs(subject.test)
        head = find_head(model, raw)
        head_problem, decides_where_known = head.problem, head.decides_where_known
        predictions = predictions_of(model, head, subject.test, raw)
        losses = compiled_losses(model, predictions.labels, raw, head.classes)
        loss = (
            Estimate.not_estimable(losses, n=len(predictions))
            if isinstance(losses, str)
            else mean_interval(losses, plan.policy.confidence)
        )
        if subject.validation is not None:
            validation = predictions_of(model, head, subject.validation, context.raw_outputs(subject.validation))

        def answer(inputs: Any) -> Any:
            try:
                probabilities = to_probabilities(predict(model, inputs), head)
            except InvalidInputError:
                # It answers on the data as given; where it refuses or overflows on rescaled ones, nothing is right.
                return [-1] * len(inputs), None
            return decided(probabilities), probabilities

        scaling = check_input_scaling(answer, subject.test.inputs, predictions.labels, head.classes, plan.seed)
    assert predictions is not None
    contents = None if subject.test is None else [_content(item) for item in subject.test.inputs]
    found = evaluated(
        plan,
        predictions,
        validation=validation,
        recoverable_at=sorted({*WANTED_PRECISIONS, plan.policy.good_precision}),
        loss=loss,
        input_scaling=scaling,
        head_problem=head_problem,
        decides_where_known=decides_where_known,
        contents=contents,
        on_progress=tell,
    )
    return replace(found, missed=missed_items(predictions, found, lambda chosen: _pictures(subject, chosen)))


def _content(item: Any) -> bytes:
    """Equal for items that are equal to the last bit."""
    import numpy as np

    return hashlib.blake2b(np.ascontiguousarray(item).tobytes(), digest_size=16).digest()


def evaluated(plan: AuditPlan, predictions: Predictions, **more: Any) -> EvaluationEvidence:
    """The evaluation of predictions as the plan wants it; `more` is what else `evaluate` takes."""
    from poolaudit.evaluation.evaluate import evaluate

    return evaluate(
        predictions,
        positive=plan.positive,
        confidence=plan.policy.confidence,
        seed=plan.seed,
        wanted_precision=plan.policy.good_precision,
        wanted_recall=plan.policy.good_recall,
        **more,
    )


def _pictures(subject: Subject, chosen: Sequence[int]) -> Sequence[str | None]:
    from poolaudit.subject.pictures import item_pictures, looks_channels_first

    if subject.test is None:
        return [None] * len(chosen)
    inputs = subject.test.inputs
    return item_pictures([inputs[i] for i in chosen], channels_first=looks_channels_first(inputs.shape[1:]))


def _conformance(context: StageContext) -> tuple[PropertyResult, ...]:
    from poolaudit.conformance.model import check_model

    plan, subject = context.plan, context.subject
    assert subject.test is not None
    return check_model(
        context.model,
        subject.test.inputs,
        source=plan.model if isinstance(plan.model, str | Path) and Path(plan.model).exists() else None,
        trust_model_code=plan.trust_model_code,
        profile=plan.budget,
        seed=plan.seed,
        on_progress=context.tell,
    )


def _ablation(context: StageContext) -> AblationEvidence:
    from poolaudit.audit.ablation import stage_evidence

    subject = context.subject
    assert subject.test is not None
    if context.evidence.geometry is not None and not context.evidence.geometry.sites:
        raise StageSkipped("no pooling was found in this model")
    plan, train = context.plan, None if context.plan.budget == "quick" else subject.train
    try:
        return stage_evidence(
            context.model,
            test=subject.test,
            train=train,
            validation=subject.validation,
            positive=plan.positive,
            settings=plan.ablation_settings(retrains=train is not None),
            policy=plan.policy,
            trust_model_code=plan.trust_model_code,
            tell=context.tell,
        )
    except InvalidInputError as error:
        # What cannot be ablated can still be audited.
        raise StageSkipped(str(error)) from error


def predictions_of(model: LoadedModel, head: Head, split: DataSplit, raw: Any) -> Predictions:
    from poolaudit.subject.heads import to_probabilities
    from poolaudit.subject.predictions import predictions_from_probabilities
    from poolaudit.subject.splits import check_against_classes

    split = check_against_classes(split, head.classes, model.name)
    predictions = predictions_from_probabilities(split, to_probabilities(raw, head), stated=head.stated)
    return predictions if head.are_probabilities else replace(predictions, normalised=False)


def decided(probabilities: Any) -> Any:
    """Class indices by the same rule as the audited predictions: the second of two at 0.5, else the highest."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= probabilities[:, 0]).astype("int64")
    return probabilities.argmax(axis=1)


def _leakage(context: StageContext) -> LeakageEvidence:
    from poolaudit.audit.leak_impact import impact_of
    from poolaudit.leakage.find import find_in_splits

    plan, subject = context.plan, context.subject
    if subject.train is None or subject.test is None:
        raise StageSkipped("no training data were given; pass them with --train")
    splits = {split.name: split for split in (subject.train, subject.test, subject.validation) if split is not None}
    found = find_in_splits(splits, seed=plan.seed, confidence=plan.policy.confidence, tell=context.tell)
    return replace(found.evidence, impact=impact_of(context, found.leaked))


ALL_STAGES = (
    Stage("geometry", _geometry, needs_model=True),
    Stage("evaluation", _evaluation, needs_model=False),
    Stage("conformance", _conformance, needs_model=True),
    Stage("ablation", _ablation, needs_model=True),
    Stage("leakage", _leakage, needs_model=True),
)
assert tuple(stage.name for stage in ALL_STAGES) == STAGES
