"""The example project as an outsider runs it: the good release goes out, the bad one does not, and the reason is shown.

`tox run -e example` runs this on the built wheel, in an environment that holds poolaudit[pytest] and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.example

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "digit_reader"
COMMANDS = [
    [shlex.split(line) for line in block.strip().splitlines()]
    for block in re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
]


@dataclass(frozen=True)
class Run:
    """What a reviewer has after CI ran on a release."""

    folder: Path
    code: int
    output: str
    summary: str
    document: dict[str, list[dict[str, object]]]


def run_release(tmp_path: Path, commands: list[list[str]]) -> Run:
    """Runs the commands of one block of the example's README in a fresh copy of the project."""
    project = tmp_path / "digit_reader"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("release", "audits", "__pycache__", ".*"))
    # Nothing of this checkout or of the run around it may reach the project.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTEST_ADDOPTS", "CI")}
    if "TOX_ENV_NAME" not in os.environ:
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    train, test = commands
    for command in (train, test):
        assert command[0] == "python"
    subprocess.run([sys.executable, *train[1:]], cwd=project, env=environment, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, *test[1:]], cwd=project, env=environment, check=False, capture_output=True, text=True
    )
    audits = project / "audits"
    return Run(
        project,
        done.returncode,
        done.stdout + done.stderr,
        (audits / "Digit-reader" / "summary.md").read_text() if audits.is_dir() else "",
        json.loads((audits / "result.json").read_text()) if audits.is_dir() else {},
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_release(tmp_path_factory.mktemp("good"), COMMANDS[0])


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_release(tmp_path_factory.mktemp("bad"), COMMANDS[1])


def verdicts(run: Run) -> dict[object, object]:
    return {entry["title"]: entry["verdict"] for entry in run.document["results"]}


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="the wheel is installed by tox")
def test_poolaudit_comes_from_the_wheel() -> None:
    code = "import poolaudit; print(poolaudit.__file__)"
    where = subprocess.run([sys.executable, "-c", code], cwd="/", check=True, capture_output=True, text=True).stdout
    assert Path(where).is_relative_to(sys.prefix)


def test_the_good_release_is_green(good: Run) -> None:
    assert good.code == 0, good.output[-4000:]
    assert verdicts(good)["Digit reader"] == "READY"
    assert " failed" not in good.output


def test_the_summary_of_the_good_release_says_what_was_accepted(good: Run) -> None:
    assert good.summary.startswith("## READY: Digit reader")
    assert "Recall of 'two'" in good.summary
    assert "accepted" in next(line for line in good.summary.splitlines() if "PA309" in line)


def test_the_bad_release_is_red_although_its_accuracy_is_high(bad: Run) -> None:
    assert bad.code == 1, bad.output[-4000:]
    assert verdicts(bad)["Digit reader"] in ("NOT_READY", "NEEDS_REVIEW")
    (audit,) = [entry["result"] for entry in bad.document["results"] if entry["title"] == "Digit reader"]
    assert audit["evidence"]["evaluation"]["accuracy"]["value"] > 0.9  # type: ignore[index]
    failed = set(re.findall(r"FAILED tests/(\S+)", bad.output))
    assert {
        "test_release.py::test_twos_are_found",
        "test_release.py::test_nothing_speaks_against_the_release",
    } <= failed
    assert not [name for name in failed if "test_layers" in name], "the layer is not to blame"


def test_the_summary_of_the_bad_release_tells_the_reviewer_why(bad: Run) -> None:
    assert re.match(r"## (NOT READY|NEEDS REVIEW): Digit reader", bad.summary)
    first = bad.summary.split("**What would change it**")[0]
    assert "'two'" in first
    assert "below 85.0 % with its whole interval" in bad.summary
    assert "| Recall of 'two' |" in bad.summary
    # The failing test says the same where a developer looks first.
    assert "Recall of 'two' is below 0.85" in bad.output


def test_both_leave_what_ci_systems_read(good: Run, bad: Run) -> None:
    for run, failing in ((good, False), (bad, True)):
        folder = run.folder / "audits"
        assert (folder / "report.html").is_file()
        suites = ElementTree.fromstring((folder / "junit.xml").read_bytes())
        (gate,) = [suite for suite in suites if suite.get("name") == "poolaudit: Digit reader"]
        assert (gate.find(".//failure") is not None) == failing
        sarif = json.loads((folder / "Digit-reader" / "result.sarif").read_text())
        rules = {entry["ruleId"] for entry in sarif["runs"][0]["results"] if entry.get("level") == "error"}
        assert ("PA204" in rules) == failing
