"""When a pooling layer has to refuse its settings, said once and without the layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from poolaudit.configuration.windows import window_span

INT32_MAX = 2**31 - 1
DATA_FORMATS = ("channels_last", "channels_first")
PADDINGS = ("valid", "same")


def problems_of(
    settings: Mapping[str, object], layout: str, rank: int, input_shape: Sequence[int] | None
) -> tuple[str, ...]:
    """Every reason to refuse, as sentences; settings that the layout does not use are not looked at."""
    found = []
    if settings["data_format"] not in DATA_FORMATS:
        found.append(f"data_format is {settings['data_format']!r}, not one of {', '.join(DATA_FORMATS)}")
    if layout == "windowed":
        for name in ("window", "strides", "dilation"):
            if settings[name] is not None:
                found += _size_problems(name, settings[name], rank)
        found += _padding_problems(settings["padding"], rank)
    elif layout == "adaptive":
        found += _size_problems("output_size", settings["output_size"], rank)
    elif layout == "pyramid":
        levels = settings["levels"]
        found += _size_problems("levels", levels, len(levels) if isinstance(levels, tuple) and levels else 1)
    if found or input_shape is None:
        return tuple(found)
    return _input_problems(settings, layout, rank, input_shape)


def _size_problems(name: str, value: object, length: int) -> list[str]:
    if not isinstance(value, tuple):
        return [f"{name} is {value!r}, not a tuple of {length} positive integers"]
    found = []
    if len(value) != length:
        found.append(f"{name} has {len(value)} entries, not {length}")
    for entry in value:
        if isinstance(entry, bool) or not isinstance(entry, (int, np.integer)):
            found.append(f"{name} holds {entry!r}, which is not an integer")
        elif entry <= 0:
            found.append(f"{name} holds {entry}, which is not positive")
        elif entry > INT32_MAX:
            found.append(f"{name} holds {entry}, which is beyond int32")
    return found


def _padding_problems(padding: object, rank: int) -> list[str]:
    if isinstance(padding, str):
        return [] if padding in PADDINGS else [f"padding is {padding!r}, not one of {', '.join(PADDINGS)}"]
    pairs_fit = isinstance(padding, tuple) and all(
        isinstance(pair, tuple)
        and len(pair) == 2
        and all(isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in pair)
        for pair in padding
    )
    if not isinstance(padding, tuple) or not pairs_fit:
        return [f"padding is {padding!r}, not a name or one (before, after) pair an axis"]
    found = [] if len(padding) == rank else [f"padding has {len(padding)} pairs, not {rank}"]
    if any(side < 0 for pair in padding for side in pair):
        found.append(f"padding {padding!r} holds a negative number")
    return found


def _input_problems(
    settings: Mapping[str, object], layout: str, rank: int, input_shape: Sequence[int]
) -> tuple[str, ...]:
    if len(input_shape) != rank + 2:
        return (f"the input has {len(input_shape)} axes, not {rank + 2}",)
    first = 2 if settings["data_format"] == "channels_first" else 1
    spatial = tuple(input_shape)[first : first + rank]
    if layout != "windowed":
        return () if all(spatial) else (f"the input has no cells: {spatial}",)
    if settings["padding"] == "same":
        return ()
    window, dilation, padding = settings["window"], settings["dilation"], settings["padding"]
    found = []
    for axis, size in enumerate(spatial):
        cells = window[axis] if isinstance(window, tuple) else 1
        span = window_span(cells, dilation[axis] if isinstance(dilation, tuple) else 1)
        padded = size + (sum(padding[axis]) if isinstance(padding, tuple) else 0)
        if span > padded:
            found.append(f"a window spanning {span} cells does not fit into {padded} on spatial axis {axis}")
    return tuple(found)
