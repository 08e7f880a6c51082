"""A user's own loss, layers and actions, importable by worker processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import ablation_recipes
import keras
from keras import ops

from poolaudit.ablation.recipe import Recipe
from poolaudit.ablation.variants import variant
from poolaudit.evidence.geometry import PoolingSite


@keras.saving.register_keras_serializable(package="own_code")
def own_loss(truth: Any, scores: Any) -> Any:
    return ops.mean(keras.losses.binary_crossentropy(truth, scores))


@keras.saving.register_keras_serializable(package="own_code")
class ReshapedMaximum(keras.Layer):  # type: ignore[misc]
    """Max pooling by another way of computing it."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: Any) -> Any:
        cells = inputs.shape[1] // self.size
        return ops.max(ops.reshape(inputs, (-1, cells, self.size, inputs.shape[2])), axis=2)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        assert shape[1] is not None
        return (shape[0], shape[1] // self.size, shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@variant("reshaped_maximum", places="windowed", listed=False)
def _reshaped_maximum(site: PoolingSite) -> Any:
    assert site.window is not None
    return ReshapedMaximum(site.window[0])


@variant("wide_maximum", places="windowed", listed=False)
def _wide_maximum(site: PoolingSite) -> Any:
    assert site.window is not None
    return keras.layers.MaxPooling1D(2 * site.window[0], site.window[0], padding="same")


@keras.saving.register_keras_serializable(package="own_code")
class ByCode(keras.Model):  # type: ignore[misc]
    """Pools in its own call."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stem = keras.layers.MaxPooling1D(2, name="stem")
        self.convolution = keras.layers.Conv1D(4, 3, padding="same", activation="relu")
        self.head = keras.layers.GlobalAveragePooling1D(name="head")
        self.score = keras.layers.Dense(1, activation="sigmoid")

    def call(self, inputs: Any) -> Any:
        return self.score(self.head(self.convolution(self.stem(inputs))))


def _by_code() -> Any:
    model = ByCode()
    model(ops.zeros((1, ablation_recipes.LENGTH, 1)))
    model.compile("adam", own_loss)
    return model


def _never_called() -> Any:
    model = ByCode()
    model.compile("adam", "binary_crossentropy")
    return model


def marks(store: Path) -> Path:
    """The file without which `untrainable` does not train."""
    return store / "weights-are-there"


def _needs_a_file(model: Any, inputs: Any, labels: Any, seed: int) -> None:
    if not marks(Path(os.environ["POOLAUDIT_TEST_STORE"])).exists():
        raise RuntimeError("there are no weights")


def leaving() -> Any:
    sys.exit(0)


untrainable = Recipe(ablation_recipes.build, _needs_a_file)
no_epochs = Recipe(ablation_recipes.build, epochs=0)
no_batch = Recipe(ablation_recipes.build, batch_size=-3)
with_objects = Recipe(ablation_recipes.build, fit={"callbacks": [object()]})
misspelt_fit = Recipe(ablation_recipes.build, fit={"clas_weight": {0: 1.0, 1: 2.0}})
batches_in_fit = Recipe(ablation_recipes.build, fit={"batch_size": 16})
steps_in_fit = Recipe(ablation_recipes.build, fit={"steps_per_epoch": 3})
weights_by_name = Recipe(ablation_recipes.build, fit={"class_weight": {"fine": 1.0, "fraud": 2.0}})
weights_unused = Recipe(ablation_recipes.build, _needs_a_file, fit={"class_weight": {0: 1.0, 1: 2.0}})
recipe = Recipe(ablation_recipes.build, epochs=1)


def _returns_history(model: Any, inputs: Any, labels: Any, seed: int) -> Any:
    return model.fit(inputs, labels.reshape(-1, 1), epochs=2, verbose=0)


def _returns_number(model: Any, inputs: Any, labels: Any, seed: int) -> Any:
    return 0.5


history = Recipe(ablation_recipes.build, _returns_history)
number = Recipe(ablation_recipes.build, _returns_number)
by_code = Recipe(_by_code, epochs=1)
never_called = Recipe(_never_called, epochs=1)
