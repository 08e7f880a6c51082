"""Candidates for every query: the nearest descriptors under every move, by FAISS."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.leakage.fingerprints import Describer
from poolaudit.leakage.layout import Floats
from poolaudit.leakage.moves import Move, orient, orientations

Array = np.ndarray[Any, Any]
Indices = np.ndarray[Any, np.dtype[np.int64]]

# Up to so many items a list costs more than it saves.
_EXACT_UP_TO = 4_000
_TRAINED_ON = 40
_LISTS_VISITED = 16
_NEIGHBOURS = 2
_MEASURED_ON = 200
_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """For each query the items that may be its originals, best first.

    Attributes:
        items: (queries, k) indices, -1 where there are fewer.
        moves: (queries, k) indices into the moves that were tried.
        scores: (queries, k) inner products of descriptors.
    """

    items: Indices
    moves: Indices
    scores: Floats


class Index:
    """Descriptors of the searched items; exact while that is affordable, inverted lists beyond."""

    def __init__(self, descriptors: Floats, seed: int) -> None:
        import faiss

        n, dimensions = descriptors.shape
        self.is_exact = n <= _EXACT_UP_TO
        if self.is_exact:
            self._index: Any = faiss.IndexFlatIP(dimensions)
        else:
            # The square root keeps both choosing a list and reading it short as the items grow.
            lists = int(min(4 * np.sqrt(n), n / 32))
            self._quantizer = faiss.IndexFlatIP(dimensions)
            self._index = faiss.IndexIVFFlat(self._quantizer, dimensions, lists, faiss.METRIC_INNER_PRODUCT)
            self._index.cp.niter, self._index.cp.seed = 6, seed
            self._index.cp.min_points_per_centroid = 1
            sample = np.random.default_rng(seed).permutation(n)[: _TRAINED_ON * lists]
            self._index.train(descriptors[np.sort(sample)])
            self._index.nprobe = _LISTS_VISITED
        self._index.add(descriptors)
        self._bits: Array | None = None
        self.recall = 1.0 if self.is_exact else self._measured_recall(descriptors, seed)

    @property
    def words(self) -> str:
        if self.is_exact:
            return "exact search"
        read = f"{self._index.nprobe} of {self._index.nlist} read"
        return f"inverted lists, {read}, which find {100 * self.recall:.0f} % of the nearest items"

    def _measured_recall(self, descriptors: Floats, seed: int) -> float:
        """Share of some items whose nearest other item, by exact search, is found."""
        n = len(descriptors)
        some = np.sort(np.random.default_rng(seed + 5).permutation(n)[:_MEASURED_ON])
        best, nearest = np.full(len(some), -2.0, np.float32), np.zeros(len(some), np.int64)
        for start in range(0, n, _AT_ONCE):
            likeness = descriptors[some] @ descriptors[start : start + _AT_ONCE].T
            own = np.flatnonzero((some >= start) & (some < start + _AT_ONCE))
            likeness[own, some[own] - start] = -2.0
            at = likeness.argmax(axis=1)
            found = likeness[np.arange(len(some)), at]
            nearest = np.where(found > best, start + at, nearest)
            best = np.maximum(best, found)
        _, items = self.nearest(descriptors[some], 2)
        return float((items == nearest[:, None]).any(axis=1).mean())

    def nearest(self, queries: Floats, k: int) -> tuple[Floats, Indices]:
        if self._bits is None:
            scores, items = self._index.search(queries, k)
            return scores, items
        import faiss

        # FAISS's type stubs describe the C++ side of these.
        selector: Any = faiss.IDSelectorBitmap
        parameters: Any = faiss.SearchParameters if self.is_exact else faiss.SearchParametersIVF
        visited = {} if self.is_exact else {"nprobe": self._index.nprobe}
        scores, items = self._index.search(queries, k, params=parameters(sel=selector(self._bits), **visited))
        return scores, items

    def among(self, kept: Array) -> Index:
        """The same index that finds only these items, (items,) bool; nothing is built anew."""
        part = copy(self)
        part._bits = np.packbits(kept, bitorder="little")
        return part


def find_candidates(
    index: Index,
    describer: Describer,
    moves: Sequence[Move],
    coarse: Floats,
    k: int,
    itself: Indices | None = None,
) -> Candidates:
    """The `k` best distinct items of each query over all moves.

    Args:
        coarse: (queries, *grid) on the coarse grid.
        itself: (queries,) for each query the item that is the query itself and no candidate; None where none is.
    """
    layout = describer.layout
    turned = orientations(layout)
    take = _NEIGHBOURS if itself is None else _NEIGHBOURS + 1
    scores = np.full((len(coarse), len(moves), take), -2.0, np.float32)
    items = np.full((len(coarse), len(moves), take), -1, np.int64)
    for at, move in enumerate(moves):
        queries = np.ascontiguousarray(orient(coarse, turned[move.orientation]))
        scores[:, at], items[:, at] = index.nearest(describer.describe(queries, move), take)
    which = np.broadcast_to(np.arange(len(moves))[:, None], (len(moves), take)).ravel()
    flat_scores, flat_items = scores.reshape(len(coarse), -1), items.reshape(len(coarse), -1)
    if itself is not None:
        flat_scores[flat_items == itself[:, None]] = -2.0
    flat_scores[flat_items < 0] = -2.0
    order = np.argsort(-flat_scores, axis=1, kind="stable")
    sorted_items = np.take_along_axis(flat_items, order, axis=1)
    rank = np.where(_is_first(sorted_items), np.arange(sorted_items.shape[1]), sorted_items.shape[1])
    best = np.argsort(rank, axis=1, kind="stable")[:, :k]
    chosen = np.take_along_axis(order, best, axis=1)
    found = np.take_along_axis(flat_items, chosen, axis=1)
    score = np.take_along_axis(flat_scores, chosen, axis=1)
    repeated = np.take_along_axis(rank, best, axis=1) == sorted_items.shape[1]
    found[repeated | (score <= -1.5)] = -1
    return Candidates(found, which[chosen], score)


def _is_first(rows: Indices) -> Array:
    """Where each row shows a value for the first time."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    fresh = np.ones(rows.shape, bool)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(fresh)
    np.put_along_axis(first, order, fresh, axis=1)
    return first
