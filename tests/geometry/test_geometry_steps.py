"""Steps of maps behind recurrent layers, frames and side ways, and what follows from them."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from test_geometry_answers import found, functional

from poolaudit.geometry.inspect import inspect_pooling
from poolaudit.outcomes import Outcome
from specimens.geometry_models import CLASSES, layers, sequential

STATES = {"return_sequences": True}


def frames(*inner: Any) -> list[Any]:
    return [layers.TimeDistributed(layer) for layer in inner]


@pytest.mark.parametrize(
    "before",
    [
        [],
        [layers.LSTM(2, **STATES)],
        [layers.GRU(2, **STATES), layers.GRU(2, go_backwards=True, **STATES)],
        [layers.Bidirectional(layers.LSTM(2, **STATES))],
        frames(layers.Dense(3)),
        [*frames(layers.Dense(3)), layers.LSTM(2, **STATES)],
        [layers.Lambda(lambda x: keras.ops.cumsum(x, axis=1))],
        [layers.Lambda(lambda x: keras.ops.pad(x, [[0, 0], [8, 8], [0, 0]], "symmetric"))],
    ],
    ids=["alone", "lstm", "two ways", "bidirectional", "frames", "frames and lstm", "running sum", "mirrored border"],
)
def test_a_pool_of_8_over_time_has_a_step_of_8(before: list[Any]) -> None:
    model = sequential((32, 4), *before, layers.MaxPooling1D(8), layers.GlobalAveragePooling1D(), layers.Dense(CLASSES))
    assert inspect_pooling(model).bottleneck == (8.0,)
    assert found("PA306", model, feature_size=6).outcome is Outcome.FAILED
    assert found("PA306", model, feature_size=8).outcome is Outcome.PASSED


def test_pictures_in_time_keep_the_steps_of_time_and_space_apart() -> None:
    inner = frames(layers.Conv2D(2, 3), layers.GlobalAveragePooling2D())
    model = sequential(
        (16, 6, 6, 1), *inner, layers.MaxPooling1D(4), layers.GlobalMaxPooling1D(), layers.Dense(CLASSES)
    )
    assert inspect_pooling(model).bottleneck == (4.0, 1.0, 1.0)


def test_a_global_pool_of_the_fine_map_is_a_way_of_its_own() -> None:
    def body(x: Any) -> Any:
        coarse = layers.Flatten()(layers.MaxPooling2D(4)(x))
        return layers.Dense(CLASSES)(layers.Concatenate()([layers.GlobalMaxPooling2D()(x), coarse]))

    assert found("PA306", functional((16, 16, 1), body), feature_size=2).outcome is Outcome.PASSED


class Unbuilt(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.steps = [layers.MaxPooling2D(8), layers.Conv2D(3, 3, padding="same"), layers.Flatten(), layers.Dense(3)]

    def call(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x


def test_a_model_that_was_never_called_is_looked_at_as_one_that_was() -> None:
    finding = found("PA303", Unbuilt(), input_shape=(8, 8, 1))
    assert finding.outcome is Outcome.FAILED
    model = Unbuilt()
    assert len(inspect_pooling(model, input_shape=(8, 8, 1)).sites) == 1
    assert len(inspect_pooling(model, input_shape=(8, 8, 1)).layers) == 4


def thinned(*steps: Any, shape: tuple[int, ...] = (16, 16, 1)) -> Outcome:
    return found("PA308", sequential(shape, *steps, layers.Flatten(), layers.Dense(CLASSES))).outcome


class Halved(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return keras.ops.average_pool(x, 2, 2)


def test_thinning_counts_behind_each_other_along_one_axis() -> None:
    assert thinned(layers.MaxPooling2D(2), layers.MaxPooling2D(2)) is Outcome.FAILED
    assert thinned(Halved(), layers.Conv2D(2, 3), Halved()) is Outcome.PASSED
    assert thinned(layers.MaxPooling2D((2, 1)), layers.MaxPooling2D((1, 2))) is Outcome.PASSED
    assert thinned(layers.Conv2D(2, 2, strides=2), layers.MaxPooling2D(8)) is Outcome.PASSED
    assert thinned(layers.AveragePooling2D(2), layers.MaxPooling2D(2), layers.MaxPooling2D(2)) is Outcome.FAILED

    def pyramid(x: Any) -> Any:
        levels = [layers.Flatten()(layers.MaxPooling2D(size)(x)) for size in (2, 4)]
        return layers.Dense(CLASSES)(layers.Concatenate()(levels))

    assert found("PA308", functional((16, 16, 1), pyramid)).outcome is Outcome.PASSED


def test_unknown_steps_are_not_called_fine() -> None:
    pool, convolution = layers.MaxPooling1D, layers.Conv1D(2, 3, padding="same")
    steps = [layers.LSTM(4, **STATES), pool(4), convolution, pool(4), layers.Flatten(), layers.Dense(CLASSES)]
    model = sequential((32, 4), *steps)
    assert found("PA308", model).outcome is Outcome.UNDECIDED
    assert found("PA304", model).outcome is Outcome.UNDECIDED


def test_padding_of_another_axis_hides_no_padding() -> None:
    steps = [layers.ZeroPadding2D(((2, 2), (0, 0))), layers.ZeroPadding2D(((0, 0), (2, 2)))]
    model = sequential((8, 8, 1), *steps, layers.AveragePooling2D((2, 1)), layers.Flatten(), layers.Dense(CLASSES))
    assert found("PA307", model).outcome is Outcome.FAILED
