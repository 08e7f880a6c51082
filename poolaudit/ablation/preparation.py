"""What every step of an ablation starts from: checked data, head, classes, and the question put to trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from poolaudit.ablation.measures import MOST_CLASSES, Question, choose_precision, draw_validation
from poolaudit.ablation.settings import SWAP, AblationSettings
from poolaudit.ablation.subject import AblationSubject
from poolaudit.errors import InvalidInputError
from poolaudit.policy import Policy
from poolaudit.subject.heads import Head, find_head, to_probabilities
from poolaudit.subject.labels import resolve_class
from poolaudit.subject.models import LoadedModel, load_model
from poolaudit.subject.splits import DataSplit, check_against_classes

VALIDATION_SHARE = 0.2
_HEAD_SAMPLE = 256

Tell = Callable[[int, int, str], None]


@dataclass(slots=True, eq=False)
class Prepared:
    """What the steps of one ablation share."""

    subject: AblationSubject
    settings: AblationSettings
    policy: Policy
    tell: Tell
    train: DataSplit | None
    validation: DataSplit | None
    test: DataSplit
    validation_from: str
    loaded: LoadedModel
    head: Head
    targets: tuple[int, ...]
    positive: str | None
    notes: list[str] = field(default_factory=list)


def prepare(
    subject: AblationSubject,
    settings: AblationSettings,
    policy: Policy,
    tell: Tell,
    train: DataSplit | None,
    validation: DataSplit | None,
    test: DataSplit,
    positive: str | None,
) -> Prepared:
    loaded = load_model(subject.model)
    head = find_head(loaded, loaded.predict(test.inputs[:_HEAD_SAMPLE]))
    splits = {"test": test, "train": train, "validation": validation}
    fitted = {
        name: None if split is None else check_against_classes(split, head.classes, loaded.name)
        for name, split in splits.items()
    }
    checked = fitted["test"]
    assert checked is not None
    for split in fitted.values():
        if split is not None and split.inputs.shape[1:] != checked.inputs.shape[1:]:
            loaded.predict(split.inputs[:1])  # says what is wrong with the shape where the model does not take it
    notes: list[str] = []
    if settings.depth != SWAP and train is None:
        raise InvalidInputError(
            f"Depth {settings.depth!r} trains models, and there are no training data",
            "training data, or depth 'swap'",
            "Name them with --train",
        )
    train, validation = fitted["train"], fitted["validation"]
    origin = "the validation split" if validation is not None else ""
    if validation is None and train is not None:
        train, validation = hold_back(train, settings.seed)
        origin = f"{VALIDATION_SHARE:.0%} of the training items, held back from training"
    classes = head.classes
    if positive is not None:
        targets: tuple[int, ...] = (resolve_class(positive, checked.class_names),)
        positive = checked.class_names[targets[0]]
        if not np.any(checked.labels == targets[0]):
            raise InvalidInputError(
                f"No test item is of class {positive!r}", "test data with items of the class of interest"
            )
    elif classes == 2:
        targets, positive = (1,), checked.class_names[1]
        notes.append(f"No class of interest was named; {positive!r}, the second of two, was taken.")
    else:
        present = np.bincount(checked.labels, minlength=classes) > 0
        targets = tuple(int(i) for i in np.flatnonzero(present))
        notes.append("No class of interest was named; recall, precision and ranking are averaged over all classes.")
    if validation is not None:
        unseen = [checked.class_names[t] for t in targets if not np.any(validation.labels == t)]
        if unseen:
            notes.append(
                f"No validation item is of class {unseen[0]!r}, so no threshold can be chosen for it: average "
                "precision decides."
            )
            validation, origin = None, ""
    return Prepared(
        subject, settings, policy, tell, train, validation, checked, origin, loaded, head, targets, positive, notes
    )


def hold_back(train: DataSplit, seed: int) -> tuple[DataSplit, DataSplit]:
    """Training items without the held-back share, and that share, drawn from each class alike."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(train), bool)
    for label in np.unique(train.labels):
        items = np.flatnonzero(train.labels == label)
        share = max(round(VALIDATION_SHARE * len(items)), int(len(items) > 1))
        held[rng.permutation(items)[:share]] = True
    return _part(train, ~held, "train"), _part(train, held, "validation")


def _part(split: DataSplit, chosen: Any, name: str) -> DataSplit:
    from poolaudit.subject.digest import content_sha256

    part = split.rows(chosen)
    return replace(part, name=name, sha256=content_sha256((part.inputs, part.labels)))


def question_of(run: Prepared, precision: float | None) -> Question:
    labels = None if run.validation is None else run.validation.labels
    draws = draw_validation(0 if labels is None else len(labels), np.random.default_rng(run.settings.seed))
    return Question(run.test.labels, labels, run.head.classes, run.targets, precision, draws)


def probabilities_of(raw: Any, head: Head) -> Any:
    """As the head says; what is not finite stays so, and the trial counts as diverged."""
    values = np.asarray(raw, np.float64)
    if not np.isfinite(values).all():
        return np.full((len(values), head.classes), np.nan)
    return to_probabilities(values, head)


def matched_precision(validations: list[Any], run: Prepared) -> float | None:
    """The precision that all arms are compared at; None where there is nothing to choose thresholds on."""
    finite = [held for held in validations if np.isfinite(held).all()]
    if not validations or len(run.targets) > MOST_CLASSES:
        return None
    return choose_precision(finite, question_of(run, None), run.policy.good_precision)
