"""AuditPlan to AuditResult: the only place that runs stages."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from poolaudit.errors import InvalidInputError, PoolauditError, did_you_mean, listed
from poolaudit.events import Event, Listener, StageFinished, StageProgress, StageStarted, silent
from poolaudit.evidence.conformance import PropertyResult
from poolaudit.evidence.evaluation import EvaluationEvidence, InputScaling, NotAssessed
from poolaudit.evidence.geometry import GeometryEvidence
from poolaudit.outcomes import Outcome, Verdict
from poolaudit.pitfalls.detector import detect
from poolaudit.pitfalls.verdict import decide
from poolaudit.policy import Policy
from poolaudit.results import (
    SCHEMA_VERSION,
    AuditResult,
    DataProvenance,
    Decision,
    Evidence,
    ModelProvenance,
    Provenance,
    StageResult,
)
from poolaudit.version import __version__

if TYPE_CHECKING:
    from poolaudit.subject.heads import Head
    from poolaudit.subject.models import LoadedModel
    from poolaudit.subject.predictions import Predictions
    from poolaudit.subject.splits import DataSplit

STAGES = ("geometry", "evaluation", "conformance")
# Stages that look into the model itself; without one, only its predictions can be audited.
_NEED_A_MODEL = ("geometry", "conformance")
BUDGETS = ("quick", "standard", "thorough")

_NOT_IN_THIS_VERSION = (
    NotAssessed("What the pooling costs in recall", "this version has no ablation stage"),
    NotAssessed("Leakage between training and test data", "this version has no leakage stage"),
)
_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True)
class AuditPlan:
    """What to audit, on which data, how deeply, and by which policy.

    Either `model` and `test`, or `predictions`. Data are given in any form `poolaudit audit` takes, and in Python
    also as (x, y) arrays, a `tf.data.Dataset` or a mapping with "x" and "y".

    Attributes:
        model: Path, "package.module:function" or a `keras.Model`.
        test: The test split.
        validation: Data to choose a threshold on; never the test split.
        predictions: A prediction file, for an audit without the model; needs no TensorFlow.
        validation_predictions: A prediction file to choose a threshold on.
        positive: The class of interest; None judges each class.
        class_names: In the order of the model's outputs.
        resize: Height and width for image files of mixed sizes.
        trust_model_code: Allow Lambda layers and other code in the model file to run.
        stages: Which of `STAGES` to run.
        budget: "quick", "standard" or "thorough": how much the stages that search try.
        policy: The thresholds that turn numbers into findings.
        seed: Of everything random.
        title: Of the report; by default the model's or file's name.
        command: How the audit was started, for the report.
    """

    model: Any = None
    test: Any = None
    validation: Any = None
    predictions: str | Path | None = None
    validation_predictions: str | Path | None = None
    positive: str | None = None
    class_names: tuple[str, ...] | None = None
    resize: tuple[int, int] | None = None
    trust_model_code: bool = False
    stages: tuple[str, ...] = STAGES
    budget: str = "standard"
    policy: Policy = field(default_factory=Policy)
    seed: int = 0
    title: str | None = None
    command: str = "run_audit(AuditPlan(...))"

    def __post_init__(self) -> None:
        for stage in self.stages:
            if stage not in STAGES:
                raise InvalidInputError(f"There is no stage {stage!r}", listed(STAGES), did_you_mean(stage, STAGES))
        if self.budget not in BUDGETS:
            raise InvalidInputError(
                f"There is no budget {self.budget!r}", listed(BUDGETS), did_you_mean(self.budget, BUDGETS)
            )
        if self.predictions is not None and (self.model is not None or self.test is not None):
            raise InvalidInputError("Both predictions and a model or test data are given", "one or the other")
        if self.predictions is None and (self.model is None or self.test is None):
            missing = "model" if self.model is None else "test data"
            raise InvalidInputError(f"No {missing} given", "a model with test data, or a prediction file")
        if self.predictions is not None and self.validation is not None:
            raise InvalidInputError(
                "Validation data are given beside predictions",
                "validation predictions beside predictions",
                "Pass a prediction file for the validation data as validation_predictions",
            )
        if self.validation_predictions is not None and self.predictions is None:
            raise InvalidInputError(
                "Validation predictions are given without predictions",
                "validation predictions beside predictions; a model takes validation data",
            )


@dataclass(frozen=True)
class _Subject:
    """What is under audit, loaded: a model with its data, or predictions alone."""

    test: DataSplit | None
    validation: DataSplit | None
    model: LoadedModel | None
    predictions: Predictions | None
    validation_predictions: Predictions | None

    @property
    def name(self) -> str:
        if self.model is not None:
            return self.model.name
        return self.predictions.source if self.predictions is not None else ""


def run_audit(plan: AuditPlan, listener: Listener = silent) -> AuditResult:
    """Runs the stages, judges the evidence and returns the result; writes nothing.

    A stage that crashes is a CRASHED stage, and the audit goes on.

    Args:
        plan: What to audit.
        listener: Told of progress.

    Raises:
        InvalidInputError: Something the user gave cannot be audited as it is.
    """
    started, clock = datetime.now(timezone.utc), time.perf_counter()
    subject = _load(plan)
    stages: list[StageResult] = []

    def run(name: str, work: Callable[[Callable[[int, int, str], None]], _Outcome]) -> _Outcome | None:
        result, stage = _run_stage(name, work, plan, listener)
        stages.append(stage)
        return result

    model = subject.model
    geometry = run("geometry", lambda tell: _geometry(model, subject.test)) if model is not None else None
    evaluation = run("evaluation", lambda tell: _evaluate(plan, subject, tell))
    conformance = run("conformance", lambda tell: _check_layers(plan, subject, tell)) if model is not None else None
    evidence = Evidence(geometry=geometry, evaluation=evaluation, conformance=conformance)
    provenance = Provenance(
        command=plan.command,
        started=started.isoformat(timespec="seconds"),
        duration_seconds=round(time.perf_counter() - clock, 3),
        seed=plan.seed,
        versions=_versions(with_tensorflow=model is not None),
        platform=_platform(),
        model=_model_provenance(model) if model is not None else None,
        data=_data_provenance(subject),
    )
    return _judged(
        AuditResult(
            schema_version=SCHEMA_VERSION,
            title=plan.title or subject.name,
            verdict=Verdict.INCONCLUSIVE,
            decision=Decision((), (), ()),
            findings=(),
            not_assessed=(),
            stages=tuple(stages),
            evidence=evidence,
            policy=plan.policy,
            provenance=provenance,
        )
    )


def judge_again(result: AuditResult, policy: Policy) -> AuditResult:
    """The same evidence judged by another policy; nothing is measured again.

    Intervals keep the confidence they were measured with.

    Raises:
        InvalidInputError: The policy asks for another confidence than the evidence was measured with.
    """
    if policy.confidence != result.policy.confidence:
        raise InvalidInputError(
            f"The policy asks for {policy.confidence:g} confidence; the stored intervals have "
            f"{result.policy.confidence:g}",
            "the same confidence",
            "Run the audit again with this policy",
        )
    return _judged(replace(result, policy=policy))


def judge_layers(
    results: Sequence[PropertyResult],
    *,
    title: str,
    policy: Policy,
    seed: int,
    command: str,
    duration_seconds: float,
    notes: Sequence[str] = (),
) -> AuditResult:
    """Results of property-based tests of layers as an audit of its own, without model, data or predictions."""
    return _judged(
        AuditResult(
            schema_version=SCHEMA_VERSION,
            title=title,
            verdict=Verdict.INCONCLUSIVE,
            decision=Decision((), (), ()),
            findings=(),
            not_assessed=(),
            stages=(StageResult("conformance", Outcome.PASSED, round(duration_seconds, 3), "; ".join(notes) or None),),
            evidence=Evidence(conformance=tuple(results)),
            policy=policy,
            provenance=Provenance(
                command=command,
                started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                duration_seconds=round(duration_seconds, 3),
                seed=seed,
                versions=_versions(with_tensorflow=True),
                platform=_platform(),
                model=None,
                data=(),
            ),
        )
    )


def _judged(result: AuditResult) -> AuditResult:
    # Where only layers were asked about, saying of every metric that it was not measured would bury the answer.
    findings = detect(result.evidence, result.policy, codes="PA1" if _is_about_layers_only(result) else "PA")
    verdict, decision = decide(findings, result.stages)
    return replace(
        result,
        findings=findings,
        verdict=verdict,
        decision=decision,
        not_assessed=_not_assessed(replace(result, findings=findings)),
    )


def _run_stage(
    name: str,
    work: Callable[[Callable[[int, int, str], None]], _Outcome],
    plan: AuditPlan,
    listener: Listener,
) -> tuple[_Outcome | None, StageResult]:
    if name not in plan.stages:
        return None, StageResult(name, Outcome.SKIPPED, 0.0, "not asked for")

    def tell(done: int, total: int, what: str) -> None:
        _emit(listener, StageProgress(name, done, total, what))

    running = [stage for stage in plan.stages if stage not in _NEED_A_MODEL or plan.model is not None]
    _emit(listener, StageStarted(name, running.index(name) + 1, len(running)))
    clock = time.perf_counter()
    evidence, outcome, reason = None, Outcome.PASSED, None
    try:
        evidence = work(tell)
    except PoolauditError:
        raise
    except Exception as error:
        outcome, reason = Outcome.CRASHED, f"{type(error).__name__}: {error}"
    duration = round(time.perf_counter() - clock, 3)
    _emit(listener, StageFinished(name, outcome, duration, reason))
    return evidence, StageResult(name, outcome, duration, reason)


def _emit(listener: Listener, event: Event) -> None:
    listener(event)


def _load(plan: AuditPlan) -> _Subject:
    if plan.predictions is not None:
        from poolaudit.subject.predictions import read_predictions

        validation = plan.validation_predictions
        return _Subject(
            test=None,
            validation=None,
            model=None,
            predictions=read_predictions(plan.predictions, positive=plan.positive),
            validation_predictions=None if validation is None else read_predictions(validation, positive=plan.positive),
        )
    from poolaudit.subject.data import load_splits
    from poolaudit.subject.splits import require_two_classes

    sources = {"test": plan.test}
    if plan.validation is not None:
        sources["validation"] = plan.validation
    splits = load_splits(sources, resize=plan.resize, class_names=plan.class_names)
    require_two_classes(splits["test"])
    from poolaudit.subject.models import load_model

    model = load_model(plan.model, trust_model_code=plan.trust_model_code)
    return _Subject(
        test=_fitted(splits["test"], model),
        validation=_fitted(splits["validation"], model) if "validation" in splits else None,
        model=model,
        predictions=None,
        validation_predictions=None,
    )


def _fitted(split: DataSplit, model: LoadedModel) -> DataSplit:
    """The split in the shape the model takes; refused where it does not fit."""
    from poolaudit.subject.splits import check_against_input_shape

    if model.input_shape is None or not model.fixed_sizes:
        return split
    return check_against_input_shape(split, model.input_shape[1:], model.name)


def _geometry(model: LoadedModel, test: DataSplit | None) -> GeometryEvidence:
    from poolaudit.subject.sites import list_pooling_sites

    return list_pooling_sites(model, None if test is None else (None, *test.inputs.shape[1:]))


def _evaluate(plan: AuditPlan, subject: _Subject, tell: Callable[[int, int, str], None]) -> EvaluationEvidence:
    from poolaudit.evaluation.evaluate import WANTED_PRECISIONS, evaluate
    from poolaudit.evidence.estimates import Estimate

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
        raw = predict(model, subject.test.inputs, on_batch=lambda done, total: tell(done, total, "predicting"))
        head = find_head(model, raw)
        head_problem, decides_where_known = head.problem, head.decides_where_known
        predictions = _predictions(model, head, subject.test, raw)
        losses = compiled_losses(model, predictions.labels, raw, head.classes)
        loss = (
            Estimate.not_estimable(losses, n=len(predictions))
            if isinstance(losses, str)
            else mean_interval(losses, plan.policy.confidence)
        )
        if subject.validation is not None:
            validation = _predictions(model, head, subject.validation, predict(model, subject.validation.inputs))

        def answer(inputs: Any) -> Any:
            try:
                return _decided(to_probabilities(predict(model, inputs), head))
            except InvalidInputError:
                # It answers on the data as given; where it refuses or overflows on rescaled ones, nothing is right.
                return [-1] * len(inputs)

        scaling = check_input_scaling(answer, subject.test.inputs, predictions.labels, head.classes, plan.seed)
    assert predictions is not None
    return evaluate(
        predictions,
        positive=plan.positive,
        confidence=plan.policy.confidence,
        seed=plan.seed,
        validation=validation,
        wanted_precision=plan.policy.good_precision,
        wanted_recall=plan.policy.good_recall,
        recoverable_at=sorted({*WANTED_PRECISIONS, plan.policy.good_precision}),
        loss=loss,
        input_scaling=scaling,
        head_problem=head_problem,
        decides_where_known=decides_where_known,
        on_progress=tell,
    )


def _check_layers(
    plan: AuditPlan, subject: _Subject, tell: Callable[[int, int, str], None]
) -> tuple[PropertyResult, ...]:
    from poolaudit.conformance.model import check_model

    assert subject.model is not None
    assert subject.test is not None
    return check_model(
        subject.model,
        subject.test.inputs,
        source=plan.model if isinstance(plan.model, str | Path) and Path(plan.model).exists() else None,
        trust_model_code=plan.trust_model_code,
        profile=plan.budget,
        seed=plan.seed,
        on_progress=tell,
    )


def _predictions(model: LoadedModel, head: Head, split: DataSplit, raw: Any) -> Predictions:
    from poolaudit.subject.heads import to_probabilities
    from poolaudit.subject.predictions import predictions_from_probabilities
    from poolaudit.subject.splits import check_against_classes

    split = check_against_classes(split, head.classes, model.name)
    predictions = predictions_from_probabilities(split, to_probabilities(raw, head), stated=head.stated)
    return predictions if head.are_probabilities else replace(predictions, normalised=False)


def _decided(probabilities: Any) -> Any:
    """Class indices by the same rule as the audited predictions: the second of two at 0.5, else the highest."""
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= probabilities[:, 0]).astype("int64")
    return probabilities.argmax(axis=1)


def _is_about_layers_only(result: AuditResult) -> bool:
    return {stage.name for stage in result.stages} == {"conformance"}


def _not_assessed(result: AuditResult) -> tuple[NotAssessed, ...]:
    """Everything a reader could take for granted and that was not looked at."""
    missing = [
        NotAssessed(f"Stage {stage.name}", stage.reason or "it did not run")
        for stage in result.stages
        if stage.outcome in (Outcome.SKIPPED, Outcome.CRASHED)
    ]
    if not _is_about_layers_only(result):
        if result.provenance.model is None:
            missing.append(NotAssessed("The model and its pooling", "only predictions were given"))
        missing += _NOT_IN_THIS_VERSION
    skipped = Counter(r.reason for r in result.evidence.conformance or () if r.outcome is Outcome.SKIPPED)
    missing += [
        NotAssessed(f"{count} {'check' if count == 1 else 'checks'} of layers", reason or "not said")
        for reason, count in skipped.most_common()
    ]
    if result.evidence.evaluation is not None:
        missing += result.evidence.evaluation.not_assessed
    if result.evidence.geometry is not None:
        missing += [
            NotAssessed("Pooling inside a part of the model", text) for text in result.evidence.geometry.not_seen
        ]
    missing += [
        NotAssessed(f"{finding.code} {finding.title}", finding.summary)
        for finding in result.findings
        if finding.outcome is Outcome.SKIPPED
    ]
    return tuple(missing)


def _versions(*, with_tensorflow: bool) -> tuple[tuple[str, str], ...]:
    packages = ["numpy", "scipy", *(["tensorflow", "keras"] if with_tensorflow else [])]
    return (("poolaudit", __version__), *((name, importlib.metadata.version(name)) for name in packages))


def _platform() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _model_provenance(model: LoadedModel) -> ModelProvenance:
    return ModelProvenance(
        name=model.name,
        source=model.source,
        format=model.format,
        sha256=model.sha256,
        parameters=model.parameters,
        input_shape=model.input_shape,
        notes=model.notes,
    )


def _data_provenance(subject: _Subject) -> tuple[DataProvenance, ...]:
    splits = [s for s in (subject.test, subject.validation) if s is not None]
    from_splits = [DataProvenance(s.name, s.source, len(s), s.sha256, s.notes) for s in splits]
    from_files = [
        DataProvenance(name, p.source, len(p), p.sha256, (p.stated,))
        for name, p in (("test", subject.predictions), ("validation", subject.validation_predictions))
        if p is not None
    ]
    return tuple(from_splits + from_files)
