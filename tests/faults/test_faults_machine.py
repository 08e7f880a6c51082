"""A full disk, a folder that takes no files, a clock that jumps: one message, and what was there stays."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from poolaudit.store.results import load_result

COMMAND = [sys.executable, "-m", "poolaudit", "metrics", "p.csv", "--out", "out", "--quiet"]


@pytest.fixture
def audited(tmp_path: Path) -> Path:
    """A folder with predictions and a report on them."""
    (tmp_path / "p.csv").write_text("label,p_a,p_b\n" + "a,0.9,0.1\nb,0.2,0.8\n" * 40)
    assert subprocess.run(COMMAND, cwd=tmp_path, check=False, timeout=120).returncode in (0, 1)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(folder: Path, **options: object) -> str:
    done = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True, timeout=120, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("poolaudit: ") == 1
    return str(done.stderr)


def test_a_file_larger_than_may_be_written_leaves_the_old_report(audited: Path) -> None:
    """The limit on file sizes stands in for a disk that fills up while the report is written."""
    before = contents(audited / "out")
    said = refused(audited, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)))
    assert "cannot be written" in said
    assert contents(audited / "out") == before


def test_a_file_in_the_place_of_the_folder_is_told(audited: Path) -> None:
    for path in (audited / "out").iterdir():
        path.unlink()
    (audited / "out").rmdir()
    (audited / "out").write_text("mine")
    assert "--out" in refused(audited)
    assert (audited / "out").read_text() == "mine"


def test_a_folder_in_the_place_of_a_file_leaves_the_others(audited: Path) -> None:
    (audited / "out" / "junit.xml").unlink()
    (audited / "out" / "junit.xml").mkdir()
    before = (audited / "out" / "result.json").read_bytes()
    assert "junit.xml" in refused(audited)
    assert (audited / "out" / "result.json").read_bytes() == before


def test_a_clock_that_jumped_back_does_not_matter(audited: Path) -> None:
    """Files from the future are read and replaced like any others."""
    for path in (audited / "p.csv", *(audited / "out").iterdir()):
        os.utime(path, (2**33, 2**33))
    assert subprocess.run(COMMAND, cwd=audited, check=False, timeout=120).returncode in (0, 1)
    assert load_result(audited / "out").findings


@pytest.mark.parametrize("limit", [1_500_000_000, 2_500_000_000])
def test_little_memory_costs_pictures_and_no_number(audited: Path, limit: int) -> None:
    """The chart renderer takes more addresses than the rest together and ends its process where there are none."""
    plain = load_result(audited / "out")
    command = [*COMMAND[:-2], "little", "--quiet"]
    done = subprocess.run(
        command, cwd=audited, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    found = load_result(audited / "little")
    assert (found.evidence, found.findings, found.verdict) == (plain.evidence, plain.findings, plain.verdict)
    page = (audited / "little" / "report.html").read_text(encoding="utf-8")
    assert "could not be drawn (RendererEnded" in page
    assert "too little memory" in page
    assert "A part of this report is missing" in page


def test_too_little_memory_for_tensorflow_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"not read before TensorFlow is there")
    done = subprocess.run(
        [sys.executable, "-m", "poolaudit", "inspect", "m.keras"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1_000_000_000, 1_000_000_000)),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "TensorFlow cannot be imported" in done.stderr


def test_temporary_files_may_lie_deep_and_none_is_left(tmp_path: Path) -> None:
    """A path that no socket can bear; TensorFlow and Hypothesis keep files of their own as they work."""
    work, temporary = tmp_path / "work", tmp_path / ("d" * 120)
    work.mkdir()
    temporary.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "poolaudit", "check", "keras.layers:MaxPooling2D"),
            *("--property", "retracing_free", "--property", "dtype_inference"),
        ],
        cwd=work,
        env=dict(os.environ) | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []
    assert [path.name for path in work.iterdir()] == ["poolaudit-report"]
