"""Slips planted in Keras's pooling layers, one at a time: what a developer of a pooling layer gets wrong.

The environment variable PLANTED_SLIP names the slip. As a pytest plugin (`-p planted_slips`) this module plants it in
Keras itself, for Keras's own tests; `poolaudit check planted_slips:LAYER` attacks a layer derived from Keras's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

VARIABLE = "PLANTED_SLIP"
Call = Callable[..., Any]


@dataclass(frozen=True)
class Slip:
    """One slip.

    Attributes:
        layer: The layer of Keras it is planted in.
        like: What poolaudit is told of the layer; it names the rank by `dims`.
        plant: Changes the class.
    """

    layer: str
    like: str
    dims: int
    plant: Callable[[type], None]

    @property
    def keras_file(self) -> str:
        """The file with Keras's own tests of the layer: average_pooling_test.py has those of all ranks."""
        return f"{self.like}_pooling_test.py"


def _call(change: Callable[[Call], Call]) -> Callable[[type], None]:
    """Plants a layer's `call`, made of the sound one."""

    def plant(layer: type) -> None:
        layer.call = change(layer.call)  # type: ignore[attr-defined]

    return plant


def _zero_padding(sound: Call) -> Call:
    """Padding cells are 0, and win among negative cells."""

    def call(self: Any, inputs: Any) -> Any:
        pooled = sound(self, inputs)
        return ops.maximum(pooled, 0) if self.padding == "same" else pooled

    return call


def _counted_padding(sound: Call) -> Call:
    """The average of a window at the border divides by the whole window."""

    def call(self: Any, inputs: Any) -> Any:
        if self.padding == "valid":
            return sound(self, inputs)
        before = [(size - 1) // 2 for size in self.pool_size]
        after = [size - 1 - b for size, b in zip(self.pool_size, before, strict=True)]
        axes = (2, 3) if self.data_format == "channels_first" else (1, 2)
        around = [(0, 0)] * 4
        for axis, b, a in zip(axes, before, after, strict=True):
            around[axis] = (b, a)
        padded = ops.pad(inputs, around)
        return ops.average_pool(padded, self.pool_size, self.strides, "valid", self.data_format)

    return call


def _swapped_window(sound: Call) -> Call:
    """Height and width of the window are exchanged."""

    def call(self: Any, inputs: Any) -> Any:
        return ops.max_pool(inputs, self.pool_size[::-1], self.strides, self.padding, self.data_format)

    return call


def _scaled_gradient(sound: Call) -> Call:
    """The right values, and half the gradient."""

    def call(self: Any, inputs: Any) -> Any:
        pooled = sound(self, inputs)
        return (pooled + ops.stop_gradient(pooled)) / 2

    return call


def _mask_ignored(sound: Call) -> Call:
    def call(self: Any, inputs: Any, mask: Any = None) -> Any:
        return sound(self, inputs)

    return call


def _begins_at_zero(sound: Call) -> Call:
    """The running maximum begins at 0."""

    def call(self: Any, inputs: Any) -> Any:
        return ops.maximum(sound(self, inputs), 0)

    return call


def _swallowed_nan(sound: Call) -> Call:
    def call(self: Any, inputs: Any) -> Any:
        return sound(self, ops.where(ops.isnan(inputs), ops.zeros_like(inputs), inputs))

    return call


def _coarse_halves(sound: Call) -> Call:
    """Half precision goes through bfloat16, which has three bits less."""

    def call(self: Any, inputs: Any) -> Any:
        if keras.backend.standardize_dtype(inputs.dtype) != "float16":
            return sound(self, inputs)
        return ops.cast(ops.cast(sound(self, inputs), "bfloat16"), "float16")

    return call


def _whole_batch(sound: Call) -> Call:
    """Centred on the mean of the batch before pooling, and back: one item not finite spoils all others."""

    def call(self: Any, inputs: Any) -> Any:
        centre = ops.mean(inputs)
        return sound(self, inputs - centre) + centre

    return call


def _strides_of_one(layer: type) -> None:
    """Without strides the window moves by one cell."""
    sound = layer.__init__

    def __init__(self: Any, pool_size: Any = 2, strides: Any = None, **others: Any) -> None:  # noqa: N807
        sound(self, pool_size, 1 if strides is None else strides, **others)

    layer.__init__ = __init__  # type: ignore[misc]


def _lost_padding(layer: type) -> None:
    """The configuration does not say how it pads: a saved model pads otherwise."""
    sound = layer.get_config  # type: ignore[attr-defined]

    def get_config(self: Any) -> dict[str, Any]:
        return {**sound(self), "padding": "valid"}

    layer.get_config = get_config  # type: ignore[attr-defined]


def _rounded_down(layer: type) -> None:
    """The announced shape of "same" padding is rounded down."""
    sound = layer.compute_output_shape  # type: ignore[attr-defined]

    def compute_output_shape(self: Any, input_shape: Any) -> Any:
        if self.padding != "same" or self.data_format == "channels_first":
            return sound(self, input_shape)
        steps = [None if n is None else n // s for n, s in zip(input_shape[1:-1], self.strides, strict=True)]
        return (input_shape[0], *steps, input_shape[-1])

    layer.compute_output_shape = compute_output_shape  # type: ignore[attr-defined]


SLIPS = {
    "padding cells are 0 for a maximum": Slip("MaxPooling2D", "max", 2, _call(_zero_padding)),
    "padding cells count in an average": Slip("AveragePooling2D", "average", 2, _call(_counted_padding)),
    "no strides means strides of 1": Slip("MaxPooling1D", "max", 1, _strides_of_one),
    "height and width of the window exchanged": Slip("MaxPooling2D", "max", 2, _call(_swapped_window)),
    "half the gradient": Slip("MaxPooling1D", "max", 1, _call(_scaled_gradient)),
    "mask ignored": Slip("GlobalAveragePooling1D", "global_average", 1, _call(_mask_ignored)),
    "a global maximum begins at 0": Slip("GlobalMaxPooling2D", "global_max", 2, _call(_begins_at_zero)),
    "NaN swallowed": Slip("GlobalMaxPooling1D", "global_max", 1, _call(_swallowed_nan)),
    "half precision rounded twice": Slip("AveragePooling1D", "average", 1, _call(_coarse_halves)),
    "items of a batch mixed": Slip("AveragePooling3D", "average", 3, _call(_whole_batch)),
    "configuration loses the padding": Slip("MaxPooling3D", "max", 3, _lost_padding),
    "announced shape rounded down": Slip("AveragePooling1D", "average", 1, _rounded_down),
}


def pytest_configure() -> None:
    """Plants the slip in Keras."""
    if slip := _chosen():
        slip.plant(getattr(layers, slip.layer))


def __getattr__(name: str) -> Any:
    """A layer derived from Keras's of this name, the slip planted or not."""
    if name.startswith("_") or not hasattr(layers, name):
        raise AttributeError(name)
    derived = type(name, (getattr(layers, name),), {"__module__": __name__})
    slip = _chosen()
    if slip is not None and slip.layer == name:
        slip.plant(derived)
    globals()[name] = derived
    return derived


def _chosen() -> Slip | None:
    name = os.environ.get(VARIABLE)
    return None if name is None else SLIPS[name]
