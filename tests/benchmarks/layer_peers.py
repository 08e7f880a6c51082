"""Keras's own pooling tests beside `poolaudit check`: on Keras as it is, and with slips planted in it.

python tests/benchmarks/layer_peers.py prints who catches which slip, and the seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
KERAS_TESTS = "keras.src.layers.pooling"


@dataclass(frozen=True)
class Said:
    """What one of the two says.

    Attributes:
        found: Failed tests of Keras, or failed checks that are on no list.
        known: Entries of the list of known divergences that showed.
        tried: Tests, or cases.
    """

    seconds: float
    found: int
    known: int
    tried: int


def keras_tests(slip: str | None = None) -> Said:
    """The tests that Keras ships with its pooling layers; of a slip, the file with those of its layer."""
    from importlib.util import find_spec

    from planted_slips import SLIPS

    spec = find_spec(KERAS_TESTS)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "planted_slips", "-p", "no:cacheprovider"]
        command += [f"--junit-xml={report}", f"--rootdir={folder}"]
        for where in spec.submodule_search_locations:
            command.append(where if slip is None else str(Path(where) / SLIPS[slip].keras_file))
        seconds, _ = _timed(command, folder, slip)
        suite = next(ElementTree.parse(report).iter("testsuite"))
        counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors")}
    return Said(seconds, counts["failures"] + counts["errors"], 0, counts["tests"])


def checked(subject: list[str], slip: str | None = None) -> Said:
    """`poolaudit check` with the quick profile, start and report included."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "results.json"
        command = [
            sys.executable,
            "-m",
            "poolaudit",
            "check",
            *subject,
            "--profile",
            "quick",
            "--json",
            str(listed),
            "--out",
            folder,
            "-q",
        ]
        seconds, said = _timed(command, folder, slip)
        if not listed.exists():
            raise SystemExit(said)
        results = json.loads(listed.read_text())
    failed = [r for r in results if r["outcome"] == "FAILED"]
    known = {r["known_divergence"] for r in failed} - {None}
    unlisted = sum(r["known_divergence"] is None for r in failed)
    return Said(seconds, unlisted, len(known), sum(r["examples"] for r in results))


def with_slips() -> Iterator[tuple[str, Said, Said]]:
    """Each slip, and what Keras's tests and poolaudit say of it."""
    from planted_slips import SLIPS

    for name, slip in SLIPS.items():
        subject = [f"planted_slips:{slip.layer}", "--like", slip.like, "--dims", str(slip.dims)]
        yield name, keras_tests(name), checked(subject, name)


def _timed(command: list[str], folder: str, slip: str | None) -> tuple[float, str]:
    from planted_slips import VARIABLE

    path = os.pathsep.join(filter(None, (str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "tensorflow"}
    environment.pop(VARIABLE, None)
    if slip is not None:
        environment[VARIABLE] = slip
    clock = time.perf_counter()
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return time.perf_counter() - clock, ran.stdout + ran.stderr


if __name__ == "__main__":
    for name, theirs, ours in with_slips():
        print(f"{name:45s} Keras {theirs.found:3d} of {theirs.tried} in {theirs.seconds:.0f} s", end="; ")
        print(f"poolaudit {ours.found:3d} in {ours.seconds:.0f} s", flush=True)
