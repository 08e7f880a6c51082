"""An ablation measured again on some of its test items: from the trials in the store, without any training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from poolaudit.ablation.arms import Arms
from poolaudit.ablation.evidence import Findings, assemble
from poolaudit.ablation.ledger import Ledger
from poolaudit.ablation.measures import LEARNED, Mask
from poolaudit.ablation.preparation import Prepared, Tell, prepare, question_of
from poolaudit.ablation.race import Rules
from poolaudit.ablation.run import exchange_pooling, quiet_retracing
from poolaudit.ablation.settings import RECALIBRATED, RETRAINED, SWAP, AblationSettings
from poolaudit.ablation.subject import AblationSubject, model_source, training_plan
from poolaudit.ablation.trial import BASELINE
from poolaudit.ablation.trial_runs import Trials, hashes_of
from poolaudit.ablation.variants import parse_variant
from poolaudit.errors import InvalidInputError
from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence
from poolaudit.policy import Policy
from poolaudit.statistics.crossed import Crossed
from poolaudit.store.trials import StoredTrial, TrialStore
from poolaudit.subject.splits import DataSplit

# With fewer items of the classes of interest hardly anything can be decided, and trainings pass for chance.
FEWEST_ITEMS = 10
# One or two items of a class move an average over classes by a whole share, and tell nothing of how far chance goes.
FEWEST_OF_A_CLASS = 5


@dataclass(frozen=True, slots=True)
class MeasuredAgain:
    """An ablation on some of its test items.

    Attributes:
        evidence: As the run would have left it, had these been its test items; without the trained variants where
            `not_trained` is set.
        others: Each trained variant's difference to the baseline on the other test items, on the metric that decides;
            None where it has none there.
        shifts: The same on the other items minus that on these.
        leader: The trained variant that does best on all test items; empty where none does better than the baseline.
        against_leader: The difference of each other trained variant to it on these items; None where it has none.
        not_trained: Why the trained variants were not measured again; empty where they were, or nothing was trained.
    """

    evidence: AblationEvidence
    others: dict[str, Crossed | None] = field(default_factory=dict)
    shifts: dict[str, Crossed | None] = field(default_factory=dict)
    leader: str = ""
    against_leader: dict[str, Crossed | None] = field(default_factory=dict)
    not_trained: str = ""


def measure_again(
    subject: AblationSubject,
    before: AblationEvidence,
    items: Mask,
    *,
    test: DataSplit,
    train: DataSplit | None,
    validation: DataSplit | None,
    positive: str | None,
    settings: AblationSettings,
    policy: Policy,
    tell: Tell,
) -> MeasuredAgain:
    """What the ablation finds on some of the items it was measured on; trains nothing.

    Hypotheses, precision, rules and seeds stay those of `before`; the race is replayed from the trials that it trained.
    Data and settings must be those of that run, for its trials to be found in the store.

    Args:
        before: The ablation on all test items.
        items: (test items,) bool, those to measure on.

    Raises:
        InvalidInputError: The items are too few, or the model cannot be taken apart.
    """
    run = prepare(subject, settings, policy, tell, train, validation, test, positive)
    _require_enough(run, items)
    measured = replace(run, test=run.test.rows(items))
    arms = Arms(_blank(before.baseline), tuple(map(_blank, before.arms)), ())
    found, not_trained = Findings(arms, before.targets, before.positive), ""
    others: dict[str, Crossed | None] = {}
    shifts: dict[str, Crossed | None] = {}
    against: dict[str, Crossed | None] = {}
    leader = _leader(before)
    if before.depth == RETRAINED:
        try:
            _require_enough_of_each(run, items)
            stored = _Stored(run, before, arms)
            found = stored.measured_on(items)
            there = stored.measured_on(~items)
        except InvalidInputError as error:
            not_trained, settings = str(error), replace(settings, depth=SWAP)
        else:
            assert found.ledger is not None
            assert there.ledger is not None
            for name in found.ledger.names:
                pairs = _learned_in_both(before, name, BASELINE)
                others[name] = there.ledger.difference(name, BASELINE, pairs)
                shifts[name] = there.ledger.difference(name, BASELINE, pairs, less=found.ledger)
            for arm in before.variants if leader else ():
                if arm.comparison is not None and arm.name != leader:
                    pairs = _learned_in_both(before, arm.name, leader)
                    against[arm.name] = found.ledger.difference(arm.name, leader, pairs)
    exchanged = [parse_variant(arm.name) for arm in before.variants if arm.swap]
    if exchanged:
        with quiet_retracing():
            exchange_pooling(measured, exchanged, found)
        assert found.shipped is not None
        unchanged = {arm.name for arm in before.arms if arm.unchanged}
        # What changed an output of other items only makes no difference on these.
        found.swapped |= dict.fromkeys(found.unchanged - unchanged, found.shipped)
        found.unchanged = unchanged
    evidence = assemble(found, settings, policy, measured.test, run.targets, ())
    return MeasuredAgain(evidence, others, shifts, "" if not_trained else leader, against, not_trained)


def _require_enough(run: Prepared, items: Mask) -> None:
    labels = run.test.labels[items]
    for target in run.targets:
        count, name = int((labels == target).sum()), run.test.class_names[target]
        if count == 0:
            raise InvalidInputError(f"no item of {name!r} is left")
        if count == len(labels):
            raise InvalidInputError(f"no item is left that is not of {name!r}")
    count = int(np.isin(labels, run.targets).sum())
    if count < FEWEST_ITEMS:
        of_interest = "the classes of interest" if run.positive is None else repr(run.positive)
        raise InvalidInputError(_only(count, of_interest))


def _require_enough_of_each(run: Prepared, items: Mask) -> None:
    for target in run.targets if len(run.targets) > 1 else ():
        count = int((run.test.labels[items] == target).sum())
        if count < FEWEST_OF_A_CLASS:
            raise InvalidInputError(_only(count, repr(run.test.class_names[target])))


def _only(count: int, of_what: str) -> str:
    return f"only {count:,} {'item' if count == 1 else 'items'} of {of_what} {'is' if count == 1 else 'are'} left"


def _blank(arm: ArmEvidence) -> ArmEvidence:
    """The arm without what was measured on test items."""
    return replace(
        arm,
        trained=0,
        learned=0,
        collapsed=0,
        dead=0,
        diverged=0,
        failed=0,
        comparison=None,
        effects=(),
        swap=(),
        recalibrated=(),
    )


class _Stored:
    """The trials of an earlier run.

    Args:
        run: Prepared with the data of that run.
        arms: Of the ablation, blank.

    Raises:
        InvalidInputError: A trial is not in the store any more.
    """

    def __init__(self, run: Prepared, before: AblationEvidence, arms: Arms) -> None:
        store = TrialStore(run.settings.store)
        built = [arm for arm in before.variants if not arm.unavailable]
        source = model_source(run.subject, store, {parse_variant(arm.name).action for arm in built})
        plan, _ = training_plan(run.subject, run.settings, run.head)
        self._run, self._before, self._arms = run, before, arms
        self._trials = Trials(run, store, source, plan, hashes_of(run), Findings(arms, before.targets, before.positive))
        specs = [self._trials.spec(row.arm, row.seed) for row in before.trials]
        if any(arm.recalibrated for arm in built):
            specs += self._trials.recalibrations([BASELINE, *(arm.name for arm in built if arm.recalibrated)])
        read = [(spec, store.read(spec.key)) for spec in specs]
        self._stored = {(spec.depth, spec.arm, spec.seed): trial for spec, trial in read if trial is not None}
        lost = sum(trial is None for _, trial in read)
        if lost:
            raise InvalidInputError(f"{lost:,} of {len(specs):,} trainings are not in the trial store any more")

    def measured_on(self, items: Mask) -> Findings:
        """Ledger, question and recalibrated trials on these test items alone."""
        before, settings = self._before, self._run.settings
        run = replace(self._run, test=self._run.test.rows(items))
        names = tuple(arm.name for arm in before.arms if not arm.unavailable)
        rules = Rules(before.smallest_effect, before.family_wise_error, settings.seeds, stops_early=settings.race)
        ledger = Ledger(names, rules, before.primary)
        found = Findings(
            self._arms,
            before.targets,
            before.positive,
            unchanged={arm.name for arm in before.arms if arm.unchanged},
            ledger=ledger,
            question=question_of(run, before.matched_precision),
            training=before.training,
            out_of_time=before.stopped == "budget",
            seconds=before.seconds,
        )
        trials = replace(self._trials, run=run, found=found, items=items, outputs=self._at(RETRAINED))
        trials.measure_all(ledger)
        trials.measure_recalibrated({arm: trial for (arm, _), trial in self._at(RECALIBRATED).items()})
        return found

    def _at(self, wanted: str) -> dict[tuple[str, int], StoredTrial]:
        return {(arm, seed): trial for (depth, arm, seed), trial in self._stored.items() if depth == wanted}


def _leader(before: AblationEvidence) -> str:
    known = [
        (effect.estimate.value, arm.name)
        for arm in before.variants
        if arm.comparison is not None
        and (effect := arm.effect(before.primary)) is not None
        and effect.estimate.value is not None
    ]
    best, name = max(known, default=(0.0, ""))
    return name if best > 0 else ""


def _learned_in_both(before: AblationEvidence, name: str, other: str) -> list[int]:
    """Seeds with which both arms learned, as all test items showed."""
    learned = {(row.arm, row.seed) for row in before.trials if row.state == LEARNED}
    return sorted(seed for arm, seed in learned if arm == name and (other, seed) in learned)
