"""Killed, or with a full disk, at random moments and started again: the result is that of an undisturbed run."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_grid import children, filled, parent, run, specs, stored

from poolaudit.ablation.executors.local import LocalExecutor

MOMENTS = 20
SEEDS, EPOCHS = 4, 12
HARMS = ("parent", "worker", "full disk")
_DISK = 6 * 2**20


@pytest.mark.slow
def test_harmed_at_random_moments_nothing_is_lost_and_the_result_is_the_same(tmp_path: Path) -> None:
    undisturbed, data = filled(tmp_path / "undisturbed")
    wanted = specs(data, seeds=SEEDS, epochs=EPOCHS)
    with LocalExecutor(undisturbed, workers=2) as executor:
        run(executor, wanted)
    expected = stored(undisturbed, wanted)
    assert len(expected) == len(wanted)

    rng = random.Random(0)
    counts: Counter[str] = Counter()
    rounds = 0
    # The three in turn in random order, so that each comes at least six times.
    to_come = [harm for _ in range(MOMENTS // len(HARMS) + 1) for harm in rng.sample(HARMS, len(HARMS))]
    while counts.total() < MOMENTS:
        rounds += 1
        assert rounds < 40
        with _small_disk(tmp_path / f"round-{rounds}") as (folder, is_mounted):
            store, _ = filled(folder)
            before: set[str] = set()
            while counts.total() < MOMENTS:
                harm = to_come[counts.total()]
                was_harmed, has_finished = _one_run(folder, harm, rng, is_mounted)
                if was_harmed:
                    counts[harm] += 1
                found = stored(store, wanted)
                assert before <= found.keys(), f"lost after {harm}"
                assert all(expected[key] == trial for key, trial in found.items()), f"not the same after {harm}"
                before = set(found)
                if has_finished:
                    break
            with LocalExecutor(store, workers=2) as executor:
                assert len(run(executor, wanted)) == len(wanted)
            assert stored(store, wanted) == expected
            assert len(store) == len(wanted)
            assert not list(folder.rglob("*.damaged"))
    print(f"{dict(counts)} in {rounds} rounds of {len(wanted)} trials, disk {'full' if is_mounted else 'by a limit'}")
    assert counts.total() == MOMENTS


def _one_run(folder: Path, harm: str, rng: random.Random, is_mounted: bool) -> tuple[bool, bool]:
    """Starts the run, harms it at a random moment, and waits for its end; (was it harmed, has it finished)."""
    process = parent(folder, SEEDS, EPOCHS)
    assert process.stdout is not None
    process.stdout.readline()
    if rng.random() < 0.2:  # while the workers start
        time.sleep(rng.uniform(0.0, 6.0))
    else:
        for _ in range(rng.randrange(1, 40)):
            if not process.stdout.readline():
                break
        time.sleep(rng.uniform(0.0, 0.3))
    if process.poll() is not None:
        process.communicate()
        return False, process.returncode == 0
    workers = children(process.pid)
    if harm == "full disk":
        told = _with_a_full_disk(process, folder, is_mounted)
        assert process.returncode == 0 or "NoSpaceError" in told, told
        # It may have had nothing left to write.
        return process.returncode != 0, process.returncode == 0
    was_harmed = harm == "parent" or bool(workers)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid if harm == "parent" else rng.choice(workers or [process.pid]), signal.SIGKILL)
    process.communicate(timeout=400)
    assert harm == "parent" or process.returncode == 0
    return was_harmed, process.returncode == 0


def _with_a_full_disk(process: subprocess.Popen[str], folder: Path, is_mounted: bool) -> str:
    """Keeps the disk full until the run has ended; returns what the run said."""
    filler = folder / "filler"
    if not is_mounted:  # no file may grow any more, which the file system refuses as it does where there is no room
        for pid in (process.pid, *children(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    while process.poll() is None:
        if is_mounted:
            _fill(filler)
        time.sleep(0.02)
    told = process.communicate()[1]
    filler.unlink(missing_ok=True)
    return told


def _fill(path: Path) -> None:
    """Appends to the file until there is no room."""
    is_full = False
    with path.open("ab", buffering=0) as filler:
        while not is_full:
            try:
                filler.write(b"\0" * 4096)
            except OSError as error:
                is_full = error.errno == errno.ENOSPC


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """A folder on a small file system of its own, where one can be mounted; else a plain folder."""
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)]
    can_mount = sys.platform == "linux" and os.geteuid() == 0
    is_mounted = can_mount and subprocess.run(options, capture_output=True).returncode == 0
    try:
        yield folder, is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
