"""Log loss and Brier score against scikit-learn; calibration error on sound and on overconfident probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from poolaudit.evaluation.calibration import calibration, log_loss


def drawn(seed, n, classes, overconfidence=1.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * 1.5
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random(n)[:, None] > true.cumsum(axis=1)).sum(axis=1).clip(0, classes - 1)
    stated = np.exp(overconfidence * logits)
    return stated / stated.sum(axis=1, keepdims=True), labels.astype(np.int64)


def calibrated(probabilities, labels):
    return calibration(probabilities, labels, 0.95, np.random.default_rng(0))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(5, 80), st.integers(2, 6))
def test_log_loss_and_brier_score_agree_with_scikit_learn(seed, n, classes):
    probabilities, labels = drawn(seed, n, classes)
    ours = log_loss(probabilities, labels, 0.95)
    assert ours.value == pytest.approx(sk.log_loss(labels, probabilities, labels=range(classes)))
    assert ours.low <= ours.value <= ours.high
    brier = calibrated(probabilities, labels).brier_score
    if classes == 2:
        assert brier.value == pytest.approx(sk.brier_score_loss(labels, probabilities[:, 1], pos_label=1))
    else:
        one_hot = np.eye(classes)[labels]
        assert brier.value == pytest.approx(((probabilities - one_hot) ** 2).sum(axis=1).mean())


def test_a_certain_and_wrong_answer_costs_much_but_not_infinity():
    estimate = log_loss(np.array([[1.0, 0.0], [0.3, 0.7]]), np.array([1, 1]), 0.95)
    assert estimate.value == pytest.approx((-np.log(2.220446049250313e-16) - np.log(0.7)) / 2)
    assert "1 items gave the true class probability 0" in estimate.method


@pytest.mark.parametrize("classes", [2, 4])
def test_bins_hold_every_item_once(classes):
    probabilities, labels = drawn(1, 500, classes)
    bins = calibrated(probabilities, labels).bins
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    assert sum(b.n for b in bins) == 500
    for b in bins:
        inside = (top >= b.low) & ((top < b.high) | (b.high == 1.0))
        assert b.n == inside.sum()
        assert b.accuracy.value == pytest.approx(right[inside].mean())
        assert b.mean_confidence == pytest.approx(top[inside].mean())


def test_probability_one_falls_into_the_last_bin():
    (only,) = calibrated(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])).bins
    assert (only.high, only.n, only.mean_confidence) == (1.0, 2, 1.0)


def test_overconfidence_is_seen_and_sound_probabilities_are_not_blamed():
    guilty = calibrated(*drawn(2, 4_000, 2, overconfidence=4.0)).expected_calibration_error
    assert guilty.low > 0.08
    innocent = calibrated(*drawn(2, 4_000, 2)).expected_calibration_error
    assert innocent.low < 0.005
    assert innocent.value < 0.03
    assert innocent.n == 4_000
    assert "15 equal-width bins" in innocent.method


@pytest.mark.parametrize("overconfidence", [2.0, 4.0])
def test_the_calibration_errors_interval_covers_the_truth(overconfidence):
    truth = calibrated(*drawn(9, 400_000, 2, overconfidence)).expected_calibration_error.value
    covered = 0
    for seed in range(100):
        estimate = calibrated(*drawn(seed, 500, 2, overconfidence)).expected_calibration_error
        covered += estimate.low <= truth <= estimate.high
    assert covered >= 88


def test_perfect_certainty_is_not_an_interval_of_zero_width():
    probabilities = np.tile([[0.0, 1.0]], (20, 1))
    result = calibrated(probabilities, np.ones(20, dtype=np.int64))
    assert result.expected_calibration_error.value == 0.0
    assert result.brier_score.low is None
    assert result.brier_score.reason
