"""Whatever an evaluation measures is coherent; what is taken out of it or put in is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolaudit.evaluation.coherence import contradictions_in
from poolaudit.evaluation.evaluate import evaluate
from poolaudit.subject.predictions import Predictions
from specimens.outcomes import predictions


def predictions_of(labels: Any, probabilities: Any, scores: Any, *, normalised: bool = True) -> Predictions:
    names = [f"class {index}" for index in range(scores.shape[1])]
    made = predictions(labels, scores.argmax(axis=1), names, probabilities)
    return replace(made, normalised=made.normalised and normalised)


@st.composite
def any_predictions(draw: st.DrawFn) -> Predictions:
    """Scores with ties or without, good, useless or backwards; classes without items; labels alone."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes, items = draw(st.sampled_from([2, 3, 15])), draw(st.sampled_from([1, 2, 5, 60, 900]))
    labels = rng.integers(0, draw(st.integers(1, classes)), items)
    scores = draw(st.sampled_from([-3.0, 0.0, 1.0, 4.0])) * np.eye(classes)[labels] + rng.normal(size=(items, classes))
    if draw(st.booleans()):
        scores = np.round(scores)
    normalised = draw(st.booleans())
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    given = draw(st.sampled_from([None, probabilities if normalised else probabilities * 0.5]))
    return predictions_of(labels, given, scores, normalised=normalised)


@settings(max_examples=60, deadline=None)
@given(any_predictions(), st.booleans(), st.sampled_from([0.5, 0.85]))
def test_every_evaluation_is_coherent(drawn: Predictions, of_interest: bool, bar: float) -> None:
    evidence = evaluate(drawn, positive="class 0" if of_interest else None, wanted_recall=bar)
    assert list(contradictions_in(evidence, 0.95, 0.99)) == [], "judged by another bar later"
    assert list(contradictions_in(evidence, 0.95, bar)) == []
    without = replace(evidence, curves=())
    assert list(contradictions_in(without, 0.95, bar, with_curves=False)) == []


@pytest.mark.parametrize("part", ["curves", "recoverable_recall"])
def test_a_class_taken_out_is_named(part: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    probabilities = rng.dirichlet([1, 1, 1], 300)
    evidence = evaluate(predictions_of(labels, probabilities, probabilities))
    kept = tuple(entry for entry in getattr(evidence, part) if entry.class_name != "class 1")
    (found,) = contradictions_in(replace(evidence, **{part: kept}), 0.95, 0.85)
    assert "is missing for 'class 1'" in found


def test_groups_that_do_not_hold_the_items_are_named() -> None:
    labels = np.repeat([0, 1], 60)
    made = predictions(labels, labels, ["a", "b"])
    evidence = evaluate(replace(made, groups=np.array([f"g{i // 10}" for i in range(120)], dtype=object)))
    assert evidence.grouped is not None
    assert [(g.class_name, g.items, g.recall.n) for g in evidence.grouped] == [("a", 60, 6), ("b", 60, 6)]
    assert list(contradictions_in(evidence, 0.95, 0.85)) == []
    first, second = evidence.grouped
    for tampered in (
        replace(first, items=59),
        replace(first, recall=replace(first.recall, n=60)),
        replace(first, recall=replace(first.recall, value=0.5, low=0.4)),
        replace(first, class_name="c"),
    ):
        assert list(contradictions_in(replace(evidence, grouped=(tampered, second)), 0.95, 0.85)), tampered
