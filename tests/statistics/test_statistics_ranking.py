"""Average precision and ROC AUC against scikit-learn, brute force, SciPy's bootstrap and simulation."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from poolaudit.statistics.ranking import average_precision, rank_scores, roc_auc


@st.composite
def scored_items(draw):
    n = draw(st.integers(2, 40))
    truth = draw(hnp.arrays(bool, n).filter(lambda y: 0 < y.sum() < len(y)))
    scores = draw(hnp.arrays(float, n, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0])))
    return scores, truth


def drawn(rng, positives, negatives, distance):
    truth = np.arange(positives + negatives) < positives
    return rng.normal(size=len(truth)) + distance * truth, truth


@settings(deadline=None)
@given(scored_items())
def test_values_agree_with_scikit_learn_ties_included(items):
    scores, truth = items
    ranked = rank_scores(scores, truth)
    for estimate, theirs in (
        (average_precision(ranked), average_precision_score(truth, scores)),
        (roc_auc(ranked), roc_auc_score(truth, scores)),
    ):
        assert estimate.value == pytest.approx(theirs, abs=1e-12)
        assert estimate.n == len(scores)
        if estimate.low is not None:
            assert 0.0 <= estimate.low <= estimate.value <= estimate.high <= 1.0
            assert estimate.high - estimate.low > 1e-6


def test_delong_variance_agrees_with_its_definition():
    rng = np.random.default_rng(2)
    scores, truth = drawn(rng, 40, 70, 1.0)
    scores = np.round(scores, 1)
    pairs = (scores[truth][:, None] > scores[~truth]) + 0.5 * (scores[truth][:, None] == scores[~truth])
    variance = pairs.mean(axis=1).var(ddof=1) / 40 + pairs.mean(axis=0).var(ddof=1) / 70
    estimate = roc_auc(rank_scores(scores, truth))
    value = pairs.mean()
    half = stats.t.ppf(0.975, 39) * np.sqrt(variance) / (value * (1 - value))
    logit = np.log(value / (1 - value))
    assert estimate.value == pytest.approx(value)
    assert estimate.low == pytest.approx(1 / (1 + np.exp(half - logit)))
    assert estimate.high == pytest.approx(1 / (1 + np.exp(-half - logit)))


def test_influences_on_average_precision_agree_with_numerical_derivatives():
    rng = np.random.default_rng(3)
    scores, truth = drawn(rng, 12, 30, 1.0)
    scores = np.round(scores, 1)
    value, step = average_precision_score(truth, scores), 1e-6
    influences = []
    for item in range(len(truth)):
        weights = np.ones(len(truth))
        weights[item] += step
        influences.append((average_precision_score(truth, scores, sample_weight=weights) - value) / step)
    n = len(truth)
    deviation = np.sqrt(np.sum(np.square(influences)) * n / (n - 1))
    estimate = average_precision(rank_scores(scores, truth))
    half = stats.t.ppf(0.975, 11) * deviation / (value * (1 - value))
    logit = np.log(value / (1 - value))
    assert estimate.low == pytest.approx(1 / (1 + np.exp(half - logit)), abs=1e-5)
    assert estimate.high == pytest.approx(1 / (1 + np.exp(-half - logit)), abs=1e-5)


def test_intervals_agree_with_scipys_bootstrap():
    scores, truth = drawn(np.random.default_rng(5), 200, 600, 1.5)
    ranked = rank_scores(scores, truth)
    for estimate, metric in (
        (average_precision(ranked), average_precision_score),
        (roc_auc(ranked), roc_auc_score),
    ):
        theirs = stats.bootstrap(
            (truth, scores),
            lambda y, s, metric=metric: metric(y, s),
            paired=True,
            vectorized=False,
            n_resamples=400,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        width = theirs.high - theirs.low
        assert estimate.low == pytest.approx(theirs.low, abs=0.25 * width)
        assert estimate.high == pytest.approx(theirs.high, abs=0.25 * width)


@pytest.mark.parametrize(("positives", "negatives", "distance"), [(20, 80, 1.0), (10, 90, 3.0), (100, 900, 2.0)])
def test_intervals_cover_the_truth_about_as_often_as_they_say(positives, negatives, distance):
    rng = np.random.default_rng(7)
    true_auc = stats.norm.cdf(distance / np.sqrt(2))
    large = rank_scores(*drawn(rng, 2_000 * positives, 2_000 * negatives, distance))
    true_precision = average_precision(large).value
    runs = 300
    covered = np.zeros(2)
    for _ in range(runs):
        ranked = rank_scores(*drawn(rng, positives, negatives, distance))
        area, precision = roc_auc(ranked), average_precision(ranked)
        covered += (area.low <= true_auc <= area.high, precision.low <= true_precision <= precision.high)
    assert (covered >= 0.92 * runs).all(), covered / runs


@pytest.mark.parametrize("positives", [1, 5, 100])
def test_a_perfect_ranking_is_not_certain(positives):
    truth = np.arange(300) < positives
    ranked = rank_scores(truth + np.linspace(0, 0.5, 300), truth)
    for estimate in (roc_auc(ranked), average_precision(ranked)):
        assert estimate.value == estimate.high == 1.0
        assert estimate.low < 1 - 2 / positives or estimate.low < 0.5
        assert "exact bound" in estimate.method


def test_a_reversed_ranking_has_an_upper_bound():
    truth = np.arange(100) < 50
    estimate = roc_auc(rank_scores(-1.0 * truth, truth))
    assert estimate.value == estimate.low == 0.0
    assert 0.05 < estimate.high < 0.1


def test_constant_scores_rank_nothing():
    truth = np.arange(100) < 20
    ranked = rank_scores(np.full(100, 0.3), truth)
    assert roc_auc(ranked).value == pytest.approx(0.5)
    assert roc_auc(ranked).low < 0.4 < 0.6 < roc_auc(ranked).high
    assert average_precision(ranked).value == pytest.approx(0.2)


def test_one_positive_item_gives_no_spread_and_says_so():
    ranked = rank_scores(np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, False, True, False]))
    assert average_precision(ranked).value == pytest.approx(0.5)
    assert average_precision(ranked).low is None
    assert "one positive" in average_precision(ranked).reason
    assert roc_auc(ranked).method == "Newcombe method 5"
    assert roc_auc(ranked).low < 0.2
    assert roc_auc(ranked).high > 0.9


@pytest.mark.parametrize("truth", [True, False])
def test_one_group_alone_cannot_be_ranked(truth):
    ranked = rank_scores(np.array([0.2, 0.7]), np.array([truth, truth]))
    for estimate in (roc_auc(ranked), average_precision(ranked)):
        assert estimate.value is None
        assert "item is of this class" in estimate.reason


def test_a_million_items_take_under_half_a_second():
    scores, truth = drawn(np.random.default_rng(0), 20_000, 980_000, 2.0)
    start = time.process_time()
    ranked = rank_scores(scores, truth)
    roc_auc(ranked)
    average_precision(ranked)
    assert time.process_time() - start < 0.5
