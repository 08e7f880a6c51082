"""MLflow: what a run holds of an audit, and the pip command where MLflow is missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from report_examples import result_of

from poolaudit import log_to_mlflow
from poolaudit.integrations.numbers import numbers_of
from poolaudit.store.results import decode_result
from specimens.outcomes import scored_counts

WITHOUT = """
import sys
sys.modules["mlflow"] = None
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "mlflow" else found(name, *rest)
from poolaudit import log_to_mlflow
try:
    log_to_mlflow(None)
except ImportError as error:
    print(error)
"""


def test_without_mlflow_the_pip_command_is_named() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60)
    assert "pip install 'poolaudit[mlflow]'" in done.stdout, done.stderr


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_run_holds_metrics_verdict_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    result = result_of(scored_counts(24, 176, 24, 9776), "fraud", title="Known bad")
    with mlflow.start_run() as active:
        log_to_mlflow(result)
    with mlflow.start_run() as other:
        pass
    log_to_mlflow(result, run_id=other.info.run_id)
    for identifier in (active.info.run_id, other.info.run_id):
        run = mlflow.get_run(identifier)
        assert run.data.tags["poolaudit.verdict"] == "NOT_READY"
        logged = {k.removeprefix("poolaudit/"): v for k, v in run.data.metrics.items()}
        assert logged == pytest.approx(numbers_of(result))
        artifacts = Path(run.info.artifact_uri.removeprefix("file://")) / "poolaudit"
        assert decode_result((artifacts / "result.json").read_bytes()) == result
        assert (artifacts / "report.html").is_file()
