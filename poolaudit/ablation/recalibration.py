"""Recalibrated: batch-norm statistics re-estimated under the exchanged pooling, and a short fine-tune on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.ablation.whole_runs import batches
from poolaudit.errors import InvalidInputError
from poolaudit.subject._keras_load import quiet_keras

Progress = Callable[[int, int, str], None]
"""Called with items done, items in all, and what is being done."""


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What was done.

    Attributes:
        batch_norm_layers: Names of the layers with new statistics.
        items: Inputs the statistics were estimated from.
        epochs: Of the fine-tune; 0 for none.
        loss: Training loss of every epoch.
        notes: Sentences the report shows.
    """

    batch_norm_layers: tuple[str, ...]
    items: int
    epochs: int
    loss: tuple[float, ...]
    notes: tuple[str, ...] = ()


def recalibrate(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    batch_size: int = 32,
    epochs: int = 0,
    learning_rate: float | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Recalibration:
    """Fits a built variant to its new pooling, in place: pass `BuiltVariant.model`, never the original.

    Every batch-norm layer gets the mean and variance of its inputs over all of `x`, whatever its momentum (Wu and
    Johnson, "Rethinking batch in batch normalization", 2021): the mean of the batches' means, and the mean of their
    variances plus the variance of their means. The fine-tune runs `fit` with the compiled loss, at a tenth of the
    compiled learning rate where none is given.

    Args:
        x: Training inputs.
        y: Their labels, for the fine-tune.
        epochs: Of the fine-tune; 0 leaves every weight but the statistics as it is.
        seed: Of the order of the items.

    Raises:
        InvalidInputError: A fine-tune without labels or of a model that was not compiled.
    """
    if epochs and (y is None or not getattr(model, "compiled", False)):
        raise InvalidInputError("A fine-tune was asked for", "labels, and a model that is compiled")
    notes: list[str] = []
    with quiet_keras():
        layers = _batch_norms(model)
        items = _restate(model, layers, x, batch_size, seed, on_progress) if layers else 0
        losses = _fine_tuned(model, x, y, batch_size, epochs, learning_rate, seed, notes) if epochs else ()
    if not layers and not epochs:
        notes.append("The model has no batch normalisation and was not fine-tuned: nothing was recalibrated.")
    return Recalibration(tuple(str(layer.name) for layer in layers), items, epochs, losses, tuple(notes))


def _batch_norms(model: Any) -> list[Any]:
    import keras

    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


def _restate(
    model: Any,
    layers: list[Any],
    x: Any,
    batch_size: int,
    seed: int,
    on_progress: Progress | None,
) -> int:
    """With a momentum of 0 a layer's moving statistics are those of the last batch; they are averaged here."""
    import keras
    import tensorflow as tf

    order = np.random.default_rng(seed).permutation(len(keras.tree.flatten(x)[0]))
    shuffled = keras.tree.map_structure(lambda part: np.asarray(part)[order], x)
    before = [(layer.momentum, layer._trainable) for layer in layers]
    means: list[list[Any]] = [[] for _ in layers]
    variances: list[list[Any]] = [[] for _ in layers]
    total = 0
    try:
        for layer in layers:
            layer.momentum = 0.0
            layer._trainable = True  # a frozen layer would normalise with its old statistics
        function = tf.function(lambda batch: model(batch, training=True), autograph=False)
        for batch, fresh, total in batches(shuffled, batch_size):
            function(batch)
            for number, layer in enumerate(layers):
                means[number].append((fresh, np.asarray(layer.moving_mean, np.float64)))
                variances[number].append(np.asarray(layer.moving_variance, np.float64))
            if on_progress is not None:
                on_progress(sum(count for count, _ in means[0]), total, "batch normalisation")
    finally:
        for layer, (momentum, trainable) in zip(layers, before, strict=True):
            layer.momentum, layer._trainable = momentum, trainable
    for number, layer in enumerate(layers):
        weights = np.array([count for count, _ in means[number]], np.float64)
        centres = np.stack([mean for _, mean in means[number]])
        mean = np.average(centres, axis=0, weights=weights)
        spread = np.average((centres - mean) ** 2, axis=0, weights=weights)
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(np.average(np.stack(variances[number]), axis=0, weights=weights) + spread)
    return total


def _fine_tuned(
    model: Any, x: Any, y: Any, batch_size: int, epochs: int, learning_rate: float | None, seed: int, notes: list[str]
) -> tuple[float, ...]:
    import keras

    rate = learning_rate
    if rate is None:
        compiled = model.optimizer.learning_rate
        rate = float(np.asarray(compiled)) / 10
    try:
        model.optimizer.learning_rate = rate
    except (TypeError, AttributeError):  # a schedule cannot be set
        notes.append("The optimizer's learning-rate schedule could not be shortened; the fine-tune ran with it.")
    losses = []
    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        order = generator.permutation(len(y))
        shuffled = keras.tree.map_structure(lambda part, order=order: np.asarray(part)[order], x)
        history = model.fit(shuffled, np.asarray(y)[order], batch_size=batch_size, epochs=1, shuffle=False, verbose=0)
        losses.append(float(history.history["loss"][-1]))
    return tuple(losses)
