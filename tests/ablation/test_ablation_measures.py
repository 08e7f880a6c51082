"""What a trial's predictions are worth: thresholds, states, and a precision at which there is something to compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from poolaudit.ablation.effects import learns_more_often, pair
from poolaudit.ablation.measures import (
    MATCHED,
    Question,
    choose_precision,
    choose_threshold,
    draw_validation,
    measure_trial,
    unmeasured,
)
from poolaudit.evidence.ablation import BACKWARDS

RNG = np.random.default_rng(0)
LABELS = (RNG.random(600) < 0.3).astype(np.int64)
HELD = (RNG.random(400) < 0.3).astype(np.int64)


def question(precision: float | None = 0.85) -> Question:
    return Question(LABELS, HELD, 2, (1,), precision, draw_validation(len(HELD), np.random.default_rng(1), 50))


def scores(labels: Any, separation: float, shift: float = 0.0, seed: int = 0) -> Any:
    rng = np.random.default_rng(100 + seed)
    positive = expit(separation * labels + rng.standard_normal(len(labels)) + shift)
    return np.stack([1 - positive, positive], axis=1)


def measured(separation: float, shift: float = 0.0, precision: float = 0.85) -> Any:
    return measure_trial(scores(LABELS, separation, shift), scores(HELD, separation, shift, 1), question(precision))


def test_a_moved_threshold_moves_recall_as_shipped_and_nothing_else() -> None:
    plain, timid = measured(3.0, -1.5), measured(3.0, -4.0)
    assert timid.metrics["recall"].value < plain.metrics["recall"].value - 0.3
    assert timid.metrics[MATCHED].value == pytest.approx(plain.metrics[MATCHED].value)
    assert timid.metrics["average_precision"].value == pytest.approx(plain.metrics["average_precision"].value)
    assert np.allclose(timid.matched_draws, plain.matched_draws)


def test_the_threshold_comes_from_validation_items() -> None:
    trial = measured(3.0)
    assert trial.matched_precision == pytest.approx(0.85, abs=0.08)
    assert trial.matched_draws.std() > 0, "other validation items would have set another threshold"


def test_the_chosen_threshold_has_the_highest_recall_that_keeps_the_precision() -> None:
    truth = np.array([1, 1, 0, 1, 0, 0], bool)
    values = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert choose_threshold(values, truth, 0.75) == 0.6
    assert choose_threshold(values, truth, 0.9) == 0.8
    assert choose_threshold(values, ~truth, 0.9) == np.inf


@pytest.mark.parametrize(
    ("trial", "state"),
    [
        (lambda: measured(2.0), "learned"),
        (lambda: measured(2.0, -8.0), "learned"),
        (lambda: measured(0.0), "collapsed"),
        (lambda: measure_trial(np.full((600, 2), 0.5), np.full((400, 2), 0.5), question()), "dead"),
        (lambda: measure_trial(np.full((600, 2), np.nan), None, question()), "diverged"),
    ],
)
def test_not_learning_is_told_from_being_under_confident(trial: Any, state: str) -> None:
    assert trial().state == state


def test_a_ranking_the_other_way_round_is_told() -> None:
    assert measured(-2.0).reason == BACKWARDS
    assert measured(-2.0).state == "learned", "it is no chance either"
    assert measured(2.0).reason == ""


def test_recall_is_never_compared_where_guessing_would_do() -> None:
    blind = [scores(HELD, 0.0, seed=s) for s in range(3)]
    assert choose_precision(blind, question(None), 0.85) >= 0.3 + 0.2 * 0.7
    good = [scores(HELD, 5.0, -2.5, seed=s) for s in range(3)]
    assert choose_precision(good, question(None), 0.85) == 0.85
    weak = [scores(HELD, 1.0, -2.0, seed=s) for s in range(3)]
    assert 0.47 < choose_precision(weak, question(None), 0.85) < 0.85
    dead = np.full((400, 2), 0.5)
    assert choose_precision([*good, dead, dead, dead, dead], question(None), 0.85) == 0.85


def arm(*states: str) -> dict[int, Any]:
    return {seed: unmeasured(question(), state, "") for seed, state in enumerate(states)}


def test_seeds_that_never_learned_are_left_out() -> None:
    found = pair(
        arm("learned", "dead", "learned", "collapsed"), arm("learned", "learned", "dead", "learned"), range(4), 0.05
    )
    assert found.seeds == (0,)
    assert found.never_learns == ""


def test_an_arm_that_never_learns_is_measured_as_it_is_once_chance_is_ruled_out() -> None:
    learns, never = arm(*["learned"] * 5), arm(*["collapsed"] * 5)
    assert pair(learns, never, range(5), 0.01).never_learns == "baseline"
    assert pair(never, learns, range(5), 0.01).never_learns == "variant"
    assert pair(learns, never, range(5), 0.01).seeds == (0, 1, 2, 3, 4)
    assert pair(learns, never, range(2), 0.01).seeds == (), "two seeds may both have had bad luck"
    assert pair(learns, arm(*["dead"] * 5), range(5), 0.01).seeds == (), "a dead network says nothing about pooling"
    assert pair(learns, arm("learned", *["collapsed"] * 4), range(5), 0.05).never_learns == "baseline"
    assert pair(learns, arm("learned", "learned", *["collapsed"] * 3), range(5), 0.2).seeds == (0, 1)


def test_the_exact_test_is_fishers() -> None:
    from scipy.stats import fisher_exact

    for table in ((5, 5, 0, 5), (7, 8, 1, 8), (3, 4, 2, 6)):
        a, n, b, m = table
        expected = fisher_exact([[a, n - a], [b, m - b]], alternative="greater").pvalue
        assert learns_more_often(a, n, b, m) == pytest.approx(expected)


def test_several_classes_are_averaged() -> None:
    labels = np.arange(300) % 3
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((300, 3))
    logits[np.arange(300), labels] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    asked = Question(labels, labels, 3, (0, 1, 2), 0.8, draw_validation(300, rng, 20))
    found = measure_trial(probabilities, probabilities, asked)
    recalls = [np.mean(probabilities[labels == c].argmax(axis=1) == c) for c in range(3)]
    assert found.metrics["recall"].value == pytest.approx(np.mean(recalls))
    assert np.isfinite(found.metrics[MATCHED].value)
