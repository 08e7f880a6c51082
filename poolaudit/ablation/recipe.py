"""How the model under ablation comes into being: a file with a compile configuration, or a function that builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_EPOCHS, DEFAULT_BATCH_SIZE, DEFAULT_RATE = 20, 32, 1e-3


@dataclass(frozen=True)
class Recipe:
    """A model that is built, compiled and trained by code, where a file is not enough.

    A module-level name of this type, or a function that returns one, is given as `package.module:name`; a function
    that returns a compiled Keras model is a recipe as well. Build and train are called in another process with all
    random seeds set, once a trial.

    Attributes:
        build: Takes nothing, returns a compiled `keras.Model` with fresh weights.
        train: Takes model, inputs, labels (class indices) and seed, trains in place and may return a history (what
            `model.fit` returns, or a mapping from metric to list of numbers). None trains with `model.fit`, epoch by
            epoch, which can be resumed in the middle.
        epochs: For `model.fit`.
        batch_size: Likewise.
        fit: Further arguments of `model.fit`: {"class_weight": {0: 1.0, 1: 5.0}}, by class index. Anything else takes
            a `train` function.
        version: Change it where the code changed in a way its text does not show, so that old trials do not count.
    """

    build: Callable[[], Any]
    train: Callable[[Any, Any, Any, int], Mapping[str, list[float]] | None] | None = None
    epochs: int = DEFAULT_EPOCHS
    batch_size: int = DEFAULT_BATCH_SIZE
    fit: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
