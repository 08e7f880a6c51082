"""Copies planted among the data themselves, to measure what the search can see there."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from poolaudit.leakage.degradations import along_axes, blocks_of_frequencies, compressed, resampling
from poolaudit.leakage.layout import Floats, Layout

Generator = np.random.Generator
Copier = Callable[[Floats, Layout, Generator], Floats]

_TRIANGLE = (lambda x: np.maximum(0.0, 1.0 - np.abs(x)), True)


def copiers(layout: Layout) -> dict[str, Copier]:
    """The changes that make sense for such items, by name; each takes and gives (*sizes[, channels]) levels."""
    shared: dict[str, Copier] = {
        "resized to half and back": _resized,
        "brightness and contrast": _brightened,
        "noise": _noisy,
        "shifted by 1 to 3": _shifted,
    }
    if layout.rank == 1:
        return {"resampled": _cropped, **shared}
    shared |= {"cropped to 90 %": _cropped, "flipped": _flipped, "rotated by 5 degrees": _rotated}
    if len(set(layout.sizes)) < layout.rank:
        shared["turned by 90 degrees"] = _turned
    return {"compressed (JPEG 50)": _compressed, **shared} if layout.rank == 2 else shared


def _whole(values: Any) -> Floats:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.float32)


def _compressed(item: Floats, layout: Layout, rng: Generator) -> Floats:
    height, width = item.shape[:2]
    return np.asarray(compressed(blocks_of_frequencies(item[None]), 50, (height, width))[0])


def _resized(item: Floats, layout: Layout, rng: Generator) -> Floats:
    maps = []
    for size in layout.sizes:
        small = max(2, size // 2)
        maps.append(resampling(_TRIANGLE, small, size) @ resampling(_TRIANGLE, size, small))
    return _whole(along_axes(item[None], tuple(m.astype(np.float32) for m in maps))[0])


def _brightened(item: Floats, layout: Layout, rng: Generator) -> Floats:
    return _whole((item - 127.5) * rng.uniform(0.75, 1.25) + 127.5 + rng.uniform(-25, 25))


def _noisy(item: Floats, layout: Layout, rng: Generator) -> Floats:
    return _whole(item + rng.normal(0, rng.uniform(3, 8), item.shape))


def _shifted(item: Floats, layout: Layout, rng: Generator) -> Floats:
    step = np.zeros(item.ndim, int)
    while not step.any():
        step[: layout.rank] = [rng.integers(-min(3, size // 4), min(3, size // 4) + 1) for size in layout.sizes]
        if max(layout.sizes) < 4:
            break
    return np.asarray(ndimage.shift(item, step, order=0, mode="nearest"), np.float32)


def _cropped(item: Floats, layout: Layout, rng: Generator) -> Floats:
    for axis, size in enumerate(layout.sizes):
        kept = round(0.9 * size)
        start = int(rng.integers(size - kept + 1))
        part = np.moveaxis(item, axis, -1)[..., start : start + kept]
        item = np.moveaxis(part @ resampling(_TRIANGLE, kept, size).T.astype(np.float32), -1, axis)
    return _whole(item)


def _flipped(item: Floats, layout: Layout, rng: Generator) -> Floats:
    return np.ascontiguousarray(np.flip(item, int(rng.integers(layout.rank))))


def _turned(item: Floats, layout: Layout, rng: Generator) -> Floats:
    planes = [(a, b) for a, b in itertools.combinations(range(layout.rank), 2) if layout.sizes[a] == layout.sizes[b]]
    return np.ascontiguousarray(np.rot90(item, int(rng.choice([1, 3])), planes[int(rng.integers(len(planes)))]))


def _rotated(item: Floats, layout: Layout, rng: Generator) -> Floats:
    planes = list(itertools.combinations(range(layout.rank), 2))
    plane = planes[int(rng.integers(len(planes)))]
    return _whole(ndimage.rotate(item, float(rng.choice([-5, 5])), plane, reshape=False, order=1, mode="nearest"))
