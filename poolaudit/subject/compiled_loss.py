"""The loss a model was compiled with, item by item on a split."""

from __future__ import annotations

from typing import Any

import numpy as np

from poolaudit.subject._loaded import LoadedModel

Array = np.ndarray[Any, np.dtype[Any]]


def loss_of(keras_model: Any) -> Any:
    """The loss as a text, function or `keras.losses.Loss`; None without one.

    A model with one output may have been compiled with a list or a mapping of one loss: then that one. A list or a
    mapping of several is returned as it is.
    """
    loss = getattr(keras_model, "loss", None)
    if isinstance(loss, dict | list | tuple):
        given = [one for one in (loss.values() if isinstance(loss, dict) else loss) if one is not None]
        if len(given) == 1 and not isinstance(given[0], dict | list | tuple):
            return given[0]
    return loss


def compiled_losses(model: LoadedModel, labels: Array, raw_outputs: Array, n_classes: int) -> Array | str:
    """Per-item losses, float64 (n,), or the reason in words why there are none.

    Args:
        labels: int64 (n,), class indices.
        raw_outputs: The model's outputs as they came, (n, k).
        n_classes: Classes the model tells apart.
    """
    keras_model = model.keras_model
    loss = loss_of(keras_model)
    if keras_model is None or loss is None:
        return "the model carries no compiled loss"
    if isinstance(loss, dict | list | tuple):
        return "the model was compiled with several losses"
    import keras

    try:
        function = loss if isinstance(loss, keras.losses.Loss) else keras.losses.get(loss)
        configured = function.get_config() if isinstance(function, keras.losses.Loss) else {}
        name = type(function).__name__ if isinstance(function, keras.losses.Loss) else getattr(function, "__name__", "")
        truth: Array
        if "sparse" in name.lower():
            truth = labels.reshape(-1, 1)
        elif raw_outputs.shape[-1] == 1:
            truth = labels.reshape(-1, 1).astype(np.float32)
        else:
            truth = np.eye(n_classes, dtype=np.float32)[labels]
        if isinstance(function, keras.losses.Loss):
            function = type(function).from_config({**configured, "reduction": "none"})
        losses = np.asarray(function(truth, raw_outputs.astype(np.float32)), dtype=np.float64)
    except Exception as error:
        return f"the compiled loss {loss!r} could not be computed ({type(error).__name__})"
    if losses.shape != labels.shape or not np.isfinite(losses).all():
        return f"the compiled loss {getattr(loss, 'name', loss)!r} is not one finite value an item"
    return losses
