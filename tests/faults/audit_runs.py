"""Whole audits as processes that can be watched and killed, started from one that has imported TensorFlow already.

Importing TensorFlow takes longer than such an audit does otherwise; a process forked after it behaves as one of its own
does, as poolaudit's own workers rely on.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.ablation.trial import search_path
from poolaudit.evidence.ablation import AblationEvidence
from poolaudit.report.markdown import render_markdown
from poolaudit.results import AuditResult, Evidence
from poolaudit.store.results import encode_result, load_result

STAGES = ("geometry", "evaluation", "conformance", "swapping", "training", "leakage", "impact", "report")
# The last line that the progress shows tells the stage.
_BEGINS = (
    ("geometry", re.compile(r"^geometry \(")),
    ("evaluation", re.compile(r"^evaluation \(")),
    ("conformance", re.compile(r"^conformance \(")),
    ("swapping", re.compile(r"^ablation \(")),
    ("training", re.compile(r"^  7 of 7  exchanging the pooling under the trained weights$")),
    ("leakage", re.compile(r"^leakage \(")),
    ("impact", re.compile(r"^  0 of 1  the ablation without the leaked items$")),
    ("report", re.compile(r"^leakage done in ")),
)
FILES = {"report.html", "result.json", "junit.xml", "result.sarif", "summary.md", "model-index.yml"}
INPUTS = ("model.keras", "other.keras", "train.npz", "test.npz")
_SECONDS = 300.0
_MARK = "POOLAUDIT_REHEARSAL"
_NURSERY = """
import json, os, signal, sys, tempfile
sys.path[:0] = {path!r}
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow, keras
from poolaudit.cli import running
from poolaudit.cli.main import main
running._SECONDS_BETWEEN_LINES = -1.0
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    os.setsid()
    os.chdir(order["folder"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard, to in ((0, nothing), (1, nothing), (2, log)):
        os.dup2(to, standard)
    os.environ.update(order["environment"])
    tempfile.tempdir = None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    exec(order["first"])
    main(order["arguments"])
"""


@dataclass(slots=True)
class AuditRun:
    """A process that audits; its standard error is in a file."""

    nursery: Nursery
    pid: int
    log: Path
    mark: str

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stage(self) -> str:
        """The stage whose beginning was told last; "loading" before any."""
        return stages_told(self.said().splitlines())[-1]

    def reach(self, stage: str) -> bool:
        """Waits for the stage; False where the run ended before or went beyond it."""
        order = ("loading", *STAGES)
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            now, ended = self.stage(), self.ended()
            if now == stage:
                return not ended
            if order.index(now) > order.index(stage) or ended:
                return False
            time.sleep(0.003)
        raise AssertionError(f"{stage} does not come: {self.said()}")

    def ended(self) -> bool:
        """Whether it waits to be reaped or is gone."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    def send(self, signal_number: int) -> None:
        """To its whole group, as a terminal does with Ctrl-C and a CI system when it ends a job."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal_number)

    def wait(self) -> int:
        """Its exit code, once nothing that it started is left."""
        deadline = time.monotonic() + _SECONDS
        while not self.ended():
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                raise AssertionError(f"it does not end: {self.said()}")
            time.sleep(0.01)
        return int(self.nursery.ask({"wait": self.pid}))

    def orphans(self, patience_seconds: float = 20.0) -> list[str]:
        """Commands of processes that this run started and that are there after so long a time."""
        deadline = time.monotonic() + patience_seconds
        while (left := _marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


@dataclass(slots=True)
class Nursery:
    """The process that has imported TensorFlow and gives birth to audits."""

    process: subprocess.Popen[str]
    count: int = 0

    def ask(self, order: Mapping[str, Any]) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def start(self, folder: Path, arguments: Sequence[str], temporary: Path | None = None, first: str = "") -> AuditRun:
        """Starts `poolaudit` with these arguments in the folder, after the Python code `first`."""
        self.count += 1
        mark, log = uuid.uuid4().hex, folder.parent / f"{folder.name}-{self.count}.log"
        environment = {_MARK: mark} | ({} if temporary is None else {"TMPDIR": str(temporary)})
        order = {"folder": str(folder), "log": str(log), "arguments": list(arguments)}
        pid = int(self.ask(order | {"environment": environment, "first": first}))
        return AuditRun(self, pid, log, mark)


@contextlib.contextmanager
def nursery() -> Iterator[Nursery]:
    path = search_path()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _NURSERY.format(path=path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield Nursery(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def stages_told(lines: Sequence[str]) -> list[str]:
    """The stages in the order in which they began, from what the progress shows."""
    told = ["loading"]
    for line in lines:
        # The impact exchanges poolings once more.
        told += [s for s, begins in _BEGINS if begins.match(line) and (s != "training" or told[-1] == "swapping")]
    return told


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
    return encode_result(
        replace(
            result,
            evidence=timeless_evidence(result.evidence),
            stages=tuple(replace(stage, duration_seconds=0.0, reason=None) for stage in result.stages),
            provenance=replace(result.provenance, started="", duration_seconds=0.0),
        )
    )


def timeless_evidence(evidence: Evidence) -> Evidence:
    """The evidence without how long its trials took, those that were decided again without the leak included."""
    leakage = evidence.leakage
    if leakage is not None:
        impact = replace(leakage.impact, ablation=_timeless_ablation(leakage.impact.ablation))
        leakage = replace(leakage, impact=impact)
    return replace(evidence, ablation=_timeless_ablation(evidence.ablation), leakage=leakage)


def _timeless_ablation(ablation: AblationEvidence | None) -> AblationEvidence | None:
    if ablation is None:
        return None
    return replace(
        ablation,
        seconds=0.0,
        baseline=replace(ablation.baseline, latency_milliseconds=None),
        arms=tuple(replace(arm, latency_milliseconds=None) for arm in ablation.arms),
        trials=tuple(replace(trial, seconds=0.0) for trial in ablation.trials),
    )


def require_whole(folder: Path) -> None:
    """Whatever file of the output is there is whole, and all are of one run."""
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
    assert not list(folder.rglob("*.part*"))
    assert not list(folder.rglob("*.damaged"))
    assert not list(folder.rglob("*.checkpoint"))


def _marked(mark: str) -> list[str]:
    wanted, found = f"{_MARK}={mark}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


def make_subject(folder: Path) -> None:
    """Two small models trained on zeros and ones, and their data; ten test items are copies of training items."""
    import keras
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    chosen = digits < 2
    x = (images[chosen] / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    y = digits[chosen]
    np.savez(folder / "train.npz", x=x[:200], y=y[:200])
    np.savez(folder / "test.npz", x=np.concatenate([x[200:], x[:10]]), y=np.concatenate([y[200:], y[:10]]))
    for name, filters in (("model", 4), ("other", 6)):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(filters, 3, padding="same", activation="relu"),
                keras.layers.MaxPooling2D(2, name="halve"),
                keras.layers.Flatten(),
                keras.layers.Dense(2, activation="softmax"),
            ],
            name=name,
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x[:200], y[:200], epochs=5, verbose=0)
        model.save(folder / f"{name}.keras")
