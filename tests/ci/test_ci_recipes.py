"""The recipes for CI systems: valid, and their commands run; what a hosted service does itself is left to it."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

yaml = pytest.importorskip("yaml")
pytestmark = pytest.mark.recipe

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "ci.md").read_text()
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
BLOCKS = {language: re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL) for language in ("yaml", "ini")}


@pytest.fixture(scope="module")
def project(trained_digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and data under the names that the recipes use, and `poolaudit` on the path."""
    folder = tmp_path_factory.mktemp("recipes")
    shutil.copy(trained_digits.model_file, folder / "model.keras")
    np.savez(folder / "test.npz", x=trained_digits.x[:300], y=trained_digits.y[:300])
    np.savez(folder / "scaled.npz", x=255 * trained_digits.x[:300], y=trained_digits.y[:300])
    shutil.copy(trained_digits.validation_file, folder / "train.npz")
    program = folder / "bin" / "poolaudit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m poolaudit "$@"\n')
    program.chmod(0o755)
    return folder


def run(command: list[str], project: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{project / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        **variables,
    }
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)


def step(name: str) -> dict[str, Any]:
    (found,) = [entry for entry in ACTION["runs"]["steps"] if entry["name"] == name]
    return dict(found)


def audit_step(project: Path, tmp_path: Path, **inputs: str) -> tuple[str, str, str]:
    """Exit code, job summary and log of the action's audit step, run as GitHub runs it."""
    given = {name: str(entry.get("default", "")) for name, entry in ACTION["inputs"].items()} | inputs
    variables = {}
    for name, expression in step("Audit")["env"].items():
        key = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", expression)
        assert key is not None, expression
        variables[name] = given[key[1]]
    files = {"GITHUB_OUTPUT": tmp_path / "output", "GITHUB_STEP_SUMMARY": tmp_path / "summary"}
    for file in files.values():
        file.write_text("")
    script = tmp_path / "step.sh"
    script.write_text(step("Audit")["run"])
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    done = run(bash, project, **variables, **{name: str(file) for name, file in files.items()})
    assert done.returncode == 0, done.stderr
    code = re.fullmatch(r"exit-code=(\d+)\n", files["GITHUB_OUTPUT"].read_text())
    assert code is not None
    return code[1], files["GITHUB_STEP_SUMMARY"].read_text(), done.stdout + done.stderr


FAST = {"arguments": "--stage evaluation", "changed-only": "false"}


def test_the_action_shows_a_green_audit(project: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "a report")
    code, summary, _ = audit_step(
        project,
        tmp_path,
        model="model.keras",
        test="test.npz",
        out=out,
        positive="0",
        **FAST,
        **{"fail-level": "critical"},
    )
    assert code == "0"
    assert re.match(r"## [A-Z ]+: ", summary)
    assert (Path(out) / "result.sarif").is_file()


def test_the_action_shows_a_red_audit(project: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "report")
    code, summary, _ = audit_step(project, tmp_path, model="model.keras", test="scaled.npz", out=out, **FAST)
    assert code == "1"
    assert summary.startswith("## NOT READY")
    assert "PA210" in summary


def test_the_action_never_shows_an_older_summary_for_what_was_not_assessed(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    out.mkdir()
    (out / "summary.md").write_text("## READY: an older audit")
    code, summary, log = audit_step(project, tmp_path, model="nowhere.keras", test="test.npz", out=str(out), **FAST)
    assert code == "2"
    assert "READY" not in summary
    assert "assessed nothing" in summary
    assert "There is no model 'nowhere.keras'" in log


def test_inputs_of_the_action_are_never_code(project: Path, tmp_path: Path) -> None:
    for entry in ACTION["runs"]["steps"]:
        assert "${{" not in entry.get("run", ""), "an input inside a script would be run"
    name = '"; touch injected; echo "$(touch injected)'
    code, _, _ = audit_step(
        project, tmp_path, model=name, test="test.npz", positive=name, **{**FAST, "arguments": "$(touch injected) *"}
    )
    assert code == "2"
    assert not list(project.rglob("injected"))


@pytest.mark.parametrize("code", ["0", "1", "2", "3", ""])
def test_the_action_ends_as_the_audit_did(code: str, project: Path) -> None:
    done = run(["bash", "-c", step("Decide")["run"]], project, CODE=code)
    assert done.returncode == int(code or 3)


def test_every_input_of_the_action_is_used_and_described() -> None:
    text = (ROOT / "action.yml").read_text()
    for name, entry in ACTION["inputs"].items():
        assert f"inputs.{name}" in text, name
        assert entry["description"]
    assert ACTION["outputs"]["exit-code"]["value"] == "${{ steps.audit.outputs.exit-code }}"
    for entry in ACTION["runs"]["steps"]:
        assert entry.get("shell") == "bash" or re.fullmatch(r"[\w./-]+@v\d+", entry["uses"]), "a version is named"


def test_the_workflow_in_the_docs_gives_what_the_action_takes() -> None:
    (workflow,) = [block for block in map(yaml.safe_load, BLOCKS["yaml"]) if "jobs" in block]
    given = workflow["jobs"]["audit"]["steps"][-1]["with"]
    assert set(given) <= set(ACTION["inputs"])
    required = {name for name, entry in ACTION["inputs"].items() if entry.get("required")}
    assert required <= set(given)


def recipe_commands() -> list[str]:
    """The poolaudit commands of the GitLab and tox recipes; installing is left to those who have a network."""
    (gitlab,) = [block for block in map(yaml.safe_load, BLOCKS["yaml"]) if "audit" in block]
    parser = configparser.ConfigParser()
    parser.read_string(BLOCKS["ini"][0])
    lines = [*gitlab["audit"]["script"]]
    for section in parser.sections():
        lines += parser[section]["commands"].strip().splitlines()
    return [line for line in lines if line.startswith("poolaudit")]


def test_the_commands_of_the_recipes_run_and_reuse_what_did_not_change(project: Path) -> None:
    commands = recipe_commands()
    assert len(commands) == 2
    logs = []
    for command in commands:
        done = run(shlex.split(command), project)
        assert done.returncode in (0, 1), done.stderr
        assert (project / "poolaudit-report" / "junit.xml").is_file()
        logs.append(done.stderr)
    assert "not run again: measured" not in logs[0]
    for stage in ("geometry", "evaluation", "conformance", "ablation", "leakage"):
        assert re.search(rf"{stage} done in 0.0 s: not run again: measured", logs[1]), stage


def test_the_pytest_command_of_the_tox_recipe_runs(project: Path, tmp_path: Path) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(BLOCKS["ini"][0])
    command = parser["testenv:audit"]["commands"].strip()
    command = command.replace("{toxworkdir}", str(tmp_path)).replace("{posargs:tests}", "tests")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_nothing.py").write_text("def test_nothing(poolaudit):\n    assert poolaudit\n")
    done = run(
        [sys.executable, "-m", *shlex.split(command), "--rootdir", str(tmp_path)], tmp_path, PATH="/usr/bin:/bin"
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "audits" / "report.html").is_file()


def hook() -> dict[str, Any]:
    (only,) = HOOKS
    return dict(only)


def test_the_hook_takes_model_files_and_nothing_else() -> None:
    taken = re.compile(hook()["files"])
    for name in ("model.keras", "deep/er/model.h5", "a b.hdf5"):
        assert taken.search(name)
    for name in ("model.py", "keras.txt", "model.keras.md"):
        assert not taken.search(name)
    named = yaml.safe_load(next(block for block in BLOCKS["yaml"] if "hooks:" in block))
    assert [entry["id"] for entry in named["repos"][0]["hooks"]] == [hook()["id"]]


def test_the_hook_looks_at_every_file_and_fails_for_one(project: Path) -> None:
    import keras

    blind = keras.Sequential(
        [
            keras.Input((9, 9, 1)),
            keras.layers.MaxPooling2D(2, strides=4),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    blind.save(project / "blind model.keras")
    # pre-commit appends the names of the changed files to the entry.
    entry = shlex.split(hook()["entry"])
    good = run([*entry, "model.keras"], project)
    assert good.returncode == 0, good.stdout + good.stderr
    both = run([*entry, "blind model.keras", "nowhere.keras"], project)
    assert both.returncode == 2, both.stdout + both.stderr
    assert "FAIL  PA301" in both.stdout
    assert "There is no model 'nowhere.keras'" in both.stderr


def test_the_exit_codes_in_the_docs_are_those_of_the_program() -> None:
    from poolaudit.cli import main

    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCS, re.MULTILINE)}
    assert documented == {0, main.EXIT_FINDINGS, main.EXIT_BAD_INPUT, main.EXIT_CRASHED, main.EXIT_INTERRUPTED}
