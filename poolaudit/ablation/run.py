"""The ablation from end to end: arms, swap, trials in a race, effects, evidence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from poolaudit.ablation.arms import Arms, choose_arms
from poolaudit.ablation.evidence import Findings, assemble
from poolaudit.ablation.executors.executor import EpochDone, TrialDone
from poolaudit.ablation.executors.names import make_executor
from poolaudit.ablation.ledger import Ledger, primary_metric
from poolaudit.ablation.measures import (
    FAILED,
    MOST_CLASSES,
    Question,
    TrialMeasures,
    choose_precision,
    draw_validation,
    measure_trial,
    unmeasured,
)
from poolaudit.ablation.race import Rules
from poolaudit.ablation.settings import RECALIBRATED, RETRAINED, SWAP, AblationSettings
from poolaudit.ablation.subject import AblationSubject, model_source, training_plan
from poolaudit.ablation.trial import BASELINE, ModelSource, TrainingPlan, TrialSpec, make_spec
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.ablation import AblationEvidence, TrainingFacts
from poolaudit.policy import Policy
from poolaudit.store.trials import StoredTrial, TrialStore
from poolaudit.subject.heads import Head, find_head, to_probabilities
from poolaudit.subject.labels import resolve_class
from poolaudit.subject.models import LoadedModel, load_model
from poolaudit.subject.splits import DataSplit, check_against_classes

VALIDATION_SHARE = 0.2
_HEAD_SAMPLE = 256

Tell = Callable[[int, int, str], None]


@dataclass(slots=True, eq=False)
class _Run:
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
    run = _prepared(
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
    with _quiet_retracing():
        arms = choose_arms(subject.model, settings.variants, shape, with_controls=settings.depth == RETRAINED)
    found = Findings(arms=arms, targets=tuple(test.class_names[t] for t in run.targets), positive=run.positive)
    if settings.depth == SWAP and not subject.is_trained:
        raise InvalidInputError(
            "A swap was asked for, and the recipe's model is not trained",
            "a model file with trained weights, or depth 'retrained'",
        )
    if subject.is_trained:
        with _quiet_retracing():
            _swap(run, arms, found)
    if settings.depth in (RETRAINED, RECALIBRATED):
        _trials(run, arms, found, news or (lambda text: None))
    return assemble(found, settings, run.policy, test, run.targets, tuple(run.notes))


@contextmanager
def _quiet_retracing() -> Iterator[None]:
    """TensorFlow warns where many functions are traced one after the other, which is what variants are."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _prepared(
    subject: AblationSubject,
    settings: AblationSettings,
    policy: Policy,
    tell: Tell,
    train: DataSplit | None,
    validation: DataSplit | None,
    test: DataSplit,
    positive: str | None,
) -> _Run:
    loaded = load_model(subject.model)
    head = find_head(loaded, loaded.predict(test.inputs[:_HEAD_SAMPLE]))
    splits = {"test": test, "train": train, "validation": validation}
    fitted = {
        name: None if split is None else check_against_classes(split, head.classes, loaded.name)
        for name, split in splits.items()
    }
    checked = fitted["test"]
    assert checked is not None
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
    elif classes == 2:
        targets, positive = (1,), checked.class_names[1]
        notes.append(f"No class of interest was named; {positive!r}, the second of two, was taken.")
    else:
        present = np.bincount(checked.labels, minlength=classes) > 0
        targets = tuple(int(i) for i in np.flatnonzero(present))
        notes.append("No class of interest was named; recall, precision and ranking are averaged over all classes.")
    return _Run(
        subject, settings, policy, tell, train, validation, checked, origin, loaded, head, targets, positive, notes
    )


def hold_back(train: DataSplit, seed: int) -> tuple[DataSplit, DataSplit]:
    """Training items without the held-back share, and that share, drawn from each class alike."""
    rng = np.random.default_rng(seed)
    held = np.zeros(len(train), bool)
    for label in np.unique(train.labels):
        items = np.flatnonzero(train.labels == label)
        held[rng.permutation(items)[: round(VALIDATION_SHARE * len(items))]] = True
    return _part(train, ~held, "train"), _part(train, held, "validation")


def _part(split: DataSplit, chosen: Any, name: str) -> DataSplit:
    from poolaudit.subject.digest import content_sha256

    inputs, labels = split.inputs[chosen], split.labels[chosen]
    columns: dict[str, Any] = {
        column: None if (values := getattr(split, column)) is None else values[chosen]
        for column in ("groups", "times", "paths")
    }
    return replace(split, name=name, inputs=inputs, labels=labels, sha256=content_sha256((inputs, labels)), **columns)


def _question(run: _Run, precision: float | None) -> Question:
    labels = None if run.validation is None else run.validation.labels
    draws = draw_validation(0 if labels is None else len(labels), np.random.default_rng(run.settings.seed))
    return Question(run.test.labels, labels, run.head.classes, run.targets, precision, draws)


def _swap(run: _Run, arms: Arms, found: Findings) -> None:
    """The shipped model, and every variant with its weights: sensitivity."""
    from poolaudit.ablation.swap import swap_predictions

    shape = (None, *run.test.inputs.shape[1:])
    model = run.subject.model
    steps = len(arms.variants) + 1
    run.tell(0, steps, "exchanging the pooling under the trained weights")
    on_test = swap_predictions(model, arms.variants, run.test.inputs, batch_size=128, input_shape=shape)
    on_validation = (
        swap_predictions(model, arms.variants, run.validation.inputs, batch_size=128, input_shape=shape)
        if run.validation is not None
        else None
    )
    held = None if on_validation is None else _probabilities(on_validation.baseline, run.head)
    question = _question(run, _matched_precision([held] if held is not None else [], run))
    found.swap_precision = question.precision
    found.shipped = _measured(_probabilities(on_test.baseline, run.head), held, question)
    for name, raw in on_test.items():
        other = None if on_validation is None else on_validation.get(name)
        held = None if other is None else _probabilities(other, run.head)
        found.swapped[name] = _measured(_probabilities(raw, run.head), held, question)
    found.swap_refused = dict(on_test.refused)
    found.unchanged |= on_test.unchanged
    run.tell(steps, steps, "exchanging the pooling under the trained weights")


def _measured(probabilities: Any, validation: Any, question: Question) -> TrialMeasures:
    return measure_trial(probabilities, validation, question)


def _probabilities(raw: Any, head: Head) -> Any:
    """As the head says; what is not finite stays so, and the trial counts as diverged."""
    values = np.asarray(raw, np.float64)
    if not np.isfinite(values).all():
        return np.full((len(values), head.classes), np.nan)
    return to_probabilities(values, head)


def _matched_precision(validations: list[Any], run: _Run) -> float | None:
    """The precision that all arms are compared at; None where there is nothing to choose thresholds on."""
    finite = [held for held in validations if np.isfinite(held).all()]
    if not validations or len(run.targets) > MOST_CLASSES:
        return None
    return choose_precision(finite, _question(run, None), run.policy.good_precision)


def _trials(run: _Run, arms: Arms, found: Findings, news: Callable[[str], None]) -> None:
    store = TrialStore(run.settings.store)
    with store.held():
        source = model_source(run.subject, store)
        plan, statement = training_plan(run.subject, run.settings, run.head)
        assert run.train is not None
        found.training = TrainingFacts(
            statement=statement,
            items=len(run.train),
            validation_items=0 if run.validation is None else len(run.validation),
            validation_from=run.validation_from,
        )
        data = _data_into(store, run)
        trials = _Trials(run, store, source, plan, data, found, news)
        with make_executor(run.settings.executor, store, run.settings.workers) as executor:
            if run.settings.depth == RECALIBRATED or run.subject.is_trained:
                trials.recalibrate(executor, arms)
            if run.settings.depth == RETRAINED:
                trials.race(executor, arms)


def _data_into(store: TrialStore, run: _Run) -> dict[str, str]:
    """The data in the store, by content hash."""
    hashes = {"classes": str(run.head.classes)}
    for name, split in (("train", run.train), ("validation", run.validation), ("test", run.test)):
        if split is None:
            continue
        hashes[name] = split.sha256
        store.keep_array(f"x-{split.sha256}", split.inputs.astype(run.loaded.input_dtype, copy=False))
        store.keep_array(f"y-{split.sha256}", split.labels)
    return hashes


class _OutOfTimeError(Exception):
    """The time budget is spent; trials under way are cut off and keep their last epoch."""


@dataclass(slots=True, eq=False)
class _Trials:
    """Runs trials and keeps what they gave."""

    run: _Run
    store: TrialStore
    source: ModelSource
    plan: TrainingPlan
    data: Mapping[str, str]
    found: Findings
    news: Callable[[str], None]
    settled: set[str] = field(default_factory=set)
    outputs: dict[tuple[str, int], StoredTrial] = field(default_factory=dict)

    def recalibrate(self, executor: Any, arms: Arms) -> None:
        """One trial an arm: statistics re-estimated and one epoch of fine-tuning from the shipped weights."""
        names = [BASELINE, *(v.name for v in arms.variants)]
        weights = _sha256_of_weights(self.run.subject.model)
        source = replace(self.source, fingerprint=self.source.fingerprint + weights)
        plan = replace(self.plan, epochs=1)
        specs = [make_spec(name, 0, source, plan, self.data, depth=RECALIBRATED) for name in names]
        stored: dict[str, StoredTrial] = {}
        self._run(executor, specs, lambda done: stored.__setitem__(done.spec.variant, done.trial), len(specs))
        held = [t for name in (BASELINE,) if (t := self._validation(stored.get(name))) is not None]
        question = _question(self.run, _matched_precision(held, self.run))
        for name, trial in stored.items():
            self.found.recalibrated[name] = self._measure(trial, question)

    def race(self, executor: Any, arms: Arms) -> None:
        """Trains what the open decisions need, look by look."""
        settings, policy = self.run.settings, self.run.policy
        arms_trained = [arm for arm in arms.listed if not arm.unavailable and arm.name not in self.found.unchanged]
        names = tuple(arm.name for arm in arms_trained)
        rules = Rules(policy.smallest_effect, policy.family_wise_error, settings.seeds, stops_early=settings.race)
        primary = primary_metric(self.run.validation is not None, self.run.targets, MOST_CLASSES)
        ledger = Ledger(names, rules, primary)
        self.found.ledger = ledger
        started = time.monotonic()
        while needs := ledger.needs() if ledger.arms else self._all_first(names, rules):
            total = (len(names) + 1) * settings.seeds
            try:
                self._run(executor, [self._spec(arm, seed) for arm, seed in needs], self._keep, total, started)
            except _OutOfTimeError:
                self.found.out_of_time = True
            self._measure_all(ledger)
            self._tell_settled(ledger)
            if self.found.out_of_time:
                break
        self.found.seconds = sum(float(trial.facts["seconds"]) for trial in self.outputs.values())

    def _all_first(self, names: tuple[str, ...], rules: Rules) -> list[tuple[str, int]]:
        first = rules.looks()[0]
        return [(name, seed) for seed in range(first) for name in (BASELINE, *names)]

    def _spec(self, arm: str, seed: int) -> TrialSpec:
        control = arm.endswith(" (control)")
        variant = arm.removesuffix(" (control)")
        return make_spec(variant, seed, self.source, self.plan, self.data, control=control)

    def _keep(self, done: TrialDone) -> None:
        self.outputs[done.spec.arm, done.spec.seed] = done.trial

    def _run(
        self,
        executor: Any,
        specs: list[TrialSpec],
        keep: Callable[[TrialDone], None],
        total: int,
        since: float | None = None,
    ) -> None:
        if not self.run.settings.resume:
            for spec in specs:
                self.store.trial_path(spec.key).unlink(missing_ok=True)
                self.store.checkpoint_path(spec.key).unlink(missing_ok=True)
        before = len(self.outputs)
        started = time.monotonic()
        finished = 0

        def heard(event: EpochDone | TrialDone) -> None:
            nonlocal finished
            if isinstance(event, TrialDone):
                finished += 1
                keep(event)
                name, seed, more = event.spec.arm, event.spec.seed, ""
            else:
                name, seed, more = event.arm, event.seed, f", epoch {event.done} of {event.total}"
            if since is not None and finished < len(specs) and self._out_of_time(since):
                raise _OutOfTimeError
            self.run.tell(before + finished, total, f"{name}, seed {seed}{more}{_left(started, finished, len(specs))}")

        executor.run(specs, heard)

    def _measure_all(self, ledger: Ledger) -> None:
        """Measures every trial against one precision, which the baseline's trials of the first look set for all."""
        if self.found.question is None:
            first = range(ledger.rules.looks()[0])
            held = [self._validation(self.outputs.get((BASELINE, seed))) for seed in first]
            precision = _matched_precision([h for h in held if h is not None], self.run)
            self.found.question = _question(self.run, precision)
        for (arm, seed), trial in self.outputs.items():
            if seed not in ledger.arm(arm):
                ledger.add(arm, seed, self._measure(trial, self.found.question))
                self.found.rows.append((arm, seed, trial.facts))

    def _measure(self, trial: StoredTrial, question: Question) -> TrialMeasures:
        outcome = str(trial.facts["outcome"])
        if outcome != "finished":
            return unmeasured(question, FAILED if outcome == "failed" else outcome, str(trial.facts["reason"]))
        held = self._validation(trial)
        return measure_trial(_probabilities(trial.arrays["test"], self.run.head), held, question)

    def _validation(self, trial: StoredTrial | None) -> Any:
        if trial is None or "validation" not in trial.arrays:
            return None
        return _probabilities(trial.arrays["validation"], self.run.head)

    def _tell_settled(self, ledger: Ledger) -> None:
        for name, standing in ledger.standings().items():
            if standing.stopped is not None and name not in self.settled:
                self.settled.add(name)
                found = standing.difference
                change = "" if found is None else f", {found.value:+.3f} ± {found.half_width(standing.level):.3f}"
                self.news(f"  {name}: {standing.decision} after {standing.seeds} seeds{change}")

    def _out_of_time(self, started: float) -> bool:
        limit = self.run.settings.budget_seconds
        return limit is not None and time.monotonic() - started >= limit


def _sha256_of_weights(model: Any) -> str:
    from poolaudit.subject.digest import content_sha256

    return content_sha256(model.get_weights())


def _left(started: float, finished: int, total: int) -> str:
    """ "; about 3 min left of this round", once a trial has told how long one takes."""
    if not finished or finished >= total:
        return ""
    seconds = (time.monotonic() - started) / finished * (total - finished)
    return f"; about {seconds / 60:.0f} min left of this round" if seconds >= 90 else f"; about {seconds:.0f} s left"
