"""A model file that asks for a function of the user's own is told as that, not as a damaged file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers

from poolaudit.errors import InvalidInputError
from poolaudit.subject.models import load_model


def shifted(x: Any) -> Any:
    return x + 1.0


def saved(folder: Path, *between: Any) -> Path:
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), *between, layers.GlobalMaxPooling2D(), layers.Dense(2, activation="softmax")]
    )
    file = folder / "model.keras"
    model.save(file)
    return file


@pytest.mark.parametrize("layer", [layers.Lambda(shifted), layers.Activation(shifted)])
def test_a_named_function_is_named_in_the_refusal(tmp_path: Path, layer: Any) -> None:
    with pytest.raises(InvalidInputError, match="custom shifted"):
        load_model(saved(tmp_path, layer))


def test_functions_of_keras_load(tmp_path: Path) -> None:
    file = saved(tmp_path, layers.Activation(keras.ops.gelu), layers.Activation(keras.activations.gelu))
    assert load_model(file).input_shape == (None, 6, 6, 1)
