"""Ablation evidence as a finished run would leave it, for detectors and report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence, Comparison, Effect, TrainingFacts, TrialRow
from poolaudit.evidence.estimates import Estimate
from poolaudit.results import Evidence

MARGIN = 0.03


def comparison(value: float | None, width: float, reason: str = "") -> Comparison:
    """The decision that a difference of `value` with a corrected interval of half-width `width` leads to."""
    if value is None:
        return Comparison("undecided", seeds=5, stopped="planned", reason=reason)
    low, high = value - width, value + width
    decision = "undecided"
    if low > -MARGIN and high < MARGIN:
        decision = "equivalent"
    elif low > 0:
        decision = "better"
    elif high < 0:
        decision = "worse"
    return Comparison(decision, low, high, low, high, seeds=5, pairs=5, stopped="planned", detectable=1.5 * width)


def arm(name: str, changes: Mapping[str, float] | None, *, width: float = 0.02, **fields: Any) -> ArmEvidence:
    """A trained variant with these changes of its metrics; None for one that was not trained."""
    given: dict[str, Any] = {"action": name.split("@")[0], "sites": ("p",), "direction": "weaker", "parameters": 1_000}
    if changes is not None:
        given["effects"] = tuple(
            Effect(metric, Estimate(value, value - 0.7 * width, value + 0.7 * width, 200, "crossed"), 5)
            for metric, value in changes.items()
        )
        given["comparison"] = comparison(changes["recall_at_matched_precision"], width)
        given |= {"trained": 5, "learned": 5}
    return ArmEvidence(name, **{**given, **fields})


def baseline(**fields: Any) -> ArmEvidence:
    given = {"direction": "baseline", "downsampling": 4.0, "parameters": 1_000, "trained": 5, "learned": 5}
    return ArmEvidence("baseline", **{**given, **fields})


def trial(name: str, seed: int, value: float, state: str = "learned") -> TrialRow:
    metrics = (
        ("recall_at_matched_precision", value),
        ("average_precision", value),
        ("recall", value),
        ("precision", 0.9),
    )
    return TrialRow(name, seed, state, "", 2.0, metrics)


def ablation(
    *arms: ArmEvidence,
    base: ArmEvidence | None = None,
    trials: tuple[TrialRow, ...] = (),
    shipped: tuple[tuple[str, float | None], ...] = (),
) -> Evidence:
    """Evidence of an ablation with these arms."""
    return Evidence(
        ablation=AblationEvidence(
            depth="retrained",
            positive="fraud",
            targets=("fraud",),
            primary="recall_at_matched_precision",
            matched_precision=0.85,
            smallest_effect=MARGIN,
            family_wise_error=0.05,
            test_items=1_000,
            support=200,
            planned_seeds=8,
            hypotheses=len(arms),
            trainings=5 * (1 + len(arms)),
            full_grid=8 * (1 + len(arms)),
            stopped="decided",
            detectable_before=0.1,
            shipped=shipped,
            baseline=base or baseline(),
            arms=arms,
            trials=trials,
            training=TrainingFacts("from scratch", 1_000, 200, "the validation split"),
        )
    )
