"""Pairs brought into register: shifts, scale and turns by least squares on brightness (Lucas and Kanade, 1981)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.leakage.layout import Floats

Array = np.ndarray[Any, Any]

# No step may leap: a far fit of one garment onto another is no evidence.
_MOST_STEP_CELLS = 2.0
_MOST_STEP_LINEAR = 0.1
_LEAST_INSIDE = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A working grid and the places in it.

    Attributes:
        shape: Of the grid, moving axes first.
        rank: Number of moving axes.
        cells: Cells a pixel along each moving axis.
        places: float32 (rank, P) from the middle of the grid.
    """

    shape: tuple[int, ...]
    rank: int
    cells: tuple[float, ...]
    places: Floats

    @property
    def kept(self) -> int:
        return int(np.prod(self.shape[self.rank :], dtype=int))


def make_frame(shape: tuple[int, ...], rank: int, sizes: tuple[int, ...]) -> Frame:
    """The frame of a grid onto which items of `sizes` were averaged down."""
    moving = shape[:rank]
    places = np.stack(np.meshgrid(*(np.arange(n) for n in moving), indexing="ij")).reshape(rank, -1)
    middle = (np.array(moving)[:, None] - 1) / 2
    cells = tuple(grid / size for grid, size in zip(moving, sizes, strict=True))
    return Frame(shape, rank, cells, np.asarray(places - middle, np.float32))


def warp(items: Floats, linear: Floats, offset: Floats, frame: Frame) -> tuple[Floats, Array]:
    """(m, P·kept) values of the items at `linear` x + `offset`, and (m, P·kept) where that lies inside the item."""
    m, rank, kept = len(items), frame.rank, frame.kept
    shape = frame.shape[:rank]
    middle = np.array([(n - 1) / 2 for n in shape], np.float32)
    source = np.matmul(linear, frame.places) + (offset + middle)[:, :, None]
    inside = np.ones((m, source.shape[2]), bool)
    corner = np.zeros((m, source.shape[2]), np.int32)
    parts, steps = [], []
    stride = kept
    for axis in reversed(range(rank)):
        at, n = source[:, axis], shape[axis]
        inside &= (at > -0.02) & (at < n - 0.98)
        at = np.clip(at, 0, n - 1)
        whole = np.minimum(at.astype(np.int32), max(n - 2, 0))
        parts.append(at - whole)
        steps.append(stride if n > 1 else 0)
        corner += whole * stride
        stride *= n
    start = (np.arange(m, dtype=np.int64) * stride)[:, None] + corner
    flat = items.reshape(-1)
    values = []
    for channel in range(kept):
        ends = [
            flat[channel + sum(step for step, end in zip(steps, at, strict=True) if end) :].take(start)
            for at in itertools.product((0, 1), repeat=rank)
        ]
        # product counts its last place fastest, so the pairs merge from the last part to the first.
        for part in reversed(parts):
            ends = [ends[i] + (ends[i + 1] - ends[i]) * part for i in range(0, len(ends), 2)]
        values.append(ends[0])
    if kept == 1:
        return values[0], inside
    return np.stack(values, axis=2).reshape(m, -1), np.repeat(inside, kept, axis=1)


def refine(
    queries: Floats, items: Floats, linear: Floats, offset: Floats, frame: Frame, steps: int
) -> tuple[Floats, Floats]:
    """`linear` and `offset` after Gauss-Newton steps towards queries(x) = gain · items(linear x + offset) + c."""
    flat, rank = queries.reshape(len(queries), -1), frame.rank
    planes = list(itertools.combinations(range(rank), 2))
    best_linear, best_offset = linear, offset
    least = np.full(len(queries), np.inf, np.float32)
    for step in range(steps + 1):
        values, inside = warp(items, linear, offset, frame)
        weight = inside.astype(np.float32)
        left = misfit(flat, values, weight)
        # A fit that leaves most of the query out explains nothing.
        better = (left < least) & (inside.mean(axis=1) > _LEAST_INSIDE)
        least = np.where(better, left, least)
        best_linear = np.where(better[:, None, None], linear, best_linear)
        best_offset = np.where(better[:, None], offset, best_offset)
        if step == steps:
            break
        slopes = _slopes(values, frame)
        x = frame.places if frame.kept == 1 else np.repeat(frame.places, frame.kept, axis=1)
        columns = [values, np.ones_like(values), *slopes]
        columns.append(sum(slopes[axis] * x[axis] for axis in range(rank)))
        for a, b in planes:
            ratio = np.float32(frame.cells[a] / frame.cells[b])
            columns.append(slopes[b] * x[a] / ratio - slopes[a] * x[b] * ratio)
        found = solve(np.stack(columns, axis=1), flat, weight, ridge=1e-3)
        gain = np.where(np.abs(found[:, :1]) > 0.2, found[:, :1], 0.2)
        change = np.asarray(found[:, 2:] / gain, np.float32)
        linear, offset = _compose(linear, offset, change, frame, planes)
    return best_linear, best_offset


def _compose(
    linear: Floats, offset: Floats, change: Floats, frame: Frame, planes: list[tuple[int, int]]
) -> tuple[Floats, Floats]:
    rank = frame.rank
    shift = np.clip(change[:, :rank], -_MOST_STEP_CELLS, _MOST_STEP_CELLS)
    rest = np.clip(change[:, rank:], -_MOST_STEP_LINEAR, _MOST_STEP_LINEAR)
    small = np.zeros_like(linear)
    for axis in range(rank):
        small[:, axis, axis] = rest[:, 0]
    for at, (a, b) in enumerate(planes, start=1):
        ratio = frame.cells[a] / frame.cells[b]
        small[:, a, b] -= rest[:, at] * np.float32(ratio)
        small[:, b, a] += rest[:, at] / np.float32(ratio)
    return linear + linear @ small, offset + np.einsum("mij,mj->mi", linear, shift)


def misfit(queries: Floats, values: Floats, weight: Floats) -> Floats:
    """(m,) share of the queries' variation that gain and offset leave unexplained, over the weighted places."""
    n = np.maximum(weight.sum(axis=1), 1.0)
    a = np.einsum("mp,mp->m", queries, weight) / n
    b = np.einsum("mp,mp->m", values, weight) / n
    first, second = (queries - a[:, None]) * weight, (values - b[:, None]) * weight
    saa = np.einsum("mp,mp->m", first, first)
    sbb = np.einsum("mp,mp->m", second, second)
    sab = np.einsum("mp,mp->m", first, second)
    explained = np.where(sab > 0, sab * sab / np.maximum(sbb, 1e-3), 0.0)
    return np.asarray(1.0 - explained / np.maximum(saa, 1e-3), np.float32)


def solve(columns: Floats, wanted: Floats, weight: Floats, ridge: float) -> Floats:
    """(m, k) weighted least squares with columns (m, k, P); the ridge keeps flat items from dividing by nothing."""
    weighted = columns * weight[:, None]
    gram = np.matmul(weighted, columns.transpose(0, 2, 1))
    right = np.matmul(weighted, wanted[:, :, None])[:, :, 0]
    size = np.sqrt(np.maximum(np.einsum("mkk->mk", gram), 1e-6))
    scaled = gram / size[:, :, None] / size[:, None] + np.float32(ridge) * np.eye(gram.shape[1], dtype=np.float32)
    return np.asarray(np.linalg.solve(scaled, (right / size)[:, :, None])[:, :, 0] / size, np.float32)


def _slopes(values: Floats, frame: Frame) -> list[Floats]:
    grid = values.reshape(-1, *frame.shape)
    return [
        np.gradient(grid, axis=1 + axis).reshape(len(values), -1) if frame.shape[axis] > 1 else np.zeros_like(values)
        for axis in range(frame.rank)
    ]
