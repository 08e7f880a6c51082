"""What a test needs to know about one specimen layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LayerSpecimen:
    """One layer that the conformance suite must catch, or must pass.

    Attributes:
        name: Unique in its list; reads as a statement.
        factory: The layer class, or a function that takes the field's arguments by keyword (`pool_size`,
            `strides`, `padding`, `data_format`, `output_size`, `keepdims`, `dilation_rate`, `p`, `levels`) and
            returns a Keras layer. Only the arguments in its signature may be passed.
        like: The kind the developer would name.
        dims: Spatial axes, 1 to 3.
        slip: The developer's mistake in one sentence; for a sound layer what a naive suite would flag.
        breaks: Catalogue properties of which at least one must catch it; empty for a sound layer.
    """

    name: str
    factory: Callable[..., Any]
    like: str
    dims: int
    slip: str
    breaks: tuple[str, ...] = ()
