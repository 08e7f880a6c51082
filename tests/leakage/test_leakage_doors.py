"""The command, the function, the audit's stage, the report and the clean split."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest

import poolaudit
from leakage.leakage_examples import textures
from poolaudit.cli.main import main
from poolaudit.errors import InvalidInputError
from poolaudit.outcomes import Outcome
from poolaudit.report.html import render_html
from poolaudit.store.results import decode_result, encode_result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):  # type: ignore[no-untyped-def]
    items = textures(160, np.random.default_rng(5))
    place = tmp_path_factory.mktemp("leaks")
    test = items[100:].copy()
    test[:6] = items[:6, :, ::-1]
    test[6:9] = items[6:9]
    np.savez(place / "train.npz", x=items[:100], y=np.arange(100) % 2)
    np.savez(place / "test.npz", x=test, y=np.arange(60) % 2)
    np.savez(place / "clean.npz", x=items[100:], y=np.arange(60) % 2)
    return place


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def test_the_command_counts_and_writes(folder, tmp_path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    train, test = folder / "train.npz", folder / "test.npz"
    code = run("leaks", "--train", train, "--test", test, "--out", out, "--clean-split", tmp_path / "c.csv", "--quiet")
    assert code == 1
    leakage = json.loads((out / "result.json").read_text())["evidence"]["leakage"]
    assert (leakage["test_items_exact"], leakage["test_items_near"], leakage["test_items_leaked"]) == (3, 6, 9)
    page = (out / "report.html").read_text()
    assert "Pairs that show the same" in page
    assert "data:image/png;base64," in page
    rows = list(csv.DictReader((tmp_path / "c.csv").read_text().splitlines()))
    assert [int(row["index"]) for row in rows if row["clean_test"] == "yes"] == list(range(9, 60))


def test_clean_data_exit_with_zero(folder, tmp_path) -> None:  # type: ignore[no-untyped-def]
    arguments = ("--train", folder / "train.npz", "--test", folder / "clean.npz", "--out", tmp_path, "--quiet")
    assert run("leaks", *arguments) == 0


def test_bad_input_exits_with_two(folder, tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    np.savez(tmp_path / "signals.npz", x=np.zeros((20, 40, 1)), y=np.arange(20) % 2)
    train = folder / "train.npz"
    assert run("leaks", "--train", train, "--test", tmp_path / "signals.npz", "--out", tmp_path / "o") == 2
    assert "training items" in capsys.readouterr().err
    assert run("leaks", "--train", train, "--test", train, "--clean-split", tmp_path / "c.txt") == 2


def test_find_leaks_keeps_what_it_found(folder, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    train, test = folder / "train.npz", folder / "test.npz"
    first = poolaudit.find_leaks(train, test, cache=tmp_path)
    monkeypatch.setattr("poolaudit.leakage.find.find_in_splits", lambda *_, **__: pytest.fail("measured again"))
    again = poolaudit.find_leaks(train, test, cache=tmp_path)
    assert again.evidence == first.evidence
    with pytest.raises(BaseException, match="measured again"):
        poolaudit.find_leaks(train, test, cache=tmp_path, seed=1)


def test_results_survive_the_round_trip(folder) -> None:  # type: ignore[no-untyped-def]
    result = poolaudit.find_leaks(folder / "train.npz", folder / "test.npz", folder / "clean.npz")
    assert decode_result(encode_result(result)) == result
    assert "Is the test split unseen?" in render_html(result)
    assert {(c.first, c.second) for c in result.evidence.leakage.comparisons} >= {  # type: ignore[union-attr]
        ("test", "train"),
        ("validation", "train"),
        ("test", "validation"),
    }


def test_what_is_not_two_splits_is_refused(folder) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInputError, match="sample"):
        poolaudit.find_leaks(folder / "train.npz", folder / "test.npz", sample=0)


def test_an_audit_measures_the_metrics_without_the_leak(trained_digits) -> None:  # type: ignore[no-untyped-def]
    train = np.load(trained_digits.validation_file)
    x, y = trained_digits.x.copy(), trained_digits.y.copy()
    x[:120], y[:120] = train["x"][:120], train["y"][:120]
    plan = poolaudit.AuditPlan(
        model=trained_digits.model_file, test=(x, y), train=(train["x"], train["y"]), stages=("evaluation", "leakage")
    )
    result = poolaudit.run_audit(plan)
    leak = result.evidence.leakage
    assert leak is not None
    assert leak.test_items_exact >= 120
    accuracy = leak.impact.metrics[0]
    assert accuracy.leaked.n == leak.test_items_leaked
    assert accuracy.clean.n == len(y) - leak.test_items_leaked
    assert {f.code: f.outcome for f in result.findings}["PA401"] is Outcome.FAILED
    without = poolaudit.run_audit(dataclasses.replace(plan, train=None))
    stage = next(s for s in without.stages if s.name == "leakage")
    assert (stage.outcome, "--train" in (stage.reason or "")) == (Outcome.SKIPPED, True)


def verdicts(result):  # type: ignore[no-untyped-def]
    finding = next(f for f in result.findings if f.code == "PA408")
    facts = {fact.label: fact.value for fact in finding.evidence}
    return finding, facts


def test_a_verdict_that_rests_on_the_leak_is_told(trained_digits) -> None:  # type: ignore[no-untyped-def]
    """540 test items: 500 of them were trained on, 40 bear a wrong label."""
    train = np.load(trained_digits.validation_file)
    x = np.concatenate([train["x"], trained_digits.x[:40]])
    y = np.concatenate([train["y"], (trained_digits.y[:40] + 1) % 10])
    stages = ("geometry", "evaluation", "ablation", "leakage")
    plan = poolaudit.AuditPlan(
        model=trained_digits.model_file, test=(x, y), train=(train["x"], train["y"]), stages=stages, budget="quick"
    )
    result = poolaudit.run_audit(plan)
    finding, facts = verdicts(result)
    assert finding.outcome is Outcome.FAILED
    assert facts["Verdict apart from leakage"].endswith("clean NOT_READY")
    impact = result.evidence.leakage.impact  # type: ignore[union-attr]
    assert impact.evaluation is not None
    assert impact.evaluation.n == 40
    assert impact.ranking is not None
    assert {name for name, _ in impact.ranking.all} == {name for name, _ in impact.ranking.clean}
    assert "Ranking of the exchanged pooling without the leak" in facts
    assert decode_result(encode_result(result)) == result
    assert "ranked again" in render_html(result)


def test_a_leak_that_changes_no_verdict_passes(trained_digits) -> None:  # type: ignore[no-untyped-def]
    train = np.load(trained_digits.validation_file)
    x = np.concatenate([train["x"][:20], trained_digits.x])
    y = np.concatenate([train["y"][:20], trained_digits.y])
    plan = poolaudit.AuditPlan(
        model=trained_digits.model_file, test=(x, y), train=(train["x"], train["y"]), stages=("evaluation", "leakage")
    )
    finding, facts = verdicts(poolaudit.run_audit(plan))
    first, second = facts["Verdict apart from leakage"].removeprefix("all ").split(", clean ")
    assert first == second
    assert finding.outcome is not Outcome.FAILED
