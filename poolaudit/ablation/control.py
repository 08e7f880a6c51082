"""The parameter-matched control: the variant's pooling on a head with as many parameters as the baseline's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from poolaudit.ablation.plan import PlannedCall


@dataclass(frozen=True)
class Control:
    """What is put around the head.

    Attributes:
        form: "resize" averages the map in front of a Flatten down to the size it had; "narrow" puts a 1x1 convolution
            to fewer channels in front of a new Flatten; "hidden" puts a Dense layer behind new global pooling.
        width: Channels of "narrow", units of "hidden".
    """

    form: str
    width: int = 1

    def around(self, call: PlannedCall, layer: Any, source: Any, replaced: bool) -> tuple[list[Any], list[Any]]:
        """The layers to put before and behind one call on the symbolic tensor `source`."""
        import keras

        from poolaudit.ablation.layers import ResizeAverage

        is_flatten = type(layer).__name__ == "Flatten"
        name, rank = str(layer.name), len(source.shape) - 2
        data_format = getattr(layer, "data_format", None)
        if self.form == "resize" and is_flatten and not replaced:
            old = call.node.input_tensors[0].shape
            space = old[2:] if data_format == "channels_first" else old[1:-1]
            if rank >= 1 and tuple(source.shape) != tuple(old) and None not in (*space, *source.shape[1:]):
                return [ResizeAverage(space, data_format, name=f"{name}_resized", dtype=layer.dtype_policy)], []
        if self.form == "narrow" and is_flatten and replaced:
            convolution = getattr(keras.layers, f"Conv{rank}D")
            return [
                convolution(self.width, 1, data_format=data_format, name=f"{name}_narrowed", dtype=layer.dtype_policy)
            ], []
        if self.form == "hidden" and replaced:
            return [], [
                keras.layers.Dense(self.width, activation="relu", name=f"{name}_hidden", dtype=layer.dtype_policy)
            ]
        return [], []
