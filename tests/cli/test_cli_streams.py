"""Streams, folders and options that a shell can leave unusable: one message, a documented code, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = "label,predicted\n" + "a,a\nb,b\n" * 30


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs it in `folder` with `$poolaudit` set; the predictions lie in `p.csv`."""
    (folder / "p.csv").write_text(ROWS)
    environment = {**os.environ, "poolaudit": f"{sys.executable} -m poolaudit"}
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("options", ["", "--json"])
def test_a_full_disk_under_standard_output_is_one_message(options: str, tmp_path: Path) -> None:
    done = shell(f"$poolaudit metrics p.csv {options} > /dev/full", tmp_path)
    assert done.returncode == 2
    assert "Standard output cannot be written to: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "poolaudit-report" / "report.html").exists()


def test_closed_streams_cost_no_report(tmp_path: Path) -> None:
    done = shell("$poolaudit metrics p.csv 2>&-", tmp_path)
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout
    assert shell("$poolaudit metrics p.csv --out other <&- >&- 2>&-", tmp_path).returncode == 0
    assert (tmp_path / "other" / "report.html").exists()


def test_a_working_folder_that_is_gone_costs_nothing(tmp_path: Path) -> None:
    done = shell(
        "mkdir gone; cd gone; rmdir ../gone; $poolaudit metrics $OLDPWD/p.csv --out $OLDPWD/out",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "report.html").exists()


def test_an_empty_name_of_a_folder_is_a_variable_that_was_not_set(tmp_path: Path) -> None:
    done = shell('$poolaudit metrics p.csv --out "$NOT_SET"', tmp_path)
    assert done.returncode == 2
    assert "it is empty; name a folder" in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.csv"]
    assert shell("$poolaudit metrics p.csv --out .", tmp_path).returncode == 0
    assert (tmp_path / "report.html").exists()


def test_a_policy_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("\ufeffgood_recall = 0.8\n", encoding="utf-8")
    assert shell("$poolaudit metrics p.csv --policy policy.toml", tmp_path).returncode == 0
