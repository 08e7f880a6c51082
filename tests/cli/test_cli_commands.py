"""The commands: help, exit codes, what goes to which stream, and what is written."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_runs import run

from poolaudit.cli.main import app, main, register_commands
from poolaudit.pitfalls.detector import all_detectors
from poolaudit.store.results import decode_result, encode_result, load_result
from poolaudit.version import __version__
from specimens.outcomes import scored_counts

README = Path(__file__).parents[2] / "README.md"


def commands() -> list[str]:
    register_commands()
    return sorted(str(command.name) for command in app.registered_commands)


def process(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "poolaudit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd, **options)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with predictions of a good and of a bad model, and the program running in it."""
    for name, counts in (("good", (950, 50, 50, 8950)), ("bad", (24, 176, 24, 9776))):
        made = scored_counts(*counts)
        assert made.probabilities is not None
        np.savez(
            tmp_path / f"{name}.npz", label=np.array(["fine", "fraud"])[made.labels], p_fraud=made.probabilities[:, 1]
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert len(commands()) >= 8
    for command in commands():
        assert len(re.findall(rf"^\s+{command}\s", out, re.MULTILINE)) == 1
        code, help_text, _ = run(capsys, command, "--help")
        assert code == 0
        for option in set(re.findall(r"^\s+(--[a-z-]+)", help_text, re.MULTILINE)):
            assert re.search(rf"{option}[,\s].*\n?\s*\S", help_text)
    assert "130 interrupted" in out


@pytest.mark.skipif(not README.is_file() or not README.read_text().strip(), reason="there is no README yet")
def test_every_command_is_in_the_readme() -> None:
    text = README.read_text()
    assert [command for command in commands() if f"poolaudit {command}" not in text] == []


def test_version_and_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"poolaudit {__version__}\n", "")
    code, out, err = run(capsys)
    assert code == 2
    assert "Commands" in out + err
    assert "Traceback" not in err


def test_exit_code_0_and_the_files(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "metrics", "good.npz", "--positive", "fraud")
    assert code == 0, out
    assert out.strip().startswith("READY: good.npz")
    folder = files / "poolaudit-report"
    assert {path.name for path in folder.iterdir()} == {
        "report.html",
        "result.json",
        "junit.xml",
        "result.sarif",
        "summary.md",
        "model-index.yml",
    }
    assert load_result(folder).verdict.value == "READY"
    assert "poolaudit-report/report.html" in out


def test_exit_code_1_with_findings(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "metrics", "bad.npz", "--positive", "fraud", "--out", "bad")
    assert code == 1
    assert "NOT READY" in out
    assert "misses 176 of the 200 'fraud' cases" in out


def test_json_alone_goes_to_standard_output(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "metrics", "bad.npz", "--positive", "fraud", "--json")
    assert code == 1
    assert decode_result(out.encode()) == load_result(files / "poolaudit-report")
    assert json.loads(out)["verdict"] == "NOT_READY"


def test_quiet_prints_nothing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "metrics", "bad.npz", "--positive", "fraud", "--quiet") == (1, "", "")


def test_fail_level_of_the_command_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "strict.toml").write_text("good_recall = 0.97\nbad_recall = 0.5")
    asked = ("metrics", "good.npz", "--positive", "fraud", "--policy", "strict.toml", "--quiet")
    assert run(capsys, *asked)[0] == 1
    assert run(capsys, *asked, "--fail-level", "critical")[0] == 0


def test_report_judges_again_without_the_data(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "metrics", "good.npz", "--positive", "fraud", "--quiet")[0] == 0
    (files / "good.npz").unlink()
    (files / "strict.toml").write_text("good_recall = 0.99\nbad_recall = 0.98")
    code, out, _ = run(capsys, "report", "poolaudit-report", "--policy", "strict.toml", "--out", "again")
    assert code == 1
    assert "NOT READY" in out
    before, after = load_result(files / "poolaudit-report"), load_result(files / "again")
    assert after.evidence == before.evidence
    assert after.policy.good_recall == 0.99
    assert run(capsys, "report", "again/result.json", "--quiet", "--out", "third")[0] == 1
    assert load_result(files / "third") == after


def test_accept_writes_a_baseline_that_silences_what_is_known(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "metrics", "bad.npz", "--positive", "fraud", "--quiet")[0] == 1
    said = run(capsys, "accept", "poolaudit-report", "--reason", "known since the pilot", "--expires", "2999-01-31")
    assert said[0] == 0
    assert "PA201" in said[1]
    again = ("metrics", "bad.npz", "--positive", "fraud", "--baseline", "poolaudit-baseline.toml")
    code, out, _ = run(capsys, *again)
    assert code == 0
    assert "NOT READY" in out, "the verdict stays"
    assert "accepted until 2999-01-31: known since the pilot" in out
    html = (files / "poolaudit-report" / "report.html").read_text(encoding="utf-8")
    assert "Accepted until 2999-01-31: known since the pilot" in html
    for bad in ("2020-01-31", "tomorrow"):
        assert run(capsys, "accept", "poolaudit-report", "--reason", "x", "--expires", bad)[0] == 2
    assert run(capsys, *again[:-1], "nowhere.toml")[0] == 2


def test_diff_fails_on_what_is_new(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("good", "bad"):
        run(capsys, "metrics", f"{name}.npz", "--positive", "fraud", "--quiet", "--out", name)
    code, out, _ = run(capsys, "diff", "good", "bad", "--out", "changes")
    assert code == 1
    assert "READY → NOT READY" in out
    assert {entry.name for entry in (files / "changes").iterdir()} == {"diff.html", "diff.md"}
    code, out, _ = run(capsys, "diff", "bad", "good/result.json")
    assert code == 0
    assert "fixed" in out
    assert run(capsys, "diff", "good", "nowhere")[0] == 2


def test_a_tampered_result_is_refused_or_shown_and_never_a_crash(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "metrics", "good.npz", "--positive", "fraud", "--quiet")[0] == 0
    plain = json.loads((files / "poolaudit-report" / "result.json").read_bytes())
    del plain["sha256"]
    evaluation = plain["evidence"]["evaluation"]
    for key, value in {
        "positive": "nobody",
        "per_class": [],
        "class_names": [],
        "confusion": [],
        "curves": [],
        "averages": [],
        "recoverable_recall": [],
    }.items():
        changed = plain | {"evidence": plain["evidence"] | {"evaluation": evaluation | {key: value}}}
        (files / "changed.json").write_text(json.dumps(changed))
        code, _, err = run(capsys, "report", "changed.json", "--out", "out", "--quiet")
        assert code in (0, 1, 2), (key, err)
        assert "Traceback" not in err


def test_explain_knows_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "explain")
    assert code == 0
    listed = [line.split()[0] for line in out.splitlines()]
    assert listed == sorted(set(listed))
    assert set(listed) > set(all_detectors().names())
    for detector in all_detectors():
        code, out, _ = run(capsys, "explain", detector.doc.code.lower())
        assert code == 0
        for part in (detector.doc.title, "Why it matters", "How it is checked", "What to do", "false alarm"):
            assert part in out
        code, out, _ = run(capsys, "explain", detector.doc.code, "--json")
        assert json.loads(out)["title"] == detector.doc.title


def test_audit_of_a_trained_model(
    trained_digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "audit",
        str(trained_digits.model_file),
        "--test",
        str(trained_digits.test_file),
        "--title",
        "Digits",
        "--stage",
        "geometry",
        "--stage",
        "evaluation",
        "--json",
    ]
    monkeypatch.setattr(sys, "argv", ["poolaudit", *words])
    code, out, err = run(capsys, *words)
    result = decode_result(out.encode())
    assert code in (0, 1)
    assert result.title == "Digits"
    assert (
        result.provenance.command
        == "poolaudit audit model.keras --test test.npz --title Digits --stage geometry --stage evaluation --json"
    )
    assert "evaluation (2 of 2) ..." in err
    for file in ("report.html", "result.json"):
        assert str(trained_digits.folder) not in (tmp_path / "poolaudit-report" / file).read_text()


def test_an_audit_takes_the_options_of_its_ablation_and_leaves_stages_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = (rng.normal(0, 1, (60, 8, 8, 1)) + y[:, None, None, None]).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    layers = [keras.layers.MaxPooling2D(2), keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")]
    keras.Sequential([keras.Input((8, 8, 1)), *layers]).save(tmp_path / "model.keras")
    monkeypatch.chdir(tmp_path)
    words = ["audit", "model.keras", "--test", "data.npz", "--train", "data.npz"]
    words += ["--seeds", "3", "--epochs", "1", "--minutes", "0.01"]
    words += [word for stage in ("conformance", "leakage", "geometry") for word in ("--skip-stage", stage)]
    code, out, _ = run(capsys, *words)
    assert code in (0, 1)
    result = load_result(tmp_path / "poolaudit-report")
    ablation = result.evidence.ablation
    assert ablation is not None
    assert (ablation.depth, ablation.planned_seeds) == ("retrained", 3)
    assert ablation.training is not None
    assert ", 1 epochs" in ablation.training.statement
    assert result.stages_not_run == ("geometry", "conformance", "leakage")
    assert "not run: geometry, conformance, leakage" in out
    assert "Stage leakage: skipped on request" in out


def test_both_files_or_none(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "out" / "report.html").mkdir(parents=True)
    code, out, err = run(capsys, "metrics", "good.npz", "--out", "out", "--quiet")
    assert (code, out) == (2, "")
    assert "report.html" in err
    assert [path.name for path in (files / "out").iterdir()] == ["report.html"]


def test_streams_and_codes_of_the_real_program(files: Path) -> None:
    done = process("metrics", "bad.npz", "--positive", "fraud", "--json", cwd=files)
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "NOT_READY"
    assert "Traceback" not in done.stderr
    done = process("metrics", "bad.npz", "--positive", "frad", cwd=files)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'fraud'?" in done.stderr


def test_titles_and_files_in_any_bytes(files: Path) -> None:
    """A name in no valid encoding, and a terminal without Unicode."""
    odd = os.fsencode(files) + b"/odd\xff.npz"
    os.rename(files / "good.npz", odd)
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = [sys.executable, "-m", "poolaudit", "metrics", odd, "--title", b"caf\xc3\xa9 \xff"]
    done = subprocess.run(command, capture_output=True, timeout=120, cwd=files, env=environment)
    assert done.returncode in (0, 1), done.stderr.decode(errors="replace")
    assert load_result(files / "poolaudit-report").title.startswith("caf")


def test_a_reader_that_goes_away_is_no_crash(files: Path) -> None:
    command = f"{sys.executable} -m poolaudit metrics bad.npz --json | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120, cwd=files)
    assert done.stdout == "{"
    assert "Traceback" not in done.stderr
    assert "defect of poolaudit" not in done.stderr


def test_an_interrupt_ends_with_130_and_writes_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    p = rng.random((400_000, 12))
    p /= p.sum(axis=1, keepdims=True)
    np.savez(tmp_path / "p.npz", label=np.arange(len(p)) % 12, **{f"p_{i}": p[:, i] for i in range(12)})
    command = [sys.executable, "-m", "poolaudit", "metrics", "p.npz"]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert child.stderr is not None
    assert "evaluation" in child.stderr.readline()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    # Where the interrupt strikes inside exec(), CPython ends itself by the signal; a shell shows 130 for both.
    assert child.returncode in (130, -signal.SIGINT), err
    assert out == ""
    assert err.splitlines()[-1] == "poolaudit: interrupted"
    assert not list((tmp_path / "poolaudit-report").iterdir())


def test_encoding_of_a_result_is_stable(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "metrics", "good.npz", "--quiet")
    stored = (files / "poolaudit-report" / "result.json").read_bytes()
    assert encode_result(decode_result(stored)) == stored


def test_the_page_of_checks_is_what_the_checks_say() -> None:
    root = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location("checks_page", root / "scripts" / "checks_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page() == (root / "docs" / "checks.md").read_text(encoding="utf-8"), "run scripts/checks_page.py"


def test_nothing_of_an_earlier_result_is_left_beside_a_new_one(tmp_path: Path) -> None:
    predictions = tmp_path / "predictions.csv"
    predictions.write_text("label,p_a,p_b\n" + "a,0.9,0.1\nb,0.2,0.8\n" * 50)
    out = tmp_path / "out"
    with pytest.raises(SystemExit):
        main(["metrics", str(predictions), "--out", str(out), "--quiet"])
    assert (out / "model-index.yml").exists()
    images = np.random.default_rng(0).random((40, 8, 8, 1)).astype(np.float32)
    for name in ("train", "test"):
        np.savez(tmp_path / f"{name}.npz", x=images[:20] if name == "train" else images[20:], y=np.arange(20) % 2)
    with pytest.raises(SystemExit):
        main(
            [
                "leaks",
                "--train",
                str(tmp_path / "train.npz"),
                "--test",
                str(tmp_path / "test.npz"),
                "--out",
                str(out),
                "-q",
            ]
        )
    assert load_result(out / "result.json").scope == "leakage"
    assert not (out / "model-index.yml").exists()
