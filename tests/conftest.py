"""One really trained model for the whole session, with its data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest


@dataclass(frozen=True)
class TrainedDigits:
    """A small CNN with max pooling, trained on handwritten digits scaled to [0, 1], and 600 digits it never saw.

    Attributes:
        folder: Holds model.keras, test.npz (x, y) and test_255.npz (the same, 0 to 255), and
            validation.npz (500 others).
    """

    folder: Path
    model: Any
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]

    @property
    def model_file(self) -> Path:
        return self.folder / "model.keras"

    @property
    def validation_file(self) -> Path:
        return self.folder / "validation.npz"

    @property
    def test_file(self) -> Path:
        return self.folder / "test.npz"


@pytest.fixture(scope="session")
def trained_digits(tmp_path_factory: pytest.TempPathFactory) -> TrainedDigits:
    import keras
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, digits = load_digits(return_X_y=True)
    x = (images / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    x_train, x_test, y_train, y_test = train_test_split(x, digits, test_size=600, stratify=digits, random_state=0)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(24, 3, padding="same", activation="tanh"),
            keras.layers.MaxPooling2D(2, name="halve"),
            keras.layers.Conv2D(48, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ],
        name="trained_digits",
    )
    model.compile(keras.optimizers.Adam(4e-3), "sparse_categorical_crossentropy")
    model.fit(x_train, y_train, epochs=10, batch_size=64, verbose=0)
    folder = tmp_path_factory.mktemp("digits")
    model.save(folder / "model.keras")
    np.savez(folder / "test.npz", x=x_test, y=y_test)
    # Items the training saw: too kind for a real choice of threshold, enough to see where a threshold comes from.
    np.savez(folder / "validation.npz", x=x_train[:500], y=y_train[:500])
    np.savez(folder / "test_255.npz", x=x_test * 255, y=y_test)
    return TrainedDigits(folder, model, x_test, y_test.astype(np.int64))


@pytest.fixture(scope="session", autouse=True)
def servers() -> Iterator[None]:
    """Checks of layers share the processes that have imported TensorFlow; each still forks workers of its own."""
    from poolaudit.conformance.sandbox import servers_kept

    with servers_kept():
        yield
