"""Flips, turns, shifts, crops and small rotations of a working grid, as maps of places."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from poolaudit.leakage.degradations import sharpening
from poolaudit.leakage.layout import Layout

Array = np.ndarray[Any, Any]

_MOST_SHIFT_PIXELS = 3
_CROP = 0.9
_ANGLE_RADIANS = float(np.deg2rad(5.0))
_PLAIN = "as it is"


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """One way in which a query may have come from an item.

    The value of the original at x is that of the re-oriented query at `linear` x + `offset`, both counted in cells
    from the middle of the grid.

    Attributes:
        name: In words, for a reader.
        orientation: Which of `orientations(...)`.
        sharpened: The query gets back what resizing to half takes from its descriptor.
    """

    name: str
    orientation: int
    linear: Array
    offset: Array
    sharpened: bool = False

    @property
    def moves(self) -> bool:
        return bool(self.offset.any() or (self.linear != np.eye(len(self.offset))).any())


def orientations(layout: Layout) -> tuple[tuple[tuple[int, ...], tuple[bool, ...]], ...]:
    """Permutations of the axes with flips, the identity first: 1 for signals, 8 for images, 48 for volumes."""
    if layout.rank == 1:
        return (((0,), (False,)),)
    axes = itertools.permutations(range(layout.rank))
    return tuple((order, flips) for order in axes for flips in itertools.product((False, True), repeat=layout.rank))


def orient(items: Array, orientation: tuple[tuple[int, ...], tuple[bool, ...]]) -> Array:
    """(n, *grid) with permuted, then flipped moving axes; axes of unequal length must be resampled by the caller."""
    order, flips = orientation
    rank = len(order)
    moved = items.transpose(0, *(1 + axis for axis in order), *range(1 + rank, items.ndim))
    turned = (slice(None), *(slice(None, None, -1 if flip else 1) for flip in flips))
    return np.asarray(moved[turned])


def inverse(orientation: tuple[tuple[int, ...], tuple[bool, ...]]) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """The orientation that undoes this one."""
    order, flips = orientation
    undone = tuple(int(i) for i in np.argsort(order))
    return undone, tuple(flips[axis] for axis in undone)


def name_of(orientation: tuple[tuple[int, ...], tuple[bool, ...]]) -> str:
    """The orientation in words."""
    order, flips = orientation
    if len(order) == 2 and order == (0, 1):
        return (_PLAIN, "flipped horizontally", "flipped vertically", "turned by 180 degrees")[2 * flips[0] + flips[1]]
    if len(order) == 2:
        return "turned by 90 degrees and flipped" if flips[0] == flips[1] else "turned by 90 degrees"
    if order == tuple(range(len(order))):
        return "flipped" if any(flips) else _PLAIN
    return "turned by 90 degrees"


def list_moves(layout: Layout) -> tuple[Move, ...]:
    """Every move that is tried in the search, fine enough that alignment finds the rest of the way."""
    rank = layout.rank
    cells = np.array([grid / size for grid, size in zip(layout.coarse, layout.sizes, strict=False)])
    still = np.eye(rank)
    moves = [
        Move(name_of(o), i, still, np.zeros(rank)) for i, o in enumerate(orientations(layout)) if _keeps(o, layout)
    ]
    if any(sharpening(size, grid) is not None for size, grid in zip(layout.sizes, layout.coarse, strict=False)):
        moves.append(Move(_PLAIN, 0, still, np.zeros(rank), sharpened=True))
    moves += [Move("shifted", 0, still, step * cells) for step in _shifts(layout)]
    for scale in (_CROP,) if rank > 1 else (_CROP, 1 / _CROP):
        for step in _crop_offsets(layout):
            moves.append(Move("cropped" if rank > 1 else "resampled", 0, still / scale, step * cells / scale))
    for a, b in itertools.combinations(range(rank), 2):
        for angle in (_ANGLE_RADIANS, -_ANGLE_RADIANS):
            moves.append(Move("rotated a little", 0, rotation(rank, a, b, angle, cells), np.zeros(rank)))
    return tuple(moves)


def rotation(rank: int, a: int, b: int, angle: float, cells: Array) -> Array:
    """The rotation in the plane of axes a and b, in cells that need not be square."""
    turned = np.eye(rank)
    turned[a, a] = turned[b, b] = np.cos(angle)
    turned[a, b], turned[b, a] = -np.sin(angle), np.sin(angle)
    return np.asarray(np.diag(cells) @ turned @ np.diag(1 / cells))


def sampling(grid: tuple[int, ...], rank: int, move: Move) -> Any:
    """Sparse (places, places): values at `linear` x + `offset`, linear between cells, edges repeated."""
    shape, kept = grid[:rank], int(np.prod(grid[rank:], dtype=int))
    places = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")).reshape(rank, -1).astype(float)
    middle = (np.array(shape)[:, None] - 1) / 2
    source = move.linear @ (places - middle) + move.offset[:, None] + middle
    limits = np.array(shape)[:, None] - 1
    source = np.clip(source, 0, limits)
    corner = np.minimum(source.astype(int), np.maximum(limits - 1, 0))
    part = source - corner
    rows, columns, weights = [], [], []
    for ends in itertools.product((0, 1), repeat=rank):
        at = np.minimum(corner + np.array(ends)[:, None], limits)
        columns.append(np.ravel_multi_index(tuple(at), shape))
        weights.append(np.prod([part[i] if end else 1 - part[i] for i, end in enumerate(ends)], axis=0))
        rows.append(np.arange(places.shape[1]))
    n = places.shape[1]
    moved = sparse.csr_matrix((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), (n, n))
    return moved if kept == 1 else sparse.kron(moved, sparse.identity(kept), format="csr")


def _keeps(orientation: tuple[tuple[int, ...], tuple[bool, ...]], layout: Layout) -> bool:
    order, _ = orientation
    return all(
        layout.coarse[axis] == layout.coarse[at] and layout.fine[axis] == layout.fine[at]
        for at, axis in enumerate(order)
    )


def _shifts(layout: Layout) -> list[Array]:
    most = [min(_MOST_SHIFT_PIXELS, max(size // 4, 1)) for size in layout.sizes]
    # Alignment of fine textures finds the rest of the way within a cell; for volumes every second shift must suffice.
    steps = [
        max(1 if layout.rank < 3 else 2, min(m, size // cells))
        for m, size, cells in zip(most, layout.sizes, layout.fine, strict=False)
    ]
    lines = [np.unique([0, *range(step, m + 1, step), m]) for m, step in zip(most, steps, strict=True)]
    both = [np.unique(np.concatenate([-line, line])) for line in lines]
    return [np.array(step) for step in itertools.product(*both) if any(step)]


def _crop_offsets(layout: Layout) -> list[Array]:
    lines = []
    for size, cells in zip(layout.sizes, layout.coarse, strict=False):
        lost = size - round(_CROP * size)
        n = max(2 if layout.rank == 3 else 3, min(lost + 1, round(lost * cells / size / 0.5) + 1))
        lines.append(np.linspace(-lost / 2, lost / 2, n) if lost else np.zeros(1))
    return [np.array(step) for step in itertools.product(*lines)]
