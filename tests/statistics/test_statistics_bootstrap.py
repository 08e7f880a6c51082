"""Metrics of confusion matrices against scikit-learn, their intervals against SciPy and by simulation."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk

from poolaudit.statistics.bootstrap import METRICS, bootstrap_counts, margins_of

SMALL_MATRICES = st.integers(2, 5).flatmap(
    lambda k: hnp.arrays(np.int64, (k, k), elements=st.integers(0, 30)).filter(
        lambda c: (c.sum(axis=1) > 0).all() and (c.sum(axis=0) > 0).all()
    )
)


def items_of(counts):
    cells = np.repeat(np.arange(counts.size), counts.ravel())
    return cells // len(counts), cells % len(counts)


@settings(deadline=None)
@given(SMALL_MATRICES)
def test_every_metric_agrees_with_scikit_learn(counts):
    labels, predicted = items_of(counts)
    averaged = {
        kind: sk.precision_recall_fscore_support(labels, predicted, average=kind, zero_division=0)
        for kind in ("macro", "weighted")
    }
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "matthews_correlation": sk.matthews_corrcoef(labels, predicted),
        "cohens_kappa": sk.cohen_kappa_score(labels, predicted),
        "macro_precision": averaged["macro"][0],
        "macro_f1": averaged["macro"][2],
        "weighted_precision": averaged["weighted"][0],
        "weighted_f1": averaged["weighted"][2],
    }
    assert expected.keys() == METRICS.keys()
    for name, metric in METRICS.items():
        assert metric(margins_of(counts))[0] == pytest.approx(expected[name], abs=1e-12), name


@pytest.mark.parametrize("confusion", [[[430, 40], [25, 105]], [[90, 6, 4], [10, 150, 12], [5, 9, 114]]])
def test_intervals_agree_with_scipys_bootstrap_of_the_items(confusion):
    counts = np.array(confusion)
    classes = len(counts)
    items = np.repeat(np.arange(counts.size), counts.ravel())
    ours = bootstrap_counts(counts, METRICS, np.random.default_rng(0))
    for name in ("balanced_accuracy", "matthews_correlation", "cohens_kappa", "macro_f1"):

        def statistic(cells, axis, name=name):
            tables = np.apply_along_axis(np.bincount, axis, cells, minlength=classes * classes)
            tables = np.atleast_2d(np.moveaxis(tables, axis, -1)).reshape(-1, classes, classes)
            values = np.array([METRICS[name](margins_of(t))[0] for t in tables])
            return values if cells.ndim > 1 else values[0]

        theirs = stats.bootstrap(
            (items,), statistic, n_resamples=1_500, method="percentile", axis=-1, rng=np.random.default_rng(1)
        ).confidence_interval
        width = theirs.high - theirs.low
        assert ours[name].low == pytest.approx(theirs.low, abs=0.12 * width), name
        assert ours[name].high == pytest.approx(theirs.high, abs=0.12 * width), name


COVERAGE_CASES = {
    "balanced": [[0.45, 0.05], [0.08, 0.42]],
    "rare class": [[0.87, 0.03], [0.03, 0.07]],
    "nearly perfect": [[0.697, 0.003], [0.003, 0.297]],
    "four classes": np.full((4, 4), 0.0125) + 0.2 * np.eye(4),
}


@pytest.mark.parametrize("n", [100, 400])
@pytest.mark.parametrize("case", COVERAGE_CASES)
def test_intervals_cover_the_truth_about_as_often_as_they_say(case, n):
    rng = np.random.default_rng(11)
    cells = np.array(COVERAGE_CASES[case])
    cells = cells / cells.sum()
    truth = {name: m(margins_of(np.round(cells * 1e12).astype(np.int64)))[0] for name, m in METRICS.items()}
    covered = dict.fromkeys(METRICS, 0)
    runs = 300
    for _ in range(runs):
        counts = rng.multinomial(n, cells.ravel()).reshape(cells.shape)
        for name, estimate in bootstrap_counts(counts, METRICS, rng, resamples=1_000).items():
            covered[name] += estimate.low is None or estimate.low <= truth[name] <= estimate.high
    # 0.90 leaves room for the simulation's own error: 0.95 with a standard error of 0.013.
    assert min(covered.values()) >= 0.90 * runs, covered


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_perfect_matrix_is_not_certain(classes):
    counts = 10 * np.eye(classes, dtype=np.int64)
    for name, estimate in bootstrap_counts(counts, METRICS, np.random.default_rng(0)).items():
        assert estimate.value == estimate.high == pytest.approx(1.0), name
        # 0 errors in n items are compatible with an error rate of 3.7 / n at 2.5 %.
        assert estimate.low < 1 - 2 / counts.sum(), name


def test_all_wrong_and_one_item_still_give_intervals():
    wrong = bootstrap_counts(np.array([[0, 20], [20, 0]]), METRICS, np.random.default_rng(0))
    assert wrong["accuracy"].value == wrong["accuracy"].low == 0.0
    assert wrong["accuracy"].high > 0.02
    assert wrong["matthews_correlation"].value == pytest.approx(-1.0)
    single = bootstrap_counts(np.array([[1, 0], [0, 0]]), METRICS, np.random.default_rng(0))
    assert single["accuracy"].low < 0.5


def test_draws_average_precision_over_the_same_classes_as_the_estimate():
    estimate = bootstrap_counts(np.array([[900, 0], [100, 0]]), METRICS, np.random.default_rng(0))["macro_precision"]
    assert estimate.value == pytest.approx(0.9)
    assert (estimate.low, estimate.high) == pytest.approx((0.88, 0.917), abs=5e-3)


def test_correlation_of_constant_answers_is_not_estimable_and_says_why():
    one_answer = bootstrap_counts(np.array([[90, 0], [10, 0]]), METRICS, np.random.default_rng(0))
    assert one_answer["matthews_correlation"].value is None
    assert "one class only is ever predicted" in one_answer["matthews_correlation"].reason
    assert one_answer["cohens_kappa"].value == pytest.approx(0.0)
    one_label = bootstrap_counts(np.array([[90, 10], [0, 0]]), METRICS, np.random.default_rng(0))
    assert "labels hold one class" in one_label["matthews_correlation"].reason
    empty = bootstrap_counts(np.zeros((2, 2), int), METRICS, np.random.default_rng(0))
    assert all(e.value is None for e in empty.values())


def test_the_same_seed_gives_the_same_interval():
    counts = np.array([[50, 5], [4, 41]])
    first, again = (bootstrap_counts(counts, METRICS, np.random.default_rng(3)) for _ in range(2))
    assert first == again


def test_a_million_predictions_cost_well_under_a_second():
    rng = np.random.default_rng(0)
    for classes in (2, 10):
        counts = rng.multinomial(1_000_000, np.full(classes**2, classes**-2.0)).reshape(classes, classes)
        start = time.process_time()
        estimates = bootstrap_counts(counts, METRICS, rng)
        assert time.process_time() - start < 1.0
        assert "10,000 resamples" in estimates["macro_f1"].method


def test_many_classes_make_fewer_draws_and_say_so():
    rng = np.random.default_rng(0)
    counts = rng.poisson(5, size=(200, 200)) + 500 * np.eye(200, dtype=int)
    estimates = bootstrap_counts(counts, METRICS, rng)
    assert "1,000 resamples" in estimates["macro_f1"].method
    assert estimates["macro_f1"].low < estimates["macro_f1"].value < estimates["macro_f1"].high
