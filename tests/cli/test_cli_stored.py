"""What `report`, `diff` and `accept` believe of a stored result: its evidence, where that agrees with itself."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_runs import run

from poolaudit.cli.main import main
from poolaudit.cli.printing import printable
from poolaudit.evaluation.evaluate import NO_PROBABILITIES
from specimens.outcomes import save_good_and_bad

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The stored results of a good and of a bad model."""
    folder = tmp_path_factory.mktemp("stored")
    save_good_and_bad(folder)
    for name in ("good", "bad"):
        with pytest.raises(SystemExit):
            main(["metrics", str(folder / f"{name}.npz"), "--positive", "fraud", "-q", "--out", str(folder / name)])
    return {name: without_digest(folder / name) for name in ("good", "bad")}


def without_digest(folder: Path) -> dict[str, Any]:
    """A stored result as somebody would change it who does not want to be found out."""
    result = json.loads((folder / "result.json").read_text())
    del result["sha256"]
    return dict(result)


@pytest.fixture
def edited(
    results: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Edit], None]:
    """Writes `good.json` and `edited.json`, a result that was changed by hand, into the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.json").write_text(json.dumps(results["good"]))
    (tmp_path / "bad.json").write_text(json.dumps(results["bad"]))

    def write(name: str, edit: Edit) -> None:
        result = copy.deepcopy(results[name])
        edit(result)
        (tmp_path / "edited.json").write_text(json.dumps(result))

    return write


def evaluation(result: dict[str, Any]) -> Any:
    return result["evidence"]["evaluation"]


def fraud(result: dict[str, Any]) -> Any:
    return next(entry for entry in evaluation(result)["per_class"] if entry["name"] == "fraud")


def acceptance(code: str, expires: str, **more: Any) -> dict[str, Any]:
    return {
        "code": code,
        "outcome": "FAILED",
        "severity": "critical",
        "subjects": [],
        "reason": "written by hand",
        "expires": expires,
    } | more


UNKNOWN = {"value": None, "low": None, "high": None, "reason": "x"}
CONTRADICTIONS: dict[str, Edit] = {
    "recall raised": lambda r: fraud(r)["recall"].update(value=0.99, low=0.98, high=1.0),
    "recall's interval narrowed": lambda r: fraud(r)["recall"].update(low=0.119, high=0.121),
    "recall's interval moved up": lambda r: fraud(r)["recall"].update(high=0.99),
    "precision raised": lambda r: fraud(r)["precision"].update(value=0.99, low=0.98, high=1.0),
    "the gap closed": lambda r: fraud(r)["precision_minus_recall"].update(value=0.0, low=-0.1, high=0.1),
    "accuracy of fewer items": lambda r: evaluation(r)["accuracy"].update(n=10),
    "accuracy above 1": lambda r: evaluation(r)["accuracy"].update(value=1.5, low=1.4, high=1.6),
    "accuracy below 0": lambda r: evaluation(r)["accuracy"].update(value=-3.0),
    "ends exchanged": lambda r: fraud(r)["recall"].update(low=0.9, high=0.1),
    "negative n": lambda r: fraud(r)["recall"].update(n=-5),
    "confidence of 2": lambda r: evaluation(r)["accuracy"].update(confidence=2.0),
    "misses turned into hits": lambda r: fraud(r).update(true_positives=200, false_negatives=0),
    "a cell of the matrix": lambda r: evaluation(r)["confusion"][1].__setitem__(1, 200),
    "a row of the matrix": lambda r: evaluation(r)["confusion"].pop(),
    "fewer items": lambda r: evaluation(r).update(n=5),
    "class of interest unknown": lambda r: evaluation(r).update(positive="fruad"),
    "majority unknown": lambda r: evaluation(r)["no_information"].update(majority_class="x"),
    "no-information test passed": lambda r: evaluation(r)["no_information"].update(p_value=1e-9),
    "no-information rate": lambda r: evaluation(r)["no_information"].update(rate=0.01),
    "better correlation": lambda r: evaluation(r)["matthews_correlation"].update(value=0.99, low=0.98, high=1.0),
    "better balance": lambda r: evaluation(r)["balanced_accuracy"].update(value=0.99, low=0.98, high=1.0),
    "p-value of 7": lambda r: evaluation(r)["no_information"].update(p_value=7.0),
    "area above 1": lambda r: fraud(r)["roc_auc"].update(value=1.2, low=1.1, high=1.3),
    "evidence taken out": lambda r: r["evidence"].update(evaluation=None),
    "stage taken out": lambda r: r.update(stages=[]),
    "stage twice": lambda r: r["stages"].append(r["stages"][0]),
    "stage never run": lambda r: r["stages"][0].update(outcome="SKIPPED", reason="x"),
    "stage failed": lambda r: r["stages"][0].update(outcome="FAILED", reason="x"),
    "another scope": lambda r: r.update(scope="conformance"),
    "scope without checks": lambda r: r.update(scope="benchmarks"),
    "another confidence": lambda r: r["policy"].update(confidence=0.5),
    "area taken out": lambda r: fraud(r)["roc_auc"].update(**UNKNOWN),
    "average precision taken out": lambda r: fraud(r)["average_precision"].update(**UNKNOWN),
    "scores denied": lambda r: fraud(r)["roc_auc"].update(**{**UNKNOWN, "reason": NO_PROBABILITIES}),
    "other thresholds taken out": lambda r: evaluation(r).update(recoverable_recall=[]),
    "other thresholds unknown": lambda r: evaluation(r)["recoverable_recall"][0]["recall"].update(**UNKNOWN),
    "other thresholds better": lambda r: evaluation(r)["recoverable_recall"][-1]["recall"].update(low=0.9, high=1.0),
    "other thresholds of another class": lambda r: evaluation(r)["recoverable_recall"][0].update(class_name="genuine"),
    "area raised with its interval": lambda r: fraud(r)["roc_auc"].update(value=0.9999, low=0.999, high=1.0),
    "area outside its interval": lambda r: fraud(r)["roc_auc"].update(low=0.1, high=0.2),
    "area of more items": lambda r: fraud(r)["roc_auc"].update(n=10**6),
    "average precision outside its interval": lambda r: fraud(r)["average_precision"].update(low=0.98, high=0.99),
    "averages taken out": lambda r: evaluation(r).update(averages=[]),
    "average recall raised": lambda r: evaluation(r)["averages"][0]["recall"].update(value=0.97, low=0.96, high=0.98),
    "kappa outside its interval": lambda r: evaluation(r)["cohens_kappa"].update(low=0.98, high=0.99),
    "calibration error outside its interval": lambda r: evaluation(r)["calibration"][
        "expected_calibration_error"
    ].update(value=0.0, low=0.5, high=0.6),
    "the demanded precision taken out": lambda r: evaluation(r).update(
        recoverable_recall=evaluation(r)["recoverable_recall"][5:]
    ),
    "another precision": lambda r: evaluation(r)["recoverable_recall"][-1].update(wanted_precision=0.999),
    "looked into below another bar": lambda r: evaluation(r).update(looked_into_below=0.1),
    "calibration taken out": lambda r: evaluation(r).update(calibration=None),
    "log loss taken out": lambda r: evaluation(r)["log_loss"].update(**UNKNOWN),
    "curve taken out": lambda r: evaluation(r).update(curves=[]),
    "curve's points taken out": lambda r: evaluation(r)["curves"][0].update(points=[]),
    "curve's end taken out": lambda r: evaluation(r)["curves"][0]["points"].pop(),
    "curve's middle taken out": lambda r: evaluation(r)["curves"][0]["points"].__delitem__(slice(0, -1)),
    "curve's precision raised": lambda r: evaluation(r)["curves"][0]["points"][-1].update(precision=0.99),
    "count beyond all counts": lambda r: evaluation(r)["confusion"][1].__setitem__(1, 10**18),
    "recall without a value": lambda r: fraud(r)["recall"].update(value=None, low=None, high=None, reason="x"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_evidence_that_contradicts_itself_is_refused_by_all(
    edited: Callable[[str, Edit], None], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    edited("bad", CONTRADICTIONS[name])
    for command in (
        ("report", "edited.json", "--out", "out"),
        ("accept", "edited.json", "--reason", "x", "--expires", "2999-01-31"),
        ("diff", "good.json", "edited.json"),
        ("diff", "edited.json", "good.json"),
    ):
        code, out, err = run(capsys, *command)
        assert (code, out) == (2, ""), command
        assert err.startswith("poolaudit: 'edited.json'"), command
    assert not (Path("out") / "report.html").exists()
    assert not Path("poolaudit-baseline.toml").exists()


def passed(result: dict[str, Any]) -> None:
    result["verdict"] = "READY"
    for finding in result["findings"]:
        if finding["outcome"] == "FAILED":
            finding.update(outcome="PASSED", subjects=[])


OTHER_CONCLUSIONS: dict[str, Edit] = {
    "verdict": lambda r: r.update(verdict="READY"),
    "outcomes": passed,
    "severities": lambda r: [f.update(severity="info") for f in r["findings"]],
    "no findings": lambda r: r.update(findings=[]),
}


@pytest.mark.parametrize("name", OTHER_CONCLUSIONS)
def test_conclusions_are_drawn_again_and_the_difference_is_told(
    edited: Callable[[str, Edit], None], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    edited("bad", OTHER_CONCLUSIONS[name])
    code, out, _ = run(capsys, "report", "edited.json", "--out", "out")
    assert code == 1
    assert "NOT READY" in out
    assert "Note: The file" in out
    assert "The file" in (Path("out") / "report.html").read_text(encoding="utf-8").split("What decided")[0]
    code, out, _ = run(capsys, "diff", "bad.json", "edited.json")
    assert code == 0
    assert "Of the new result: The file" in out
    assert "fixed" not in out.split("###")[0]
    code, out, _ = run(capsys, "diff", "good.json", "edited.json")
    assert code == 1, "what is new is new, whatever the file says"
    code, out, _ = run(capsys, "accept", "edited.json", "--reason", "x", "--expires", "2999-01-31")
    assert code == 0
    assert "PA201" in out


def test_an_untouched_result_is_believed(
    edited: Callable[[str, Edit], None], capsys: pytest.CaptureFixture[str]
) -> None:
    edited("good", lambda r: None)
    code, out, _ = run(capsys, "report", "edited.json", "--out", "out")
    assert code == 0
    assert "Note:" not in out
    assert run(capsys, "diff", "good.json", "edited.json")[0] == 0


@pytest.mark.parametrize("measured", [0.5, 0.85])
def test_a_result_judged_by_another_policy_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], measured: float
) -> None:
    """What was looked into depends on the bar it was measured under, whatever bar it is judged by later."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 900)
    scores = np.where(rng.random((900, 1)) < 0.9, np.eye(3)[label] * 0.8, np.roll(np.eye(3)[label], 1, axis=1) * 0.8)
    np.savez("three.npz", label=label, **{f"p_{index}": scores[:, index] + 0.2 / 3 for index in range(3)})
    for name, bar in (("measured", measured), ("higher", 0.97), ("lower", 0.3)):
        bad = min(bar, 0.7)
        Path(f"{name}.toml").write_text(f"good_recall = {bar}\nbad_recall = {bad}\ngood_precision = 0.5\n")
    run(capsys, "metrics", "three.npz", "--policy", "measured.toml", "-q", "--out", "measured")
    for other in ("higher", "lower"):
        _, out, err = run(capsys, "report", "measured", "--policy", f"{other}.toml", "--out", other)
        assert err == ""
        assert "hold no scores" not in out + (Path(other) / "report.html").read_text(encoding="utf-8")
        assert run(capsys, "report", other, "--out", "again")[2] == ""
        assert run(capsys, "diff", "measured", other)[0] < 2


@pytest.mark.parametrize("expires", ["2000-01-01", "2999-01-31"])
def test_an_acceptance_in_the_result_alone_does_not_count(
    edited: Callable[[str, Edit], None], capsys: pytest.CaptureFixture[str], expires: str
) -> None:
    def write(result: dict[str, Any]) -> None:
        codes = [finding["code"] for finding in result["findings"]]
        result["accepted"] = [acceptance(code, expires) for code in codes]

    edited("bad", write)
    code, out, _ = run(capsys, "report", "edited.json", "--out", "out")
    assert code == 1
    assert "NOT READY" in out
    assert f"PA201 does not count as accepted until {expires} (written by hand)" in out
    assert ", accepted</span>" not in (Path("out") / "report.html").read_text(encoding="utf-8")
    assert run(capsys, "diff", "good.json", "edited.json")[0] == 1


def test_an_acceptance_lapses_after_the_result_was_judged(
    edited: Callable[[str, Edit], None], capsys: pytest.CaptureFixture[str]
) -> None:
    edited("bad", lambda r: None)
    accepted = ("accept", "edited.json", "--reason", "known", "--expires", "2999-01-31")
    assert run(capsys, *accepted)[0] == 0
    again = ("report", "edited.json", "--out", "out", "--baseline", "poolaudit-baseline.toml")
    code, out, _ = run(capsys, *again)
    assert code == 0
    assert "accepted until 2999-01-31: known" in out
    baseline = Path("poolaudit-baseline.toml")
    baseline.write_text(baseline.read_text().replace("2999-01-31", "2001-02-03"))
    code, out, _ = run(capsys, *again)
    assert code == 1
    assert "2001-02-03 (known): it expired on 2001-02-03" in out
    code, out, _ = run(capsys, "diff", "good.json", "edited.json", "--baseline", "poolaudit-baseline.toml")
    assert code == 1


@pytest.mark.parametrize(
    "expires", ["20990101", "2099-W01-1", "2099-1-1", "2099-01-01T00:00", " 2099-01-01", "tomorrow"]
)
def test_the_expiry_day_has_one_form(
    edited: Callable[[str, Edit], None], capsys: pytest.CaptureFixture[str], expires: str
) -> None:
    edited("bad", lambda r: None)
    code, _, err = run(capsys, "accept", "edited.json", "--reason", "x", "--expires", expires)
    assert code == 2
    assert "YYYY-MM-DD" in err


def test_a_baseline_that_cannot_be_written_names_its_own_option(
    edited: Callable[[str, Edit], None], capsys: pytest.CaptureFixture[str]
) -> None:
    edited("bad", lambda r: None)
    arguments = ("--reason", "x", "--expires", "2999-01-31", "--baseline", "nowhere/b.toml")
    code, _, err = run(capsys, "accept", "edited.json", *arguments)
    assert code == 2
    assert "--baseline" in err
    assert "--out" not in err


HOSTILE_TITLE = "a\x1b[31mb\x07\u202ec\u2066\x9bd\x00\ufeff"


def test_what_is_printed_is_printable(edited: Callable[[str, Edit], None], capsys: pytest.CaptureFixture[str]) -> None:
    edited("bad", lambda r: r.update(title=HOSTILE_TITLE + "y" * 1_000))
    for command in (("report", "edited.json", "--out", "out"), ("diff", "edited.json", "bad.json")):
        _, out, err = run(capsys, *command)
        assert not set(HOSTILE_TITLE) - set("abcd[31m") & set(out + err)
        assert max(map(len, out.split("###")[0].splitlines())) < 600
    code, _, err = run(capsys, "diff", "edited.json", "gone\x1b[2J.json")
    assert code == 2
    assert "\x1b" not in err


@pytest.mark.parametrize("text", ["größe 漢字", "a\nb\tc", "👩‍👩‍👧", "می‌خواهم", "n = 1 000"])
def test_ordinary_writing_is_printed_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_names_with_joiners_are_shown_as_they_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, literal = "می‌خواهم", "a\\u200cb"
    rows = "".join(f"{name},{name}\n{name},{literal}\n{literal},{literal}\n" for _ in range(30))
    (tmp_path / "p.csv").write_text(f"label,predicted\n{rows}", encoding="utf-8")
    _, out, _ = run(capsys, "metrics", str(tmp_path / "p.csv"), "--out", str(tmp_path / "out"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for text in (out, page, (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")):
        assert name in text
        assert name.encode("unicode_escape").decode() not in text


@pytest.mark.parametrize(
    ("header", "words"),
    [('label,"p_a\nb",p_c', "goes on in the next line"), ('label,predicted,"x\r\ny"', "goes on in the next line")],
)
def test_a_column_name_over_two_lines_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], header: str, words: str
) -> None:
    (tmp_path / "p.csv").write_bytes(f"{header}\na,0.1,0.9\nb,0.1,0.9\n".encode())
    code, _, err = run(capsys, "metrics", str(tmp_path / "p.csv"), "--out", str(tmp_path / "out"))
    assert code == 2
    assert words in err


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems have no names that are not UTF-8")
def test_a_file_name_need_not_be_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad\udcff.csv"
    file.write_text("label,predicted\n" + "a,a\nb,b\n" * 200)
    code, out, _ = run(capsys, "metrics", str(file), "--out", str(tmp_path / "out"))
    assert code == 0
    assert "\\udcff" in out


def test_an_audit_in_which_nothing_could_be_checked_is_not_green(
    edited: Callable[[str, Edit], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def unrun(result: dict[str, Any]) -> None:
        result["evidence"]["evaluation"] = None
        result["stages"][0].update(outcome="SKIPPED", reason="not asked for")

    edited("good", unrun)
    code, out, _ = run(capsys, "report", "edited.json", "--out", "out")
    assert code == 1
    assert "No check could be carried out" in out


def test_leaked_items_are_known_by_their_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same leak in another order is no alarm; as many others, or one more, are."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target
    train, rest = np.arange(900), np.arange(900, 1300)
    monkeypatch.chdir(tmp_path)
    np.savez("train.npz", x=x[train], y=y[train])
    rng = np.random.default_rng(0)
    for name, leaked in (("old", range(20)), ("same", range(20)), ("others", range(20, 40)), ("more", range(21))):
        items = rng.permutation([*rest, *leaked])
        np.savez(f"{name}.npz", x=x[items], y=y[items])
        run(capsys, "leaks", "--train", "train.npz", "--test", f"{name}.npz", "-q", "--out", name)
    accepted = ("accept", "old", "--code", "PA401", "--reason", "x", "--expires", "2999-01-31")
    assert run(capsys, *accepted)[0] == 0
    for name, is_worse in (("same", False), ("others", True), ("more", True)):
        _, out, _ = run(capsys, "diff", "old", name)
        assert ("Worse than before" in out and "accused now and not before: 'item" in out.lower()) is is_worse, name
        _, out, _ = run(capsys, "report", name, "--baseline", "poolaudit-baseline.toml", "--out", "again")
        assert ("PA401 does not count as accepted" in out) is is_worse, name


@pytest.mark.parametrize("sample", [[], ["--sample", "40"]])
def test_items_looked_at_and_left_out_are_all_test_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sample: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = np.random.default_rng(0).random((180, 8, 8)), np.arange(180) % 3
    np.savez("train.npz", x=x[:120], y=y[:120])
    np.savez("test.npz", x=x[100:], y=y[100:])
    run(capsys, "leaks", "--train", "train.npz", "--test", "test.npz", "-q", "--out", "leaks", *sample)
    assert run(capsys, "report", "leaks", "-q", "--out", "again")[0] < 2
    stored = without_digest(Path("leaks"))
    for more, others in ((10**6, 0), (-20, 0), (0, 30)):
        result = copy.deepcopy(stored)
        across = result["evidence"]["leakage"]["comparisons"][0]
        across.update(looked_at=across["looked_at"] + more, left_out=across["left_out"] + others)
        Path("edited.json").write_text(json.dumps(result))
        code, _, err = run(capsys, "report", "edited.json", "-q", "--out", "again")
        assert code == 2
        assert "are not all test items" in err


def audited(capsys: pytest.CaptureFixture[str], title: str, *options: str) -> tuple[str, str]:
    """What `poolaudit metrics` with this title says on standard output and standard error."""
    _, out, err = run(
        capsys, "metrics", "good.npz", "--positive", "fraud", "--title", title, "--out", "there", *options
    )
    return out, err


def test_a_report_of_something_else_is_not_replaced_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["poolaudit", "metrics", "good.npz"])
    save_good_and_bad(tmp_path)
    told = "Replaced the report of 'first' (poolaudit metrics) that lay there; --out names another folder.\n"
    assert "Replaced" not in audited(capsys, "first")[0]
    assert "Replaced" not in audited(capsys, "first")[0]
    assert audited(capsys, "second")[0].endswith(told)
    audited(capsys, "first", "-q")
    out, err = audited(capsys, "second", "--json")
    assert json.loads(out)["title"] == "second"
    assert told in err
    assert audited(capsys, "third", "-q") == ("", "")


@pytest.mark.parametrize(
    "old",
    [
        b"",
        b"no json",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe",
        b'{"title": 1, "scope": 2, "provenance": {"command": []}}',
        b'{"title": "x", "scope": "audit", "provenance": "command"}',
        b'{"title": "x", "scope": {}, "provenance": {"command": ""}}',
        json.dumps(
            {
                "title": "a\x1b[31m\nb\u202e\ud800" + "c" * 999,
                "scope": "audit",
                "provenance": {"command": "x\x07 y\n z"},
            }
        ).encode(),
    ],
)
def test_whatever_lies_there_breaks_nothing_and_commands_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], old: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    save_good_and_bad(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "result.json").write_bytes(old)
    out, _ = audited(capsys, "first")
    assert "Result: " in out
    said = out.partition("Result: ")[2].splitlines()[1:]
    assert len(said) == (1 if b'"title": "' in old and b'"command": "' in old else 0)
    assert all(line.isprintable() and len(line) < 250 for line in said)
