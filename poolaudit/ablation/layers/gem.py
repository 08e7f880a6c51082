"""Generalised-mean pooling with a learned exponent (Radenovic, Tolias and Chum, 2018)."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from poolaudit.ablation.layers.whole import WholePooling
from poolaudit.ablation.layers.windowed import Sizes, WindowedPooling, widened


class GeMPooling(WindowedPooling):
    """`mean(max(x, epsilon) ** p) ** (1 / p)` in each window, with one learned p (Radenovic, Tolias and Chum,
    "Fine-tuning CNN image retrieval with no human annotation", 2018).

    p = 1 is average pooling and p to infinity max pooling, for inputs above zero; what is smaller than `epsilon` is
    raised to it, so negative inputs are lost.

    Args:
        pool_size, strides, padding, data_format: As in Keras pooling.
        p: Exponent to start from.
        epsilon: Smallest value that is told apart.

    Raises:
        ValueError: p is not a finite number above 0.
    """

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        p: float = 3.0,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.initial_p, self.epsilon = _positive(p), float(epsilon)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.p = _exponent(self, self.initial_p)

    def call(self, inputs: Any) -> Any:
        powers, exponent, dtype = _powers(inputs, self.p, self.epsilon)
        return ops.cast(self.strided(powers, "average") ** (1.0 / exponent), dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "p": self.initial_p, "epsilon": self.epsilon}


class GlobalGeMPooling(WholePooling):
    """`mean(max(x, epsilon) ** p) ** (1 / p)` over all of space, with one learned p; see `GeMPooling`.

    Args:
        data_format, keepdims: As in Keras global pooling.
        p: Exponent to start from.
        epsilon: Smallest value that is told apart.

    Raises:
        ValueError: p is not a finite number above 0.
    """

    def __init__(
        self,
        data_format: str | None = None,
        keepdims: bool = False,
        p: float = 3.0,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, keepdims, **kwargs)
        self.initial_p, self.epsilon = _positive(p), float(epsilon)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.p = _exponent(self, self.initial_p)

    def call(self, inputs: Any) -> Any:
        powers, exponent, dtype = _powers(inputs, self.p, self.epsilon)
        return ops.cast(ops.mean(powers, axis=self.axes, keepdims=self.keepdims) ** (1.0 / exponent), dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "p": self.initial_p, "epsilon": self.epsilon}


def _positive(p: float) -> float:
    if not 0 < p < math.inf:
        raise ValueError(f"p is {p!r}; allowed: a finite number above 0")
    return float(p)


def _exponent(layer: Any, start: float) -> Any:
    # Below 0.1 the power of a reciprocal has no usable gradient.
    return layer.add_weight(
        shape=(), name="p", initializer=keras.initializers.Constant(start), constraint=AtLeastATenth(), autocast=False
    )


def _powers(x: Any, p: Any, epsilon: float) -> tuple[Any, Any, str]:
    wide, dtype = widened(x)
    exponent = ops.cast(p, wide.dtype)
    return ops.maximum(wide, ops.cast(epsilon, wide.dtype)) ** exponent, exponent, dtype


@keras.saving.register_keras_serializable(package="poolaudit")
class AtLeastATenth(keras.constraints.Constraint):  # type: ignore[misc]
    """Keeps a weight at 0.1 or above."""

    def __call__(self, w: Any) -> Any:
        return ops.maximum(w, 0.1)


@keras.saving.register_keras_serializable(package="poolaudit")
class GeMPooling1D(GeMPooling):
    __doc__ = GeMPooling.__doc__
    rank = 1


@keras.saving.register_keras_serializable(package="poolaudit")
class GeMPooling2D(GeMPooling):
    __doc__ = GeMPooling.__doc__
    rank = 2


@keras.saving.register_keras_serializable(package="poolaudit")
class GeMPooling3D(GeMPooling):
    __doc__ = GeMPooling.__doc__
    rank = 3


@keras.saving.register_keras_serializable(package="poolaudit")
class GlobalGeMPooling1D(GlobalGeMPooling):
    __doc__ = GlobalGeMPooling.__doc__
    rank = 1


@keras.saving.register_keras_serializable(package="poolaudit")
class GlobalGeMPooling2D(GlobalGeMPooling):
    __doc__ = GlobalGeMPooling.__doc__
    rank = 2


@keras.saving.register_keras_serializable(package="poolaudit")
class GlobalGeMPooling3D(GlobalGeMPooling):
    __doc__ = GlobalGeMPooling.__doc__
    rank = 3
