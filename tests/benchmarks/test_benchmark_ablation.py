"""Workers against a plain loop of `model.fit`, and a trial against bare `model.fit`: side by side in one run.

pytest -m slow -s tests/benchmarks/test_benchmark_ablation.py prints the numbers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ablation_grid import KINDS, filled, specs
from machine import clocked

from poolaudit.ablation.executors.executor import TrialDone
from poolaudit.ablation.executors.local import LocalExecutor

ROUNDS, TRIALS, PAIRS = 3, 4, 3
GRID = Path(__file__).with_name("ablation_grid.py")


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
def test_two_workers_beat_a_plain_loop(kind: str, tmp_path: Path) -> None:
    ratios = []
    for number in range(ROUNDS):
        # Each goes first in turn, so that what others do on the machine meets both alike.
        if number % 2:
            ours, theirs = workers(tmp_path / str(number), kind), plain(kind)
        else:
            theirs, ours = plain(kind), workers(tmp_path / str(number), kind)
        ratios.append(theirs / ours)
    print(f"{kind}: {_spread(ratios)} times faster than a plain loop")
    assert np.median(ratios) >= 1.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_trial_costs_little_more_than_its_fit(kind: str) -> None:
    """Building, checkpoints after every epoch, predicting and storing; the worker's threads in both."""
    with clocked() as clock:
        rows = overhead(kind)
    extra = {what: [row[f"trial_{what}"] / row[f"bare_{what}"] - 1 for row in rows] for what in ("wall", "cpu")}
    seconds = np.median([row["bare_wall"] for row in rows])
    print(
        f"{kind}: bare fit {seconds:.1f} s; a trial takes more by {_spread(extra['wall'], 3)} of wall time, "
        f"{_spread(extra['cpu'], 3)} of CPU time; others kept {clock.others:.1f} cores busy; load {clock.load:.1f}"
    )
    assert np.median(extra["cpu"]) <= 0.05


def overhead(kind: str) -> list[dict[str, float]]:
    """Seconds of bare fits and of whole trials in turn, with the threads of a worker."""
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    return list(_told("overhead", kind, PAIRS, threads))


def workers(folder: Path, kind: str) -> float:
    """Seconds from nothing to all trials stored, the start of the workers included."""
    store = filled(folder, kind)
    done: list[TrialDone] = []
    with clocked() as clock, LocalExecutor(store, workers=2) as executor:
        executor.run(
            specs(kind, range(TRIALS), KINDS[kind].epochs),
            lambda event: done.append(event) if isinstance(event, TrialDone) else None,
        )
    assert [event.trial.facts["outcome"] for event in done] == ["finished"] * TRIALS
    print(f"{kind}: workers {clock}")
    return clock.wall


def plain(kind: str) -> float:
    """Seconds of the loop without its start and imports."""
    with clocked() as clock:
        told = _told("plain", kind, TRIALS)
    print(f"{kind}: plain {told}, {clock}")
    return float(told["wall"])


def tuner(kind: str, python: str) -> float | None:
    """Seconds of KerasTuner's grid search over as many seeds; None where it cannot be run."""
    command = [python, str(GRID.with_name("tuner_grid.py")), kind, str(TRIALS)]
    ran = subprocess.run(command, capture_output=True, text=True)
    return float(ran.stdout.splitlines()[-1]) if ran.returncode == 0 else None


def _told(what: str, kind: str, count: int, environment: dict[str, str] | None = None) -> Any:
    command = [sys.executable, str(GRID), what, kind, str(count)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **(environment or {})})
    return json.loads(ran.stdout.splitlines()[-1])


def _spread(values: list[float], digits: int = 2) -> str:
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
