"""Rates per class and their averages: the textbook case, scikit-learn, and classes that are missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk

from poolaudit.evaluation.confusion import class_metrics, confusion_matrix, no_information_test, overall_metrics
from poolaudit.evaluation.ranking import no_ranking


def judged(counts, names=None):
    counts = np.array(counts)
    names = names or [f"class {i}" for i in range(len(counts))]
    per_class = class_metrics(counts, names, [no_ranking("labels only")] * len(names), 0.95)
    return per_class, overall_metrics(counts, names, 0.95, np.random.default_rng(0))


@st.composite
def labelled(draw):
    classes = draw(st.integers(2, 5))
    n = draw(st.integers(classes, 60))
    labels = np.concatenate([np.arange(classes), draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))])
    predicted = draw(hnp.arrays(np.int64, len(labels), elements=st.integers(0, classes - 1)))
    return labels, predicted, classes


def test_the_textbook_case():
    (_, fraud), overall = judged([[90, 10], [15, 85]], ["genuine", "fraud"])
    assert (fraud.true_positives, fraud.false_negatives) == (85, 15)
    assert (fraud.false_positives, fraud.true_negatives) == (10, 90)
    assert fraud.precision.value == pytest.approx(0.895, abs=5e-4)
    assert fraud.recall.value == 0.85
    assert fraud.f1.value == pytest.approx(0.872, abs=5e-4)
    assert fraud.specificity.value == 0.9
    assert fraud.support == fraud.recall.n == 100
    assert overall.accuracy.value == 0.875
    assert overall.balanced_accuracy.value == 0.875


@settings(deadline=None, max_examples=40)
@given(labelled())
def test_everything_agrees_with_scikit_learn(items):
    labels, predicted, classes = items
    counts = confusion_matrix(labels, predicted, classes)
    assert (counts == sk.confusion_matrix(labels, predicted, labels=range(classes))).all()
    per_class, overall = judged(counts)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=range(classes), zero_division=np.nan
    )
    for k, ours in enumerate(per_class):
        assert ours.support == support[k]
        assert ours.recall.value == pytest.approx(recall[k])
        assert ours.f1.value == pytest.approx(f1[k])
        if np.isnan(precision[k]):
            assert ours.precision.value is None
            assert "never predicted" in ours.precision.reason
        else:
            assert ours.precision.value == pytest.approx(precision[k])
        others = labels != k
        if others.any():
            assert ours.specificity.value == pytest.approx((predicted[others] != k).mean())
    assert overall.accuracy.value == pytest.approx(sk.accuracy_score(labels, predicted))
    assert overall.balanced_accuracy.value == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert overall.cohens_kappa.value == pytest.approx(sk.cohen_kappa_score(labels, predicted))
    if overall.matthews_correlation.value is not None:
        assert overall.matthews_correlation.value == pytest.approx(sk.matthews_corrcoef(labels, predicted))
    averages = {a.average: a for a in overall.averages}
    for kind in ("macro", "micro", "weighted"):
        theirs = sk.precision_recall_fscore_support(labels, predicted, average=kind, zero_division=np.nan)
        assert averages[kind].recall.value == pytest.approx(theirs[1])
        assert averages[kind].f1.value == pytest.approx(theirs[2])
        if not np.isnan(precision).any():
            assert averages[kind].precision.value == pytest.approx(theirs[0])


def test_a_class_absent_from_the_test_split_is_not_counted_as_zero():
    per_class, overall = judged([[40, 5, 5], [4, 46, 0], [0, 0, 0]], ["cat", "dog", "yak"])
    yak = per_class[2]
    assert yak.recall.value is None
    assert "no test item" in yak.recall.reason
    assert yak.f1.value is None
    assert yak.precision.value == 0.0
    macro = overall.averages[0]
    assert macro.recall.value == overall.balanced_accuracy.value == pytest.approx((40 / 50 + 46 / 50) / 2)
    assert "'yak' (absent from the test split)" in macro.recall.method
    assert "'yak'" in overall.balanced_accuracy.method


def test_a_class_never_predicted_has_no_precision_and_the_average_says_so():
    per_class, overall = judged([[90, 0], [10, 0]], ["genuine", "fraud"])
    assert per_class[1].precision.value is None
    assert per_class[1].recall.value == 0.0
    assert per_class[1].f1.value == 0.0
    macro = overall.averages[0]
    assert macro.precision.value == pytest.approx(0.9)
    assert "'fraud' (never predicted)" in macro.precision.method
    assert macro.recall.value == 0.5


def test_only_absent_classes_predicted_leaves_no_precision_to_average():
    _, overall = judged([[0, 0, 5], [0, 0, 5], [0, 0, 0]])
    assert overall.averages[0].precision.value is None
    assert overall.averages[0].recall.value == 0.0


@pytest.mark.parametrize("counts", [[[10, 0], [0, 10]], [[0, 10], [10, 0]], [[1, 0], [0, 1]], [[1, 0], [0, 500]]])
def test_extreme_matrices_have_intervals_of_some_width(counts):
    per_class, overall = judged(counts)
    numbers = [overall.accuracy, overall.balanced_accuracy, overall.cohens_kappa, overall.matthews_correlation]
    numbers += [e for m in per_class for e in (m.precision, m.recall, m.f1, m.specificity)]
    numbers += [e for a in overall.averages for e in (a.precision, a.recall, a.f1)]
    for estimate in numbers:
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.high - estimate.low > 1e-3


def test_balanced_accuracy_stays_honest_where_a_rare_class_shows_no_error():
    # Ten of ten right are compatible with a recall of 0.72: the mean over two classes with 0.86.
    _, overall = judged([[10, 0], [0, 5_000]])
    assert overall.balanced_accuracy.low < 0.88


def test_always_answering_the_majority_is_not_better_than_no_information():
    guilty = no_information_test(np.array([[980, 0], [20, 0]]), ["genuine", "fraud"])
    assert (guilty.majority_class, guilty.rate) == ("genuine", 0.98)
    assert guilty.p_value > 0.5
    innocent = no_information_test(np.array([[970, 10], [2, 18]]), ["genuine", "fraud"])
    assert innocent.p_value == pytest.approx(stats.binomtest(988, 1_000, 0.98, alternative="greater").pvalue)
    assert no_information_test(np.array([[5, 0], [0, 0]]), ["a", "b"]).p_value == 1.0
