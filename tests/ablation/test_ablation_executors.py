"""Workers train what they are given, are replaced when they die, and leave the same bits as an undisturbed run."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small_grid import children, filled, parent, run, specs

from poolaudit.ablation.executors import local
from poolaudit.ablation.executors.executor import EpochDone
from poolaudit.ablation.executors.local import LocalExecutor
from poolaudit.store.trials import TrialStore


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


def test_a_worker_that_hangs_is_replaced_and_its_trial_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first epoch, which builds the model, takes a second: fifty of them are a long wait.
    monkeypatch.setattr(local, "_EPOCHS_OF_SILENCE", 5)
    store, data = filled(tmp_path / "store")
    wanted = specs(data, seeds=1, epochs=12)[:1]
    stopped: list[int] = []

    def stop_once(event: object) -> None:
        if isinstance(event, EpochDone) and event.done == 3 and not stopped:
            stopped.extend(executor.process_ids)
            os.kill(stopped[0], signal.SIGSTOP)

    with LocalExecutor(store, workers=1, patience_seconds=2.0) as executor:
        executor.run(wanted, stop_once)
        assert executor.process_ids != tuple(stopped)
    found = store.read(wanted[0].key)
    assert found is not None
    assert found.facts["outcome"] == "finished"
    with LocalExecutor(TrialStore(tmp_path / "again"), workers=1) as executor:
        filled(tmp_path / "again")
        (undisturbed,) = run(executor, wanted).values()
    assert np.array_equal(found.arrays["test"], undisturbed.trial.arrays["test"])


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
    process = parent(tmp_path, 4, 200)
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 60
    while not (workers := children(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(8)
    process.kill()
    process.communicate()
    while any(_lives(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(_lives(worker) for worker in workers)


@pytest.mark.slow
def test_an_interrupt_keeps_what_was_finished(tmp_path: Path) -> None:
    store, data = filled(tmp_path)
    wanted = specs(data, seeds=3)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    threading.Thread(target=_interrupt_at_the_first_trial, args=(store,), daemon=True).start()
    with LocalExecutor(store, workers=1) as executor, pytest.raises(KeyboardInterrupt):
        run(executor, [*wanted, *specs(data, seeds=40, epochs=20)])
    kept = {key: store.trial_path(key).stat().st_mtime_ns for key in (spec.key for spec in wanted) if store.read(key)}
    assert kept
    with LocalExecutor(store, workers=1) as executor:
        assert len(run(executor, wanted)) == len(wanted)
    assert kept.items() <= {spec.key: store.trial_path(spec.key).stat().st_mtime_ns for spec in wanted}.items()


def _interrupt_at_the_first_trial(store: TrialStore) -> None:
    while not len(store):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
