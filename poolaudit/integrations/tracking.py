"""Results in MLflow: metrics, the verdict as a tag, and the report with everything beside it as artifacts."""

from __future__ import annotations

import importlib
import importlib.util
import re
import tempfile
from pathlib import Path
from typing import Any

from poolaudit.errors import MissingExtraError
from poolaudit.integrations.numbers import numbers_of
from poolaudit.report.files import render_all
from poolaudit.results import AuditResult

_NOT_ALLOWED = re.compile(r"[^\w\-. ]")


def log_to_mlflow(result: AuditResult, *, run_id: str | None = None, folder: str = "poolaudit") -> None:
    """Logs a result to an MLflow run.

    Args:
        run_id: The run; None takes the active one, or starts one as MLflow does.
        folder: Of the artifacts, and first part of the metrics' names.

    Raises:
        MissingExtraError: MLflow is not installed.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise MissingExtraError("log_to_mlflow", "mlflow")
    mlflow: Any = importlib.import_module("mlflow")
    metrics: dict[str, float] = {}
    for name, value in numbers_of(result).items():
        # A class may be named in characters that MLflow refuses, or like a folder; two names must not become one.
        allowed = f"{folder}/" + "/".join(_NOT_ALLOWED.sub("_", part) for part in name.split("/", 1))[:240]
        while allowed in metrics:
            allowed += "_"
        metrics[allowed] = value
    mlflow.log_metrics(metrics, run_id=run_id)
    with tempfile.TemporaryDirectory() as place:
        for name, content in render_all(result).items():
            (Path(place) / name).write_bytes(content)
        mlflow.log_artifacts(place, artifact_path=folder, run_id=run_id)
    # Last, so that a run which bears a verdict holds the evidence too.
    tags = {f"{folder}.verdict": result.verdict.value, f"{folder}.title": result.title[:500]}
    if run_id is None:
        mlflow.set_tags(tags)
    else:
        client = mlflow.MlflowClient()
        for key, text in tags.items():
            client.set_tag(run_id, key, text)
