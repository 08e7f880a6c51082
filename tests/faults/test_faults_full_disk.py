"""An audit that trains on a disk that is full: one message, nothing half-written; with room again it goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_runs import FILES, Nursery, require_whole, temporary, timeless, workplace

from poolaudit.store.results import load_result

AUDIT = ("audit", "model.keras", "--train", "train.npz", "--test", "test.npz", "--seeds", "3", "--epochs", "2")
AUDIT += ("--changed-only", "--out", "out")
PLACES = ("out", "poolaudit-trials", "poolaudit-stages")
KILOBYTES = {"out": (8, 200, 600), "poolaudit-trials": (4, 40, 120, 180), "poolaudit-stages": (8, 60, 120)}


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_in_any_place_is_one_message_and_costs_nothing(
    parent: Nursery, subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = workplace(subject, tmp_path / "quiet")
    assert parent.start(quiet, AUDIT).wait() in (0, 1)
    expected = timeless(load_result(quiet / "out"))
    refused = 0
    folder = workplace(subject, tmp_path / "small")
    for place in PLACES:
        for kilobytes in KILOBYTES[place]:
            with small_disk(folder / place, kilobytes):
                run = parent.start(folder, AUDIT, temporary(folder))
                code, told = run.wait(), run.said()
                assert not run.orphans()
                assert "Traceback" not in told
                assert code in (0, 1, 2), told
                if code == 2:
                    refused += 1
                    assert told.count("poolaudit: ") == 1, told
                    assert "No space left" in told, told
                    assert (place in told) or place == "poolaudit-trials", told
                    assert not list((folder / "out").iterdir())
                else:
                    require_whole(folder)
                    assert timeless(load_result(folder / "out")) == expected
                    for path in (folder / "out").iterdir():
                        path.unlink() if place != "out" else None
    assert refused >= 7
    run = parent.start(folder, AUDIT, temporary(folder))
    assert run.wait() in (0, 1), run.said()
    assert timeless(load_result(folder / "out")) == expected
    with small_disk(folder / "out", 900):  # room for one report and not for a second one beside it
        assert parent.start(folder, AUDIT, temporary(folder)).wait() in (0, 1)
        before = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
        assert set(before) == FILES
        assert parent.start(folder, AUDIT, temporary(folder)).wait() == 2
        assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == before
    with capsys.disabled():
        print(f"\nfull disks: {sum(map(len, KILOBYTES.values())) + 1} runs, {refused + 1} refused")


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [4, 64])
def test_no_room_for_temporary_files_costs_no_number(
    kilobytes: int, parent: Nursery, subject: Path, tmp_path: Path
) -> None:
    """A stage that needs some says so; the others find what they find elsewhere."""
    folder = workplace(subject, tmp_path / "small")
    with small_disk(temporary(folder), kilobytes):
        (temporary(folder) / "filler").write_bytes(bytes(4096 if kilobytes == 4 else 0))
        run = parent.start(folder, AUDIT, temporary(folder))
        code, told = run.wait(), run.said()
        assert not run.orphans()
    assert "Traceback" not in told
    assert code in (0, 1, 2), told
    if code == 2:
        assert told.count("poolaudit: ") == 1, told
        assert not list((folder / "out").iterdir())
    else:
        require_whole(folder)
        for stage in load_result(folder / "out").stages:
            assert stage.outcome != "PASSED" or "No space" not in (stage.reason or "")
        print([(stage.name, stage.outcome, stage.reason) for stage in load_result(folder / "out").stages])
    print(told)
