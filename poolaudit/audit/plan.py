"""What to audit, on which data, how deeply, and by which policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from poolaudit.ablation.settings import DEFAULT_SEEDS, RETRAINED, SWAP, AblationSettings
from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.policy import Policy

STAGES = ("geometry", "evaluation", "conformance", "ablation", "leakage")
BUDGETS = ("quick", "standard", "thorough")
# Enough for small models; a larger one is cut off, says so, and is given more time or `poolaudit ablate`.
STANDARD_MINUTES = 10.0


@dataclass(frozen=True)
class AuditPlan:
    """What to audit, on which data, how deeply, and by which policy.

    Either `model` and `test`, or `predictions`. Data are given in any form `poolaudit audit` takes, and in Python
    also as (x, y) arrays, a `tf.data.Dataset` or a mapping with "x" and "y".

    Attributes:
        model: Path, "package.module:function" or a `keras.Model`.
        test: The test split.
        validation: Data to choose a threshold on; never the test split.
        train: The data the model was trained on, for the stages that compare with them or train again.
        predictions: A prediction file, for an audit without the model; needs no TensorFlow.
        validation_predictions: A prediction file to choose a threshold on.
        positive: The class of interest; None judges each class.
        class_names: In the order of the model's outputs.
        resize: Height and width for image files of mixed sizes.
        trust_model_code: Allow Lambda layers and other code in the model file to run.
        stages: Which of `STAGES` to run.
        skip_stages: Which of these to leave out all the same.
        budget: "quick", "standard" or "thorough": how much the stages that search try.
        minutes: After which the ablation begins no new seeds; None for 10 with a standard and no limit with a thorough
            budget. A quick budget trains nothing.
        seeds: A variant of the ablation gets at most; None for 12.
        epochs: Of each of its trials; None for 20.
        trial_store: Folder that keeps the trainings of the ablation between runs.
        stage_store: Folder that keeps what the stages find; a stage whose model, data, settings and software are the
            same is not run again. None runs every stage.
        policy: The thresholds that turn numbers into findings.
        feature_size: Size of the smallest feature that matters, in input cells; None estimates it from the test data.
        seed: Of everything random.
        title: Of the report; by default the model's or file's name.
        command: How the audit was started, for the report.
    """

    model: Any = None
    test: Any = None
    validation: Any = None
    train: Any = None
    predictions: str | Path | None = None
    validation_predictions: str | Path | None = None
    positive: str | None = None
    class_names: tuple[str, ...] | None = None
    resize: tuple[int, int] | None = None
    trust_model_code: bool = False
    stages: tuple[str, ...] = STAGES
    skip_stages: tuple[str, ...] = ()
    budget: str = "standard"
    minutes: float | None = None
    seeds: int | None = None
    epochs: int | None = None
    trial_store: str | Path = "poolaudit-trials"
    stage_store: str | Path | None = None
    policy: Policy = field(default_factory=Policy)
    feature_size: float | None = None
    seed: int = 0
    title: str | None = None
    command: str = "run_audit(AuditPlan(...))"

    def __post_init__(self) -> None:
        for stage in (*self.stages, *self.skip_stages):
            if stage not in STAGES:
                raise InvalidInputError(f"There is no stage {stage!r}", listed(STAGES), did_you_mean(stage, STAGES))
        if set(self.stages) <= set(self.skip_stages):
            raise InvalidInputError("Every stage is skipped", "at least one stage to run")
        if self.budget not in BUDGETS:
            raise InvalidInputError(
                f"There is no budget {self.budget!r}", listed(BUDGETS), did_you_mean(self.budget, BUDGETS)
            )
        if not isinstance(self.policy, Policy):
            raise InvalidInputError(
                f"policy is {self.policy!r}", "a poolaudit.Policy", "poolaudit.load_policy(path) reads one from a file"
            )
        self.ablation_settings(retrains=True)
        if self.feature_size is not None and not 0 < self.feature_size < 1e9:
            raise InvalidInputError(f"feature_size is {self.feature_size!r}", "a number of input cells above 0")
        if self.predictions is not None and (self.model is not None or self.test is not None):
            raise InvalidInputError("Both predictions and a model or test data are given", "one or the other")
        if self.predictions is None and (self.model is None or self.test is None):
            missing = "model" if self.model is None else "test data"
            raise InvalidInputError(f"No {missing} given", "a model with test data, or a prediction file")
        if self.predictions is not None and self.train is not None:
            raise InvalidInputError("Training data are given beside predictions", "training data beside a model")
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

    @property
    def stages_to_run(self) -> tuple[str, ...]:
        """Those asked for and not skipped."""
        return tuple(stage for stage in self.stages if stage not in self.skip_stages)

    def ablation_settings(self, *, retrains: bool) -> AblationSettings:
        """How deep and how far the ablation goes: swaps alone, or a race (thorough: every variant with every seed).

        Raises:
            InvalidInputError: Minutes, seeds or epochs that no ablation takes.
        """
        minutes = STANDARD_MINUTES if self.minutes is None and self.budget == "standard" else self.minutes
        return AblationSettings(
            depth=RETRAINED if retrains else SWAP,
            seeds=DEFAULT_SEEDS if self.seeds is None else self.seeds,
            epochs=self.epochs,
            race=self.budget != "thorough",
            budget_seconds=None if minutes is None else 60 * minutes,
            store=Path(self.trial_store),
            waits=True,  # a release that is audited beside another must not lose its ablation by that
            seed=self.seed,
        )
