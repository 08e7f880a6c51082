"""Workers train what they are given, are replaced when they die, and leave the same bits as an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import ablation_recipes
import numpy as np
import pytest

from poolaudit.ablation.executors.executor import TrialDone
from poolaudit.ablation.executors.local import LocalExecutor
from poolaudit.ablation.trial import ModelSource, TrainingPlan, TrialSpec, make_spec, search_path
from poolaudit.store.trials import TrialStore

SPLITS = {"train": (300, 0), "test": (80, 1), "validation": (60, 2)}


def filled(folder: Path) -> tuple[TrialStore, dict[str, str]]:
    store = TrialStore(folder)
    for name, (items, seed) in SPLITS.items():
        x, y = ablation_recipes.data(items, seed)
        store.keep_array(f"x-{name}", x)
        store.keep_array(f"y-{name}", y)
    return store, {name: name for name in SPLITS} | {"classes": "2"}


def specs(data: dict[str, str], recipe: str = "short", seeds: int = 2, epochs: int = 4) -> list[TrialSpec]:
    source = ModelSource(None, f"ablation_recipes:{recipe}", search_path(), fingerprint=recipe)
    plan = TrainingPlan(epochs, 32, {"class_weight": {"0": 1.0, "1": 1.5}})
    return [make_spec(arm, seed, source, plan, data) for seed in range(seeds) for arm in ("baseline", "weaker@stem")]


def run(executor: LocalExecutor, wanted: list[TrialSpec]) -> dict[str, TrialDone]:
    done: dict[str, TrialDone] = {}

    def heard(event: object) -> None:
        if isinstance(event, TrialDone):
            assert event.spec.key not in done, "no trial is counted twice"
            done[event.spec.key] = event

    executor.run(wanted, heard)
    return done


def outputs(store: TrialStore, wanted: list[TrialSpec]) -> list[bytes]:
    found = [store.read(spec.key) for spec in wanted]
    assert all(found), "no trial is lost"
    return [trial.arrays["test"].tobytes() for trial in found if trial is not None]


def test_trials_are_trained_stored_and_found_again(tmp_path: Path) -> None:
    from poolaudit.ablation.executors.worker import load_materials
    from poolaudit.ablation.training import run_trial

    store, data = filled(tmp_path)
    wanted = specs(data, seeds=1)
    with LocalExecutor(store, workers=1) as executor:
        done = run(executor, wanted)
        assert len(done) == len(wanted) == len(store)
        worker = executor.process_ids
        assert run(executor, wanted).keys() == done.keys()
        assert executor.process_ids == worker, "what is stored is only read"
    here = run_trial(wanted[0], load_materials(wanted[0], store))
    assert np.allclose(here.arrays["test"], done[wanted[0].key].trial.arrays["test"], atol=1e-5)
    assert not list((tmp_path / "partial").iterdir())


def test_a_worker_that_dies_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOLAUDIT_TEST_MARKS", str(tmp_path))
    store, data = filled(tmp_path / "store")
    with LocalExecutor(store, workers=1) as executor:
        done = run(executor, specs(data, "dying_once", seeds=1)[:1])
        assert [event.trial.facts["outcome"] for event in done.values()] == ["finished"]


def test_a_trial_that_kills_its_workers_fails_and_says_how(tmp_path: Path) -> None:
    store, data = filled(tmp_path)
    with LocalExecutor(store, workers=1) as executor:
        (event,) = run(executor, specs(data, "dying_always", seeds=1)[:1]).values()
    assert event.trial.facts["outcome"] == "failed"
    assert "died 3 times (signal 9)" in event.trial.facts["reason"]


@pytest.mark.slow
def test_a_trial_that_raises_is_a_failed_trial(tmp_path: Path) -> None:
    store, data = filled(tmp_path)
    with LocalExecutor(store, workers=1) as executor:
        done = run(executor, [spec for spec in specs(data, "exploding", seeds=3) if spec.variant == "baseline"])
    told = {event.spec.seed: event.trial.facts for event in done.values()}
    assert told[0]["outcome"] == "finished"
    assert told[1]["outcome"] == "failed"
    assert "seed 1 does not train" in told[1]["reason"]
    assert told[2]["outcome"] == "diverged"


@pytest.mark.slow
def test_a_worker_that_has_grown_is_replaced_between_trials(tmp_path: Path) -> None:
    store, data = filled(tmp_path)
    seen = set()
    with LocalExecutor(store, workers=1, memory_bytes=1) as executor:
        for spec in specs(data, seeds=1, epochs=1):
            executor.run([spec], lambda event: seen.update(executor.process_ids))
            assert executor.process_ids == ()


_PARENT = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_ablation_executors import filled, specs, run
from poolaudit.ablation.executors.local import LocalExecutor
store, data = filled(Path({folder!r}))
with LocalExecutor(store, workers=2) as executor:
    print("started", flush=True)
    run(executor, specs(data, seeds={seeds}, epochs={epochs}))
"""


def _parent(folder: Path, seeds: int, epochs: int) -> subprocess.Popen[str]:
    path = [str(Path(__file__).parent), *search_path()]
    code = textwrap.dedent(_PARENT).format(path=path, folder=str(folder), seeds=seeds, epochs=epochs)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_and_the_result_is_the_same(tmp_path: Path) -> None:
    """Parent and workers in turn are killed at 20 random moments."""
    undisturbed, data = filled(tmp_path / "undisturbed")
    wanted = specs(data, seeds=4, epochs=12)
    with LocalExecutor(undisturbed, workers=2) as executor:
        run(executor, wanted)
    expected = outputs(undisturbed, wanted)

    rng = random.Random(0)
    kills = 0
    for round_number in range(100):
        folder = tmp_path / f"round-{round_number}"
        while kills < 20:
            parent = _parent(folder, 4, 12)
            assert parent.stdout is not None
            parent.stdout.readline()
            time.sleep(rng.uniform(0.5, 12.0))
            target = parent.pid
            if rng.random() < 0.5 and (children := _children(parent.pid)):
                target = rng.choice(children)
            finished = parent.poll() is not None
            if not finished:
                os.kill(target, signal.SIGKILL)
                kills += 1
            if target != parent.pid or finished:
                parent.wait(timeout=400)
            parent.wait()
            parent.stdout.close()
            if parent.returncode == 0:
                break
        store, _ = filled(folder)
        with LocalExecutor(store, workers=2) as executor:
            run(executor, wanted)
        assert outputs(store, wanted) == expected
        assert len(store) == len(wanted)
        if kills >= 20:
            break
    assert kills >= 20


@pytest.mark.slow
def test_a_full_disk_in_a_worker_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    import resource

    from poolaudit.store.trials import NoSpaceError

    store, data = filled(tmp_path)
    wanted = specs(data, seeds=2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with LocalExecutor(store, workers=1) as executor:
        run(executor, wanted[:1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, hard))
    try:
        with LocalExecutor(store, workers=1) as executor, pytest.raises(NoSpaceError):
            run(executor, wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(store) == 1
    with LocalExecutor(store, workers=1) as executor:
        assert len(run(executor, wanted)) == len(wanted)
    assert len(store) == len(wanted)


@pytest.mark.slow
def test_when_the_parent_dies_its_workers_end(tmp_path: Path) -> None:
    parent = _parent(tmp_path, 4, 200)
    assert parent.stdout is not None
    parent.stdout.readline()
    deadline = time.monotonic() + 60
    while not (children := _children(parent.pid)) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(8)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    while any(_lives(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(_lives(child) for child in children)


@pytest.mark.slow
def test_an_interrupt_keeps_what_was_finished(tmp_path: Path) -> None:
    store, data = filled(tmp_path)
    wanted = specs(data, seeds=3)
    threading.Timer(12, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with LocalExecutor(store, workers=1) as executor, pytest.raises(KeyboardInterrupt):
        run(executor, [*wanted, *specs(data, seeds=40, epochs=20)])
    kept = len(store)
    with LocalExecutor(store, workers=1) as executor:
        assert len(run(executor, wanted)) == len(wanted)
    assert kept <= len(store) == len(wanted)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
