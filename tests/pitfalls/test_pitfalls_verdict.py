"""From evidence to the verdict: named cases, every combination of outcomes, and what may never happen."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolaudit.evidence.evaluation import InputScaling, ScalingTrial
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Severity, Verdict
from poolaudit.pitfalls.detector import all_detectors, detect
from poolaudit.pitfalls.rates import Rate, judge_rates
from poolaudit.pitfalls.verdict import decide, fails_release
from poolaudit.policy import Policy
from poolaudit.results import SCHEMA_VERSION, AuditResult, Decision, Evidence, Provenance, StageResult
from poolaudit.statistics.binomial import mcnemar_first_better
from poolaudit.statistics.intervals import wilson
from specimens.outcomes import diagonal, evidence, from_confusion, from_counts, from_scores, predictions, scored_counts

POLICY = Policy()
RAN = (StageResult("evaluation", Outcome.PASSED, 0.1),)
NOWHERE = Provenance("made", "2020-01-01T00:00:00+00:00", 0.1, 0, (), "made up", None, ())


def concluded(given: Evidence, policy: Policy = POLICY) -> tuple[Verdict, Decision, dict[str, Finding]]:
    findings = detect(given, policy)
    return (*decide(findings, RAN), {f.code: f for f in findings})


def test_fraud_missed_behind_98_percent_accuracy_is_not_ready() -> None:
    verdict, decision, findings = concluded(evidence(from_counts(24, 176, 24, 9776), "fraud"))
    assert verdict is Verdict.NOT_READY
    assert findings["PA201"].outcome is Outcome.FAILED
    assert "misses 176 of the 200 'fraud' cases" in findings["PA201"].summary
    assert findings["PA201"].summary in decision.reasons
    assert "PA201" in decision.decided_by


def test_textbook_case_of_100_and_100_is_neither_ready_nor_stopped() -> None:
    verdict, _, findings = concluded(evidence(scored_counts(85, 15, 10, 90), "fraud"))
    assert verdict is Verdict.INCONCLUSIVE
    assert not [f for f in findings.values() if f.outcome is Outcome.FAILED]
    assert "100 test items" in findings["PA204"].summary


def test_healthy_model_of_a_rare_class_is_ready() -> None:
    verdict, decision, findings = concluded(evidence(scored_counts(950, 50, 50, 48_950), "fraud"))
    assert verdict is Verdict.READY, [f.summary for f in findings.values() if f.is_open]
    assert decision.reasons


def test_always_answering_the_majority_is_not_ready() -> None:
    for positive in ("fraud", None):
        verdict, _, findings = concluded(evidence(from_counts(0, 100, 0, 4_900), positive))
        assert verdict is Verdict.NOT_READY
        assert findings["PA202"].outcome is Outcome.FAILED
        assert findings["PA202"].severity is Severity.CRITICAL
        assert findings["PA201"].outcome is Outcome.FAILED


def test_healthy_balanced_model_of_ten_classes_is_ready() -> None:
    verdict, _, findings = concluded(evidence(from_confusion(diagonal(10, 200, 0.96))))
    assert verdict is Verdict.READY, [f.summary for f in findings.values() if f.is_open]


def test_one_missed_class_of_fifty_is_seen_without_naming_it() -> None:
    verdict, _, findings = concluded(evidence(from_confusion(diagonal(50, 100, 1.0, missed=17))))
    assert verdict is Verdict.NOT_READY
    assert findings["PA201"].outcome is Outcome.FAILED
    assert "'class 17'" in findings["PA201"].summary
    assert "misses 100 of the 100" in findings["PA201"].summary


def test_recall_below_the_stop_never_gains_from_lower_accuracy() -> None:
    """Same recall, more false alarms: the verdict must not improve."""
    order = [Verdict.NOT_READY, Verdict.NEEDS_REVIEW, Verdict.INCONCLUSIVE, Verdict.READY]
    verdicts = [concluded(evidence(from_counts(80, 120, fp, 1_800 - fp), "fraud"))[0] for fp in (5, 100, 200, 400, 900)]
    assert [order.index(v) for v in verdicts] == [0] * 5


def test_family_of_two_hundred_good_classes_raises_no_false_alarm() -> None:
    rng = np.random.default_rng(0)
    runs, alarms, at_the_bar = 300, 0, 0
    intervals = [wilson(hits, 30) for hits in range(31)]

    def fails(recall: float) -> bool:
        hits = rng.binomial(30, recall, 200)
        rates = [Rate(str(i), intervals[k], int(k)) for i, k in enumerate(hits)]
        return judge_rates(rates, POLICY.good_recall).outcome is Outcome.FAILED

    for _ in range(runs):
        alarms += fails(0.90)
        at_the_bar += fails(0.85)
    assert alarms == 0
    assert at_the_bar <= 0.05 * runs


def test_family_of_two_hundred_with_one_bad_class_is_seen() -> None:
    rng = np.random.default_rng(1)
    hits = rng.binomial(30, 0.95, 200)
    hits[7] = 9
    judged = judge_rates([Rate(str(i), wilson(int(k), 30), int(k)) for i, k in enumerate(hits)], 0.85)
    assert [rate.class_name for rate in judged.below] == ["7"]


def test_two_hundred_good_classes_through_the_real_evaluation() -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(200), 30)
    wrong = (labels + rng.integers(1, 200, len(labels))) % 200
    predicted = np.where(rng.random(len(labels)) < 0.90, labels, wrong)
    given = evidence(predictions(labels, predicted, [f"class {i}" for i in range(200)]))
    verdict, _, findings = concluded(given)
    assert verdict is Verdict.INCONCLUSIVE
    assert not [f.code for f in findings.values() if f.outcome is Outcome.FAILED]


def test_class_absent_from_the_test_split_is_told() -> None:
    counts = diagonal(4, 200, 0.97)
    counts[3] = 0
    given = from_confusion(counts)
    assert given.class_names[3] == "class 3"
    verdict, _, findings = concluded(evidence(given))
    assert verdict is Verdict.NEEDS_REVIEW
    assert [f.code for f in findings.values() if f.outcome is Outcome.FAILED] == ["PA207"]
    assert "There is no test item of 'class 3'" in findings["PA207"].summary
    for code in ("PA201", "PA204", "PA205", "PA206"):
        assert findings[code].outcome is Outcome.UNDECIDED
        assert "'class 3'" in findings[code].summary


def test_labels_alone_skip_the_ranking_with_a_reason_and_leave_the_rest() -> None:
    given = evidence(from_counts(85, 15, 10, 90), "fraud")
    assert given.evaluation is not None
    assert given.evaluation.per_class[1].average_precision.value is None
    assert "labels only" in given.evaluation.not_assessed[0].reason
    _, _, findings = concluded(given)
    assert findings["PA209"].outcome is Outcome.SKIPPED


def finding(outcome: Outcome, severity: Severity, code: str = "PA299") -> Finding:
    return Finding(code, "A statement", outcome, severity, f"{outcome} {severity}", would_change=f"undo {code}")


WEIGHTY = (Severity.CRITICAL, Severity.MAJOR)


@pytest.mark.parametrize("stage", list(Outcome))
@pytest.mark.parametrize(
    "kinds", list(itertools.combinations_with_replacement(itertools.product(Outcome, Severity), 2)), ids=str
)
def test_verdict_table(kinds: tuple[tuple[Outcome, Severity], ...], stage: Outcome) -> None:
    findings = [finding(outcome, severity, f"PA29{i}") for i, (outcome, severity) in enumerate(kinds)]
    verdict, decision = decide(findings, [StageResult("evaluation", stage, 0.0, "a reason")])
    failed = [severity for outcome, severity in kinds if outcome is Outcome.FAILED]
    unclear = [s for outcome, s in kinds if outcome in (Outcome.UNDECIDED, Outcome.CRASHED) and s in WEIGHTY]
    if Severity.CRITICAL in failed:
        expected = Verdict.NOT_READY
    elif Severity.MAJOR in failed:
        expected = Verdict.NEEDS_REVIEW
    elif unclear or stage is not Outcome.PASSED or Outcome.PASSED not in [outcome for outcome, _ in kinds]:
        expected = Verdict.INCONCLUSIVE
    else:
        expected = Verdict.READY
    assert verdict is expected
    assert decision.reasons
    assert decision.would_change or stage is Outcome.CRASHED
    if stage is Outcome.CRASHED:
        assert "The stage 'evaluation' did not finish: a reason" in decision.reasons


def test_what_stays_open_when_the_failed_checks_are_cured_is_told() -> None:
    broken = [finding(Outcome.FAILED, Severity.MAJOR, f"PA29{i}") for i in range(5)]
    unclear = [
        finding(Outcome.UNDECIDED, Severity.MAJOR, "PA204"),
        finding(Outcome.CRASHED, Severity.CRITICAL, "PA410"),
    ]
    minor = finding(Outcome.UNDECIDED, Severity.MINOR, "PA340")
    _, decision = decide([*broken, *unclear, minor], RAN)
    told = "Not yet by that alone: PA204, PA410 are not decided and would have to be as well."
    assert decision.would_change == (*(f"undo PA29{i}" for i in range(5)), told)
    assert decision.main_changes == ("undo PA290", "undo PA291", "undo PA292", told)
    assert "PA204" not in decision.decided_by
    _, decision = decide([*broken[:1], minor], RAN)
    assert decision.would_change == decision.main_changes == ("undo PA290",)
    _, decision = decide(unclear, RAN)
    assert decision.would_change == ("undo PA204", "undo PA410")


def test_a_minor_check_that_failed_is_not_passed_over_where_nothing_was_predicted() -> None:
    fine = finding(Outcome.PASSED, Severity.MAJOR)
    geometry = (StageResult("geometry", Outcome.PASSED, 0.1),)
    verdict, decision = decide([fine, fine, finding(Outcome.FAILED, Severity.MINOR, "PA306")], geometry)
    assert verdict is Verdict.INCONCLUSIVE
    assert decision.reasons[1] == "Of the 3 checks that could be made 2 passed; PA306 did not."
    assert decide([fine, fine], geometry)[1].reasons[1].startswith("The 2 checks that could be made found nothing")


def test_nothing_checked_is_never_ready() -> None:
    assert decide((), ())[0] is Verdict.INCONCLUSIVE
    assert concluded(Evidence())[0] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("level", list(Severity))
@pytest.mark.parametrize("severity", list(Severity))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_fail_level(outcome: Outcome, severity: Severity, level: Severity) -> None:
    policy = dataclasses.replace(POLICY, fail_level=level)
    is_open = outcome in (Outcome.FAILED, Outcome.UNDECIDED, Outcome.CRASHED)
    weights = list(Severity)
    expected = is_open and weights.index(severity) <= weights.index(level)
    base = AuditResult(
        SCHEMA_VERSION, "made", Verdict.READY, Decision((), (), ()), (), (), RAN, Evidence(), policy, NOWHERE
    )
    findings = (finding(outcome, severity), finding(Outcome.PASSED, Severity.MINOR, "PA298"))
    assert fails_release(dataclasses.replace(base, findings=findings)) is expected
    alone = dataclasses.replace(base, findings=findings[:1])
    assert fails_release(alone) is (expected or outcome is Outcome.SKIPPED), "nothing checked is not green"
    crashed = (StageResult("geometry", Outcome.CRASHED, 0.0, "a reason"),)
    assert fails_release(dataclasses.replace(base, stages=crashed))


@pytest.mark.parametrize(
    ("names", "verdict"),
    [
        (("geometry",), Verdict.INCONCLUSIVE),
        (("leakage",), Verdict.INCONCLUSIVE),
        (("ablation",), Verdict.INCONCLUSIVE),
        (("geometry", "conformance"), Verdict.INCONCLUSIVE),
        (("conformance",), Verdict.READY),
        (("evaluation",), Verdict.READY),
        (("geometry", "evaluation"), Verdict.READY),
    ],
)
def test_nothing_is_ready_whose_predictions_nobody_looked_at(names: tuple[str, ...], verdict: Verdict) -> None:
    stages = tuple(StageResult(name, Outcome.PASSED, 0.1) for name in names)
    concluded_verdict, decision = decide([finding(Outcome.PASSED, Severity.MAJOR)], stages)
    assert concluded_verdict is verdict
    assert ("No prediction was evaluated" in decision.reasons[0]) is (verdict is Verdict.INCONCLUSIVE)


def test_an_evaluation_that_was_skipped_is_none() -> None:
    stages = (StageResult("evaluation", Outcome.SKIPPED, 0.0, "not asked for"),)
    assert decide([finding(Outcome.PASSED, Severity.MAJOR)], stages)[0] is Verdict.INCONCLUSIVE


def test_another_policy_judges_the_same_evidence_otherwise() -> None:
    measured = evidence(scored_counts(1_600, 400, 200, 17_800), "fraud")
    assert concluded(measured)[0] is Verdict.NEEDS_REVIEW
    lenient = Policy(good_recall=0.75, bad_recall=0.5)
    assert concluded(measured, lenient)[0] is Verdict.READY
    strict = Policy(good_recall=0.95, bad_recall=0.9)
    assert concluded(measured, strict)[0] is Verdict.NOT_READY


RANK = {Outcome.FAILED: 0, Outcome.UNDECIDED: 1, Outcome.PASSED: 2}


@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=5),
    st.lists(st.integers(0, 30), min_size=2, max_size=5),
    st.integers(0, 4),
)
def test_turning_a_hit_into_a_miss_never_improves_recall(hits: list[int], misses: list[int], which: int) -> None:
    size = min(len(hits), len(misses))
    counts = np.diag(hits[:size])
    for row in range(size):
        counts[row, (row + 1) % size] += misses[row]
    which %= size
    if not counts[which, which] or np.count_nonzero(counts.sum(axis=1)) < 2:
        return
    worse = counts.copy()
    worse[which, which] -= 1
    worse[which, (which + 1) % size] += 1
    check = all_detectors().get("PA204")
    for positive in (None, f"class {which}"):
        before = check(evidence(from_confusion(counts), positive), POLICY)
        after = check(evidence(from_confusion(worse), positive), POLICY)
        assert RANK[after.outcome] <= RANK[before.outcome]
        if before.outcome is after.outcome is Outcome.FAILED:
            assert after.severity.rank <= before.severity.rank


@settings(max_examples=40)
@given(st.integers(0, 300), st.integers(0, 60), st.integers(0, 60), st.integers(0, 3000), st.booleans())
def test_ready_means_every_judged_recall_is_shown(tp: int, fn: int, fp: int, tn: int, named: bool) -> None:
    if not tp + fn or not fp + tn:
        return
    given = evidence(scored_counts(tp, fn, fp, tn), "fraud" if named else None)
    verdict, _, findings = concluded(given)
    assert given.evaluation is not None
    judged = [c for c in given.evaluation.per_class if not named or c.name == "fraud"]
    shown = all(c.recall.low is not None and c.recall.low >= POLICY.good_recall for c in judged)
    assert shown or verdict is not Verdict.READY
    assert not [f for f in findings.values() if f.outcome is Outcome.CRASHED]


def test_a_class_nobody_tested_or_predicted_keeps_the_model_from_being_ready() -> None:
    counts = diagonal(3, 400, 0.98)
    padded = np.zeros((4, 4), dtype=counts.dtype)
    padded[:3, :3] = counts
    verdict, _, findings = concluded(evidence(from_confusion(padded)))
    assert verdict is Verdict.INCONCLUSIVE
    assert findings["PA207"].outcome is Outcome.UNDECIDED
    assert "'class 3'" in findings["PA207"].summary


def test_swapped_classes_are_named_as_the_cause_and_scaling_is_not_blamed() -> None:
    swapped = from_confusion([[3, 197], [194, 6]], ["cat", "dog"])
    trials = (
        ScalingTrial("x", 0.02, 0, 0, None),
        ScalingTrial("2 x - 1", 0.30, 120, 5, mcnemar_first_better(120, 5)),
    )
    verdict, _, findings = concluded(evidence(swapped, input_scaling=InputScaling(400, 0.0, 1.0, trials)))
    assert verdict is Verdict.NOT_READY
    assert findings["PA211"].outcome is Outcome.FAILED
    assert findings["PA210"].outcome is Outcome.SKIPPED


@pytest.mark.parametrize("counts", [[[10, 990], [0, 20]], [[990, 10], [20, 0]], [[0, 500], [0, 500]]])
def test_a_useless_model_is_not_called_swapped(counts: list[list[int]]) -> None:
    _, _, findings = concluded(evidence(from_confusion(counts)))
    assert findings["PA211"].outcome is Outcome.PASSED


def test_scores_that_rank_backwards_are_told_from_scores_that_say_nothing() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 0], [60, 240])
    backwards = from_scores(np.where(truth == 1, rng.uniform(0, 0.4, 300), rng.uniform(0.5, 1, 300)), truth)
    _, _, findings = concluded(evidence(backwards, "fraud"))
    assert findings["PA209"].outcome is Outcome.FAILED
    assert "backwards" in findings["PA209"].summary
    assert findings["PA211"].outcome is Outcome.FAILED


def test_exchanged_classes_are_found_where_one_class_is_predicted_throughout() -> None:
    """Recall of 100 % from calling everything fraud must not speak for scores that rank it last."""
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 0], [54, 543])
    scores = np.where(truth == 1, rng.uniform(0.5, 0.7, 597), rng.uniform(0.6, 1, 597))
    verdict, _, findings = concluded(evidence(from_scores(scores, truth), "fraud"))
    assert verdict is Verdict.NOT_READY
    assert findings["PA204"].outcome is Outcome.PASSED
    assert findings["PA209"].outcome is Outcome.FAILED
    assert findings["PA211"].outcome is Outcome.FAILED


def test_recall_from_scores_that_say_nothing_is_not_taken_for_ranking() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 0], [60, 240])
    _, _, findings = concluded(evidence(from_scores(rng.uniform(0.5, 1, 300), truth), "fraud"))
    assert findings["PA204"].outcome is Outcome.PASSED
    assert findings["PA209"].outcome is Outcome.UNDECIDED
    assert findings["PA211"].outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("counts", "given", "other", "gained", "lost", "outcome"),
    [
        # Pictures of 0 to 255 for a model of 0 to 1: balanced accuracy stays, and every tenth item is lost.
        ((85, 35, 160, 720), 0.771, 0.773, 120, 11, Outcome.FAILED),
        # Accuracy rises from 80 to 95 % because everything is called ordinary: recall pays for it.
        ((45, 5, 190, 760), 0.85, 0.50, 190, 45, Outcome.PASSED),
    ],
)
def test_a_scaling_that_gains_accuracy_counts_unless_balanced_accuracy_pays(
    counts: tuple[int, int, int, int], given: float, other: float, gained: int, lost: int, outcome: Outcome
) -> None:
    trials = (
        ScalingTrial("x", given, 0, 0, None),
        ScalingTrial("x / 255", other, gained, lost, mcnemar_first_better(gained, lost)),
    )
    measured = evidence(from_counts(*counts), "fraud", input_scaling=InputScaling(1_000, 0.0, 255.0, trials))
    assert concluded(measured)[2]["PA210"].outcome is outcome


def test_a_class_of_interest_that_is_nearly_everything_hides_no_missed_class() -> None:
    confusion = from_confusion([[860, 8], [54, 65]], ["plain", "blob"])
    verdict, _, findings = concluded(evidence(confusion, "plain"))
    assert findings["PA201"].outcome is Outcome.UNDECIDED
    assert "'blob'" in findings["PA201"].summary
    assert verdict is not Verdict.READY
    balanced = from_confusion([[860, 8], [4, 115]], ["plain", "blob"])
    assert concluded(evidence(balanced, "plain"))[2]["PA201"].outcome is Outcome.PASSED


def test_what_explains_all_other_numbers_stands_first() -> None:
    swapped = from_confusion([[3, 197], [194, 6]], ["cat", "dog"])
    _, decision, _ = concluded(evidence(swapped))
    assert decision.decided_by[0] == "PA211"
