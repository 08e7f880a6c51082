"""The stage as a whole: what arrives in the evidence, what is left out with which reason, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from sklearn import metrics as sk

from poolaudit.errors import InvalidInputError
from poolaudit.evaluation.evaluate import MOST_CURVES, evaluate
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.evaluation import EvaluationEvidence
from poolaudit.subject.predictions import Predictions


def predictions(seed=0, n=400, classes=2, sharpness=2.0, names=None, prior=None):
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, size=n, p=prior)
    labels[:classes] = np.arange(classes)
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += sharpness
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(
        labels=labels.astype(np.int64),
        predicted=probabilities.argmax(axis=1).astype(np.int64),
        probabilities=probabilities,
        class_names=tuple(names or [f"class {i}" for i in range(classes)]),
        groups=None,
        times=None,
        paths=None,
        source="drawn",
        sha256="0" * 64,
        stated="drawn probabilities, decided by arg max",
        normalised=True,
    )


def estimates_in(value):
    if isinstance(value, Estimate):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from estimates_in(item)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from estimates_in(getattr(value, name))


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_numbers_agree_with_scikit_learn_and_survive_json(classes):
    given = predictions(classes=classes, n=600)
    evidence = evaluate(given)
    for k, metrics in enumerate(evidence.per_class):
        truth, scores = given.labels == k, given.probabilities[:, k]
        assert metrics.average_precision.value == pytest.approx(sk.average_precision_score(truth, scores))
        assert metrics.roc_auc.value == pytest.approx(sk.roc_auc_score(truth, scores))
    assert evidence.log_loss.value == pytest.approx(sk.log_loss(given.labels, given.probabilities))
    assert evidence.confusion == tuple(map(tuple, sk.confusion_matrix(given.labels, given.predicted).tolist()))
    assert evidence.n == 600
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=EvaluationEvidence) == evidence


def test_every_estimate_carries_method_n_and_a_reason_where_something_is_missing():
    found = list(estimates_in(evaluate(predictions(classes=3), validation=predictions(seed=1, classes=3))))
    assert len(found) > 40
    for estimate in found:
        assert estimate.method
        if estimate.value is None or estimate.low is None:
            assert estimate.reason
        else:
            assert estimate.n > 0
            assert estimate.low <= estimate.value <= estimate.high


def test_high_accuracy_with_low_recall_shows_in_the_numbers():
    labels = np.repeat([0, 1], [4_900, 100])
    scores = np.where(labels == 1, 0.2, 0.01) + np.random.default_rng(0).uniform(0, 0.1, 5_000)
    scores[labels == 1] += np.where(np.arange(100) < 12, 0.5, 0.0)
    given = replace(
        predictions(names=["genuine", "fraud"]),
        labels=labels,
        predicted=(scores >= 0.5).astype(np.int64),
        probabilities=np.column_stack([1 - scores, scores]),
    )
    evidence = evaluate(given, positive="fraud")
    fraud = evidence.per_class[1]
    assert evidence.accuracy.value > 0.98
    assert fraud.recall.value == 0.12
    assert fraud.false_negatives == 88
    assert fraud.average_precision.value == 1.0
    assert [c.class_name for c in evidence.curves] == ["fraud"]
    assert evidence.curves[0].shipped_threshold == 0.5
    recoverable = {r.wanted_precision: r.recall.value for r in evidence.recoverable_recall}
    assert recoverable[0.9] > 0.9
    (advice,) = evidence.thresholds
    assert advice.threshold is None
    assert "would flatter itself" in advice.reason


def test_validation_predictions_bring_a_recommendation():
    def fraud(seed):
        drawn = predictions(seed, 3_000, sharpness=4.0, names=["genuine", "fraud"])
        scores = drawn.probabilities[:, 1] * 0.3
        return replace(
            drawn,
            probabilities=np.column_stack([1 - scores, scores]),
            predicted=(scores >= 0.5).astype(np.int64),
        )

    (advice,) = evaluate(fraud(0), positive="fraud", validation=fraud(1)).thresholds
    assert advice.threshold < 0.3
    assert advice.chosen_on == "validation split, 3,000 items"
    assert advice.recall.value > 0.85


def test_labels_alone_leave_ranking_and_calibration_unassessed_with_the_reason():
    evidence = evaluate(replace(predictions(), probabilities=None, normalised=False))
    assert evidence.calibration is None
    assert evidence.curves == evidence.recoverable_recall == ()
    assert evidence.log_loss.value is None
    assert evidence.per_class[0].average_precision.value is None
    assert "no probabilities" in evidence.per_class[0].roc_auc.reason
    assert "no probabilities" in evidence.not_assessed[0].reason
    assert all("no probabilities" in advice.reason for advice in evidence.thresholds)
    assert evidence.accuracy.value > 0.8


def test_scores_that_are_no_distribution_are_ranked_but_not_calibrated():
    evidence = evaluate(replace(predictions(classes=3), normalised=False))
    assert evidence.calibration is None
    assert "no probabilities" in evidence.log_loss.reason
    assert evidence.per_class[0].roc_auc.value is not None
    assert evidence.not_assessed[0].what == "log loss and calibration"


def test_an_absent_class_is_not_estimable_rather_than_zero():
    given = predictions(classes=3)
    kept = given.labels != 2
    evidence = evaluate(
        replace(
            given,
            labels=given.labels[kept],
            predicted=given.predicted[kept],
            probabilities=given.probabilities[kept],
        )
    )
    missing = evidence.per_class[2]
    for estimate in (missing.recall, missing.f1, missing.average_precision, missing.roc_auc):
        assert estimate.value is None
        assert "of this class" in estimate.reason
    assert any("class 2" in item.what for item in evidence.not_assessed)
    assert [c.class_name for c in evidence.curves] == ["class 0", "class 1"]


def test_many_classes_draw_the_worst_and_say_so():
    evidence = evaluate(predictions(classes=30, n=900, sharpness=1.5))
    assert len(evidence.curves) == MOST_CURVES
    worst = sorted(evidence.per_class, key=lambda m: m.recall.value)[0]
    assert worst.name in {c.class_name for c in evidence.curves}
    assert any("precision-recall curves of 18 classes" in item.what for item in evidence.not_assessed)
    assert len(msgspec.json.encode(evidence)) < 400_000


def test_the_same_seed_gives_the_same_evidence():
    assert evaluate(predictions(), seed=5) == evaluate(predictions(), seed=5)


def test_the_compiled_loss_passes_through_and_progress_is_told():
    told = []
    loss = Estimate(0.4, 0.3, 0.5, 400, "Student's t on per-item values")
    evidence = evaluate(predictions(), loss=loss, on_progress=lambda *step: told.append(step))
    assert evidence.loss == loss
    assert [done for done, _, _ in told] == [1, 2, 3, 4, 5]
    assert {total for _, total, _ in told} == {5}
    assert evaluate(predictions()).loss.value is None


def test_what_cannot_be_evaluated_is_refused():
    given = predictions(names=["genuine", "fraud"])
    with pytest.raises(InvalidInputError, match="Did you mean 'fraud'"):
        evaluate(given, positive="fruad")
    with pytest.raises(InvalidInputError, match="same order"):
        evaluate(given, validation=predictions(names=["fraud", "genuine"]))
    empty = replace(given, labels=given.labels[:0], predicted=given.predicted[:0], probabilities=None)
    with pytest.raises(InvalidInputError, match="no items"):
        evaluate(empty)


LARGE = """
import sys, time
import numpy as np
from poolaudit.evaluation.evaluate import evaluate
from poolaudit.subject.predictions import Predictions

rng = np.random.default_rng(0)
labels = (rng.random(1_000_000) < 0.02).astype(np.int64)
scores = 1 / (1 + np.exp(-(rng.normal(size=len(labels)) + 3 * labels - 3)))
given = Predictions(labels, (scores >= 0.5).astype(np.int64), np.column_stack([1 - scores, scores]),
                    ("genuine", "fraud"), None, None, None, "drawn", "0" * 64, "drawn", True)
start = time.process_time()
evaluate(given)
print(time.process_time() - start)
print([name for name in ("tensorflow", "keras", "scipy.stats", "sklearn", "pandas") if name in sys.modules])
"""


def test_a_million_predictions_are_quick_and_load_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    seconds, loaded = done.stdout.splitlines()
    assert float(seconds) < 2.5
    assert loaded == "[]"
