"""An ablation of its own, and the ablation stage of an audit."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poolaudit.audit.judging import judge_part
from poolaudit.audit.provenance import model_provenance
from poolaudit.errors import InvalidInputError
from poolaudit.events import Listener, StageFinished, StageNews, StageProgress, StageStarted, silent
from poolaudit.outcomes import Outcome
from poolaudit.policy import Policy
from poolaudit.results import AuditResult, DataProvenance, Evidence

if TYPE_CHECKING:
    from poolaudit.ablation.settings import AblationSettings
    from poolaudit.ablation.subject import AblationSubject
    from poolaudit.evidence.ablation import AblationEvidence
    from poolaudit.evidence.geometry import GeometryEvidence
    from poolaudit.results import ModelProvenance
    from poolaudit.subject.splits import DataSplit

STAGE = "ablation"


@dataclass(frozen=True)
class AblationPlan:
    """What to ablate, on which data, and how far. Data are given in any form `AuditPlan` takes.

    Attributes:
        model: Path of a model, a `keras.Model`, or "package.module:name" of a recipe.
        test: The test split.
        train: The training split; needed unless `depth` is "swap".
        validation: Data to choose thresholds on; None holds a fifth of the training items back.
        positive: The class of interest.
        class_names: In the order of the model's outputs.
        resize: Height and width for image files of mixed sizes.
        trust_model_code: Allow Lambda layers and other code in the model file to run.
        options: Fields of `AblationSettings` (depth, variants, seeds, epochs, batch_size, race, executor, workers,
            store, resume, budget_seconds).
        policy: Smallest effect that matters, family-wise error, and the bars of the checks.
        seed: Of everything random outside the trials.
        title: Of the report.
        command: How it was started, for the report.
    """

    model: Any
    test: Any
    train: Any = None
    validation: Any = None
    positive: str | None = None
    class_names: tuple[str, ...] | None = None
    resize: tuple[int, int] | None = None
    trust_model_code: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    seed: int = 0
    title: str | None = None
    command: str = "run_ablation(AblationPlan(...))"


def run_ablation(plan: AblationPlan, listener: Listener = silent) -> AuditResult:
    """Changes the pooling of a model, measures what becomes of recall, and judges it.

    Trials are kept in the store: interrupted and started again, the run goes on where it stood.

    Raises:
        InvalidInputError: Something the user gave cannot be ablated as it is, or there is nothing to ablate.
        NoSpaceError: The disk is full; what was stored before is whole.
    """
    from poolaudit.ablation.run import ablate
    from poolaudit.subject.data import load_splits
    from poolaudit.subject.splits import require_two_classes

    clock = time.perf_counter()
    settings = _settings(plan)
    sources = {"test": plan.test, "train": plan.train, "validation": plan.validation}
    splits = load_splits(
        {name: source for name, source in sources.items() if source is not None},
        resize=plan.resize,
        class_names=plan.class_names,
    )
    for split in splits.values():
        require_two_classes(split)
    subject, model, geometry = _subject(plan)
    listener(StageStarted(STAGE, 1, 1))
    evidence = ablate(
        subject,
        test=splits["test"],
        train=splits.get("train"),
        validation=splits.get("validation"),
        positive=plan.positive,
        settings=settings,
        policy=plan.policy,
        tell=lambda done, total, what: listener(StageProgress(STAGE, done, total, what)),
        news=lambda text: listener(StageNews(STAGE, text)),
    )
    if not evidence.arms:
        raise InvalidInputError(
            f"{model.name} has no pooling that could be exchanged",
            "a model with pooling layers",
            "`poolaudit inspect` lists what it has",
        )
    seconds = time.perf_counter() - clock
    listener(StageFinished(STAGE, Outcome.PASSED, seconds))
    return judge_part(
        "ablation",
        Evidence(ablation=evidence, geometry=geometry),
        title=plan.title or model.name,
        policy=plan.policy,
        seed=plan.seed,
        command=plan.command,
        duration_seconds=seconds,
        notes=(),
        model=model,
        data=tuple(DataProvenance(s.name, s.source, len(s), s.sha256, s.notes) for s in splits.values()),
    )


def _settings(plan: AblationPlan) -> AblationSettings:
    from poolaudit.ablation.settings import DEFAULT_STORE, AblationSettings

    given = {"seed": plan.seed, **plan.options}
    given["store"] = Path(given["store"]) if "store" in given else DEFAULT_STORE
    return AblationSettings(**given)


def _subject(plan: AblationPlan) -> tuple[AblationSubject, ModelProvenance, GeometryEvidence]:
    from poolaudit.ablation.subject import subject_from_recipe, subject_of
    from poolaudit.subject.functions import is_reference
    from poolaudit.subject.models import load_model
    from poolaudit.subject.sites import list_pooling_sites

    if isinstance(plan.model, str) and not Path(plan.model).exists() and is_reference(plan.model):
        subject = subject_from_recipe(plan.model)
        loaded = replace(load_model(subject.model), source=plan.model, format="code")
    else:
        loaded = load_model(plan.model, trust_model_code=plan.trust_model_code)
        subject = subject_of(loaded, trust_model_code=plan.trust_model_code)
    return subject, model_provenance(loaded), list_pooling_sites(loaded)


def stage_evidence(
    loaded: Any,
    *,
    test: DataSplit,
    train: DataSplit | None,
    validation: DataSplit | None,
    positive: str | None,
    settings: AblationSettings,
    policy: Policy,
    trust_model_code: bool,
    tell: Any,
) -> AblationEvidence:
    """The ablation stage of an audit.

    Raises:
        InvalidInputError: The model cannot be taken apart.
    """
    from poolaudit.ablation.run import ablate
    from poolaudit.ablation.subject import subject_of

    if loaded.keras_model is None:
        raise InvalidInputError(f"{loaded.name} is a SavedModel, whose pooling cannot be exchanged")
    return ablate(
        subject_of(loaded, trust_model_code=trust_model_code),
        test=test,
        train=train,
        validation=validation,
        positive=positive,
        settings=settings,
        policy=policy,
        tell=tell,
    )
