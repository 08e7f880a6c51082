"""Input scaling: a model fed at the wrong scale must be caught, one fed at the right scale must not."""

from __future__ import annotations

import numpy as np
import pytest

from poolaudit.evaluation.input_scaling import (
    check_input_scaling,
    sensible_rescalings,
    stratified_subsample,
)


def images(seed=0, n=300):
    """Two classes of 4 x 4 byte images whose brightness lies below or above 128; shape (n, 4, 4, 1)."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(np.int64)
    pixels = rng.integers(0, 256, size=(n, 4, 4, 1)) // 2 + 127 * labels[:, None, None, None]
    pixels[:, 0, 0, 0], pixels[:, 0, 0 + 1, 0] = 0, 255
    return pixels.astype(np.uint8), labels


def expects_shares(x):
    return (np.asarray(x, dtype=float).mean(axis=(1, 2, 3)) > 0.5).astype(np.int64), None


def expects_bytes(x):
    return (np.asarray(x, dtype=float).mean(axis=(1, 2, 3)) > 127.5).astype(np.int64), None


def test_bytes_given_to_a_model_of_shares_are_caught():
    inputs, labels = images()
    result = check_input_scaling(expects_shares, inputs, labels, 2, seed=0)
    given, *others = result.trials
    assert (given.transform, given.p_value, given.balanced_accuracy) == ("x", None, 0.5)
    best = max(others, key=lambda t: t.balanced_accuracy)
    assert best.transform == "x / 255"
    assert best.balanced_accuracy > 0.95
    assert best.p_value < 1e-6
    assert best.only_this_correct > 0 == best.only_given_correct
    assert (result.n, result.input_low, result.input_high) == (300, 0.0, 255.0)


def test_shares_given_to_a_model_of_bytes_are_caught():
    inputs, labels = images()
    result = check_input_scaling(expects_bytes, inputs / 255, labels, 2, seed=0)
    best = min(result.trials[1:], key=lambda t: t.p_value)
    assert best.transform == "x * 255"
    assert best.p_value < 1e-6


@pytest.mark.parametrize(("model", "scale"), [(expects_bytes, 1), (expects_shares, 255)])
def test_a_model_fed_as_it_expects_is_left_alone(model, scale):
    inputs, labels = images()
    result = check_input_scaling(model, inputs / scale, labels, 2, seed=0)
    assert result.trials[0].balanced_accuracy > 0.95
    assert all(t.p_value > 0.5 for t in result.trials[1:])


@pytest.mark.parametrize("confidence", [0.3, 30.0])
def test_probabilities_that_say_more_on_another_scale_show(confidence):
    """As often right on both scales, whatever the confidence; how sure it is tells something on one of them only."""
    inputs, labels = images(n=400)
    rng = np.random.default_rng(1)
    wrong = rng.random(400) < 0.15
    answered = labels ^ wrong
    sure = np.where(wrong, 0.05, 1.0) * rng.uniform(0.5, 1.0, 400)

    def model(x):
        margin = sure if x.max() > 1.5 else np.full(400, 1.0)
        p = 1 / (1 + np.exp(-margin * (0.1 if x.max() <= 1.5 else confidence / 4)))
        return answered, np.where(answered[:, None] == [0, 1], p[:, None], 1 - p[:, None])

    given, other, _ = check_input_scaling(model, inputs / 255, labels, 2, seed=0).trials
    assert other.transform == "x * 255"
    assert other.balanced_accuracy == given.balanced_accuracy
    assert other.log_loss < 0.7 * given.log_loss
    assert other.log_loss_p_value < 1e-6


def test_rounded_probabilities_have_no_temperature():
    inputs, labels = images()
    result = check_input_scaling(lambda x: (labels, np.eye(2)[labels]), inputs, labels, 2, seed=0)
    assert [trial.log_loss for trial in result.trials] == [None] * 3
    assert [trial.log_loss_p_value for trial in result.trials] == [None] * 3


@pytest.mark.parametrize(
    ("low", "high", "names"),
    [
        (0, 255, ["x / 255", "x / 127.5 - 1"]),
        (0, 16, ["x / 255", "x / 127.5 - 1", "x / 16"]),
        (0, 4095, ["x / 4095"]),
        (0, 1, ["x * 255", "2 x - 1"]),
        (-1, 1, ["(x + 1) / 2", "(x + 1) * 127.5"]),
        (-2.7, 3.1, []),
        (0, 0, []),
    ],
)
def test_only_rescalings_that_fit_the_range_are_tried(low, high, names):
    assert [name for name, _ in sensible_rescalings(low, high)] == names


def test_the_subsample_keeps_proportions_and_every_class():
    labels = np.repeat([0, 1, 2], [9_000, 980, 20])
    chosen = stratified_subsample(labels, 500, np.random.default_rng(0))
    assert len(chosen) == len(set(chosen.tolist())) == 500
    assert np.bincount(labels[chosen]).tolist() == pytest.approx([450, 49, 1], abs=1)
    again = stratified_subsample(labels, 500, np.random.default_rng(0))
    assert (chosen == again).all()
    assert stratified_subsample(labels[:10], 500, np.random.default_rng(0)).tolist() == list(range(10))
