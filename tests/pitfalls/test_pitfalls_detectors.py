"""Every detector fails on a guilty data set, passes an innocent one, and says so where it cannot tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from poolaudit.evaluation.input_scaling import check_input_scaling
from poolaudit.evidence.evaluation import InputScaling, ScalingTrial
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Detector, Judgement, all_detectors, detect
from poolaudit.policy import Policy
from poolaudit.results import Evidence
from poolaudit.subject.predictions import Predictions
from specimens.outcomes import diagonal, evidence, from_confusion, from_counts, from_scores, scored_counts

POLICY = Policy()


def found(code: str, given: Evidence, policy: Policy = POLICY) -> Finding:
    return all_detectors().get(code)(given, policy)


def in_groups(patients: int, pictures: int) -> Evidence:
    """A model that finds every one of the same number of pictures of each patient."""
    given = from_counts(patients * pictures, 0, 0, 500)
    names = [
        f"patient {item // pictures}" if label else None
        for item, label in zip(_ranks(given), given.labels, strict=True)
    ]
    return evidence(dataclasses.replace(given, groups=np.array(names, dtype=object)), "fraud")


def _ranks(given: Predictions) -> list[int]:
    return [int(rank) for rank in np.cumsum(given.labels) - 1]


def ranked(positives: int, negatives: int, separation: float, shift: float, seed: int = 0) -> Evidence:
    """Two bells of scores `separation` apart; the shipped threshold lies at `shift`."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(separation, 1, positives), rng.normal(0, 1, negatives)])
    truth = np.repeat([1, 0], [positives, negatives])
    return evidence(from_scores(expit(values - shift), truth), "fraud")


def scaling(given: float, other: float, gained: int, lost: int, n: int = 500) -> Evidence:
    from poolaudit.statistics.binomial import mcnemar_first_better

    trials = (
        ScalingTrial("x", given, 0, 0, None),
        ScalingTrial("x / 255", other, gained, lost, mcnemar_first_better(gained, lost)),
    )
    return evidence(from_counts(95, 5, 5, 95), input_scaling=InputScaling(n, 0.0, 255.0, trials))


def with_model(**options: object) -> Evidence:
    trial = ScalingTrial("x", 0.95, 0, 0, None)
    return evidence(from_counts(95, 5, 5, 95), input_scaling=InputScaling(200, 0.0, 1.0, (trial,)), **options)


GUILTY: dict[str, Callable[[], Evidence]] = {
    "PA201": lambda: evidence(from_counts(24, 176, 24, 9776), "fraud"),
    "PA202": lambda: evidence(from_counts(0, 50, 0, 950), "fraud"),
    "PA203": lambda: evidence(from_counts(60, 40, 40, 60)),
    "PA204": lambda: evidence(from_counts(70, 30, 5, 895), "fraud"),
    "PA205": lambda: evidence(from_counts(95, 5, 95, 805), "fraud"),
    "PA206": lambda: evidence(from_counts(100, 100, 11, 789), "fraud"),
    "PA207": lambda: evidence(from_counts(10, 0, 0, 990), "fraud"),
    "PA208": lambda: ranked(200, 800, 6, 20),
    "PA209": lambda: ranked(200, 800, 1, 0),
    "PA210": lambda: scaling(0.30, 0.95, 330, 5),
    "PA211": lambda: evidence(from_confusion([[2, 95, 3], [1, 4, 95], [96, 2, 2]])),
    "PA212": lambda: with_model(head_problem="the loss expects probabilities", decides_where_known=False),
}
INNOCENT: dict[str, Callable[[], Evidence]] = {
    "PA201": lambda: evidence(from_counts(190, 10, 10, 9790), "fraud"),
    "PA202": lambda: evidence(from_counts(48, 2, 2, 948), "fraud"),
    "PA203": lambda: evidence(from_counts(95, 5, 5, 95)),
    "PA204": lambda: evidence(from_counts(190, 10, 10, 790), "fraud"),
    "PA205": lambda: evidence(from_counts(190, 10, 10, 790), "fraud"),
    "PA206": lambda: evidence(from_counts(190, 10, 2, 798), "fraud"),
    "PA207": lambda: evidence(from_counts(190, 10, 10, 790), "fraud"),
    "PA208": lambda: ranked(200, 800, 6, 3),
    "PA209": lambda: ranked(200, 800, 6, 3),
    "PA210": lambda: scaling(0.95, 0.30, 5, 330),
    "PA211": lambda: evidence(from_confusion([[60, 30, 10], [30, 60, 10], [10, 30, 60]])),
    "PA212": lambda: with_model(),
    "PA213": lambda: in_groups(patients=60, pictures=2),
}
UNDECIDED: dict[str, Callable[[], Evidence]] = {
    "PA201": lambda: evidence(from_counts(3, 2, 0, 995), "fraud"),
    "PA202": lambda: evidence(from_counts(3, 2, 1, 94), "fraud"),
    "PA203": lambda: evidence(from_counts(17, 3, 3, 17)),
    "PA204": lambda: evidence(from_counts(18, 2, 2, 178), "fraud"),
    "PA205": lambda: evidence(from_counts(18, 2, 2, 178), "fraud"),
    "PA206": lambda: evidence(from_counts(6, 6, 0, 88), "fraud"),
    "PA207": lambda: evidence(from_counts(44, 4, 2, 178), "fraud"),
    "PA208": lambda: ranked(20, 980, 4.5, 6),
    "PA209": lambda: ranked(20, 980, 4.5, 6),
    "PA210": lambda: scaling(0.25, 1.0, 3, 0, n=4),
    "PA211": lambda: evidence(from_counts(0, 3, 40, 1)),
    "PA213": lambda: in_groups(patients=5, pictures=24),
}
# What a model's graph and its loss say is known or not there; data do not make it undecided.
NEVER_UNDECIDED = {"PA212"}
# That items come from few groups leaves open what the others show; it shows nothing itself.
NEVER_FAILED = {"PA213"}
# The specimens of PA1xx are layers, and stand with the conformance tests.
CODES = tuple(detector.doc.code for detector in all_detectors() if detector.doc.code.startswith("PA2"))


def test_every_detector_has_its_specimens() -> None:
    assert set(CODES) == set(INNOCENT) == set(GUILTY) | NEVER_FAILED == set(UNDECIDED) | NEVER_UNDECIDED


@pytest.mark.parametrize("code", sorted(GUILTY))
def test_guilty_fails(code: str) -> None:
    finding = found(code, GUILTY[code]())
    assert finding.outcome is Outcome.FAILED, finding.summary
    assert finding.would_change
    assert finding.evidence


@pytest.mark.parametrize("code", CODES)
def test_innocent_passes(code: str) -> None:
    finding = found(code, INNOCENT[code]())
    assert finding.outcome is Outcome.PASSED, finding.summary


@pytest.mark.parametrize("code", sorted(UNDECIDED))
def test_too_little_to_tell_is_undecided(code: str) -> None:
    finding = found(code, UNDECIDED[code]())
    assert finding.outcome is Outcome.UNDECIDED, finding.summary
    assert finding.summary
    assert finding.would_change


@pytest.mark.parametrize("code", CODES)
def test_without_evidence_it_is_skipped_with_a_reason(code: str) -> None:
    finding = found(code, Evidence())
    assert finding.outcome is Outcome.SKIPPED
    assert finding.summary


@pytest.mark.parametrize("code", CODES)
def test_documentation_is_whole(code: str) -> None:
    doc = all_detectors().get(code).doc
    assert all(getattr(doc, field.name) for field in dataclasses.fields(doc))
    assert doc.code == code


def test_a_crashing_detector_becomes_a_finding_and_the_others_still_run() -> None:
    sound = all_detectors().get("PA203")

    def crash(evidence: Evidence, policy: Policy) -> Judgement:
        raise ZeroDivisionError("no items")

    finding = Detector(sound.doc, Severity.MAJOR, crash)(Evidence(), POLICY)
    assert finding.outcome is Outcome.CRASHED
    assert "ZeroDivisionError: no items" in finding.summary
    broken = evidence(from_counts(90, 10, 10, 90))
    assert broken.evaluation is not None
    no_trials = InputScaling(10, 0.0, 1.0, ())
    findings = detect(Evidence(evaluation=dataclasses.replace(broken.evaluation, input_scaling=no_trials)), POLICY)
    assert [f.code for f in findings if f.outcome is Outcome.CRASHED] == ["PA210"]
    assert {f.code for f in findings} == set(all_detectors().names())


def test_recall_far_below_the_bar_is_critical_whatever_the_accuracy() -> None:
    """A model must not gain by getting worse: at 84 % accuracy a missed class weighs as much as at 98 %."""
    finding = found("PA204", evidence(from_counts(24, 176, 30, 770), "fraud"))
    assert (finding.outcome, finding.severity) == (Outcome.FAILED, Severity.CRITICAL)
    finding = found("PA204", evidence(from_counts(150, 50, 30, 770), "fraud"))
    assert (finding.outcome, finding.severity) == (Outcome.FAILED, Severity.MAJOR)


def test_recall_half_of_precision_nine_tenths_is_bad() -> None:
    finding = found("PA206", evidence(from_counts(50, 50, 6, 894), "fraud"))
    assert (finding.outcome, finding.severity) == (Outcome.FAILED, Severity.CRITICAL)
    assert "misses 50 of the 100 'fraud' cases" in finding.summary


def test_a_gap_that_cannot_be_measured_is_not_called_absent() -> None:
    finding = found("PA206", evidence(from_counts(0, 50, 0, 950), "fraud"))
    assert finding.outcome is Outcome.UNDECIDED
    assert "never predicted" in finding.summary


def test_a_gap_within_the_interval_is_not_called_absent() -> None:
    finding = found("PA206", evidence(from_counts(15, 5, 0, 180), "fraud"))
    assert finding.outcome is Outcome.UNDECIDED


def test_good_ranking_with_scores_all_below_the_threshold_blames_the_threshold() -> None:
    given = ranked(150, 1350, 7, 30)
    assert given.evaluation is not None
    assert given.evaluation.per_class[1].true_positives == 0
    assert found("PA208", given).outcome is Outcome.FAILED
    assert found("PA209", given).outcome is Outcome.PASSED


def test_lost_ranking_blames_the_ranking() -> None:
    given = ranked(150, 1350, 0.5, 2)
    assert found("PA208", given).outcome is Outcome.PASSED
    assert found("PA209", given).outcome is Outcome.FAILED


def test_one_stray_item_among_few_positives_is_no_lost_ranking() -> None:
    """Five positives and one stray negative allow no threshold of precision 0.85, ten and one do."""
    scores = np.concatenate([np.linspace(0.3, 0.4, 10), [0.45], np.linspace(0.0, 0.1, 200)])
    given = evidence(from_scores(scores, np.repeat([1, 0], [10, 201])), "fraud")
    assert given.evaluation is not None
    at_bar = next(r for r in given.evaluation.recoverable_recall if r.wanted_precision == 0.85)
    assert at_bar.recall.high is not None
    assert at_bar.recall.high < 0.85
    assert found("PA209", given).outcome is Outcome.UNDECIDED


def test_the_threshold_is_not_blamed_for_a_recall_that_may_be_good() -> None:
    given = ranked(100, 900, 8, 7)
    assert given.evaluation is not None
    recall = given.evaluation.per_class[1].recall
    assert recall.low is not None
    assert recall.low < POLICY.good_recall < (recall.high or 0)
    assert found("PA208", given).outcome is Outcome.UNDECIDED


@pytest.mark.parametrize("demand", [0.4, 0.87, 0.99])
def test_precisions_off_the_measured_grid_blame_only_what_is_sure(demand: float) -> None:
    """A ranking that keeps precision 0.8 and loses it above."""
    policy = dataclasses.replace(POLICY, good_precision=demand)
    lost, sharp = ranked(300, 1200, 1, 0), ranked(300, 1200, 7, 30)
    assert found("PA208", lost, policy).outcome is not Outcome.FAILED
    assert found("PA209", sharp, policy).outcome is not Outcome.FAILED
    assert found("PA209", lost, policy).outcome is (Outcome.UNDECIDED if demand < 0.5 else Outcome.FAILED)
    assert found("PA208", sharp, policy).outcome is (Outcome.UNDECIDED if demand > 0.95 else Outcome.FAILED)


def test_labels_alone_leave_the_threshold_unassessed() -> None:
    given = evidence(from_counts(12, 88, 2, 898), "fraud")
    for code in ("PA208", "PA209"):
        finding = found(code, given)
        assert finding.outcome is Outcome.SKIPPED
        assert "no scores" in finding.summary


def test_more_losing_classes_than_were_looked_into_are_not_cleared() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 60)
    logits = rng.normal(size=(len(labels), 20))
    logits[np.arange(len(labels)), labels] += 1.0
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    from specimens.outcomes import predictions

    given = evidence(predictions(labels, probabilities.argmax(axis=1), [str(i) for i in range(20)], probabilities))
    assert found("PA209", given).outcome is Outcome.FAILED
    assert found("PA208", given).outcome is Outcome.UNDECIDED
    assert "not known" in found("PA208", given).summary


def test_scaling_of_the_inputs_is_seen_on_a_trained_model(trained_digits) -> None:  # type: ignore[no-untyped-def]
    def answer(x):  # type: ignore[no-untyped-def]
        probabilities = trained_digits.model.predict(x, verbose=0).astype(float)
        return probabilities.argmax(axis=1), probabilities

    x, y = trained_digits.x, trained_digits.y

    def judged(inputs) -> Finding:  # type: ignore[no-untyped-def]
        tried = check_input_scaling(answer, inputs, y, 10, seed=0)
        return found("PA210", evidence(from_confusion(diagonal(10, 30, 0.9)), input_scaling=tried))

    assert judged(x).outcome is Outcome.PASSED
    wrong = judged(x * 255)
    assert wrong.outcome is Outcome.FAILED
    assert "x / 255" in wrong.summary


@pytest.mark.parametrize(
    ("loss", "p_value", "balanced"), [(0.5, 1e-9, 0.88), (0.5, 0.2, 0.88), (0.95, 1e-9, 0.88), (0.5, 1e-9, 0.8)]
)
def test_a_scaling_whose_probabilities_say_more_leaves_it_open(loss: float, p_value: float, balanced: float) -> None:
    trials = (
        ScalingTrial("x", 0.88, 0, 0, None, 1.0, None),
        ScalingTrial("x * 255", balanced, 5, 5, 0.6, loss, p_value),
    )
    finding = found("PA210", evidence(from_counts(95, 5, 5, 95), input_scaling=InputScaling(500, 0.0, 1.0, trials)))
    is_telling = (loss, p_value, balanced) == (0.5, 1e-9, 0.88)
    assert finding.outcome is (Outcome.UNDECIDED if is_telling else Outcome.PASSED)
    assert ("cannot be told from its answers" in finding.summary) == (not is_telling and balanced == 0.88)


def test_standardised_inputs_leave_the_scaling_unassessed() -> None:
    given = InputScaling(100, -3.0, 3.0, (ScalingTrial("x", 0.9, 0, 0, None),))
    finding = found("PA210", evidence(from_counts(90, 10, 10, 90), input_scaling=given))
    assert finding.outcome is Outcome.SKIPPED
    assert "not known" in finding.summary


@pytest.mark.parametrize(("bar", "needed"), [(0.85, 22), (0.5, 4), (0.95, 73), (0.9999, 38_411)])
def test_the_number_a_perfect_model_needs_is_exact(bar: float, needed: int) -> None:
    from poolaudit.pitfalls.too_few_positives import _needed_if_perfect
    from poolaudit.statistics.intervals import wilson

    policy = Policy(good_recall=bar, bad_recall=0.5)
    assert _needed_if_perfect(policy) == needed
    assert (wilson(needed, needed, 0.95).low or 0) >= bar > (wilson(needed - 1, needed - 1, 0.95).low or 0)


def test_a_bar_of_one_can_never_be_shown() -> None:
    finding = found("PA207", evidence(from_counts(100, 0, 0, 100), "fraud"), Policy(good_recall=1.0))
    assert finding.outcome is Outcome.FAILED
    assert "any number of items" in finding.summary


def test_counts_read_as_prose() -> None:
    one = found("PA204", evidence(from_counts(10, 90, 90, 10)))
    assert "and 1 more class)" in one.summary
    three = found("PA204", evidence(from_confusion(diagonal(4, 100, 0.5))))
    assert "and 3 more classes)" in three.summary
    assert scored_counts(1, 1, 1, 1).normalised


def test_every_class_ranked_backwards_and_every_lost_one_is_accused() -> None:
    """Two of four classes get low scores for their own items; a third is lost in noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 300)
    logits = rng.normal(size=(len(labels), 4))
    for index, sharpness in enumerate((-3.0, -2.0, 0.2, 4.0)):
        logits[labels == index, index] += sharpness
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    from specimens.outcomes import predictions

    finding = found("PA209", evidence(predictions(labels, logits.argmax(axis=1), list("abcd"), probabilities)))
    assert finding.outcome is Outcome.FAILED
    accused = {subject.name for subject in finding.subjects}
    assert {"order of a", "order of b", "c"} <= accused
    assert "order of d" not in accused
    assert "Likewise 'b'" in finding.summary


def test_what_decides_nothing_is_listed_and_not_the_classes_that_are_fine() -> None:
    counts = np.diag([200] * 12 + [28])
    counts[12, 0] = 4
    finding = found("PA207", evidence(from_confusion(counts, [f"c{i}" for i in range(13)])))
    assert finding.outcome is Outcome.UNDECIDED
    assert [fact.label for fact in finding.evidence] == ["Recall of 'c12'"]


def with_validation(separation: float, shift: float, positives: int, validation_positives: int) -> Evidence:
    """Two bells of scores, and validation items of the same kind beside the test items."""
    rng = np.random.default_rng(3)

    def bells(ones: int) -> Predictions:
        values = np.concatenate([rng.normal(separation, 1, ones), rng.normal(0, 1, 800)])
        return from_scores(expit(values - shift), np.repeat([1, 0], [ones, 800]))

    return evidence(bells(positives), "fraud", validation=bells(validation_positives))


@pytest.mark.parametrize("code", ["PA208", "PA209"])
def test_validation_data_that_were_given_are_not_asked_for(code: str) -> None:
    chosen = found(code, with_validation(4.5, 6, 20, 200))
    none = found(code, with_validation(4.5, 6, 20, 0))
    for finding in (chosen, none):
        assert finding.outcome is Outcome.UNDECIDED
        assert "--validation" not in finding.do
        assert "validation data to choose" not in (finding.would_change or "")
    if code == "PA208":
        assert "which was chosen on the validation split, 1,000 items" in chosen.do
        assert "holds no item of this class" in none.do


def test_the_threshold_is_asked_for_by_one_check_and_the_ranking_by_the_other() -> None:
    given = ranked(20, 980, 4.5, 6)
    threshold, ranking = (found(code, given).would_change for code in ("PA208", "PA209"))
    assert threshold == "More test items of 'fraud', or validation data to choose a threshold on."
    assert ranking == "More test items of 'fraud', or a model whose scores tell 'fraud' from the others more clearly."
    assert "--validation" in found("PA208", given).do


def test_a_threshold_to_blame_is_replaced_by_the_one_that_was_chosen() -> None:
    finding = found("PA208", with_validation(6, 20, 200, 200))
    assert finding.outcome is Outcome.FAILED
    assert finding.do.startswith("Decide 'fraud' at the threshold 8.296e-08, which was chosen on")
    assert any("(chosen on the validation split" in fact.label for fact in finding.evidence)
