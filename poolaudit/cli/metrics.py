"""`poolaudit metrics PREDICTIONS`: an audit of predictions alone, without TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poolaudit.cli import running


def register(app: typer.Typer) -> None:
    app.command("metrics", help="Audit predictions alone, without the model and without TensorFlow.")(_metrics)


def _metrics(
    predictions: Annotated[
        Path,
        typer.Argument(
            help="CSV, Parquet or NPZ with a column label, then p_<class> columns, or score (with --positive), or "
            "predicted.",
        ),
    ],
    validation: Annotated[
        Path | None,
        typer.Option("--validation", help="Predictions on validation data, to choose a threshold on."),
    ] = None,
    positive: running.Positive = None,
    policy: running.PolicyFile = None,
    fail_level: running.FailLevel = None,
    baseline: running.Baseline = None,
    seed: running.Seed = 0,
    title: running.Title = None,
    out: running.Out = running.DEFAULT_OUT,
    as_json: running.Json = False,
    quiet: running.Quiet = False,
) -> int:
    from poolaudit.audit import AuditPlan
    from poolaudit.report.charts.renderer import start_renderer
    from poolaudit.store.atomic import make_output_folder

    plan = AuditPlan(
        predictions=predictions,
        validation_predictions=validation,
        positive=positive,
        policy=running.chosen_policy(policy, fail_level),
        seed=seed,
        title=title,
        command=running.command_line(),
    )
    make_output_folder(out)
    start_renderer()
    return running.finish(running.run(plan, quiet=quiet), out, as_json=as_json, quiet=quiet, baseline=baseline)
