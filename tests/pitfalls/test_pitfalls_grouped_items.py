"""PA213: many items of few groups are few groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poolaudit import AuditPlan, run_audit
from poolaudit.evaluation.evaluate import evaluate
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Verdict
from poolaudit.pitfalls.detector import detect
from poolaudit.policy import Policy
from poolaudit.results import Evidence
from specimens.outcomes import from_scores, predictions


def judged(right_by_group: list[list[int]], positive: str | None = "fraud") -> Finding:
    """Each list is one group of the class of interest; 1 is found, 0 is missed. The others come one by one."""
    truth = np.array([1] * sum(map(len, right_by_group)) + [0] * 500)
    said = np.array([*(answer for group in right_by_group for answer in group), *[0] * 500])
    groups = [f"patient {number}" for number, group in enumerate(right_by_group) for _ in group]
    named = np.array([*groups, *[None] * 500], dtype=object)
    made = replace(predictions(truth, said, ("genuine", "fraud")), groups=named)
    found = detect(Evidence(evaluation=evaluate(made, positive=positive)), Policy())
    return next(finding for finding in found if finding.code == "PA213")


def test_five_patients_that_are_all_found_decide_nothing() -> None:
    finding = judged([[1] * 24] * 5)
    assert finding.outcome is Outcome.UNDECIDED
    assert "The 120 test items of 'fraud' come from 5 groups" in finding.summary
    assert "68.1 % to 100" in finding.summary
    assert finding.would_change == "Test items of 'fraud' from further groups."


def test_two_patients_of_eight_missed_as_a_whole_convict_nobody() -> None:
    assert judged([[1] * 15] * 6 + [[0] * 15] * 2).outcome is Outcome.UNDECIDED


def test_one_patient_tells_nothing_of_others() -> None:
    finding = judged([[1] * 300])
    assert finding.outcome is Outcome.UNDECIDED
    assert "one group tells nothing of others" in finding.summary


@pytest.mark.parametrize(
    "groups",
    [
        [[1] * 20] * 60,
        [[1] * 47 + [0] * 3] * 20,
        [[1] * 950 + [0] * 50] * 2,
        [[0] * 20] * 30,
        [[1]] * 100,
        [[1, 0] * 20] * 12,
    ],
    ids=["many groups", "groups alike", "two large groups alike", "all missed", "each its own", "half of each group"],
)
def test_groups_that_decide_as_their_items_do_pass(groups: list[list[int]]) -> None:
    assert judged(groups).outcome is Outcome.PASSED
    assert judged(groups, None).outcome is Outcome.PASSED


def test_what_items_leave_open_is_not_asked_again() -> None:
    assert judged([[1] * 8 + [0] * 2] * 4).outcome is Outcome.PASSED


def test_items_that_occur_twice_count_once(trained_digits: Any, tmp_path: Path) -> None:
    """Thirty pictures, each twenty-five times, are thirty pictures."""
    x, y = trained_digits.x, trained_digits.y
    right = np.flatnonzero(trained_digits.model.predict(x, verbose=0).argmax(axis=1) == y)
    few = np.concatenate([right[y[right] == digit][:3] for digit in range(10)])
    for name, chosen in (("repeated", np.repeat(few, 25)), ("different", right)):
        np.savez(tmp_path / f"{name}.npz", x=x[chosen], y=y[chosen])
    findings = {}
    for name in ("repeated", "different"):
        plan = AuditPlan(trained_digits.model_file, test=tmp_path / f"{name}.npz", stages=("evaluation",))
        result = run_audit(plan)
        findings[name] = next(f for f in result.findings if f.code == "PA213")
        assert (result.verdict is Verdict.READY) == (name == "different"), result.decision
    assert findings["repeated"].outcome is Outcome.UNDECIDED
    assert "are 3 different ones, repeated" in findings["repeated"].summary
    assert findings["different"].outcome is Outcome.SKIPPED


@pytest.mark.parametrize(("times", "decimals", "told"), [(50, 12, True), (1, 12, False), (50, 2, False)])
def test_rows_of_predictions_that_recur_are_told(times: int, decimals: int, told: bool) -> None:
    scores = np.repeat(np.random.default_rng(0).uniform(0.05, 0.95, 40), times).round(decimals)
    made = from_scores(scores, scores > 0.5)
    found = [entry for entry in evaluate(made).not_assessed if entry.what == "whether the items are independent"]
    assert bool(found) == told
    assert not told or "only 40 of 2,000 rows differ" in found[0].reason


def test_without_groups_it_is_said_that_items_count_as_independent() -> None:
    made = predictions([0, 1] * 50, [0, 1] * 50, ("genuine", "fraud"))
    found = detect(Evidence(evaluation=evaluate(made)), Policy())
    finding = next(f for f in found if f.code == "PA213")
    assert finding.outcome is Outcome.SKIPPED
    assert "`group`" in finding.summary


@pytest.mark.parametrize(("per_patient", "verdict"), [(24, Verdict.INCONCLUSIVE), (1, Verdict.READY)])
def test_a_file_of_predictions_with_groups(per_patient: int, verdict: Verdict, tmp_path: Path) -> None:
    scores = np.linspace(0.6, 0.99, 120)
    rows = ["label,p_genuine,p_fraud,group"]
    rows += [f"fraud,{1 - score:.3f},{score:.3f},patient {i // per_patient}" for i, score in enumerate(scores)]
    rows += [f"genuine,0.9,0.1,other {i}" for i in range(600)]
    file = tmp_path / "p.csv"
    file.write_text("\n".join(rows) + "\n")
    result = run_audit(AuditPlan(predictions=file, positive="fraud"))
    assert result.verdict is verdict, result.decision
    if verdict is Verdict.INCONCLUSIVE:
        assert result.decision.decided_by == ("PA213",)
