"""What compression and resizing leave of an item: the candidate is degraded the same way before it is compared."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from poolaudit.leakage.layout import Floats, averaging

Array = np.ndarray[Any, Any]

JPEG_QUALITIES = (20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95)
_BLOCK = 8
_SHARPENED_UP_TO = 3
_RIDGE = 0.1
# Luminance table of the JPEG standard (ITU-T T.81, annex K), scaled by quality as the Independent JPEG Group does.
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


def _box(x: Array) -> Array:
    return ((x >= -0.5) & (x < 0.5)).astype(float)


def _triangle(x: Array) -> Array:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: Array, a: float = -0.5) -> Array:
    x = np.abs(x)
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


def _sharp_cubic(x: Array) -> Array:
    return _cubic(x, -0.75)


def _lanczos(x: Array) -> Array:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


# Kernel, and whether it is widened when an image is made smaller.
_DOWN: tuple[tuple[Callable[[Array], Array], bool], ...] = (
    (_box, True),
    (_triangle, True),
    (_cubic, True),
    (_lanczos, True),
    (_sharp_cubic, False),
)
_UP: tuple[tuple[Callable[[Array], Array], bool], ...] = (
    (_box, False),
    (_triangle, False),
    (_cubic, False),
    (_lanczos, False),
)


def resampling(kernel: tuple[Callable[[Array], Array], bool], size: int, wanted: int) -> Array:
    """(wanted, size): values of a signal of `size` at `wanted` evenly spaced places."""
    function, widened = kernel
    width = max(size / wanted, 1.0) if widened else 1.0
    centres = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    weights = function((np.arange(size)[None] - centres[:, None]) / width)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@functools.lru_cache(maxsize=64)
def resize_maps(size: int) -> tuple[tuple[Floats, tuple[Floats, ...]], ...]:
    """Maps (smaller, size) that make a signal shorter, each with the maps (size, smaller) that make it long again."""
    maps = []
    for factor, down_by, up_by in ((0.5, _DOWN, _UP), (0.75, _DOWN[1:3], _UP[1:3])):
        small = round(size * factor)
        if 2 <= small < size:
            ups = tuple(resampling(up, small, size).astype(np.float32) for up in up_by)
            maps += [(resampling(down, size, small).astype(np.float32), ups) for down in down_by]
    return tuple(maps)


def resized(grid: Floats, rank: int, frame_shape: tuple[int, ...]) -> Iterator[Floats]:
    """Each item made smaller and large again, by every pair of filters; levels are cut off between as in files."""
    for maps in zip(*(resize_maps(frame_shape[axis]) for axis in range(rank)), strict=False):
        small = along_axes(grid, tuple(down for down, _ in maps), cut=True)
        for ups in zip(*(up for _, up in maps), strict=True):
            yield along_axes(small, ups, cut=True)


@functools.lru_cache(maxsize=64)
def sharpening(size: int, cells: int) -> Floats | None:
    """(cells, cells): undoes along one axis of a working grid what resizing to half and back does on average.

    None where the grid is so much coarser than the item that nothing is lost on it.
    """
    if size > _SHARPENED_UP_TO * cells or not resize_maps(size):
        return None
    onto = averaging(size, cells)
    back = np.linalg.pinv(onto)
    lost = np.mean([onto @ up @ down @ back for down, ups in resize_maps(size) for up in ups], axis=0)
    return np.asarray(np.linalg.solve(lost.T @ lost + _RIDGE * np.eye(cells), lost.T), np.float32)


@functools.lru_cache(maxsize=64)
def blurring(size: int, sigma: float) -> Floats:
    """(size, size) Gaussian smoothing that repeats the edge; `sigma` in cells."""
    places = np.arange(size)
    reach = int(np.ceil(4 * sigma))
    folded = np.zeros((size, size))
    for step in range(-reach, reach + 1):
        folded[places, np.clip(places + step, 0, size - 1)] += np.exp(-0.5 * (step / sigma) ** 2)
    return np.asarray(folded / folded.sum(axis=1, keepdims=True), np.float32)


def along_axes(values: Floats, maps: tuple[Floats, ...], *, cut: bool = False) -> Floats:
    """(m, *grid) with each map applied along one of the first axes of the grid, the last of them first.

    Args:
        cut: Cut levels off at black and white after each map, as 8-bit images are.
    """
    for axis, matrix in reversed(list(enumerate(maps, start=1))):
        if axis == values.ndim - 1:
            values = values @ matrix.T
        elif axis == values.ndim - 2:
            values = np.matmul(matrix, values)
        else:
            values = np.moveaxis(np.moveaxis(values, axis, -1) @ matrix.T, -1, axis)
        if cut:
            values = np.clip(values, 0.0, 255.0)
    return values


def blocks_of_frequencies(images: Floats) -> Array:
    """(m, rows, columns, 8, 8) cosine coefficients of the blocks JPEG cuts an image into, its edge repeated."""
    m, height, width = images.shape
    padded = np.pad(images - 128.0, ((0, 0), (0, -height % _BLOCK), (0, -width % _BLOCK)), mode="edge")
    blocks = padded.reshape(m, padded.shape[1] // _BLOCK, _BLOCK, padded.shape[2] // _BLOCK, _BLOCK)
    return np.asarray(np.matmul(np.matmul(_cosines(), blocks.transpose(0, 1, 3, 2, 4)), _cosines().T))


def compressed(frequencies: Array, quality: int, shape: tuple[int, int]) -> Floats:
    """(m, height, width): what JPEG at this quality leaves of images given by their blocks of frequencies."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    table = np.clip(np.floor((_LUMINANCE * np.float32(scale) + 50) / 100), 1, 255)
    blocks = np.matmul(np.matmul(_cosines().T, np.rint(frequencies / table) * table), _cosines())
    m, rows, columns = blocks.shape[:3]
    images = blocks.transpose(0, 1, 3, 2, 4).reshape(m, rows * _BLOCK, columns * _BLOCK)[:, : shape[0], : shape[1]]
    return np.asarray(np.clip(np.rint(images + 128.0), 0, 255), np.float32)


@functools.lru_cache(maxsize=1)
def _cosines() -> Floats:
    n = np.arange(_BLOCK)
    waves = np.sqrt(2 / _BLOCK) * np.cos(np.pi * (n[None] + 0.5) * n[:, None] / _BLOCK)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves, np.float32)
