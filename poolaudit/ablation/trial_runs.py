"""Runs the trials of an ablation, in a race or once each, and keeps what they gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from poolaudit.ablation.arms import Arms
from poolaudit.ablation.evidence import Findings
from poolaudit.ablation.executors.executor import EpochDone, TrialDone
from poolaudit.ablation.executors.names import make_executor
from poolaudit.ablation.ledger import Ledger, primary_metric
from poolaudit.ablation.measures import (
    FAILED,
    MOST_CLASSES,
    Mask,
    Question,
    Thresholds,
    TrialMeasures,
    measure_trial,
    thresholds_of,
    unmeasured,
)
from poolaudit.ablation.pace import Pace
from poolaudit.ablation.preparation import Prepared, matched_precision, probabilities_of, question_of
from poolaudit.ablation.race import Rules
from poolaudit.ablation.settings import RECALIBRATED, RETRAINED
from poolaudit.ablation.subject import model_source, training_plan
from poolaudit.ablation.trial import BASELINE, CONTROL_SUFFIX, ModelSource, TrainingPlan, TrialSpec, make_spec
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.ablation import TrainingFacts
from poolaudit.store.trials import StoredTrial, TrialStore


def run_trials(run: Prepared, arms: Arms, found: Findings, news: Callable[[str], None]) -> None:
    store = TrialStore(run.settings.store)
    tell = run.tell
    told = f"waiting for another run that uses the trial store {store.folder.name}"
    with store.held((lambda: tell(0, 1, told)) if run.settings.waits else None):
        source = model_source(run.subject, store, {variant.action for variant in arms.variants})
        plan, statement = training_plan(run.subject, run.settings, run.head)
        assert run.train is not None
        found.training = TrainingFacts(
            statement=statement,
            items=len(run.train),
            validation_items=0 if run.validation is None else len(run.validation),
            validation_from=run.validation_from,
        )
        data = _data_into(store, run)
        trials = Trials(run, store, source, plan, data, found, news)
        with make_executor(run.settings.executor, store, run.settings.workers) as executor:
            if run.settings.depth == RECALIBRATED or run.subject.is_trained:
                trials.recalibrate(executor, arms)
            if run.settings.depth == RETRAINED:
                trials.race(executor, arms)


def _data_into(store: TrialStore, run: Prepared) -> dict[str, str]:
    """The data in the store, by content hash."""
    for split in (run.train, run.validation, run.test):
        if split is not None:
            store.keep_array(f"x-{split.sha256}", split.inputs.astype(run.loaded.input_dtype, copy=False))
            store.keep_array(f"y-{split.sha256}", split.labels)
    return hashes_of(run)


def hashes_of(run: Prepared) -> dict[str, str]:
    """What names the data in the keys of trials."""
    splits = {"train": run.train, "validation": run.validation, "test": run.test}
    known = {name: split.sha256 for name, split in splits.items() if split is not None}
    return {"classes": str(run.head.classes), **known}


class _OutOfTimeError(Exception):
    """The time budget is spent; trials under way are cut off and keep their last epoch."""


@dataclass(slots=True, eq=False)
class Trials:
    """Runs trials and keeps what they gave.

    Attributes:
        items: (test items,) bool, those that trials are measured on; None for all.
        thresholds: Of trials that were measured, whatever the test items, by key and precision.
    """

    run: Prepared
    store: TrialStore
    source: ModelSource
    plan: TrainingPlan
    data: Mapping[str, str]
    found: Findings
    news: Callable[[str], None] = lambda text: None
    items: Mask | None = None
    thresholds: dict[tuple[str, float | None], tuple[Thresholds, ...]] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    outputs: dict[tuple[str, int], StoredTrial] = field(default_factory=dict)

    def recalibrate(self, executor: Any, arms: Arms) -> None:
        """One trial an arm: statistics re-estimated and one epoch of fine-tuning from the shipped weights."""
        specs = self.recalibrations([BASELINE, *(v.name for v in arms.variants)])
        stored: dict[str, StoredTrial] = {}
        self._run(executor, specs, lambda done: stored.__setitem__(done.spec.variant, done.trial), Pace(), 0)
        self.measure_recalibrated(stored)

    def recalibrations(self, names: list[str]) -> list[TrialSpec]:
        weights = _sha256_of_weights(self.run.subject.model)
        source = replace(self.source, fingerprint=self.source.fingerprint + weights)
        plan = replace(self.plan, epochs=1)
        return [make_spec(name, 0, source, plan, self.data, depth=RECALIBRATED) for name in names]

    def measure_recalibrated(self, stored: Mapping[str, StoredTrial]) -> None:
        held = [t for name in (BASELINE,) if (t := self._validation(stored.get(name))) is not None]
        question = question_of(self.run, matched_precision(held, self.run))
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
        pace = Pace(settings.budget_seconds)
        while needs := ledger.needs():
            specs = [self.spec(arm, seed) for arm, seed in needs]
            try:
                self._run(executor, specs, self._keep, pace, max(0, ledger.most_left() - len(specs)))
            except _OutOfTimeError:
                self.found.out_of_time = True
            self._require_that_it_trains()
            self.measure_all(ledger)
            self._tell_settled(ledger)
            if self.found.out_of_time:
                break
        self.found.seconds = sum(float(trial.facts["seconds"]) for trial in self.outputs.values())

    def spec(self, arm: str, seed: int) -> TrialSpec:
        control = arm.endswith(CONTROL_SUFFIX)
        variant = arm.removesuffix(CONTROL_SUFFIX)
        return make_spec(variant, seed, self.source, self.plan, self.data, control=control)

    def _keep(self, done: TrialDone) -> None:
        self.outputs[done.spec.arm, done.spec.seed] = done.trial

    def _run(
        self,
        executor: Any,
        specs: list[TrialSpec],
        keep: Callable[[TrialDone], None],
        pace: Pace,
        most: int,
    ) -> None:
        """Runs the trials of one round, after which `most` further ones may come."""
        for spec in specs:
            if not self.run.settings.resume or self._failed_before(spec):
                self.store.trial_path(spec.key).unlink(missing_ok=True)
                self.store.checkpoint_path(spec.key).unlink(missing_ok=True)
        known = sum(self.store.trial_path(spec.key).exists() for spec in specs)
        pace.begin_round(known, len(specs) - known, most)
        before, finished = len(self.outputs), 0

        def heard(event: EpochDone | TrialDone) -> None:
            nonlocal finished
            pace.hear(event)
            if isinstance(event, TrialDone):
                finished += 1
                keep(event)
                name, seed, more = event.spec.arm, event.spec.seed, ""
            else:
                name, seed, more = event.arm, event.seed, f", epoch {event.done} of {event.total}"
            if finished < len(specs) and pace.is_over():
                raise _OutOfTimeError
            total = before + len(specs) + most
            self.run.tell(before + finished, total, f"{name}, seed {seed}{more}{pace.words()}")

        executor.run(specs, heard)

    def _failed_before(self, spec: TrialSpec) -> bool:
        """Whether an earlier run could not train it: what was missing then may be there now."""
        known = self.store.read(spec.key)
        return known is not None and known.facts["outcome"] == FAILED

    def _require_that_it_trains(self) -> None:
        """Raises InvalidInputError where every training of the baseline fails: there is nothing to compare with."""
        facts = [trial.facts for (arm, _), trial in self.outputs.items() if arm == BASELINE]
        if facts and all(fact["outcome"] == FAILED for fact in facts):
            raise InvalidInputError(
                f"None of {len(facts)} trainings of the baseline could be carried out: {facts[0]['reason']}",
                "a model or recipe that trains on these data",
            )

    def measure_all(self, ledger: Ledger) -> None:
        """Measures every trial against one precision, which the baseline's trials of the first look set for all."""
        if self.found.question is None:
            first = range(ledger.rules.looks()[0])
            held = [self._validation(self.outputs.get((BASELINE, seed))) for seed in first]
            precision = matched_precision([h for h in held if h is not None], self.run)
            self.found.question = question_of(self.run, precision)
        for (arm, seed), trial in self.outputs.items():
            if seed not in ledger.arm(arm):
                ledger.add(arm, seed, self._measure(trial, self.found.question))
                self.found.rows.append((arm, seed, trial.facts))

    def _measure(self, trial: StoredTrial, question: Question) -> TrialMeasures:
        outcome = str(trial.facts["outcome"])
        if outcome != "finished":
            return unmeasured(question, FAILED if outcome == "failed" else outcome, str(trial.facts["reason"]))
        held = self._validation(trial)
        tested = probabilities_of(trial.arrays["test"], self.run.head)
        known = None
        if held is not None and np.isfinite(held).all():
            key = trial.key, question.precision
            known = self.thresholds.get(key) or thresholds_of(held, question)
            self.thresholds[key] = known
        return measure_trial(tested if self.items is None else tested[self.items], held, question, known)

    def _validation(self, trial: StoredTrial | None) -> Any:
        if trial is None or "validation" not in trial.arrays:
            return None
        return probabilities_of(trial.arrays["validation"], self.run.head)

    def _tell_settled(self, ledger: Ledger) -> None:
        for name, standing in ledger.standings().items():
            if standing.stopped is not None and name not in self.settled:
                self.settled.add(name)
                if standing.stopped == "moot":
                    self.news(f"  {name}: not needed, its variant shows no gain to explain")
                    continue
                found = standing.difference
                change = "" if found is None else f", {found.value:+.3f} ± {found.half_width(standing.level):.3f}"
                self.news(f"  {name}: {standing.decision} after {standing.seeds} seeds{change}")


def _sha256_of_weights(model: Any) -> str:
    from poolaudit.subject.digest import content_sha256

    return content_sha256(model.get_weights())
