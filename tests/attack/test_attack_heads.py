"""A margin decides rightly and is no log-odds; the statement says so."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from poolaudit.subject.heads import find_head
from poolaudit.subject.models import load_model, predict


@pytest.mark.parametrize(
    ("activation", "loss", "is_margin"),
    [("tanh", "hinge", True), (None, "hinge", True), (None, keras.losses.BinaryCrossentropy(from_logits=True), False)],
)
def test_margins_are_told_from_logits(activation: str | None, loss: object, is_margin: bool) -> None:
    model = keras.Sequential([keras.Input((6, 2)), layers.GlobalMaxPooling1D(), layers.Dense(1, activation=activation)])
    model.compile("sgd", loss)
    loaded = load_model(model)
    head = find_head(loaded, predict(loaded, np.random.default_rng(0).normal(size=(20, 6, 2))))
    assert head.kind == "single_logit"
    assert ("not log-odds" in head.stated) is is_margin
