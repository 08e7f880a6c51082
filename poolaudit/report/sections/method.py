"""The section on how the result was made: stages, policy, provenance."""

from __future__ import annotations

from dataclasses import fields

from poolaudit.report.blocks import SYMBOLS, Section, Table, shape_text
from poolaudit.results import AuditResult, Provenance


def section(result: AuditResult) -> Section:
    return Section("method", "How this was made", (_stages(result), _policy(result), _provenance(result.provenance)))


def _stages(result: AuditResult) -> Table:
    return Table(
        "What ran",
        "",
        ("Stage", "Outcome", "Seconds", "Reason"),
        tuple(
            (
                stage.name,
                f"{SYMBOLS[stage.outcome]} {stage.outcome}",
                f"{stage.duration_seconds:.1f}",
                stage.reason or "",
            )
            for stage in result.stages
        ),
    )


def _policy(result: AuditResult) -> Table:
    return Table(
        "Policy",
        "The thresholds that turned numbers into findings.",
        ("Key", "Value"),
        tuple((field.name, str(getattr(result.policy, field.name))) for field in fields(result.policy)),
        "keys",
    )


def _provenance(provenance: Provenance) -> Table:
    rows = [
        ("Command", provenance.command),
        ("Started (UTC)", provenance.started),
        ("Duration", f"{provenance.duration_seconds:.1f} s"),
        ("Seed", str(provenance.seed)),
        ("Platform", provenance.platform),
        *([("Git commit", provenance.commit)] if provenance.commit else []),
        ("Versions", ", ".join(f"{name} {version}" for name, version in provenance.versions)),
    ]
    if model := provenance.model:
        parameters = f", {model.parameters:,} parameters" if model.parameters is not None else ""
        rows += [
            ("Model", f"{model.name} ({model.source}; {model.format}{parameters})"),
            ("Model SHA-256", model.sha256 or "none: the model came from code"),
            ("Model input shape", shape_text(model.input_shape)),
        ]
        rows += [("About the model", note) for note in model.notes]
    for data in provenance.data:
        rows += [
            (f"Data, {data.split}", f"{data.source}, {data.items:,} items"),
            (f"SHA-256, {data.split}", data.sha256),
        ]
        rows += [(f"About the data, {data.split}", note) for note in data.notes]
    return Table("Provenance", "", ("What", "Value"), tuple(rows), "keys")
