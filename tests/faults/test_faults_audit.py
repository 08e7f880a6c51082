"""An audit that trains, killed or interrupted in every stage and started again: the result is that of a quiet run."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from audit_runs import STAGES, AuditRun, Nursery, require_clean, require_whole, temporary, timeless, workplace

from poolaudit.store.results import load_result

AUDIT = ("audit", "model.keras", "--train", "train.npz", "--test", "test.npz", "--seeds", "3", "--epochs", "2")
AUDIT += ("--changed-only", "--out", "out")
QUICK = ("audit", "model.keras", "--train", "train.npz", "--test", "test.npz", "--budget", "quick")
QUICK += ("--stage", "evaluation", "--stage", "leakage", "--changed-only", "--out", "out")
FEWEST, MOST_ROUNDS = 3, 6
REUSED = ("not run again", "not asked for")


def struck(run: AuditRun, stage: str, signal_number: int, seconds: float) -> str | None:
    """Sends the signal so long after the stage began; returns the stage it came in, None where the run was over."""
    if not run.reach(stage):
        return None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not run.ended():
        time.sleep(0.002)
    if run.ended():
        return None
    now = run.stage()
    run.send(signal_number)
    return now


def durations(run: AuditRun) -> dict[str, float]:
    """Watches a run to its end; seconds that each stage took."""
    began: dict[str, float] = {}
    while not run.ended():
        began.setdefault(run.stage(), time.monotonic())
        time.sleep(0.003)
    ends = [*list(began.values())[1:], time.monotonic()]
    return {stage: end - start for (stage, start), end in zip(began.items(), ends, strict=True)}


def rehearse(
    parent: Nursery,
    subject: Path,
    place: Path,
    command: tuple[str, ...],
    strikes: Sequence[tuple[str, signal.Signals]],
    fewest: int,
) -> str:
    """Strikes a run in each of these stages, then ends the audit and compares; returns the counts in words."""
    quiet = workplace(subject, place / "quiet")
    run = parent.start(quiet, command, temporary(quiet))
    seconds = durations(run)
    assert run.wait() in (0, 1), run.said()
    assert not run.orphans()
    require_clean(quiet)
    expected = timeless(load_result(quiet / "out"))
    rng = random.Random(0)
    counts: dict[signal.Signals, Counter[str]] = {signal.SIGKILL: Counter(), signal.SIGINT: Counter()}
    number = 0
    while any(counts[how][stage] < fewest for stage, how in strikes):  # some come when the stage is over
        number += 1
        assert number <= MOST_ROUNDS, counts
        folder = workplace(subject, place / f"round-{number}")
        trials: set[str] = set()
        for stage, how in strikes:
            run = parent.start(folder, command, temporary(folder))
            hit = struck(run, stage, how, rng.uniform(0, 0.6) * seconds[stage])
            if hit != stage:
                seconds[stage] /= 2  # the stage is over sooner than in the quiet run
            code, told = run.wait(), run.said()
            assert not run.orphans(), (stage, how)
            assert "Traceback" not in told, (hit, told)
            if hit is None:
                assert code in (0, 1), told
            else:
                counts[how][hit] += 1
            if hit is not None and how == signal.SIGINT:
                # Python ends itself by the signal where it strikes inside exec() or, with all written, on the way out;
                # a shell shows 130 for both.
                assert code in (130, -signal.SIGINT), (hit, told)
                said = [line for line in told.splitlines() if line.startswith("poolaudit: ")]
                assert said == ["poolaudit: interrupted"] or (not said and hit == "report" and code < 0), (hit, told)
                assert not list((folder / "out").glob(".*"))
                # What was measured is written, however late the interrupt came.
                assert hit != "report" or (folder / "out" / "result.json").exists()
            elif hit is not None:
                assert code == -signal.SIGKILL
            require_whole(folder)
            kept = {path.name for path in (folder / "poolaudit-trials" / "trials").glob("*")}
            assert trials <= kept, f"trials lost in {hit}"
            trials = kept
        run = parent.start(folder, command, temporary(folder))
        assert run.wait() in (0, 1), run.said()
        assert not run.orphans()
        require_clean(folder)
        assert timeless(load_result(folder / "out")) == expected
        # Everything had been measured before the last strike, which came while the report was written.
        assert all((stage.reason or "").startswith(REUSED) for stage in load_result(folder / "out").stages)
    return ", ".join(f"{how.name} {counter.total()} times {dict(counter)}" for how, counter in counts.items())


def test_a_quick_audit_struck_in_its_stages_ends_as_undisturbed(
    parent: Nursery, subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kill, interrupt = signal.SIGKILL, signal.SIGINT
    strikes = [("leakage", kill), ("report", interrupt)]
    counts = rehearse(parent, subject, tmp_path, QUICK, strikes, 1)
    with capsys.disabled():
        print(f"\nquick audit: {counts}")


@pytest.mark.slow
def test_an_audit_that_trains_struck_in_every_stage_ends_as_undisturbed(
    parent: Nursery, subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strikes = [(stage, how) for stage in STAGES for how in (signal.SIGKILL, signal.SIGINT)]
    counts = rehearse(parent, subject, tmp_path, AUDIT, strikes, FEWEST)
    with capsys.disabled():
        print(f"\naudit that trains: {counts}")
