"""The precision-recall curve: exact points, thinned without losing its shape."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve as sklearn_curve

from poolaudit.evaluation.confusion import class_metrics, confusion_matrix
from poolaudit.evaluation.ranking import (
    MOST_CURVE_POINTS,
    no_ranking,
    precision_recall_curve,
    threshold_in_use,
)
from poolaudit.statistics.ranking import rank_scores


def curve_of(scores, truth, threshold=0.5):
    counts = confusion_matrix(truth.astype(np.int64), (scores >= threshold).astype(np.int64), 2)
    metrics = class_metrics(counts, ["other", "fraud"], [no_ranking("not asked")] * 2, 0.95)
    return precision_recall_curve(rank_scores(scores, truth), metrics[1], threshold)


@pytest.mark.parametrize("n", [30, 20_000])
def test_points_are_exact_and_few(n):
    rng = np.random.default_rng(0)
    truth = rng.random(n) < 0.2
    scores = np.round(1 / (1 + np.exp(-rng.normal(size=n) - 2 * truth + 1)), 4)
    curve = curve_of(scores, truth)
    assert len(curve.points) <= MOST_CURVE_POINTS
    precision, recall, thresholds = sklearn_curve(truth, scores)
    exact = {t: (p, r) for p, r, t in zip(precision, recall, thresholds, strict=False)}
    for point in curve.points:
        assert (point.precision, point.recall) == pytest.approx(exact[point.threshold])
    recalls = [p.recall for p in curve.points]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1.0
    assert curve.prevalence == truth.mean()
    assert curve.shipped_recall == pytest.approx((scores[truth] >= 0.5).mean())


def test_thinning_keeps_the_shape():
    rng = np.random.default_rng(1)
    truth = rng.random(50_000) < 0.05
    scores = rng.normal(size=50_000) + 2 * truth
    curve = curve_of(scores, truth)
    precision, recall, _ = sklearn_curve(truth, scores)
    for wanted in np.linspace(0.02, 0.98, 40):
        best = max(p.precision for p in curve.points if p.recall >= wanted)
        # Nothing is invented, and what is lost is at most one step of recall.
        assert precision[recall >= wanted + 1 / 64].max() <= best <= precision[recall >= wanted].max()


@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_that_finds_every_item_is_on_the_page(seed):
    rng = np.random.default_rng(seed)
    truth = np.arange(600) < 200
    scores = np.where(truth, rng.uniform(0.5, 1.0, 600), rng.uniform(0.0, 0.55, 600))
    curve = curve_of(scores, truth)
    assert any(p.threshold == scores[truth].min() and p.recall == 1.0 for p in curve.points)


def test_constant_scores_give_one_point():
    curve = curve_of(np.full(10, 0.3), np.arange(10) < 3)
    assert [(p.recall, p.precision) for p in curve.points] == [(1.0, 0.3)]
    assert curve.shipped_precision is None
    assert curve.shipped_recall == 0.0


def test_the_shipped_threshold_is_claimed_only_where_it_is_true():
    scores = np.array([0.2, 0.5, 0.7])
    assert threshold_in_use(scores, np.array([False, True, True])) == 0.5
    assert threshold_in_use(scores, np.array([False, False, True])) == 0.5
    assert threshold_in_use(scores, np.array([True, True, True])) is None
