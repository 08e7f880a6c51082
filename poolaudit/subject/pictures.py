"""Small PNG pictures of items, for people to look at: images as they are, signals as curves, volumes by a plane."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_LONGEST_SIDE = 96
_SIGNAL = (160, 64)


def looks_channels_first(shape: Sequence[int]) -> bool:
    """True where an item looks like (channels, height, width): few in front, more behind."""
    return len(shape) >= 3 and shape[0] <= 4 < shape[-1]


def item_pictures(
    items: Sequence[npt.NDArray[Any]], *, channels_first: bool = False, are_signals: bool | None = None
) -> tuple[str | None, ...]:
    """Base64 text of a PNG for each item, all on one scale; None for items of a form that has no picture.

    Args:
        items: Arrays of one shape: (length,), (length, channels), (height, width), (height, width, channels) or
            (depth, height, width, channels). Three channels are colour, of others the mean is shown.
        channels_first: The channels come first and not last.
        are_signals: Items of two axes are (length, channels) and not (height, width); None tells it from the shape.
    """
    if not len(items):
        return ()
    cells = [np.asarray(item, dtype=np.float64) for item in items]
    finite = [c[np.isfinite(c)] for c in cells]
    low = min((float(f.min()) for f in finite if f.size), default=0.0)
    high = max((float(f.max()) for f in finite if f.size), default=0.0)
    scale = 255.0 / (high - low) if high > low else 0.0
    drawn = []
    for item in cells:
        shown = (np.nan_to_num(item, nan=low, posinf=high, neginf=low) - low) * scale
        ordered = np.moveaxis(shown, 0, -1) if channels_first and shown.ndim > 1 else shown
        drawn.append(_draw(ordered, are_signals))
    return tuple(drawn)


def _draw(cells: npt.NDArray[np.float64], are_signals: bool | None) -> str | None:
    if cells.size == 0:
        return None
    if cells.ndim == 1:
        return _png(_curve(cells))
    if cells.ndim == 2 and (cells.shape[1] <= 4 < cells.shape[0] if are_signals is None else are_signals):
        return _png(_curve(cells[:, 0]))
    if cells.ndim == 2:
        cells = cells[..., None]
    if cells.ndim == 4:
        cells = cells[cells.shape[0] // 2]
    return _png(_image(cells)) if cells.ndim == 3 else None


def _image(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    shown = cells if cells.shape[-1] == 3 else np.repeat(cells.mean(axis=-1, keepdims=True), 3, axis=-1)
    step = max(1, -(-max(shown.shape[:2]) // _LONGEST_SIDE))
    shown = shown[::step, ::step]
    grow = max(1, _LONGEST_SIDE // max(shown.shape[:2]))
    whole: npt.NDArray[np.uint8] = np.clip(np.repeat(np.repeat(shown, grow, 0), grow, 1).round(), 0, 255).astype(
        "uint8"
    )
    return whole


def _curve(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """A signal as a line on white."""
    from PIL import Image, ImageDraw

    width, height = _SIGNAL
    picture = Image.new("RGB", _SIGNAL, "white")
    across = np.linspace(2, width - 3, len(values))
    down = height - 3 - values / 255.0 * (height - 6)
    ImageDraw.Draw(picture).line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=(31, 95, 168), width=1)
    return np.asarray(picture)


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    stream = io.BytesIO()
    # Grey and few-coloured pictures as palettes: a gallery must stay small.
    Image.fromarray(pixels).quantize(64).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()
