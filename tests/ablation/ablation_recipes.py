"""Recipes and data for tests: importable by worker processes, small enough to train in a second."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.ablation.recipe import Recipe

LENGTH = 32


def data(items: int = 300, seed: int = 0) -> tuple[Any, Any]:
    """Noise with a spike and a dip behind it (1), or the other way round (0)."""
    rng = np.random.default_rng(seed)
    x = 0.1 * rng.standard_normal((items, LENGTH, 1)).astype(np.float32)
    y = (rng.random(items) < 0.4).astype(np.int64)
    for i, label in enumerate(y):
        place = int(rng.integers(0, LENGTH - 2))
        x[i, place : place + 2, 0] += (1.0, -1.0) if label else (-1.0, 1.0)
    return x, y


def build(window: int = 2, dropout: float = 0.2) -> Any:
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((LENGTH, 1)),
            layers.MaxPooling1D(window, name="stem"),
            layers.Conv1D(8, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(dropout),
            layers.GlobalMaxPooling1D(name="head"),
            layers.Dense(1, activation="sigmoid"),
        ],
        name="spikes",
    )
    schedule = keras.optimizers.schedules.CosineDecay(2e-2, 200)
    model.compile(keras.optimizers.Adam(schedule), "binary_crossentropy")
    return model


short = Recipe(build, epochs=4, fit={"class_weight": {0: 1.0, 1: 1.5}})


def _train_myself(model: Any, x: Any, y: Any, seed: int) -> dict[str, list[float]]:
    history = model.fit(x, y, epochs=2, verbose=0)
    return {name: list(values) for name, values in history.history.items()}


own_training = Recipe(build, _train_myself)


def _explode(model: Any, x: Any, y: Any, seed: int) -> None:
    if seed == 1:
        raise RuntimeError("seed 1 does not train")
    if seed == 2:
        model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])


exploding = Recipe(build, _explode)


def _die_once(model: Any, x: Any, y: Any, seed: int) -> None:
    """The process is killed the first time, as the kernel does when memory runs out."""
    mark = Path(os.environ["POOLAUDIT_TEST_MARKS"]) / f"died-{seed}"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


dying_once = Recipe(build, _die_once)


def _die_always(model: Any, x: Any, y: Any, seed: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


dying_always = Recipe(build, _die_always)
not_a_recipe = 3


def _over_pooled() -> Any:
    return build(8, 0.0)


over_pooled = Recipe(_over_pooled, epochs=5)


def _find_no_room(model: Any, x: Any, y: Any, seed: int) -> None:
    with Path("/dev/full").open("wb") as log:
        log.write(b"epoch 1")


without_room = Recipe(build, _find_no_room)
