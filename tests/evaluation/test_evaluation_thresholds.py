"""Thresholds: chosen on one half, judged on the other; recommended only from other data than the test split."""

from __future__ import annotations

import numpy as np
import pytest

from poolaudit.evaluation.thresholds import advise_threshold, choose_threshold, recoverable_recall
from poolaudit.statistics.ranking import rank_scores


def drawn(seed, n, distance, shift=0.0, prevalence=0.2):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < prevalence
    return 1 / (1 + np.exp(-(rng.normal(size=n) + distance * truth - distance / 2 + shift))), truth


def recovered(scores, truth, precisions):
    return recoverable_recall("fraud", rank_scores(scores, truth), truth, precisions, 0.95)


def test_a_misplaced_threshold_is_recoverable():
    scores, truth = drawn(0, 2_000, 4.0, shift=-4.0)
    assert (scores[truth] >= 0.5).mean() < 0.3
    (result,) = recovered(scores, truth, [0.85])
    assert result.recall.value > 0.85
    assert result.precision.value == pytest.approx(0.85, abs=0.03)
    assert result.recall.n == truth.sum()
    assert "cross-fitting" in result.recall.method


def test_lost_ranking_is_not_recoverable():
    scores, truth = drawn(0, 2_000, 0.5)
    (result,) = recovered(scores, truth, [0.85])
    assert result.recall.high < 0.3


def test_neither_seed_nor_order_of_the_items_moves_the_diagnosis():
    for seed in range(20):
        scores, truth = drawn(seed, 300, 2.5)
        scores = np.round(scores, 2)  # ties
        order = np.random.default_rng(seed).permutation(len(scores))
        assert recovered(scores, truth, [0.5, 0.85]) == recovered(scores[order], truth[order], [0.5, 0.85])


def test_the_median_over_divisions_lies_closer_to_the_mean_than_single_divisions_do(monkeypatch):
    scores, truth = drawn(3, 400, 2.5)
    (many,) = recovered(scores, truth, [0.85])
    monkeypatch.setattr("poolaudit.evaluation.thresholds._divisions", lambda items: 1)
    drawing = np.random.default_rng
    singles = []
    for seed in range(200):
        monkeypatch.setattr("poolaudit.evaluation.thresholds.np.random.default_rng", lambda _, s=seed: drawing(s))
        (single,) = recovered(scores, truth, [0.85])
        singles.append(single.recall.value)
    assert abs(many.recall.value - np.mean(singles)) < np.std(singles) / 3


def test_cross_fitting_does_not_flatter_noise():
    # On pure noise a threshold chosen on the items it is judged on looks far better than prevalence.
    held_out, in_sample = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth, scores = np.arange(100) < 50, rng.random(100)
        (result,) = recovered(scores, truth, [0.7])
        if result.precision.value is not None:
            held_out.append((result.precision.value, result.precision.n))
        ranked = rank_scores(scores, truth)
        in_sample.append((ranked.true_positives / ranked.predicted_positives).max())
    values, weights = np.array(held_out).T
    assert np.average(values, weights=weights) < 0.58
    assert np.mean(in_sample) > 0.7


def test_higher_wanted_precision_never_raises_recall():
    scores, truth = drawn(3, 3_000, 2.0)
    recalls = [r.recall.value for r in recovered(scores, truth, [0.3, 0.5, 0.7, 0.9])]
    assert recalls == sorted(recalls, reverse=True)


def test_unreachable_precision_predicts_nothing():
    scores, truth = np.full(40, 0.3), np.arange(40) < 10
    (result,) = recovered(scores, truth, [0.9])
    assert result.recall.value == 0.0
    assert result.precision.value is None
    assert "no threshold keeps" in result.precision.reason


def test_one_positive_cannot_be_cross_fitted():
    (result,) = recovered(np.array([0.9, 0.1, 0.2]), np.array([True, False, False]), [0.9])
    assert result.recall.value is None
    assert "at least 2" in result.recall.reason


def test_the_chosen_threshold_has_the_best_f1_of_those_that_reach_both():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    truth = np.array([True, True, False, True, False, True])
    assert choose_threshold(rank_scores(scores, truth), 0.6, 0.75) == 0.4
    assert choose_threshold(rank_scores(scores, truth), 0.7, 0.75) == 0.6
    assert choose_threshold(rank_scores(scores, truth), 0.9, 0.9) is None


def test_a_precision_reached_exactly_counts():
    truth = np.arange(100) < 85
    assert choose_threshold(rank_scores(np.full(100, 0.4), truth), 0.85, 0.85) == 0.4


def advised(validation, test, wanted_precision=0.85, wanted_recall=0.85):
    scores, truth = validation
    return advise_threshold("fraud", (scores, truth, scores >= 0.5), test, wanted_precision, wanted_recall, 0.95)


def test_a_recommendation_says_where_it_comes_from_and_is_judged_on_the_test_items():
    test = drawn(2, 800, 4.0, shift=-4.0)
    advice = advised(drawn(1, 1_500, 4.0, shift=-4.0), test)
    assert advice.chosen_on == "validation split, 1,500 items"
    chosen = test[0] >= advice.threshold
    assert advice.recall.value == pytest.approx(chosen[test[1]].mean())
    assert advice.recall.n == test[1].sum()
    assert advice.precision.value == pytest.approx(test[1][chosen].mean())
    assert advice.recall.value > 0.8


def test_the_test_split_has_no_say_in_the_threshold():
    validation = drawn(1, 1_500, 4.0, shift=-4.0)
    thresholds = {advised(validation, drawn(seed, 300, 1.0)).threshold for seed in range(5)}
    assert len(thresholds) == 1


@pytest.mark.parametrize(
    ("validation", "reason"),
    [
        (drawn(1, 1_000, 0.5), "no threshold reaches recall 0.85 at precision 0.85"),
        (drawn(1, 1_000, 6.0, prevalence=0.5), "none is needed"),
        ((np.array([0.2, 0.3]), np.array([False, False])), "no item of this class"),
    ],
)
def test_without_a_fit_threshold_there_is_none_and_a_reason(validation, reason):
    advice = advised(validation, drawn(2, 300, 1.0))
    assert advice.threshold is None
    assert advice.precision is None
    assert reason in advice.reason


def test_a_threshold_above_every_test_score_has_no_precision():
    advice = advised(drawn(1, 1_500, 4.0, shift=-4.0), (np.full(10, 1e-9), np.arange(10) < 5))
    assert advice.recall.value == 0.0
    assert advice.precision.value is None
