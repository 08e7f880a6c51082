"""A small classifier of pictures with a bright or a dark bar, and the recipe that trains it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from poolaudit import Recipe


def pictures(items: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = (rng.random(items) < 0.3).astype("int64")
    x = 0.2 * rng.normal(size=(items, 16, 16, 1)) + 0.5
    for item, label in enumerate(y):
        row, column = rng.integers(0, 12, 2)
        x[item, row : row + (4 if label else 2), column : column + (2 if label else 4)] += 0.8
    return x.astype("float32"), y


def build() -> Any:
    model = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(2, name="pool1"),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(2, name="pool2"),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    return model


recipe = Recipe(build, epochs=3)
