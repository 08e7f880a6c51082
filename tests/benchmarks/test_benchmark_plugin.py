"""What the plugin adds to the start of a pytest run that does not use it: many runs with and without it, in turns.

python tests/benchmarks/test_benchmark_plugin.py [runs]
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

_WITHOUT_OTHERS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
_BASE = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


@pytest.mark.slow
def test_a_session_that_does_not_use_the_plugin_starts_less_than_15_ms_later() -> None:
    assert statistics.median(milliseconds_added(20)) < 15
    assert statistics.median(wall_milliseconds(10)) < 15


def milliseconds_added(runs: int, seed: int = 0) -> list[float]:
    """Of `runs` pairs of a run with and a run without the plugin, in drawn order: with minus without, in ms.

    Other plugins stay out, so that their start does not blur the difference. The files of the interpreter are warm:
    each kind ran twice before.
    """
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_one.py").write_text("def test_one():\n    pass\n")
        for _ in range(2):
            _milliseconds(folder, ["-p", "poolaudit.pytest_plugin"])
            _milliseconds(folder, [])
        added = []
        for _ in range(runs):
            measured = {}
            kinds = [True, False]
            draw.shuffle(kinds)
            for with_plugin in kinds:
                measured[with_plugin] = _milliseconds(folder, ["-p", "poolaudit.pytest_plugin"] if with_plugin else [])
            added.append(measured[True] - measured[False])
    return added


def _milliseconds(folder: str, arguments: list[str]) -> float:
    """User and system time of a run in a fresh process: what others do on the machine hardly counts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*_BASE, *arguments], cwd=folder, check=True, capture_output=True, env={**os.environ, **_WITHOUT_OTHERS}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def wall_milliseconds(runs: int) -> list[float]:
    """Wall time of loading the plugin in a process that has pytest already, `runs` fresh processes."""
    code = (
        "import time, pytest, dataclasses, pathlib\n"
        "start = time.perf_counter()\n"
        "import poolaudit.pytest_plugin\n"
        "print(1000 * (time.perf_counter() - start))"
    )
    return [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(runs)
    ]


def _told(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"median {middle:.1f} ms, quartiles {low:.1f} to {high:.1f} ms, {len(values)} runs"


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    start = time.perf_counter()
    print("CPU time of a session with the plugin, minus one without:", _told(milliseconds_added(number)))
    print("import of the plugin beside pytest:", _told(wall_milliseconds(number)))
    print(f"{time.perf_counter() - start:.0f} s in all")
