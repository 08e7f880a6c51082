"""Two runs at once on the same stores and the same output: nothing is mixed, half-written or lost."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from audit_runs import Nursery, require_clean, require_whole, temporary, timeless, workplace

from poolaudit.store.results import load_result

AUDIT = ("--train", "train.npz", "--test", "test.npz", "--seeds", "3", "--epochs", "2", "--skip-stage", "conformance")
AUDIT += ("--changed-only", "--out", "out")
ABLATE = ("--train", "train.npz", "--test", "test.npz", "--seeds", "3", "--epochs", "2", "--full-grid", "--out", "out")
LEAKS = ("leaks", "--train", "train.npz", "--test", "test.npz", "--cache", "cache", "--out", "out")
_WRITER = """
import sys
from pathlib import Path
from poolaudit.store.atomic import write_together
names = [Path(sys.argv[1]) / f"{number}.txt" for number in range(6)]
for number in range(int(sys.argv[3])):
    whole = f"{sys.argv[2]}-{number}".encode()
    write_together({name: whole for name in names} | ({names[0]: None} if number % 2 else {}))
"""


def trials(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (folder / "poolaudit-trials" / "trials").iterdir()}


def test_writers_of_one_folder_take_turns(tmp_path: Path) -> None:
    """At every end of a writing all files are of one run; what a killed run left half-written goes."""
    out = tmp_path / "out"
    out.mkdir()
    (out / ".3.txt.abandoned.part").write_bytes(b"half")
    (out / ".4.txt").write_bytes(b"somebody else's")
    command = [sys.executable, "-c", _WRITER, str(out)]
    writers = [subprocess.Popen([*command, name, "40"]) for name in ("a", "b", "c")]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    assert {path.name for path in out.iterdir()} == {*(f"{number}.txt" for number in range(1, 6)), ".4.txt"}
    assert len({(out / f"{number}.txt").read_bytes() for number in range(1, 6)}) == 1


@pytest.mark.slow
def test_two_audits_at_once_end_as_if_alone(
    parent: Nursery, subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone: dict[str, bytes] = {}
    stored: dict[str, set[str]] = {}
    for model in ("model", "other"):
        folder = workplace(subject, tmp_path / f"alone-{model}")
        assert parent.start(folder, ("audit", f"{model}.keras", *AUDIT)).wait() in (0, 1)
        alone[model], stored[model] = timeless(load_result(folder / "out")), set(trials(folder))
    rng = random.Random(0)
    pairs = [("model", "model"), ("model", "other"), ("other", "model")]
    for number, pair in enumerate(pairs):
        folder = workplace(subject, tmp_path / f"both-{number}")
        runs = []
        for model in pair:
            runs.append(parent.start(folder, ("audit", f"{model}.keras", *AUDIT), temporary(folder)))
            time.sleep(rng.uniform(0, 2) if number else 0)
        for run in runs:
            assert run.wait() in (0, 1), run.said()
            assert not run.orphans()
            assert "Traceback" not in run.said()
        require_whole(folder)
        require_clean(folder)
        assert timeless(load_result(folder / "out")) in {alone[model] for model in pair}
        assert set(trials(folder)) == set.union(*(stored[model] for model in pair))
        before = trials(folder)
        for model in pair:  # what either found is kept
            assert parent.start(folder, ("audit", f"{model}.keras", *AUDIT)).wait() in (0, 1)
            result = load_result(folder / "out")
            assert timeless(result) == alone[model]
            assert all((stage.reason or "").startswith(("not run again", "skipped")) for stage in result.stages)
        assert trials(folder) == before
    with capsys.disabled():
        print(f"\ntwo audits at once: {len(pairs)} pairs, each as alone")


@pytest.mark.slow
def test_a_second_ablation_is_told_to_wait_and_an_audit_waits(parent: Nursery, subject: Path, tmp_path: Path) -> None:
    first = workplace(subject, tmp_path / "alone")
    assert parent.start(first, ("ablate", "model.keras", *ABLATE)).wait() in (0, 1)
    expected, wanted = timeless(load_result(first / "out")), set(trials(first))
    folder = workplace(subject, tmp_path / "both")
    store = folder / "poolaudit-trials" / "trials"
    running = parent.start(folder, ("ablate", "model.keras", *ABLATE), temporary(folder))
    while not list(store.glob("*.trial")):
        assert not running.ended(), running.said()
        time.sleep(0.01)
    second = parent.start(folder, ("ablate", "other.keras", *ABLATE[:-1], "second"), temporary(folder))
    audit = parent.start(folder, ("audit", "model.keras", *AUDIT[:-1], "audited"), temporary(folder))
    assert second.wait() == 2
    assert second.said().count("poolaudit: ") == 1
    assert "Another run is using the trial store" in second.said()
    assert not list((folder / "second").iterdir())
    assert running.wait() in (0, 1), running.said()
    assert timeless(load_result(folder / "out")) == expected
    assert wanted <= set(trials(folder))
    assert audit.wait() in (0, 1), audit.said()
    assert "waiting for another run" in audit.said()
    outcomes = {stage.name: stage.outcome.value for stage in load_result(folder / "audited").stages}
    assert outcomes["ablation"] == "PASSED"
    shutil.rmtree(folder / "second")
    assert parent.start(folder, ("ablate", "other.keras", *ABLATE[:-1], "second")).wait() in (0, 1)


@pytest.mark.slow
def test_two_searches_on_one_cache_say_the_same(parent: Nursery, subject: Path, tmp_path: Path) -> None:
    folder = workplace(subject, tmp_path / "both")
    runs = [parent.start(folder, LEAKS, temporary(folder)) for _ in range(2)]
    assert all(run.wait() in (0, 1) for run in runs), [run.said() for run in runs]
    found = timeless(load_result(folder / "out"))
    assert len(list((folder / "cache").iterdir())) == 1
    assert parent.start(folder, LEAKS).wait() in (0, 1)
    assert timeless(load_result(folder / "out")) == found
