"""Influences are derivatives: held against scikit-learn's weighted metrics, item by item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from poolaudit.statistics import influence

RNG = np.random.default_rng(0)
TRUTH = RNG.random(200) < 0.3
SCORES = np.round(RNG.random(200) + 0.4 * TRUTH, 1)
CHOSEN = SCORES > 0.8
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any]] = {
    "recall": (influence.recall, metrics.recall_score, CHOSEN),
    "precision": (influence.precision, metrics.precision_score, CHOSEN),
    "f1": (influence.f1, metrics.f1_score, CHOSEN),
    "matthews": (influence.matthews, metrics.matthews_corrcoef, CHOSEN),
    "average_precision": (influence.average_precision, metrics.average_precision_score, SCORES),
}


@pytest.mark.parametrize("name", CASES)
def test_the_influence_is_the_derivative_by_the_weight(name: str) -> None:
    ours, theirs, given = CASES[name]
    measured = ours(TRUTH, given)
    assert measured.value == pytest.approx(theirs(TRUTH, given))
    assert measured.influences.sum() == pytest.approx(0.0, abs=1e-12)
    for item in range(0, 200, 7):
        weights = np.ones(200)
        weights[item] += 1e-5
        slope = (theirs(TRUTH, given, sample_weight=weights) - theirs(TRUTH, given)) / 1e-5
        assert measured.influences[item] == pytest.approx(slope, abs=1e-6)


def test_what_is_zero_by_zero_has_no_value() -> None:
    nothing, all_of_them = np.zeros(5, bool), np.ones(5, bool)
    for measured in (
        influence.recall(nothing, all_of_them),
        influence.precision(all_of_them, nothing),
        influence.matthews(all_of_them, all_of_them),
        influence.average_precision(nothing, np.arange(5.0)),
        influence.f1(nothing, nothing),
        influence.mean(np.zeros(0)),
    ):
        assert np.isnan(measured.value)
        assert not measured.influences.any()


def test_an_average_over_classes_is_undefined_where_one_is() -> None:
    defined = influence.recall(TRUTH, CHOSEN)
    missing = influence.recall(np.zeros(200, bool), CHOSEN)
    assert influence.average_of([defined, defined]).value == defined.value
    assert np.isnan(influence.average_of([defined, missing]).value)
