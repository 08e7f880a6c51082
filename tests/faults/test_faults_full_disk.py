"""An audit that trains on a disk that is full: one message, nothing half-written; with room again it goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_runs import FILES, Nursery, require_whole, temporary, timeless, timeless_evidence, workplace

from poolaudit.results import AuditResult
from poolaudit.store.results import load_result

AUDIT = ("audit", "model.keras", "--train", "train.npz", "--test", "test.npz", "--seeds", "3", "--epochs", "2")
AUDIT += ("--out", "out")
TRAINING = (*AUDIT, "--stage", "ablation")
AUDIT += ("--changed-only",)


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


def undisturbed(parent: Nursery, subject: Path, place: Path, command: tuple[str, ...]) -> AuditResult:
    """What the command finds where there is room."""
    quiet = workplace(subject, place / "quiet")
    assert parent.start(quiet, command).wait() in (0, 1)
    return load_result(quiet / "out")


def refused(parent: Nursery, folder: Path, command: tuple[str, ...]) -> str:
    """Runs the command, which has to end with one message and no report; returns what it said."""
    run = parent.start(folder, command, temporary(folder))
    code, told = run.wait(), run.said()
    assert not run.orphans()
    assert code == 2, told
    assert "Traceback" not in told
    assert told.count("poolaudit: ") == 1, told
    assert "No space left" in told, told
    return told


@pytest.mark.slow
def test_a_full_disk_under_the_report_or_the_kept_stages(
    parent: Nursery, subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = timeless(undisturbed(parent, subject, tmp_path, AUDIT))
    folder = workplace(subject, tmp_path / "small")
    for kilobytes in (8, 100):  # what cannot be kept is told, and measured all the same
        with small_disk(folder / "poolaudit-stages", kilobytes):
            run = parent.start(folder, AUDIT, temporary(folder))
            assert run.wait() in (0, 1), run.said()
            result = load_result(folder / "out")
            assert timeless(result) == expected
            assert any("not kept for later audits" in (stage.reason or "") for stage in result.stages)
    assert parent.start(folder, AUDIT, temporary(folder)).wait() in (0, 1)
    kilobytes_of_out = (8, 100, 200, 400, 600)
    for kilobytes in kilobytes_of_out:
        with small_disk(folder / "out", kilobytes):
            assert "'out/" in refused(parent, folder, AUDIT)
            assert not list((folder / "out").iterdir())
    with small_disk(folder / "out", 900):  # room for one report and not for a second one beside it
        assert parent.start(folder, AUDIT, temporary(folder)).wait() in (0, 1)
        before = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
        assert set(before) == FILES
        refused(parent, folder, AUDIT)
        assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == before
    assert parent.start(folder, AUDIT, temporary(folder)).wait() in (0, 1)
    assert timeless(load_result(folder / "out")) == expected
    with capsys.disabled():
        print(f"\nfull disks: 2 under the kept stages, {len(kilobytes_of_out) + 1} under the report")


@pytest.mark.slow
def test_a_full_disk_under_the_trials_keeps_those_that_are_done(
    parent: Nursery, subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = timeless(undisturbed(parent, subject, tmp_path, TRAINING))
    sizes = (4, 40, 140, 180, 220)
    for kilobytes in sizes:
        folder = workplace(subject, tmp_path / f"small-{kilobytes}")
        store = folder / "poolaudit-trials"
        with small_disk(store, kilobytes):
            refused(parent, folder, TRAINING)
            assert not list((folder / "out").iterdir())
            before = {path.name: path.read_bytes() for path in store.glob("trials/*")}
            size = ["mount", "-o", "remount,size=2m", str(store)]
            subprocess.run(size, check=True)
            run = parent.start(folder, TRAINING, temporary(folder))
            assert run.wait() in (0, 1), run.said()
            assert timeless(load_result(folder / "out")) == expected
            assert before.items() <= {path.name: path.read_bytes() for path in store.glob("trials/*")}.items()
            assert not list(store.rglob("*.part*"))
    with capsys.disabled():
        print(f"\nfull disks: {len(sizes)} under the trials; the last one held {len(before)} of them")


@pytest.mark.slow
def test_no_room_for_temporary_files_costs_a_stage_and_no_number(
    parent: Nursery, subject: Path, tmp_path: Path
) -> None:
    """A stage that needs some says so; the others find what they find elsewhere."""
    expected = timeless_evidence(undisturbed(parent, subject, tmp_path, AUDIT).evidence)
    folder = workplace(subject, tmp_path / "small")
    with small_disk(temporary(folder), 64):
        run = parent.start(folder, AUDIT, temporary(folder))
        assert run.wait() in (0, 1), run.said()
        assert not run.orphans()
    require_whole(folder)
    result = load_result(folder / "out")
    outcomes = {stage.name: (stage.outcome.value, stage.reason) for stage in result.stages}
    stage = outcomes.pop("conformance")
    assert stage in (("CRASHED", "OSError: [Errno 28] No space left on device"), ("PASSED", None))
    found = result.evidence.conformance or ()
    for before, now in zip(expected.conformance or (), found, strict=False):
        assert now == before or now.outcome.value in ("CRASHED", "SKIPPED"), "nothing is found for want of room"
    assert set(outcomes.values()) == {("PASSED", None)}
    assert (result.evidence.geometry, result.evidence.evaluation) == (expected.geometry, expected.evaluation)
    assert timeless_evidence(result.evidence).leakage == expected.leakage
