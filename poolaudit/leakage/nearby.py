"""Changed copies of items of one split in another: search, verification, calibration and sensitivity."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from poolaudit.evidence.leakage import Sensitivity
from poolaudit.leakage.align import Frame, make_frame
from poolaudit.leakage.fingerprints import Describer, fit_describer
from poolaudit.leakage.items import Items
from poolaudit.leakage.layout import Floats, brightness, on_grid
from poolaudit.leakage.matches import Threshold, calibrate, is_plain, matched, scores
from poolaudit.leakage.moves import Move, list_moves
from poolaudit.leakage.planted import copiers
from poolaudit.leakage.search import Index, find_candidates
from poolaudit.leakage.verify import Comparison, compare, score_of
from poolaudit.statistics.intervals import wilson

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]

_CANDIDATES = 12
_FITTED_ON = 20_000
_CALIBRATED_ON = 1_000
_PLANTED_EACH = 30
_AT_ONCE = 1024
_MOST_THREADS = 4
# Residual at a middle resolution up to which a pair may be one of copies.
_NEARLY = 0.15
_LINKS = {1: "resized", 2: "compressed"}


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Queries and their originals.

    Attributes:
        queries: Positions among the queries looked at.
        originals: Positions among the searched items.
        scores: How sure each match is.
        distances: Residual of the pair at a middle resolution.
        links: What turns one into the other.
        plain: How many queries were too plain to be matched.
        twin_queries, twins, twin_scores: Queries again, with further items that are the same as their originals.
        nearly_queries, nearly_originals: Pairs that are as close as copies may be and yet no match.
    """

    queries: Array
    originals: Array
    scores: Floats
    distances: Floats
    links: tuple[str, ...]
    plain: int
    twin_queries: Array
    twins: Array
    twin_scores: Floats
    nearly_queries: Array
    nearly_originals: Array

    @classmethod
    def none(cls, plain: int = 0) -> Matches:
        at, values = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return cls(at, at, values, values, (), plain, at, at, values, at, at)

    def once(self) -> Matches:
        """Of a split searched in itself: each pair once, the later item as the query, unless either is a repeat."""
        later, earlier = np.maximum(self.queries, self.originals), np.minimum(self.queries, self.originals)
        repeats: set[int] = set()
        kept = []
        for row in np.lexsort((earlier, later)).tolist():
            if int(later[row]) not in repeats and int(earlier[row]) not in repeats:
                repeats.add(int(later[row]))
                kept.append(row)
        at = np.array(kept, np.int64)
        return replace(self.take(at), queries=later[at], originals=earlier[at])

    def take(self, rows: Array) -> Matches:
        """Some of the matches."""
        return replace(
            self,
            queries=self.queries[rows],
            originals=self.originals[rows],
            scores=self.scores[rows],
            distances=self.distances[rows],
            links=tuple(self.links[row] for row in rows.tolist()),
        )


class Searched:
    """A split made ready to be searched."""

    def __init__(self, items: Items, seed: int) -> None:
        self.items, self._seed = items, seed
        layout = items.reference
        self.frame: Frame = make_frame(layout.fine, layout.rank, layout.sizes)
        self.moves: tuple[Move, ...] = list_moves(layout)
        rng = np.random.default_rng(seed)
        sample = np.sort(rng.permutation(len(items))[:_FITTED_ON])
        self.describer: Describer = fit_describer(items.coarse(sample), layout)
        self.descriptors = np.concatenate([self.describer.describe(items.coarse(batch)) for batch in items.batches()])
        self.index = Index(self.descriptors, seed)
        self.threshold = Threshold(0.0, "the default was kept")

    @property
    def still_moves(self) -> tuple[Move, ...]:
        """Flips and turns only, for a search that is not worth the time of all moves."""
        return tuple(move for move in self.moves if not move.moves)

    def among(self, kept: Array) -> Searched:
        """The same split where only these items, (items,) bool, are found."""
        part = copy(self)
        part.index = self.index.among(kept)
        return part

    def compare(
        self, queries: Items, at: Array, itself: Array | None, moves: Sequence[Move] | None, tell: Progress, what: str
    ) -> list[Comparison]:
        """Comparisons of the queries at these positions, in batches of fixed size."""
        starts = range(0, len(at), _AT_ONCE)

        def one(start: int) -> Comparison:
            rows = at[start : start + _AT_ONCE]
            mine = None if itself is None else itself[start : start + _AT_ONCE]
            return self.compare_some(queries.coarse(rows), queries.fine(rows), mine, moves)

        found = []
        # NumPy and FAISS let go of the interpreter while they compute; results come in order, so nothing depends on it.
        with ThreadPoolExecutor(min(len(starts) or 1, os.cpu_count() or 1, _MOST_THREADS)) as pool:
            for done, part in enumerate(pool.map(one, starts), start=1):
                found.append(part)
                tell(min(done * _AT_ONCE, len(at)), len(at), what)
        return found

    def compare_some(
        self, coarse: Floats, fine: Floats, itself: Array | None, moves: Sequence[Move] | None = None
    ) -> Comparison:
        moves = self.moves if moves is None else moves
        candidates = find_candidates(self.index, self.describer, moves, coarse, _CANDIDATES, itself)
        return compare(fine, candidates, self.items.fine, self.items.reference, self.frame, moves)

    def calibrate(self, tell: Progress) -> None:
        """Sets the threshold by how close distinct items of this split come to each other."""
        rng = np.random.default_rng(self._seed + 1)
        at = np.sort(rng.permutation(len(self.items))[:_CALIBRATED_ON])
        self.threshold = calibrate(self.compare(self.items, at, at, None, tell, "calibrating on distinct items"))

    def matches(
        self, queries: Items, at: Array, itself: Array | None, moves: Sequence[Move], tell: Progress
    ) -> Matches:
        """Which queries are copies of which items.

        Args:
            at: Positions among the queries.
            itself: For each of them the item that it is itself, where a split is searched in itself.
            moves: Those to try.
        """
        parts = self.compare(queries, at, itself, moves, tell, f"{queries.name} against {self.items.name}")
        kept = []
        for number, part in enumerate(parts):
            is_match = matched(part, self.threshold)
            rows = np.flatnonzero(is_match)
            nearly = np.flatnonzero(~is_match & ~is_plain(part) & (part.residuals[:, 0, 1] < _NEARLY))
            sure = scores(part)
            of, twin = np.nonzero(part.twins[rows])
            kept.append(
                Matches(
                    at[number * _AT_ONCE + rows],
                    part.items[rows, 0],
                    sure[rows],
                    part.residuals[rows, 0, 1],
                    tuple(self._link(part, row, moves) for row in rows.tolist()),
                    int(is_plain(part).sum()),
                    at[number * _AT_ONCE + rows[of]],
                    part.items[rows[of], twin],
                    sure[rows[of]],
                    at[number * _AT_ONCE + nearly],
                    part.items[nearly, 0],
                )
            )
        return together(kept) if kept else Matches.none()

    def sensitivity(self, confidence: float, tell: Progress) -> tuple[Sensitivity, ...]:
        """Copies of the searched items planted and looked for, by change."""
        layout, items = self.items.reference, self.items
        if items.layout != layout:
            return ()
        rng = np.random.default_rng(self._seed + 2)
        changes = copiers(layout)
        tell(0, 1, "planting copies to see what would be found")
        chosen = [np.sort(rng.permutation(len(items))[:_PLANTED_EACH]) for _ in changes]
        copies = np.stack(
            [
                copy(item, layout, rng)
                for at, copy in zip(chosen, changes.values(), strict=True)
                for item in self._levels(at)
            ]
        )
        part = self.compare_some(
            on_grid(copies, layout.coarse, layout.rank), on_grid(copies, layout.fine, layout.rank), None
        )
        # Where the training split holds the item twice, either one is its original.
        hit = matched(part, self.threshold) & (
            (part.items[:, 0] == np.concatenate(chosen))
            | ((part.items == np.concatenate(chosen)[:, None]) & part.twins).any(axis=1)
            | (score_of(part.residuals[:, :1])[:, 0] < np.log(0.01))
        )
        each = len(chosen[0])
        return tuple(
            Sensitivity(name, wilson(int(hit[at * each : (at + 1) * each].sum()), each, confidence))
            for at, name in enumerate(changes)
        )

    def _levels(self, at: Array) -> Floats:
        return brightness(np.asarray(self.items.inputs[self.items.rows[at]]), self.items.layout, self.items.levels)

    def _link(self, part: Comparison, row: int, moves: Sequence[Move]) -> str:
        words = [] if moves[part.moves[row, 0]].name == "as it is" else [moves[part.moves[row, 0]].name]
        if part.links[row, 0] in _LINKS:
            words.append(_LINKS[part.links[row, 0]])
        if abs(np.log(max(float(part.gains[row, 0]), 1e-3))) > np.log(1.05):
            words.append("contrast changed")
        if not words or part.residuals[row, 0, 0] > 0.05:
            words.append("noisy or recompressed" if part.residuals[row, 0, 0] > 0.02 else "nearly the same")
        return ", ".join(words)


def together(parts: Sequence[Matches]) -> Matches:
    """The matches of all parts, of which there is at least one."""

    def all_of(name: str) -> Array:
        return np.concatenate([getattr(part, name) for part in parts])

    return Matches(
        all_of("queries"),
        all_of("originals"),
        all_of("scores"),
        all_of("distances"),
        tuple(link for part in parts for link in part.links),
        sum(part.plain for part in parts),
        all_of("twin_queries"),
        all_of("twins"),
        all_of("twin_scores"),
        all_of("nearly_queries"),
        all_of("nearly_originals"),
    )
