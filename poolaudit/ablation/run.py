"""The ablation from end to end: arms, swap, trials in a race, effects, evidence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from poolaudit.ablation.arms import choose_arms
from poolaudit.ablation.evidence import Findings, assemble
from poolaudit.ablation.measures import measure_trial
from poolaudit.ablation.preparation import Prepared, Tell, matched_precision, prepare, probabilities_of, question_of
from poolaudit.ablation.settings import RECALIBRATED, RETRAINED, AblationSettings
from poolaudit.ablation.subject import AblationSubject
from poolaudit.ablation.trial_runs import run_trials
from poolaudit.ablation.variants import Variant
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.ablation import AblationEvidence
from poolaudit.policy import Policy
from poolaudit.subject.splits import DataSplit

_PROOF_ITEMS = 64


def ablate(
    subject: AblationSubject,
    *,
    test: DataSplit,
    train: DataSplit | None = None,
    validation: DataSplit | None = None,
    positive: str | None = None,
    settings: AblationSettings | None = None,
    policy: Policy | None = None,
    tell: Tell | None = None,
    news: Callable[[str], None] | None = None,
) -> AblationEvidence:
    """Changes the pooling and measures what becomes of recall; judges nothing.

    Args:
        subject: The baseline.
        test: Items that effects are measured on.
        train: Items that trials are trained on; needed for every depth but "swap".
        validation: Items that thresholds are chosen on; None holds a fifth of the training items back.
        positive: The class of interest; None takes the second of two classes, and averages over more.
        settings: How deep and how far.
        policy: Margin, family-wise error and confidence.
        tell: Takes steps done, steps in all, and the step in words.
        news: Takes a line whenever a variant is settled.

    Raises:
        InvalidInputError: Something cannot be ablated as it is.
        NoSpaceError: The disk is full; what was stored before is whole.
        KeyboardInterrupt: Likewise; the next run goes on from there.
    """
    settings = settings or AblationSettings()
    run = prepare(
        subject,
        settings,
        policy or Policy(),
        tell or (lambda done, total, what: None),
        train,
        validation,
        test,
        positive,
    )
    shape = (None, *test.inputs.shape[1:])
    with quiet_retracing():
        arms = choose_arms(
            subject.model,
            settings.variants,
            shape,
            with_controls=settings.depth == RETRAINED,
            inputs=None if subject.is_trained else run.test.inputs[:_PROOF_ITEMS],
        )
    found = Findings(arms=arms, targets=tuple(test.class_names[t] for t in run.targets), positive=run.positive)
    if settings.depth != RETRAINED and not subject.is_trained:
        raise InvalidInputError(
            f"Depth {settings.depth!r} was asked for, and the recipe's model is not trained",
            "a model file with trained weights, or depth 'retrained'",
        )
    if subject.is_trained:
        with quiet_retracing():
            exchange_pooling(run, arms.variants, found)
    if settings.depth in (RETRAINED, RECALIBRATED):
        run_trials(run, arms, found, news or (lambda text: None))
    return assemble(found, settings, run.policy, test, run.targets, tuple(run.notes))


@contextmanager
def quiet_retracing() -> Iterator[None]:
    """TensorFlow warns where many functions are traced one after the other, which is what variants are."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def exchange_pooling(run: Prepared, variants: Sequence[Variant], found: Findings) -> None:
    """The shipped model, and every variant with its weights: sensitivity."""
    from poolaudit.ablation.swap import swap_predictions

    shape = (None, *run.test.inputs.shape[1:])
    model = run.subject.model
    steps = len(variants) + 1
    run.tell(0, steps, "exchanging the pooling under the trained weights")
    on_test = swap_predictions(model, variants, run.test.inputs, batch_size=128, input_shape=shape)
    on_validation = (
        swap_predictions(model, variants, run.validation.inputs, batch_size=128, input_shape=shape)
        if run.validation is not None
        else None
    )
    held = None if on_validation is None else probabilities_of(on_validation.baseline, run.head)
    question = question_of(run, matched_precision([held] if held is not None else [], run))
    found.swap_precision = question.precision
    found.shipped = measure_trial(probabilities_of(on_test.baseline, run.head), held, question)
    for name, raw in on_test.items():
        other = None if on_validation is None else on_validation.get(name)
        held = None if other is None else probabilities_of(other, run.head)
        found.swapped[name] = measure_trial(probabilities_of(raw, run.head), held, question)
    found.swap_refused = dict(on_test.refused)
    found.unchanged |= on_test.unchanged
    run.tell(steps, steps, "exchanging the pooling under the trained weights")
