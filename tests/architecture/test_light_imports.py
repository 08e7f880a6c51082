"""What must stay light stays light: no TensorFlow for importing, for help, or for predictions-only audits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("tensorflow", "keras", "sklearn", "scipy.stats", "faiss", "altair")

_PROBE = """
import json, sys
{code}
print("MODULES", json.dumps([name for name in {heavy!r} if name in sys.modules]))
"""


def loaded_by(code: str, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    """Which of the heavy modules a fresh interpreter has loaded after running `code`."""
    probe = _PROBE.format(code=code, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("MODULES "))
    names: list[str] = json.loads(line.removeprefix("MODULES "))
    return names


def test_importing_the_package_is_light() -> None:
    assert loaded_by("import poolaudit") == []


def test_importing_the_plugin_is_light() -> None:
    assert loaded_by("import poolaudit.pytest_plugin") == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["audit", "--help"], ["explain", "PA201"]])
def test_asking_for_help_is_light(arguments: list[str]) -> None:
    code = f"""
from poolaudit.cli.main import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0, end.code
"""
    assert loaded_by(code) == []


def test_auditing_predictions_loads_no_tensorflow(tmp_path: Path) -> None:
    predictions = tmp_path / "predictions.csv"
    rows = [f"{'fraud' if i % 4 == 0 else 'ok'},{0.9 if i % 4 == 0 else 0.2}" for i in range(200)]
    predictions.write_text("label,p_fraud\n" + "\n".join(rows) + "\n")
    code = f"""
from poolaudit.cli.main import main
try:
    main(["metrics", {str(predictions)!r}, "--positive", "fraud", "--out", {str(tmp_path / "out")!r}, "--quiet"])
except SystemExit as end:
    assert end.code in (0, 1), end.code
"""
    assert loaded_by(code, ("tensorflow", "keras", "sklearn", "scipy.stats", "faiss")) == []
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_probe_notices_a_heavy_module() -> None:
    assert loaded_by("import scipy.stats") == ["scipy.stats"]


def test_every_public_name_resolves() -> None:
    import poolaudit

    for name in poolaudit.__all__:
        assert getattr(poolaudit, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = poolaudit.no_such_name
