"""Is a candidate really the original? The pair is brought into register and compared under every degradation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from poolaudit.leakage.align import Frame, misfit, refine, warp
from poolaudit.leakage.fitting import blurred, fit_degraded, fit_levels
from poolaudit.leakage.layout import Floats, Layout
from poolaudit.leakage.moves import Move, inverse, orient, orientations
from poolaudit.leakage.search import Candidates

Array = np.ndarray[Any, Any]

# Residuals are compared at these resolutions: noise and compression live in the finest, other garments in all.
SCALES_CELLS = (0.0, 0.7, 1.2, 2.0)
NOTHING_IN_COMMON = 4.0
_JUDGED_BY = slice(1, 3)
_ALIGNED = 5
_DEGRADED = 3
_SMOOTHED = 1.2
_CALMED = 2.0
_STEPS = 3
# No copy that was planted left more of its original unexplained before it was aligned.
_WORTH_ALIGNING = 0.6
_CLEARLY = 0.5
_WORTH_DEGRADING = 0.15
_WORTH_MOVING = 0.05
_HARDLY_DIFFERENT = 0.06
_PAIRS_AT_ONCE_CELLS = 300_000

Fetch = Callable[[Array], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """How well the candidates of each query explain it; candidates best first.

    Attributes:
        items: (queries, k) candidate items, -1 where there are fewer.
        moves: (queries, k) indices of the move that was assumed.
        residuals: (queries, k, scales) root-mean-square residual over that of the query, at each resolution.
        links: (queries, k) what explains the candidate best: 0 nothing, 1 resizing, 2 compression.
        detail: (queries,) levels of contrast that a smooth ramp does not explain.
        roughness: (queries,) logarithm of the share of variation that is lost to smoothing: high for textures.
        shifts: (queries, k) how far the pair was moved, in cells.
        turned: (queries, k) bool: the move that was assumed flips or turns.
        drifts: (queries, k) how far alignment went from the move that found the pair, in cells.
        gains: (queries, k) contrast of the query over that of the candidate.
        twins: (queries, k) bool: brought to the query, the candidate is the same as the best one, so that it is no
            rival of it.
    """

    items: Array
    moves: Array
    residuals: Floats
    links: Array
    detail: Floats
    roughness: Floats
    shifts: Floats
    turned: Array
    drifts: Floats
    gains: Floats
    twins: Array


def compare(
    queries: Floats, candidates: Candidates, fetch: Fetch, layout: Layout, frame: Frame, moves: Sequence[Move]
) -> Comparison:
    """Every query against its candidates on the fine grid.

    Args:
        queries: (queries, *grid).
        fetch: From indices of searched items to (n, *grid).
    """
    n, k = candidates.items.shape
    keep = min(_ALIGNED if layout.rank < 3 else 2, k)
    residuals = np.full((n, k, len(SCALES_CELLS)), NOTHING_IN_COMMON, np.float32)
    links = np.zeros((n, k), np.int8)
    shifts, drifts, gains = (np.zeros((n, k), np.float32) for _ in range(3))
    twins = np.zeros((n, k), np.bool_)
    at_once = max(1, _PAIRS_AT_ONCE_CELLS // int(np.prod(frame.shape)) // k)
    starts = _starts(layout, frame, moves)
    for start in range(0, n, at_once):
        rows = slice(start, min(start + at_once, n))
        _compare_some(
            queries[rows],
            candidates.items[rows],
            candidates.moves[rows],
            (residuals[rows], links[rows], shifts[rows], drifts[rows], gains[rows], twins[rows]),
            fetch,
            layout,
            frame,
            moves,
            starts,
            keep,
        )
    order = np.argsort(score_of(residuals), axis=1, kind="stable")
    return Comparison(
        items=np.take_along_axis(candidates.items, order, axis=1),
        moves=np.take_along_axis(candidates.moves, order, axis=1),
        residuals=np.take_along_axis(residuals, order[:, :, None], axis=1),
        links=np.take_along_axis(links, order, axis=1),
        detail=detail_of(queries, frame),
        roughness=roughness_of(queries, frame),
        shifts=np.take_along_axis(shifts, order, axis=1),
        turned=np.array([move.orientation > 0 for move in moves])[np.take_along_axis(candidates.moves, order, axis=1)],
        drifts=np.take_along_axis(drifts, order, axis=1),
        gains=np.take_along_axis(gains, order, axis=1),
        twins=np.take_along_axis(twins, order, axis=1),
    )


def score_of(residuals: Floats) -> Floats:
    """The logarithm by which candidates are ranked: residuals at the middle resolutions."""
    return np.asarray(np.log(np.maximum(residuals[..., _JUDGED_BY], 1e-4)).mean(axis=-1), np.float32)


def _compare_some(
    queries: Floats,
    items: Array,
    move_of: Array,
    into: tuple[Floats, Array, Floats, Floats, Floats, Array],
    fetch: Fetch,
    layout: Layout,
    frame: Frame,
    moves: Sequence[Move],
    starts: tuple[Floats, Floats],
    keep: int,
) -> None:
    residuals, links, shifts, drifts, gains, twins = into
    row, column = np.nonzero(items >= 0)
    if not len(row):
        return
    flat = queries.reshape(len(queries), -1)
    power = _power(queries, frame)
    wanted, back = np.unique(items[row, column], return_inverse=True)
    originals = fetch(wanted)[back]
    originals = _turned_back(originals, move_of[row, column], layout, moves)
    linear, offset = (of_moves[move_of[row, column]] for of_moves in starts)
    values, inside = warp(originals, linear, offset, frame)
    left = np.full(items.shape, np.inf, np.float32)
    # Smoothed, so that a copy that lost its finest detail still comes before another item that has some.
    smooth = blurred(queries, _SMOOTHED, frame).reshape(flat.shape)
    smoothed = blurred(values.reshape(-1, *frame.shape), _SMOOTHED, frame).reshape(values.shape)
    # What entered from beyond the edge spreads when it is smoothed, so places beside it do not count either.
    clear = blurred(inside.astype(np.float32).reshape(-1, *frame.shape), _SMOOTHED, frame).reshape(values.shape)
    left[row, column] = misfit(smooth[row], smoothed, (clear > 0.98).astype(np.float32))
    # The best few are brought into register; the others do not come near.
    chosen = (_rank(left)[row, column] < keep) & (left.min(axis=1)[row] < _WORTH_ALIGNING)
    row, column = row[chosen], column[chosen]
    if not len(row):
        return
    start, begun = _unmoved_where_better(
        smooth[row],
        originals[chosen],
        (linear[chosen], offset[chosen]),
        (values[chosen], inside[chosen]),
        left[row, column],
        frame,
    )
    # Fine textures agree only within a cell, so the way there is found on what is left of them when smoothed.
    calm = blurred(originals[chosen], _CALMED, frame)
    approached = refine(blurred(queries, _CALMED, frame)[row], calm, *start, frame, _STEPS - 1)
    linear, offset = refine(queries[row], originals[chosen], *approached, frame, _STEPS - 1)
    values, inside = warp(originals[chosen], linear, offset, frame)
    plain, gain = fit_levels(flat[row], values, inside, frame)
    left = _residuals(flat[row] - plain, inside, power[row], frame)
    # Cut-off levels and lost detail pull alignment away from a pair that already lay in register.
    plain_begun, gain_begun = fit_levels(flat[row], *begun, frame)
    left_begun = _residuals(flat[row] - plain_begun, begun[1], power[row], frame)
    stay = score_of(left_begun) < score_of(left) + _WORTH_MOVING
    linear, offset = np.where(stay[:, None, None], start[0], linear), np.where(stay[:, None], start[1], offset)
    plain, inside = np.where(stay[:, None], plain_begun, plain), np.where(stay[:, None], begun[1], inside)
    gains[row, column] = np.where(stay, gain_begun, gain)
    residuals[row, column] = np.where(stay[:, None], left_begun, left)
    shifts[row, column] = _way(linear - np.eye(frame.rank, dtype=np.float32), offset, frame)
    drifts[row, column] = _way(linear - start[0], offset - start[1], frame)
    chosen = (_rank(score_of(residuals))[row, column] < _DEGRADED) & (residuals[row, column, 2] < _WORTH_DEGRADING)
    if chosen.any():
        at = (row[chosen], column[chosen])
        # Blur looks like a shift by part of a cell or a change of scale: what was found in place is degraded there.
        near = _way(start[0][chosen] - np.eye(frame.rank, dtype=np.float32), start[1][chosen], frame) < 1.0
        base = np.where(near[:, None], begun[0][chosen], values[chosen])
        within = np.where(near[:, None], begun[1][chosen], inside[chosen])
        predicted, link = fit_degraded(flat[at[0]], base, within, near, frame)
        found = _residuals(flat[at[0]] - predicted, within, power[at[0]], frame)
        better = score_of(found) < score_of(residuals[at]) - 0.05
        residuals[at] = np.where(better[:, None], found, residuals[at])
        links[at] = np.where(better, link, 0)
        shifts[at] = np.where(better & near, 0.0, shifts[at])
        drifts[at] = np.where(better & near, 0.0, drifts[at])
    best = np.argmin(score_of(residuals), axis=1)[row]
    place = np.full(items.shape, -1)
    place[row, column] = np.arange(len(row))
    rival = place[row, best]
    between = _residuals(plain - plain[rival], inside & inside[rival], power[row], frame)
    limit = np.maximum(score_of(residuals[row, best]), np.log(_HARDLY_DIFFERENT)) + np.log(0.5)
    twins[row, column] = (score_of(between) < limit) & (column != best)


def _unmoved_where_better(
    smooth: Floats,
    originals: Floats,
    start: tuple[Floats, Floats],
    begun: tuple[Floats, Array],
    left: Floats,
    frame: Frame,
) -> tuple[tuple[Floats, Floats], tuple[Floats, Array]]:
    """Poses to begin from: that of the move, or none where the pair agrees better as it lies.

    Descriptors of smooth items hardly tell a small move from none.
    """
    flat = originals.reshape(len(originals), -1)
    everywhere = np.ones(flat.shape, np.bool_)
    smoothed = blurred(originals, _SMOOTHED, frame).reshape(flat.shape)
    better = misfit(smooth, smoothed, everywhere.astype(np.float32)) < _CLEARLY * left
    still = np.eye(frame.rank, dtype=np.float32)
    linear = np.where(better[:, None, None], still, start[0])
    offset = np.where(better[:, None], np.float32(0.0), start[1])
    values = np.where(better[:, None], flat, begun[0])
    return (linear, offset), (values, np.where(better[:, None], everywhere, begun[1]))


def _way(linear: Floats, offset: Floats, frame: Frame) -> Array:
    """(m,) how far this moves a place at the edge, in cells."""
    half = max(frame.shape[: frame.rank]) / 2
    return np.asarray(np.abs(offset).max(axis=1) + half * np.abs(linear).max(axis=(1, 2)))


def _rank(values: Floats) -> Array:
    """(queries, k) place of each value in its row, from 0."""
    return np.argsort(np.argsort(values, axis=1, kind="stable"), axis=1, kind="stable")


def _turned_back(items: Floats, move_of: Array, layout: Layout, moves: Sequence[Move]) -> Floats:
    """The items in the orientation of their queries."""
    turned = orientations(layout)
    which = np.array([move.orientation for move in moves])[move_of]
    for orientation in np.unique(which[which > 0]):
        chosen = which == orientation
        items[chosen] = orient(items[chosen], inverse(turned[orientation]))
    return items


def _starts(layout: Layout, frame: Frame, moves: Sequence[Move]) -> tuple[Floats, Floats]:
    """(moves, rank, rank) and (moves, rank): where each place of the query lies in the item, by every move."""
    ratio = np.array([fine / coarse for fine, coarse in zip(frame.shape, layout.coarse, strict=True)][: frame.rank])
    linear = np.stack([np.diag(ratio) @ np.linalg.inv(move.linear) @ np.diag(1 / ratio) for move in moves])
    offset = np.stack([-(np.linalg.inv(move.linear) @ move.offset) * ratio for move in moves])
    return linear.astype(np.float32), offset.astype(np.float32)


def _power(queries: Floats, frame: Frame) -> Floats:
    """(n, scales) variation of each query at each resolution, a cell."""
    flat = queries.reshape(len(queries), -1)
    signal = (flat - flat.mean(axis=1, keepdims=True)).reshape(queries.shape)
    found = [blurred(signal, sigma, frame).reshape(flat.shape) for sigma in SCALES_CELLS]
    return np.stack([np.einsum("np,np->n", part, part) / flat.shape[1] for part in found], axis=1)


def _residuals(error: Floats, inside: Array, power: Floats, frame: Frame) -> Floats:
    """(m, scales) what is left of the query over what there was, root mean square, at each resolution."""
    weight = inside.astype(np.float32)
    cells = weight.sum(axis=1)
    left = (error * weight).reshape(-1, *frame.shape)
    found = []
    for at, sigma in enumerate(SCALES_CELLS):
        part = blurred(left, sigma, frame).reshape(len(error), -1)
        found.append(np.einsum("mp,mp->m", part, part) / (cells * power[:, at] + 1e-2))
    result = np.sqrt(np.stack(found, axis=1))
    result[cells < 0.6 * error.shape[1]] = NOTHING_IN_COMMON
    return np.asarray(np.minimum(result, NOTHING_IN_COMMON), np.float32)


def detail_of(queries: Floats, frame: Frame) -> Floats:
    """(n,) standard deviation that no quadratic surface explains, in levels: flat items and ramps have none."""
    x = frame.places / np.maximum(np.abs(frame.places).max(axis=1, keepdims=True), 1e-6)
    if frame.kept > 1:
        x = np.repeat(x, frame.kept, axis=1)
    columns = [
        np.ones(x.shape[1]),
        *x,
        *(x[a] * x[b] for a, b in itertools.combinations_with_replacement(range(frame.rank), 2)),
    ]
    basis, _ = np.linalg.qr(np.stack(columns, axis=1))
    flat = queries.reshape(len(queries), -1)
    basis = basis.astype(np.float32)
    rest = flat - (flat @ basis) @ basis.T
    return np.asarray(np.sqrt(np.einsum("np,np->n", rest, rest) / flat.shape[1]), np.float32)


def roughness_of(queries: Floats, frame: Frame) -> Floats:
    """(n,) log of the whole variation over that of the coarsest resolution; 0 for smooth items, 3 for fine textures."""
    power = _power(queries, frame)
    return np.asarray(np.log((power[:, 0] + 1e-2) / (power[:, -1] + 1e-2)), np.float32)
