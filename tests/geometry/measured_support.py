"""What a model really depends on, measured on its linear twin with positive weights: nothing cancels, nothing hides."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf


def twin_of(model: keras.Model, seed: int = 0) -> keras.Model:
    """The same architecture with positive weights, averages for maxima, and neutral activations and normalisations.

    Weights are scaled to keep the mean of the activations, so that gradients of deep networks do not vanish; build
    the model under float64, or the corners of large receptive fields underflow.
    """
    twin = keras.models.clone_model(model, clone_function=_neutral)
    rng = np.random.default_rng(seed)
    for layer in twin._flatten_layers():
        if not isinstance(layer, keras.Model):
            for variable in layer.weights:
                variable.assign(_positive(layer, variable, rng))
    return twin


def _neutral(layer: Any) -> Any:
    config = layer.get_config()
    kind = type(layer).__name__
    if kind in ("MaxPooling1D", "MaxPooling2D", "MaxPooling3D"):
        return getattr(keras.layers, kind.replace("Max", "Average")).from_config(config)
    if kind.startswith("GlobalMax"):
        return getattr(keras.layers, kind.replace("Max", "Average")).from_config(config)
    # A gate stays a sigmoid: as a product of two growing or shrinking maps it would leave the range of numbers.
    if "activation" in config and kind != "Dense" and config["activation"] != "sigmoid":
        config["activation"] = "linear"
    if kind in ("ReLU", "LeakyReLU", "Softmax"):
        return keras.layers.Activation("linear", name=config["name"])
    return type(layer).from_config(config)


def _positive(layer: Any, variable: Any, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    shape = tuple(variable.shape)
    name = variable.name
    if "gamma" in name or "variance" in name:
        return np.ones(shape)
    if "beta" in name or "mean" in name or "bias" in name:
        return np.zeros(shape)
    values = rng.uniform(0.5, 1.5, shape)
    if "depthwise" in type(layer).__name__.lower() or "depthwise" in name:
        return values / max(1, int(np.prod(shape[:-2])))
    return values / max(1, int(np.prod(shape[:-1])))


def model_dtype(model: Any) -> str:
    return str(model.inputs[0].dtype)


def support_of_places(model: Any, shape: tuple[int, ...], *, linear: bool) -> npt.NDArray[np.bool_]:
    """Which output cells each input cell reaches, shape (input cells, output cells), channels united on both sides.

    Args:
        model: Maps (n, *shape) to (n, ...); its last axis is taken for channels, the same for the input's.
        linear: One-hot inputs are answered at once; else the Jacobian is taken at ones.
    """
    cells = int(np.prod(shape[:-1]))
    if linear:
        hot = np.eye(cells).reshape(cells, *shape[:-1], 1) * np.ones(shape[-1])
        answers = np.asarray(model(tf.constant(hot, model_dtype(model))))
        # An average over padding alone is 0/0 in some kernels: the same NaN whatever goes in depends on nothing.
        nothing = np.asarray(model(tf.zeros((1, *shape), model_dtype(model))))
        same = (answers == nothing) | (np.isnan(answers) & np.isnan(nothing))
        return (~same).any(axis=-1).reshape(cells, -1)
    # One copy of the input for each output cell: a single gradient gives the whole Jacobian.
    places = int(np.prod(model.output_shape[1:-1]))
    x = tf.ones((places, *shape), model_dtype(model))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reshape(tf.reduce_sum(model(x), axis=-1), (places, places))
        target = tf.linalg.trace(y)
    jacobian = np.asarray(tape.gradient(target, x))
    return (jacobian != 0).any(axis=-1).reshape(places, cells).T


def gradient_of_centre(model: Any, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Input cells whose gradient from the centre of a layer's map is not 0, shape as the input without channels."""
    part = keras.Model(model.inputs, model.get_layer(name).output)
    x = tf.ones((1, *shape), model_dtype(model))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = part(x, training=False)
        target = tf.reduce_sum(y[(0, *(size // 2 for size in y.shape[1:-1]))])
    return np.asarray(tape.gradient(target, x))[0].any(axis=-1)
