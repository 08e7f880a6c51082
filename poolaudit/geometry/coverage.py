"""Which input cells can change the output at all, and how many places of the last map each of them reaches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from poolaudit.evidence.geometry import InputCoverage
from poolaudit.geometry.analysis import Analysis
from poolaudit.geometry.dependence import Dependence
from poolaudit.geometry.runs import TooComplexError
from poolaudit.geometry.terms import Term, contracted

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
_MOST_PAIRS = 300_000_000
_CHUNK = 20_000_000
_CELLS_SHOWN = 64
_PLACES_NAMED = 8


def coverage_of(
    analysis: Analysis, last_name: str | None, last: Dependence | None
) -> tuple[tuple[InputCoverage, ...], tuple[Mask, ...]]:
    """Coverage of each input, and its mask of cells that reach an output, shape as its spatial sizes.

    Args:
        last_name: Layer of the last map that still has places.
        last: Its dependence.
    """
    found, masks = [], []
    for number, model_input in enumerate(analysis.inputs):
        doubt, not_counted = analysis.doubt, None
        mask = np.zeros(model_input.sizes, bool)
        channels = np.zeros(0 if model_input.channel is None else model_input.shape[model_input.channel], bool)
        for output in analysis.outputs:
            if output is None:
                continue
            try:
                mask |= counts(output, number, model_input.spatial, model_input.sizes) > 0
            except TooComplexError:
                mask[...] = True
                doubt = doubt or "the exact sets are too large to hold"
            for term in output.terms:
                if term.source == number and model_input.channel is not None:
                    channels |= term.parts[model_input.channel].runs.column_counts() > 0
        reached, border, cells = _nothing(), None, 0
        if last is None:
            not_counted = "no layer keeps places along the input's axes"
        else:
            try:
                number_reached = counts(last, number, model_input.spatial, model_input.sizes)
                cells = places(last, number, model_input.spatial)
                reached, border = thinned(number_reached), _border(number_reached)
            except TooComplexError:
                not_counted = "too many pairs of input cells and places to count"
        found.append(
            InputCoverage(
                name=model_input.name,
                axes=model_input.axes,
                sizes=model_input.sizes,
                cells=math.prod(model_input.sizes),
                blind=int((~mask).sum()),
                blind_where=where(~mask, model_input.axes),
                blind_channels=tuple(int(c) for c in np.flatnonzero(~channels)) if mask.any() else (),
                last_map=last_name,
                map_cells=cells,
                reached=reached,
                border=border,
                doubt=doubt,
                not_counted=not_counted,
            )
        )
        masks.append(mask)
    return tuple(found), tuple(masks)


def counts(value: Dependence, source: int, spatial: Sequence[int], sizes: Sequence[int]) -> Counts:
    """How many places of a map each cell of an input reaches, exact; shape as the input's spatial sizes.

    Raises:
        TooComplexError: Only counting pair by pair would tell, and there are too many pairs.
    """
    atoms = _place_atoms(value, source, spatial)
    terms = _without_others([term for term in value.terms if term.source == source], value, atoms)
    total = np.zeros(tuple(sizes), np.int64)
    if not terms or not sizes:
        return total
    if len(terms) == 1 and not terms[0].masks:
        parts = [terms[0].parts[axis] for axis in spatial]
        used = [atom for part in parts for atom in part.atoms]
        if len(used) == len(set(used)):
            total = np.full(tuple(sizes), math.prod(value.sizes[atom] for atom in atoms if atom not in used), np.int64)
            for place, part in enumerate(parts):
                shape = [1] * len(sizes)
                shape[place] = sizes[place]
                total = total * part.runs.column_counts().reshape(shape)
            return total
    cells = math.prod(value.sizes[atom] for atom in atoms)
    if cells * math.prod(sizes) > _MOST_PAIRS:
        raise TooComplexError
    pairs = []
    for term in terms:
        exists = np.ones(cells, bool)
        for mask in term.masks:
            exists &= mask.over(atoms, value.sizes).filled
        pairs.append((exists, [term.parts[axis].over(atoms, value.sizes).dense() for axis in spatial]))
    step = max(1, _CHUNK // math.prod(sizes))
    for start in range(0, cells, step):
        seen = np.zeros((min(step, cells - start), *sizes), bool)
        for exists, parts_seen in pairs:
            product = exists[start : start + step].reshape(-1, *[1] * len(sizes))
            for place, rows in enumerate(parts_seen):
                shape = [len(seen), *[1] * len(sizes)]
                shape[place + 1] = sizes[place]
                product = product & rows[start : start + step].reshape(shape)
            seen |= product
        total += seen.sum(axis=0)
    return total


def places(value: Dependence, source: int, spatial: Sequence[int]) -> int:
    """Number of the map's places along the input's axes."""
    return math.prod(value.sizes[atom] for atom in _place_atoms(value, source, spatial))


def thinned(number_reached: Counts) -> tuple[tuple[int, ...], ...]:
    """Counts at evenly spread cells, at most 64 an axis, the first and last included; a volume's middle plane."""
    plane = number_reached
    while plane.ndim > 2:
        plane = plane[plane.shape[0] // 2]
    plane = np.atleast_2d(plane)
    rows, columns = (
        np.unique(np.linspace(0, size - 1, min(size, _CELLS_SHOWN)).round().astype(int)) for size in plane.shape
    )
    return tuple(tuple(int(count) for count in row) for row in plane[np.ix_(rows, columns)])


def where(blind: Mask, axes: Sequence[str]) -> tuple[str, ...]:
    """The blind cells in words: whole rows by axis first, then how many cells there are besides."""
    words = []
    rest = blind.copy()
    if blind.all():
        return ("every cell",)
    for axis, name in enumerate(axes):
        others = tuple(a for a in range(blind.ndim) if a != axis)
        lines = np.flatnonzero(blind.all(axis=others) if others else blind)
        if len(lines):
            words.append(f"{name} {_ranges(lines)}")
            rest[(slice(None),) * axis + (lines,)] = False
    if rest.any():
        count = int(rest.sum())
        first = ", ".join(f"{name} {index}" for name, index in zip(axes, np.argwhere(rest)[0], strict=True))
        besides = " besides" if words else ""
        words.append(f"{count:,} {'cell' if count == 1 else 'cells'}{besides}, the first at {first}")
    return tuple(words)


def _place_atoms(value: Dependence, source: int, spatial: Sequence[int]) -> tuple[int, ...]:
    """The atoms whose combinations are the map's places: all axes but the channels', or of a flat map those that run
    along the input's axes. The channels stand last, or second where the last axis runs along the input."""
    if len(value.axes) > 2:
        entries = [value.local[source, axis] for axis in spatial if (source, axis) in value.local]
        along = {atom for entry in entries for atom in entry.atoms or ()}
        last = len(value.axes) - 1
        channel = next((axis for axis in (last, 1) if not along & set(value.axes[axis])), last)
        return tuple(atom for axis, atoms in enumerate(value.axes) if axis != channel for atom in atoms)
    found: dict[int, None] = {}
    for axis in spatial:
        entry = value.local.get((source, axis))
        found.update(dict.fromkeys(entry.atoms or () if entry is not None else ()))
        for term in value.terms:
            if term.source == source:
                found.update(dict.fromkeys(term.parts[axis].atoms))
    return tuple(found)


def _without_others(terms: Sequence[Term], value: Dependence, atoms: tuple[int, ...]) -> list[Term]:
    """Terms over the places alone: a place depends on what any of its channels does."""
    result = list(terms)
    for atom in {atom for term in terms for part in term.all_parts for atom in part.atoms} - set(atoms):
        result = [way for term in result for way in contracted(term, value.sizes, atom)]
    return result


def _ranges(cells: npt.NDArray[np.intp]) -> str:
    runs = np.split(cells, np.flatnonzero(np.diff(cells) > 1) + 1)
    texts = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    shown = ", ".join(texts[:_PLACES_NAMED])
    return shown if len(texts) <= _PLACES_NAMED else f"{shown} and {len(texts) - _PLACES_NAMED} more"


def _border(number_reached: Counts) -> float | None:
    centre = int(number_reached[tuple(size // 2 for size in number_reached.shape)])
    if centre == 0 or min(number_reached.shape, default=0) < 3:
        return None
    edge = np.ones(number_reached.shape, bool)
    edge[(slice(1, -1),) * number_reached.ndim] = False
    return float(number_reached[edge].mean() / centre)


def _nothing() -> tuple[tuple[int, ...], ...]:
    return ()
