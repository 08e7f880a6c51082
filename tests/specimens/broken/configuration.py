"""Slips in saving: what the configuration forgets, or says wrongly."""

from __future__ import annotations

import keras
import tensorflow as tf

from specimens.layer_base import (
    AdaptiveLayer,
    GlobalLayer,
    WindowedLayer,
    accumulator,
    highest,
    maximum_over,
    mean,
    power_mean,
    serialisable,
)
from specimens.layer_specimen import LayerSpecimen


def without(configuration, *names):
    return {name: value for name, value in configuration.items() if name not in names}


@serialisable
class StridesNotSaved2D(WindowedLayer):
    def pool(self, x):
        return highest(*self.windows(x))

    def get_config(self):
        return without(super().get_config(), "strides")


@serialisable
class PaddingNotSaved3D(WindowedLayer):
    rank = 3

    def pool(self, x):
        return mean(*self.windows(x))

    def get_config(self):
        return without(super().get_config(), "padding")


@serialisable
class DataFormatNotSaved1D(WindowedLayer):
    rank = 1

    def pool(self, x):
        return mean(*self.windows(x))

    def get_config(self):
        return without(super().get_config(), "data_format")


@serialisable
class KeepdimsNotSaved2D(GlobalLayer):
    def pool(self, x):
        return maximum_over(x, axis=self.axes, keepdims=self.keepdims)

    def get_config(self):
        return without(super().get_config(), "keepdims")


@serialisable
class ExponentNotSaved2D(WindowedLayer):
    def __init__(self, pool_size=2, strides=None, padding="valid", p=3.0, data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.p = float(p)

    def pool(self, x):
        cells, present = self.windows(x)
        return power_mean(tf.maximum(accumulator(cells), 1e-6), present, self.p)


@serialisable
class OutputSizeReversedWhenSaved2D(AdaptiveLayer):
    def pool(self, x):
        return highest(*self.windows(x))

    def get_config(self):
        return {**super().get_config(), "output_size": self.output_size[::-1]}


class RequiredArgumentMax1D(WindowedLayer):
    """Not registered, and one argument of its constructor is code."""

    rank = 1

    def __init__(self, reduction, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.reduction = reduction

    def pool(self, x):
        return self.reduction(*self.windows(x))


def maximum_given_as_code(pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
    return RequiredArgumentMax1D(highest, pool_size, strides, padding, data_format, **kwargs)


@serialisable
class TensorInConfiguration2D(WindowedLayer):
    def pool(self, x):
        return mean(*self.windows(x))

    def get_config(self):
        return {**super().get_config(), "pool_size": tf.constant(self.pool_size)}


@serialisable
class WindowGrowsWhenSaved3D(WindowedLayer):
    rank = 3

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.reach = tuple(2 * (k // 2) + 1 for k in self.pool_size)

    def pool(self, x):
        return mean(*self.windows(x))

    def get_config(self):
        return {**super().get_config(), "pool_size": self.reach}


@serialisable
class WeightOutsideTheLayer1D(WindowedLayer):
    """Keeps its weights in a plain attribute that no file holds."""

    rank = 1

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.scale = keras.ops.convert_to_numpy(keras.random.uniform((), 0.5, 1.5))

    def pool(self, x):
        return mean(*self.windows(x)) * float(self.scale)


SPECIMENS = (
    LayerSpecimen(
        "strides_not_saved_2d",
        StridesNotSaved2D,
        "max",
        2,
        "get_config misses the strides, so a loaded layer strides by its window.",
        ("configuration_round_trip",),
    ),
    LayerSpecimen(
        "padding_not_saved_3d",
        PaddingNotSaved3D,
        "average",
        3,
        "get_config misses the padding, so a loaded layer is VALID.",
        ("configuration_round_trip",),
    ),
    LayerSpecimen(
        "data_format_not_saved_1d",
        DataFormatNotSaved1D,
        "average",
        1,
        "get_config misses the data format.",
        ("configuration_round_trip",),
    ),
    LayerSpecimen(
        "keepdims_not_saved_2d",
        KeepdimsNotSaved2D,
        "global_max",
        2,
        "get_config misses keepdims.",
        ("configuration_round_trip",),
    ),
    LayerSpecimen(
        "exponent_not_saved_2d",
        ExponentNotSaved2D,
        "gem",
        2,
        "get_config misses p, so a loaded layer has the default exponent.",
        ("configuration_round_trip",),
    ),
    LayerSpecimen(
        "output_size_reversed_when_saved_2d",
        OutputSizeReversedWhenSaved2D,
        "adaptive_max",
        2,
        "get_config gives (width, height), the constructor takes (height, width).",
        ("configuration_round_trip",),
    ),
    LayerSpecimen(
        "argument_is_code_1d",
        maximum_given_as_code,
        "max",
        1,
        "A constructor argument without default is missing in get_config, so from_config fails.",
        ("configuration_round_trip",),
    ),
    LayerSpecimen(
        "tensor_in_configuration_2d",
        TensorInConfiguration2D,
        "average",
        2,
        "get_config holds a tensor, which is no JSON.",
        ("configuration_round_trip",),
    ),
    LayerSpecimen(
        "window_grows_when_saved_3d",
        WindowGrowsWhenSaved3D,
        "average",
        3,
        "get_config saves a derived number under the name of the argument.",
        ("configuration_round_trip",),
    ),
    LayerSpecimen(
        "weight_outside_the_layer_1d",
        WeightOutsideTheLayer1D,
        "unknown",
        1,
        "A random scale lives in a plain attribute, so neither clone nor file has it.",
        ("configuration_round_trip",),
    ),
)
