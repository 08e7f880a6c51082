"""Writers killed at random moments lose nothing that was finished and leave nothing half-written.

Trainings that are killed and resumed stand in tests/ablation.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from poolaudit.store.evidence_cache import load_kept
from poolaudit.store.results import load_result
from poolaudit.store.trials import StoredTrial, TrialStore

KILLS = 50
_TRIALS = """
import sys
from pathlib import Path
import numpy as np
from poolaudit.store.trials import StoredTrial, TrialStore
store = TrialStore(Path(sys.argv[1]))
with store.held():
    for number in range(int(sys.argv[2]), 10**6):
        array = np.full((200, 50), number, float)
        store.write(StoredTrial(f"{number:08d}", {"number": number}, {"test": array}))
        print(number, flush=True)
"""
_CACHE = """
import sys
from pathlib import Path
from poolaudit.store.evidence_cache import keep
for number in range(int(sys.argv[2]), 10**6):
    keep(Path(sys.argv[1]), "one", [number] * 5000)
    keep(Path(sys.argv[1]), f"{number:08d}", [number] * 50)
    print(number, flush=True)
"""


def killed(script: str, folder: Path, first: int, seconds: float) -> int:
    """Starts the writer, kills it so long after its first word, and returns the last number it told as written."""
    command = [sys.executable, "-c", script, str(folder), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline()]
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        told += writer.stdout.readlines()
    return int([line for line in told if line.endswith("\n")][-1])


def report(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(f"\n{text}")


@pytest.mark.parametrize("kills", [4, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_a_killed_store_loses_and_doubles_no_trial(
    kills: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    lost = doubled = first = 0
    for _ in range(kills):
        last = killed(_TRIALS, tmp_path, first, float(rng.uniform(0, 0.05)))
        store = TrialStore(tmp_path)
        for number in range(first, last + 1):
            trial = store.read(f"{number:08d}")
            lost += trial is None or trial.facts["number"] != number or not (trial.arrays["test"] == number).all()
        # The one being written when the kill came may be whole as well, and no other.
        doubled += len(store) not in (last + 1, last + 2)
        with store.held():  # the lock died with its process
            pass
        first = last + 1
    assert not list(tmp_path.glob("trials/*.damaged"))
    report(capsys, f"trial store: {kills} kills, {lost} of {first} trials lost, {doubled} counts wrong")
    assert lost == doubled == 0


@pytest.mark.parametrize("kills", [4, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_a_killed_cache_keeps_whole_answers(kills: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    lost = first = 0
    for _ in range(kills):
        last = killed(_CACHE, tmp_path, first, float(rng.uniform(0, 0.05)))
        newest = load_kept(tmp_path, "one", list[int])
        lost += newest is None or len(newest) != 5000 or len(set(newest)) != 1 or newest[0] < last
        lost += sum(load_kept(tmp_path, f"{at:08d}", list[int]) != [at] * 50 for at in range(first, last + 1))
        first = last + 1
    report(capsys, f"evidence cache: {kills} kills, {lost} of {first} answers lost or torn")
    assert lost == 0


@pytest.mark.parametrize("kills", [2, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_a_killed_report_leaves_the_old_result_or_the_new_one(
    kills: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "a,0.9,0.1\nb,0.2,0.8\n" * 40
    (tmp_path / "p.csv").write_text("label,p_a,p_b\n" + rows)
    command = [sys.executable, "-m", "poolaudit", "metrics", "p.csv", "--quiet", "--out", "out", "--title"]
    start = time.perf_counter()
    assert subprocess.run([*command, "0"], cwd=tmp_path, check=False).returncode in (0, 1)
    seconds = time.perf_counter() - start
    rng = np.random.default_rng(2)
    torn = 0
    titles = {"0"}
    for number in range(1, kills + 1):
        titles.add(str(number))
        with subprocess.Popen([*command, str(number)], cwd=tmp_path, start_new_session=True) as writer:
            time.sleep(float(rng.uniform(0.3, 1.0)) * seconds)
            if writer.poll() is None:
                os.killpg(writer.pid, signal.SIGKILL)  # the renderer's process is in its group
        torn += load_result(tmp_path / "out").title not in titles
        torn += not (tmp_path / "out" / "report.html").read_text().rstrip().endswith("</html>")
    report(capsys, f"reports: {kills} kills, {torn} results or pages torn")
    assert torn == 0


@pytest.mark.parametrize("damage", ["flip", "cut", "older"])
def test_a_corrupted_store_trains_again_and_never_answers_wrongly(damage: str, tmp_path: Path) -> None:
    store = TrialStore(tmp_path)
    rng = np.random.default_rng(3)
    for number in range(40):
        key = f"{number:08d}"
        store.write(StoredTrial(key, {"number": number}, {"test": rng.random(20)}))
        path = store.trial_path(key)
        content = bytearray(path.read_bytes())
        if damage == "flip":
            content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        elif damage == "cut":
            del content[int(rng.integers(len(content))) :]
        else:
            content[:18] = b"poolaudit-trial-0\n"
        path.write_bytes(content)
        assert store.read(key) is None
    assert len(store) == 0
    assert len(list(tmp_path.glob("trials/*.damaged"))) == 40
