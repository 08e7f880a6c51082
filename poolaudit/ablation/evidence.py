"""From arms, swaps and trials to the evidence that detectors and report read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from poolaudit.ablation.arms import Arms
from poolaudit.ablation.effects import states, swap_difference
from poolaudit.ablation.ledger import Ledger
from poolaudit.ablation.measures import (
    AVERAGE_PRECISION,
    COLLAPSED,
    DEAD,
    DIVERGED,
    FAILED,
    LEARNED,
    MATCHED,
    METRICS,
    Question,
    TrialMeasures,
)
from poolaudit.ablation.race import UNDECIDED, Standing
from poolaudit.ablation.settings import RETRAINED, AblationSettings
from poolaudit.ablation.trial import BASELINE
from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence, Effect, TrainingFacts, TrialRow
from poolaudit.policy import Policy
from poolaudit.statistics.power import detectable_effect, planned_difference
from poolaudit.statistics.sequential import holm_levels
from poolaudit.subject.splits import DataSplit


@dataclass(slots=True, eq=False)
class Findings:
    """What a run has gathered.

    Attributes:
        arms: Of the ablation.
        targets: Names of the classes of interest.
        positive: The one class of interest; None where metrics are averaged.
        shipped: The model as shipped, measured.
        swapped: Variants under the shipped weights, by name.
        swap_refused: Why a variant cannot be swapped in, by name.
        swap_precision: Precision that thresholds were matched at for the swap.
        unchanged: Variants that changed no output.
        recalibrated: Trials of that depth, by name; the baseline among them.
        ledger: Of the retrained trials.
        question: What they were measured against.
        rows: Arm, seed and stored facts of every retrained trial.
        training: How they were trained.
        out_of_time: The budget ended the race.
        seconds: Spent in retrained trials.
    """

    arms: Arms
    targets: tuple[str, ...]
    positive: str | None
    shipped: TrialMeasures | None = None
    swapped: dict[str, TrialMeasures] = field(default_factory=dict)
    swap_refused: dict[str, str] = field(default_factory=dict)
    swap_precision: float | None = None
    unchanged: set[str] = field(default_factory=set)
    recalibrated: dict[str, TrialMeasures] = field(default_factory=dict)
    ledger: Ledger | None = None
    question: Question | None = None
    rows: list[tuple[str, int, Mapping[str, Any]]] = field(default_factory=list)
    training: TrainingFacts | None = None
    out_of_time: bool = False
    seconds: float = 0.0


def assemble(
    found: Findings,
    settings: AblationSettings,
    policy: Policy,
    test: DataSplit,
    targets: tuple[int, ...],
    notes: tuple[str, ...],
) -> AblationEvidence:
    """Everything measured, as plain data."""
    ledger = found.ledger
    standings = ledger.standings() if ledger is not None else {}
    support = int(np.isin(test.labels, targets).sum())
    arms = tuple(_arm(arm, found, standings, policy) for arm in found.arms.listed)
    count = len(ledger.names) if ledger is not None else 0
    precision = found.question.precision if found.question is not None else found.swap_precision
    return AblationEvidence(
        depth=RETRAINED if ledger is not None else settings.depth,
        positive=found.positive,
        targets=found.targets,
        primary=ledger.primary if ledger is not None else MATCHED if precision is not None else AVERAGE_PRECISION,
        matched_precision=precision,
        smallest_effect=policy.smallest_effect,
        family_wise_error=policy.family_wise_error,
        test_items=len(test),
        support=support,
        planned_seeds=settings.seeds if ledger is not None else 0,
        hypotheses=count,
        trainings=len(found.rows),
        full_grid=(count + 1) * settings.seeds if ledger is not None else 0,
        stopped="" if ledger is None else "budget" if found.out_of_time else _stopped(standings),
        detectable_before=_detectable_before(count, support, settings, policy) if count else None,
        shipped=_values(found.shipped) if found.shipped is not None else (),
        baseline=_with_states(found.arms.baseline, ledger),
        arms=arms,
        trials=_rows(found),
        training=found.training,
        seconds=round(found.seconds, 1),
        notes=notes,
    )


def _stopped(standings: Mapping[str, Standing]) -> str:
    """Why the race ended that was not cut short: each question has its answer, or the plan has no more to give."""
    still_open = any(s.decision == UNDECIDED and s.stopped != "moot" for s in standings.values())
    return "planned" if still_open else "decided"


def _arm(arm: ArmEvidence, found: Findings, standings: Mapping[str, Standing], policy: Policy) -> ArmEvidence:
    ledger = found.ledger
    arm = _with_states(arm, ledger)
    if arm.name in found.unchanged:
        reason = found.swap_refused.get(arm.name, "every output equals the baseline's")
        return replace(arm, unchanged=True, unavailable=arm.unavailable or reason)
    if ledger is not None and arm.name in ledger.names:
        arm = replace(
            arm,
            effects=ledger.effects(arm.name, policy.confidence),
            comparison=ledger.comparison(arm.name, standings[arm.name], out_of_time=found.out_of_time),
        )
    if found.shipped is not None and arm.name in found.swapped:
        arm = replace(arm, swap=_fixed(found.swapped[arm.name], found.shipped, policy))
    elif arm.name in found.swap_refused and not arm.unavailable:
        arm = replace(arm, notes=(*arm.notes, f"No swap: {found.swap_refused[arm.name]}."))
    baseline = found.recalibrated.get(BASELINE)
    if baseline is not None and arm.name in found.recalibrated:
        arm = replace(arm, recalibrated=_fixed(found.recalibrated[arm.name], baseline, policy))
    return arm


def _fixed(variant: TrialMeasures, baseline: TrialMeasures, policy: Policy) -> tuple[Effect, ...]:
    """Effects of one model against one model: no seeds."""
    metrics = [m for m in METRICS if m != MATCHED or len(baseline.matched_draws)]
    return tuple(Effect(m, swap_difference(variant, baseline, m, policy.confidence), 0) for m in metrics)


def _with_states(arm: ArmEvidence, ledger: Ledger | None) -> ArmEvidence:
    if ledger is None:
        return arm
    counts = states(ledger.arm(arm.name))
    return replace(
        arm,
        trained=sum(counts.values()),
        learned=counts.get(LEARNED, 0),
        collapsed=counts.get(COLLAPSED, 0),
        dead=counts.get(DEAD, 0),
        diverged=counts.get(DIVERGED, 0),
        failed=counts.get(FAILED, 0),
    )


def _rows(found: Findings) -> tuple[TrialRow, ...]:
    if found.ledger is None:
        return ()
    rows = []
    for arm, seed, facts in sorted(found.rows, key=lambda row: (row[0] != BASELINE, row[0], row[1])):
        measured = found.ledger.arm(arm)[seed]
        rows.append(TrialRow(arm, seed, measured.state, measured.reason, float(facts["seconds"]), _values(measured)))
    return tuple(rows)


def _values(measured: TrialMeasures) -> tuple[tuple[str, float | None], ...]:
    return tuple(
        (name, metric.value if np.isfinite(metric.value) else None) for name, metric in measured.metrics.items()
    )


def _detectable_before(count: int, support: int, settings: AblationSettings, policy: Policy) -> float:
    level = holm_levels(count, 0, policy.family_wise_error)
    return min(1.0, detectable_effect(planned_difference(settings.seeds, support), level))
