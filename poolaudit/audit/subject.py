"""What is under audit, loaded: a model with its data, or predictions alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from poolaudit.audit.plan import AuditPlan

if TYPE_CHECKING:
    from poolaudit.subject.models import LoadedModel
    from poolaudit.subject.predictions import Predictions
    from poolaudit.subject.splits import DataSplit


@dataclass(frozen=True)
class Subject:
    """What is under audit, loaded: a model with its data, or predictions alone.

    Attributes:
        outputs: The model's raw outputs by split, kept once a stage has asked for them.
    """

    test: DataSplit | None
    validation: DataSplit | None
    train: DataSplit | None
    model: LoadedModel | None
    predictions: Predictions | None
    validation_predictions: Predictions | None
    outputs: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        if self.model is not None:
            return self.model.name
        return self.predictions.source if self.predictions is not None else ""


def load_subject(plan: AuditPlan) -> Subject:
    """Loads what the plan names.

    Raises:
        InvalidInputError: Something cannot be read, does not fit the model, or holds a single class.
    """
    if plan.predictions is not None:
        from poolaudit.subject.predictions import read_predictions

        validation = plan.validation_predictions
        return Subject(
            test=None,
            validation=None,
            train=None,
            model=None,
            predictions=read_predictions(plan.predictions, positive=plan.positive),
            validation_predictions=None if validation is None else read_predictions(validation, positive=plan.positive),
        )
    from poolaudit.subject.data import load_splits
    from poolaudit.subject.splits import require_two_classes

    sources = {"test": plan.test}
    for name, source in (("validation", plan.validation), ("train", plan.train)):
        if source is not None:
            sources[name] = source
    splits = load_splits(sources, resize=plan.resize, class_names=plan.class_names)
    require_two_classes(splits["test"])
    from poolaudit.subject._prediction import check_single
    from poolaudit.subject.models import load_model

    model = load_model(plan.model, trust_model_code=plan.trust_model_code)
    check_single(model)  # before any stage speaks of shapes that nobody gave
    return Subject(
        test=_fitted(splits["test"], model),
        validation=_fitted(splits["validation"], model) if "validation" in splits else None,
        train=_fitted(splits["train"], model) if "train" in splits else None,
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
