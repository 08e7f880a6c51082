"""Mixed pooling: a learned weighting of maximum and average (Lee, Gallagher and Tu, 2016)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from poolaudit.ablation.layers.whole import WholePooling
from poolaudit.ablation.layers.windowed import WindowedPooling


class MixedPooling(WindowedPooling):
    """`a max + (1 - a) average` in each window, with one learned a in (0, 1), 0.5 to begin with (Lee, Gallagher and
    Tu, "Generalizing pooling functions in convolutional neural networks", 2016).

    The weight is stored as a logit, so that no step of an optimizer leaves the range.

    Args:
        pool_size, strides, padding, data_format: As in Keras pooling.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.logit = _logit(self)

    def call(self, inputs: Any) -> Any:
        return _mixed(self.logit, self.strided(inputs, "max"), self.strided(inputs, "average"))


class GlobalMixedPooling(WholePooling):
    """`a max + (1 - a) average` over all of space, with one learned a; see `MixedPooling`.

    Args:
        data_format, keepdims: As in Keras global pooling.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.logit = _logit(self)

    def call(self, inputs: Any) -> Any:
        highest = ops.max(inputs, axis=self.axes, keepdims=self.keepdims)
        return _mixed(self.logit, highest, ops.mean(inputs, axis=self.axes, keepdims=self.keepdims))


def _logit(layer: Any) -> Any:
    return layer.add_weight(shape=(), name="logit", initializer="zeros")


def _mixed(logit: Any, highest: Any, average: Any) -> Any:
    share = ops.cast(ops.sigmoid(logit), highest.dtype)
    return share * highest + (1 - share) * average


@keras.saving.register_keras_serializable(package="poolaudit")
class MixedPooling1D(MixedPooling):
    __doc__ = MixedPooling.__doc__
    rank = 1


@keras.saving.register_keras_serializable(package="poolaudit")
class MixedPooling2D(MixedPooling):
    __doc__ = MixedPooling.__doc__
    rank = 2


@keras.saving.register_keras_serializable(package="poolaudit")
class MixedPooling3D(MixedPooling):
    __doc__ = MixedPooling.__doc__
    rank = 3


@keras.saving.register_keras_serializable(package="poolaudit")
class GlobalMixedPooling1D(GlobalMixedPooling):
    __doc__ = GlobalMixedPooling.__doc__
    rank = 1


@keras.saving.register_keras_serializable(package="poolaudit")
class GlobalMixedPooling2D(GlobalMixedPooling):
    __doc__ = GlobalMixedPooling.__doc__
    rank = 2


@keras.saving.register_keras_serializable(package="poolaudit")
class GlobalMixedPooling3D(GlobalMixedPooling):
    __doc__ = GlobalMixedPooling.__doc__
    rank = 3
