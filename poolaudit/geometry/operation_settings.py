"""What a graph operation's settings are, as plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from poolaudit.geometry.dependence import Dependence

Inputs = Sequence[Dependence | None]
Static = Callable[[Any], Any]
Handler = Callable[[Any, Inputs, Static], "Dependence | list[Dependence | None] | None"]


class NotFollowedError(Exception):
    """The operation is known and its setting is not; the text follows the operation's name."""


def place_of(operation: Any) -> str:
    scope = operation.name.rpartition("/")[0]
    return f"Part {scope!r} of the graph" if scope else "The model"


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Static sizes; an open batch is one item."""
    if tensor.shape.rank is None:
        raise NotFollowedError("with an output of unknown rank")
    sizes = tensor.shape.as_list()
    if None in sizes[1:]:
        raise NotFollowedError("with an output of unknown size")
    return tuple(1 if size is None else size for size in sizes)


def value_of(static: Static, tensor: Any) -> Any:
    value = static(tensor)
    if value is None:
        raise NotFollowedError("with settings that are computed at run time")
    return value


def integers(static: Static, tensor: Any) -> list[int]:
    return [int(number) for number in np.asarray(value_of(static, tensor)).ravel()]
