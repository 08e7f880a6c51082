"""Small PNG pictures of items, for the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.geometry.analysis import ModelInput

_LONGEST_SIDE = 96
_SIGNAL = (160, 64)


def pictures(items: Sequence[npt.NDArray[Any]], model_input: ModelInput) -> tuple[str, ...]:
    """Base64 text of a PNG for each item, all on one scale: images as they are, signals as curves, volumes by their
    middle plane."""
    low = min(float(item.min()) for item in items)
    high = max(float(item.max()) for item in items)
    scale = 255.0 / (high - low) if high > low else 0.0
    drawn = []
    for item in items:
        cells = (item.astype(np.float64) - low) * scale
        ordered = np.transpose(
            cells, [*model_input.spatial, *([] if model_input.channel is None else [model_input.channel])]
        )
        if model_input.channel is None:
            ordered = ordered[..., None]
        while ordered.ndim > 3:
            ordered = ordered[ordered.shape[0] // 2]
        drawn.append(_png(_curve(ordered) if ordered.ndim == 2 else _image(ordered)))
    return tuple(drawn)


def _image(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    shown = cells if cells.shape[-1] == 3 else np.repeat(cells.mean(axis=-1, keepdims=True), 3, axis=-1)
    step = max(1, -(-max(shown.shape[:2]) // _LONGEST_SIDE))
    shown = shown[::step, ::step]
    grow = max(1, _LONGEST_SIDE // max(shown.shape[:2]))
    grown = np.repeat(np.repeat(shown, grow, 0), grow, 1)
    return np.asarray(np.clip(grown.round(), 0, 255).astype(np.uint8))


def _curve(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """The first channel of a signal, (length, channels), as a line on white."""
    from PIL import Image, ImageDraw

    width, height = _SIGNAL
    picture = Image.new("RGB", _SIGNAL, "white")
    values = cells[:, 0]
    across = np.linspace(2, width - 3, len(values))
    down = height - 3 - values / 255.0 * (height - 6)
    ImageDraw.Draw(picture).line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=(31, 95, 168), width=1)
    return np.asarray(picture)


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()
