"""The section on the ablation: effects, seeds, trade-offs, and the table of variants."""

from __future__ import annotations

import statistics

from poolaudit.evidence.ablation import AblationEvidence, ArmEvidence
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.wording import more_seeds
from poolaudit.report.blocks import Note, Section, Table, draw_all, estimate_cell
from poolaudit.report.charts import ablation as charts
from poolaudit.results import AuditResult


def section(result: AuditResult) -> Section | None:
    ablation = result.evidence.ablation
    if ablation is None:
        return None
    pictures = draw_all(
        (
            ("The effects", lambda: charts.forest(ablation)),
            ("The trials", lambda: charts.seeds(ablation)),
            ("Recall against precision", lambda: charts.plane(ablation)),
            ("Dose and response", lambda: charts.dose(ablation)),
        )
    )
    blocks = (*(Note(text) for text in _statements(ablation)), *pictures, _variants(ablation), *_unavailable(ablation))
    return Section("ablation", "Does the pooling cost recall?", blocks)


def _statements(ablation: AblationEvidence) -> tuple[str, ...]:
    texts = []
    if ablation.depth == "retrained":
        training = ablation.training
        text = (
            f"{len(ablation.variants)} variants, {ablation.trainings} trainings of the {ablation.full_grid} that a "
            f"full grid of {ablation.planned_seeds} seeds would take"
        )
        text += "; the time budget ended the race" if ablation.stopped == "budget" else ""
        texts.append(f"{text}. Each was trained {training.statement}." if training else f"{text}.")
        if ablation.matched_precision is not None and training is not None:
            texts.append(
                f"Thresholds are chosen on {training.validation_from} ({training.validation_items:,} items) so that "
                f"precision reaches {ablation.matched_precision:.2f}; recall is compared there, because at 0.5 a "
                "merely under-confident model looks blind."
            )
        if ablation.detectable_before is not None:
            texts.append(
                f"Before training, the plan was expected to show differences of {ablation.detectable_before:.2f} and "
                "more with 80 % power; after it, each undecided variant says what it could have shown."
            )
    else:
        texts.append(
            "Nothing was trained from scratch. Exchanging the pooling under trained weights shows what these weights "
            "rely on, not what a model trained with other pooling would find."
        )
    return (*texts, *ablation.notes)


def _variants(ablation: AblationEvidence) -> Table:
    trained = ablation.depth == "retrained"
    columns = ["Variant"]
    columns += ["Decision", "Recall at matched precision", "Average precision", "Recall as shipped"]
    columns += ["Precision", "Seeds learned", "Total downsampling", "Parameters", "FLOPs", "Latency"]
    own = _own_values(ablation)
    arms = [arm for arm in (ablation.baseline, *ablation.arms) if not arm.unavailable]
    missing = dict.fromkeys(
        estimate.reason for arm in arms for estimate in _effects(arm, trained).values() if estimate.value is None
    )
    note = (
        "The baseline's row holds its own means over the seeds that learned, all others their changes against it with "
        "95 % intervals; the decision is corrected for all comparisons."
        if trained
        else "Changes against the model as shipped, with its own weights."
    )
    note += "".join(f" –: {reason}." for reason in missing if reason)
    return Table("Variants", note, tuple(columns), tuple(_row(arm, trained, own) for arm in arms), "numbers sentences")


def _effects(arm: ArmEvidence, trained: bool) -> dict[str, Estimate]:
    return {e.metric: e.estimate for e in (arm.effects if trained else arm.recalibrated or arm.swap)}


def _own_values(ablation: AblationEvidence) -> dict[str, str]:
    """The baseline's metrics; as shipped where nothing was to be trained."""
    trials = [dict(t.metrics) for t in ablation.trials if t.arm == "baseline" and t.state == "learned"]
    if ablation.depth != "retrained":
        trials = [dict(ablation.shipped)]
    values = {}
    for metric in ("recall_at_matched_precision", "average_precision", "recall", "precision"):
        known = [value for trial in trials if (value := trial.get(metric)) is not None]
        values[metric] = f"{statistics.fmean(known):.3f}" if known else "–"
    return values


def _row(arm: ArmEvidence, trained: bool, own: dict[str, str]) -> tuple[str, ...]:
    effects = _effects(arm, trained)

    def cell(metric: str) -> str:
        if arm.name == "baseline":
            return own[metric]
        if metric not in effects:
            return "not measured"
        estimate = effects[metric]
        return "–" if estimate.value is None else estimate_cell(estimate, as_percent=False)

    comparison = arm.comparison
    decision = "" if comparison is None else comparison.decision
    if comparison is not None and comparison.stopped == "moot":
        decision = "not needed: its variant shows no gain"
    elif comparison is not None and comparison.seeds_to_decide is not None:
        decision += f" ({more_seeds(comparison.seeds_to_decide - comparison.seeds)} would decide)"
    elif comparison is not None and comparison.items_to_decide is not None:
        decision += f" ({comparison.items_to_decide:,} test items of the class would decide)"
    seeds = "" if not arm.trained else f"{arm.learned} of {arm.trained}"
    return (
        arm.name,
        decision,
        cell("recall_at_matched_precision"),
        cell("average_precision"),
        cell("recall"),
        cell("precision"),
        seeds,
        "" if arm.downsampling is None else f"{arm.downsampling:g}",
        "" if arm.parameters is None else f"{arm.parameters:,}",
        "" if arm.flops is None else f"{arm.flops:,}",
        "" if arm.latency_milliseconds is None else f"{arm.latency_milliseconds:.2f} ms",
    )


def _unavailable(ablation: AblationEvidence) -> tuple[Table, ...]:
    rows = tuple((arm.name, arm.unavailable) for arm in ablation.arms if arm.unavailable)
    if not rows:
        return ()
    return (
        Table("Variants that say nothing", "They could not be built, or equal the baseline.", ("Variant", "Why"), rows),
    )
