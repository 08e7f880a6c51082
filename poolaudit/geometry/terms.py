"""Products of sets: which input cells a map's cells depend on, along one way through the graph.

A map's axes are made of atoms. An axis is one atom until a reshape splits or joins axes; it is only then that an
axis holds several, and nothing is lost on the way: (height, width) flattened and unflattened is what it was.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from poolaudit.geometry.runs import Runs, TooComplexError

Sizes = Mapping[int, int]
_ids = itertools.count()
_MOST_TERMS = 64
_MOST_ROWS = 4_000_000


def fresh_atom() -> int:
    return next(_ids)


@dataclass(frozen=True, eq=False)
class Part:
    """Sets of cells of one input axis, one for each combination of the atoms' indices, in C order."""

    atoms: tuple[int, ...]
    runs: Runs

    def over(self, atoms: tuple[int, ...], sizes: Sizes) -> Runs:
        """The same sets with one row for each combination of `atoms`, which include this part's own."""
        if atoms == self.atoms:
            return self.runs
        if math.prod(sizes[atom] for atom in atoms) > _MOST_ROWS:
            raise TooComplexError
        rows: npt.NDArray[np.int64] = np.arange(self.runs.rows, dtype=np.int64)
        rows = rows.reshape([sizes[atom] for atom in self.atoms])
        rows = rows.transpose([self.atoms.index(atom) for atom in atoms if atom in self.atoms])
        rows = rows.reshape([sizes[atom] if atom in self.atoms else 1 for atom in atoms])
        rows = np.broadcast_to(rows, [sizes[atom] for atom in atoms]).ravel()
        return Runs(self.runs.low[rows], self.runs.high[rows], self.runs.size)


@dataclass(frozen=True, eq=False)
class Term:
    """A cell depends on the product of the parts' sets, where every mask holds.

    Attributes:
        source: Which input of the model.
        parts: One for each axis of that input, the batch left out.
        masks: Sets over an axis of one cell; where a row is empty, the map's cell depends on nothing by this way.
    """

    source: int
    parts: tuple[Part, ...]
    masks: tuple[Part, ...] = ()

    @property
    def all_parts(self) -> tuple[Part, ...]:
        return (*self.parts, *self.masks)

    def with_all(self, parts: Sequence[Part]) -> Term:
        count = len(self.parts)
        return replace(self, parts=tuple(parts[:count]), masks=tuple(parts[count:]))


def indexed(term: Term, sizes: Sizes, atom: int, index: npt.NDArray[np.int64]) -> list[Term]:
    """Replaces the map along an atom: new cell o reads the old cells `index[o]`; -1 reads nothing."""
    parts = term.all_parts
    attached = [part for part in parts if atom in part.atoms]
    if len(attached) > 1 and index.shape[1] > 1:
        # A union of products is no product of unions, so each tap goes its own way.
        return [way for tap in range(index.shape[1]) for way in indexed(term, sizes, atom, index[:, tap : tap + 1])]
    moved = [_along(part, sizes, atom, index) if atom in part.atoms else part for part in parts]
    if not attached and (index < 0).all(axis=1).any():
        moved.append(Part((atom,), Runs.mask(np.asarray((index >= 0).any(axis=1)))))
    return [term.with_all(moved)]


def contracted(term: Term, sizes: Sizes, atom: int) -> list[Term]:
    """Takes an atom away: the remaining cells depend on all that its cells did."""
    term = folded(term, sizes)
    parts = term.all_parts
    attached = [part for part in parts if atom in part.atoms]
    united = term.with_all([_united(part, sizes, atom) if atom in part.atoms else part for part in parts])
    if len(attached) < 2 or _is_product(attached, sizes, atom):
        return [united]
    chosen = np.arange(sizes[atom])
    if all(part.atoms == (atom,) for part in attached):
        rows = np.hstack([np.hstack([part.runs.low, part.runs.high]) for part in attached])
        chosen = np.unique(rows, axis=0, return_index=True)[1]
    if len(chosen) > _MOST_TERMS:
        raise TooComplexError
    one = {**sizes, atom: 1}
    ways = []
    for row in chosen:
        picked = indexed(term, sizes, atom, np.array([[row]], np.int64))
        ways += [
            way.with_all([_united(part, one, atom) if atom in part.atoms else part for part in way.all_parts])
            for way in picked
        ]
    return ways


def folded(term: Term, sizes: Sizes) -> Term:
    """The same term with masks worked into the parts wherever these have the mask's atoms, and full masks dropped."""
    parts, masks = list(term.parts), []
    for mask in term.masks:
        if mask.runs.filled.all():
            continue
        home = next((i for i, part in enumerate(parts) if set(mask.atoms) <= set(part.atoms)), None)
        if home is None:
            masks.append(mask)
        else:
            part = parts[home]
            parts[home] = Part(part.atoms, part.runs.emptied(mask.over(part.atoms, sizes).filled))
    return replace(term, parts=tuple(parts), masks=tuple(masks))


def joined(term: Term, sizes: Sizes, group: tuple[int, ...], atom: int) -> Term:
    """Makes one atom of several that follow each other."""
    parts = []
    for part in term.all_parts:
        if set(part.atoms) & set(group):
            others = tuple(a for a in part.atoms if a not in group)
            part = Part((*others, atom), part.over((*others, *group), sizes))
        parts.append(part)
    return term.with_all(parts)


def renamed(term: Term, names: Mapping[int, tuple[int, ...]]) -> Term:
    """Atoms under other names; one may be split into several, which keeps the order of the cells."""
    return term.with_all(
        [
            Part(tuple(new for atom in part.atoms for new in names.get(atom, (atom,))), part.runs)
            for part in term.all_parts
        ]
    )


def pruned(terms: Iterable[Term], sizes: Sizes) -> tuple[Term, ...]:
    """Terms without those that add nothing; those that differ along one input axis only are joined."""
    kept: list[Term] = []
    for raw in terms:
        term = folded(raw, sizes)
        if any(not part.runs.filled.any() for part in term.all_parts):
            continue
        pending = [term]
        while pending:
            new = pending.pop()
            if any(_is_within(new, old, sizes) for old in kept):
                continue
            kept = [old for old in kept if not _is_within(old, new, sizes)]
            for place, old in enumerate(kept):
                both = _joined_on_one_axis(old, new)
                if both is not None:
                    del kept[place]
                    pending.append(both)
                    break
            else:
                kept.append(new)
        if len(kept) > _MOST_TERMS:
            raise TooComplexError
    return tuple(kept)


def _along(part: Part, sizes: Sizes, atom: int, index: npt.NDArray[np.int64]) -> Part:
    shape = tuple(sizes[a] for a in part.atoms)
    return Part(part.atoms, part.runs.along(shape, part.atoms.index(atom), index))


def _united(part: Part, sizes: Sizes, atom: int) -> Part:
    shape, place = tuple(sizes[a] for a in part.atoms), part.atoms.index(atom)
    return Part(part.atoms[:place] + part.atoms[place + 1 :], part.runs.union_along(shape, place))


def _is_product(attached: Sequence[Part], sizes: Sizes, atom: int) -> bool:
    """Whether the union over the atom of two parts' products is the product of their unions."""
    if len(attached) != 2 or any(part.atoms != (atom,) for part in attached):
        return False
    first, second = (part.runs for part in attached)
    if first.size * second.size > 4_000_000 or first.rows * first.size > 40_000_000:
        return False
    a, b = first.dense().astype(np.float32), second.dense().astype(np.float32)
    union = (a.T @ b) > 0
    return bool(np.array_equal(union, np.outer(a.any(axis=0), b.any(axis=0))))


def _is_within(small: Term, large: Term, sizes: Sizes) -> bool:
    if small.source != large.source:
        return False
    for mask in large.masks:
        if not any(_implies(part, mask, sizes) for part in small.all_parts):
            return False
    for one, other in zip(small.parts, large.parts, strict=True):
        atoms = (*one.atoms, *(a for a in other.atoms if a not in one.atoms))
        if math.prod(sizes[a] for a in atoms) > _MOST_ROWS // 4:
            return False
        if not one.over(atoms, sizes).within(other.over(atoms, sizes)):
            return False
    return True


def _implies(part: Part, mask: Part, sizes: Sizes) -> bool:
    if not set(mask.atoms) <= set(part.atoms):
        return False
    return bool((~part.runs.filled | mask.over(part.atoms, sizes).filled).all())


def _joined_on_one_axis(one: Term, other: Term) -> Term | None:
    if one.source != other.source or len(one.masks) != len(other.masks):
        return None
    pairs = list(zip(one.all_parts, other.all_parts, strict=True))
    if any(a.atoms != b.atoms for a, b in pairs):
        return None
    differing = [place for place, (a, b) in enumerate(pairs) if not a.runs.equals(b.runs)]
    if len(differing) > 1:
        return None
    parts = [a for a, _ in pairs]
    for place in differing:
        parts[place] = Part(parts[place].atoms, parts[place].runs.union(pairs[place][1].runs))
    return one.with_all(parts)
