"""An audit that trains, killed or interrupted in every stage and started again: the result is that of a quiet run."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from audit_runs import STAGES, AuditRun, Nursery, make_subject, nursery, stages_told

from poolaudit.report.markdown import render_markdown
from poolaudit.results import AuditResult
from poolaudit.store.results import encode_result, load_result

FILES = {"report.html", "result.json", "junit.xml", "result.sarif", "summary.md", "model-index.yml"}
INPUTS = ("model.keras", "other.keras", "train.npz", "test.npz")
AUDIT = ("audit", "model.keras", "--train", "train.npz", "--test", "test.npz", "--seeds", "3", "--epochs", "2")
AUDIT += ("--changed-only", "--out", "out")
QUICK = ("audit", "model.keras", "--train", "train.npz", "--test", "test.npz", "--budget", "quick")
QUICK += ("--skip-stage", "conformance", "--changed-only", "--out", "out")
ROUNDS = 3


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subject")
    make_subject(folder)
    return folder


@pytest.fixture(scope="module")
def parent() -> Iterator[Nursery]:
    with nursery() as running:
        yield running


def workplace(subject: Path, folder: Path) -> Path:
    """A folder with the inputs, and one beside it for temporary files."""
    folder.mkdir()
    for name in INPUTS:
        shutil.copy(subject / name, folder / name)
    temporary(folder).mkdir()
    return folder


def temporary(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-tmp")


def timeless(result: AuditResult) -> bytes:
    """All that was found, without how long it took, when it was, and whether it was kept from an earlier run."""
    ablation = result.evidence.ablation
    if ablation is not None:
        ablation = replace(
            ablation,
            seconds=0.0,
            baseline=replace(ablation.baseline, latency_milliseconds=None),
            arms=tuple(replace(arm, latency_milliseconds=None) for arm in ablation.arms),
            trials=tuple(replace(trial, seconds=0.0) for trial in ablation.trials),
        )
    return encode_result(
        replace(
            result,
            evidence=replace(result.evidence, ablation=ablation),
            stages=tuple(replace(stage, duration_seconds=0.0, reason=None) for stage in result.stages),
            provenance=replace(result.provenance, started="", duration_seconds=0.0),
        )
    )


def moments(log: str) -> str:
    return ", ".join(stages_told(log.splitlines()))


def require_whole(folder: Path) -> None:
    """The output holds no part of a file beyond those that a kill in the middle of writing leaves until the next run."""
    out = folder / "out"
    if (out / "result.json").exists():
        result = load_result(out)
        found = {path.name for path in out.iterdir() if not path.name.endswith(".part")}
        assert FILES - {"model-index.yml"} <= found <= FILES
        assert (out / "summary.md").read_bytes() == render_markdown(result).encode()
        assert (out / "report.html").read_text().rstrip().endswith("</html>")


def require_clean(folder: Path) -> None:
    """Nothing lies about once a run has ended in order."""
    assert {path.name for path in (folder / "out").iterdir()} == FILES
    assert {path.name for path in folder.iterdir()} <= {*INPUTS, "out", "poolaudit-stages", "poolaudit-trials"}
    assert not list(folder.rglob("*.part"))
    assert not list(folder.rglob("*.damaged"))
    assert not list(folder.rglob("*.checkpoint"))


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
    parent: Nursery, subject: Path, place: Path, command: tuple[str, ...], stages: tuple[str, ...], rounds: int
) -> str:
    """Strikes in each stage by SIGKILL and by Ctrl-C, ends the audit, compares; returns the counts in words."""
    quiet = workplace(subject, place / "quiet")
    run = parent.start(quiet, command, temporary(quiet))
    seconds = durations(run)
    assert run.wait() in (0, 1), run.said()
    assert not run.orphans()
    require_clean(quiet)
    expected = timeless(load_result(quiet / "out"))
    rng = random.Random(0)
    kills: Counter[str] = Counter()
    interrupts: Counter[str] = Counter()
    left_over = 0
    for number in range(rounds):
        folder = workplace(subject, place / f"round-{number}")
        trials: set[str] = set()
        for stage in stages:
            for how, counts in ((signal.SIGKILL, kills), (signal.SIGINT, interrupts)):
                run = parent.start(folder, command, temporary(folder))
                # In the rest of the stage: what is kept of the ablation makes it shorter each time.
                hit = struck(run, stage, how, rng.uniform(0, 0.8) * seconds[stage])
                code = run.wait()
                assert not run.orphans(), (stage, how)
                if hit is not None:
                    counts[hit] += 1
                told = run.said()
                assert "Traceback" not in told, (hit, told)
                if how == signal.SIGINT and hit is not None:
                    assert code == 130, (hit, code, told)
                    assert told.count("poolaudit: ") == 1, (hit, told)
                    assert told.rstrip().endswith("poolaudit: interrupted"), (hit, told)
                    left_over += len(list((folder / "out").glob(".*")))
                elif hit is None:
                    assert code in (0, 1), told
                else:
                    assert code == -signal.SIGKILL
                require_whole(folder)
                kept = {path.name for path in (folder / "poolaudit-trials" / "trials").glob("*")}
                assert trials <= kept, f"trials lost in {hit}"
                trials = kept
        run = parent.start(folder, command, temporary(folder))
        assert run.wait() in (0, 1), run.said()
        assert not run.orphans()
        require_clean(folder)
        result = load_result(folder / "out")
        assert timeless(result) == expected
        reused = [stage.name for stage in result.stages if (stage.reason or "").startswith("not run again")]
        assert len(reused) == sum(stage.reason is None or stage.reason.startswith("not run") for stage in result.stages)
        print(number, reused, sorted(path.name for path in temporary(folder).iterdir()))
    assert left_over == 0
    return f"{kills.total()} kills {dict(kills)}, {interrupts.total()} interrupts {dict(interrupts)}"


def test_a_quick_audit_struck_in_its_stages_ends_as_undisturbed(
    parent: Nursery, subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = rehearse(parent, subject, tmp_path, QUICK, ("geometry", "swapping", "impact", "report"), 1)
    with capsys.disabled():
        print(f"\naudit: {counts}")


@pytest.mark.slow
def test_an_audit_that_trains_struck_in_every_stage_ends_as_undisturbed(
    parent: Nursery, subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = rehearse(parent, subject, tmp_path, AUDIT, STAGES, ROUNDS)
    with capsys.disabled():
        print(f"\naudit: {counts}")
