"""What each cell of a map depends on, and how an operation changes that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from poolaudit.geometry import terms as ways
from poolaudit.geometry.hulls import Hull, Phases
from poolaudit.geometry.runs import Runs
from poolaudit.geometry.terms import Part, Sizes, Term, fresh_atom

Index = npt.NDArray[np.int64]
_LONGEST_PERIOD = 4096


@dataclass(frozen=True, eq=False)
class Local:
    """What a map sees of one input axis by windows, global operations left out.

    Attributes:
        atoms: The map's atoms that run along the input axis; None where none does.
        wide: The union over all ways through the graph; None where `irregular`.
        narrow: The way that sees least.
        whole: Some way leads through an operation over the whole axis.
        irregular: Some operation has no constant step (adaptive windows, resizing), or ways drift apart.
        step: Input cells from one cell to the next, on average where it is not constant.
        coarsest: The largest step behind the map, on the way through the graph where that is least. What was thinned
            out stays so when the map is enlarged again.
    """

    atoms: tuple[int, ...] | None
    wide: Hull | None
    narrow: Hull | None
    whole: bool = False
    irregular: bool = False
    step: float = 1.0
    coarsest: float = 1.0

    def detached(self) -> Local:
        return replace(self, atoms=None, wide=None, narrow=None, whole=True)

    def lost(self) -> Local:
        return replace(self, wide=None, narrow=None, irregular=True)

    def thinned(self, factor: float) -> Local:
        step = self.step * factor
        return replace(self, step=step, coarsest=max(self.coarsest, step))

    def repeated(self, atoms: tuple[int, ...], sizes: Sizes) -> Local:
        """With further atoms behind its own, along which every cell sees the same."""
        times = math.prod(sizes[atom] for atom in atoms)
        longer = self if times == 1 else self.then(Phases.repeat(times)).thinned(1 / times)
        return replace(longer, atoms=(*(self.atoms or ()), *atoms))

    def then(self, phases: Phases | None) -> Local:
        if self.wide is None or self.narrow is None:
            return self
        if phases is None or self.wide.period * len(phases.taps) > _LONGEST_PERIOD:
            return self.lost()
        return replace(self, wide=self.wide.then(phases), narrow=self.narrow.then(phases))


@dataclass(frozen=True, eq=False)
class Dependence:
    """The cells of a map, and the input cells each of them depends on.

    Attributes:
        axes: Atoms of each axis, the batch included; an axis of size 1 has none.
        sizes: Cells of each atom.
        terms: The dependence is the union of these products.
        local: By (input, axis).
        doubt: Why the sets may be too large; None where they are exact.
    """

    axes: tuple[tuple[int, ...], ...]
    sizes: Sizes
    terms: tuple[Term, ...]
    local: dict[tuple[int, int], Local]
    doubt: str | None = None

    @classmethod
    def of_input(cls, source: int, shape: Sequence[int]) -> Dependence:
        """The input itself, shape without the batch: each cell depends on itself."""
        atoms = [fresh_atom() if size > 1 else None for size in shape]
        sizes = {atom: size for atom, size in zip(atoms, shape, strict=True) if atom is not None}
        parts = tuple(
            Part(() if atom is None else (atom,), Runs.identity(size)) for atom, size in zip(atoms, shape, strict=True)
        )
        local = {
            (source, axis): Local(() if atom is None else (atom,), Hull.identity(), Hull.identity())
            for axis, atom in enumerate(atoms)
        }
        axes = ((), *(() if atom is None else (atom,) for atom in atoms))
        return cls(axes, sizes, (Term(source, parts),), local)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(math.prod(self.sizes[atom] for atom in axis) for axis in self.axes)

    def window(self, axis: int, index: Index, phases: Phases | None = None) -> Dependence:
        """Cell o of the axis reads the cells `index[o]`; -1 is padding. `phases` says the same without borders."""
        one = self.single(axis)
        (atom,) = one.axes[axis]
        terms = [way for term in one.terms for way in ways.indexed(term, one.sizes, atom, index)]
        sizes = {**one.sizes, atom: len(index)}
        local = {}
        for key, entry in one.local.items():
            if entry.atoms is not None and atom in entry.atoms:
                entry = entry.then(phases) if entry.atoms == (atom,) else entry.lost()
                entry = entry.thinned(_step_of(index, phases))
            local[key] = entry
        return replace(one, sizes=sizes, terms=ways.pruned(terms, sizes), local=local)._without_ones()

    def contract(self, axes: Iterable[int]) -> Dependence:
        """Each remaining cell depends on all cells along the axes, which keep size 1."""
        result, axes = self, tuple(axes)
        gone = {atom for axis in axes for atom in self.axes[axis]}
        for axis in axes:
            for atom in reversed(result.axes[axis]):
                result = result._without(atom, gone)
        return result

    def running(self, axis: int, steps: Mapping[tuple[int, int], float]) -> Dependence:
        """With an axis of one cell along which input axes of one cell run, each in steps of so many input cells."""
        one = self.single(axis)
        local = {
            key: replace(entry, atoms=one.axes[axis], step=steps[key], coarsest=max(entry.coarsest, steps[key]))
            if key in steps and entry.atoms == ()
            else entry
            for key, entry in one.local.items()
        }
        return replace(one, local=local)

    def drop(self, axes: Iterable[int]) -> Dependence:
        """Takes axes of size 1 away."""
        gone = set(axes)
        return replace(self, axes=tuple(atoms for axis, atoms in enumerate(self.axes) if axis not in gone))

    def insert(self, axis: int) -> Dependence:
        """A new axis of size 1."""
        return replace(self, axes=(*self.axes[:axis], (), *self.axes[axis:]))

    def transpose(self, order: Sequence[int]) -> Dependence:
        return replace(self, axes=tuple(self.axes[axis] for axis in order))

    def broadcast(self, shape: Sequence[int]) -> Dependence:
        """To a larger shape by NumPy's rules."""
        result = self
        while len(result.axes) < len(shape):
            result = result.insert(0)
        axes, sizes = list(result.axes), dict(result.sizes)
        for axis, (have, want) in enumerate(zip(result.shape, shape, strict=True)):
            if have == 1 and want > 1:
                atom = fresh_atom()
                axes[axis], sizes[atom] = (atom,), want
        return replace(result, axes=tuple(axes), sizes=sizes)

    def reshape(self, shape: Sequence[int]) -> Dependence:
        """C order, as in NumPy."""
        result = self
        flat = [atom for axis in result.axes for atom in axis]
        axes: list[tuple[int, ...]] = []
        for want in shape:
            taken: list[int] = []
            size = 1
            while size < want:
                atom, *flat = flat
                missing = want // size
                have = result.sizes[atom]
                if size * have > want and want % size == 0 and have % missing == 0:
                    result, (front, back) = result._split(atom, (missing, have // missing))
                    atom, flat = front, [back, *flat]
                elif size * have > want or want % (size * have) != 0:
                    # The borders do not meet: join until they do.
                    group, total = [*taken, atom], size * have
                    while total % want != 0 and flat:
                        nearest, *flat = flat
                        group.append(nearest)
                        total *= result.sizes[nearest]
                    result, whole = result._join(tuple(group))
                    taken, size, atom = [], 1, whole
                    if total != want:
                        result, (front, back) = result._split(whole, (want, total // want))
                        atom, flat = front, [back, *flat]
                taken.append(atom)
                size *= result.sizes[atom]
            axes.append(tuple(taken))
        return replace(result, axes=tuple(axes))

    def split(self, axis: int, factors: tuple[int, ...]) -> Dependence:
        shape = self.shape
        return self.reshape((*shape[:axis], *factors, *shape[axis + 1 :]))

    def union(self, other: Dependence) -> Dependence:
        """Cell by cell, of two maps of one shape."""
        one, two = self, other
        for axis in range(len(one.axes)):
            one, two = _refined(one, two, axis)
        names = {
            old: (new,)
            for first, second in zip(one.axes, two.axes, strict=True)
            for new, old in zip(first, second, strict=True)
        }
        terms = ways.pruned((*one.terms, *(ways.renamed(term, names) for term in two.terms)), one.sizes)
        local = dict(one.local)
        for key, entry in two.local.items():
            if entry.atoms is not None:
                entry = replace(entry, atoms=tuple(n for a in entry.atoms for n in names.get(a, (a,))))
            local[key] = _both(*_aligned(local[key], entry, one.sizes)) if key in local else entry
        return replace(one, terms=terms, local=local, doubt=one.doubt or two.doubt)

    def doubted(self, reason: str) -> Dependence:
        return self if self.doubt is not None else replace(self, doubt=reason)

    def masked(self, keep: npt.NDArray[np.bool_]) -> Dependence:
        """Cells outside `keep` depend on nothing; shape that of the map."""
        result = self
        for axis, size in enumerate(result.shape):
            if size > 1:
                result = result.single(axis)
        atoms = tuple(axis[0] for axis in result.axes if axis)
        mask = Part(atoms, Runs.mask(keep))
        terms = [replace(term, masks=(*term.masks, mask)) for term in result.terms]
        return replace(result, terms=ways.pruned(terms, result.sizes))

    def single(self, axis: int) -> Dependence:
        """The axis as exactly one atom."""
        atoms = self.axes[axis]
        if len(atoms) == 1:
            return self
        if atoms:
            result, atom = self._join(atoms)
        else:
            atom = fresh_atom()
            result = replace(self, sizes={**self.sizes, atom: 1})
            local = {  # an input axis of one cell runs along a map's axis of one cell, in the same place
                key: replace(entry, atoms=(atom,)) if entry.atoms == () and key[1] == axis - 1 else entry
                for key, entry in self.local.items()
            }
            result = replace(result, local=local)
        return replace(result, axes=(*result.axes[:axis], (atom,), *result.axes[axis + 1 :]))

    def _without_ones(self) -> Dependence:
        ones = {atom for axis in self.axes for atom in axis if self.sizes[atom] == 1}
        if not ones:
            return self
        names: dict[int, tuple[int, ...]] = dict.fromkeys(ones, ())
        local = {
            key: entry if entry.atoms is None else replace(entry, atoms=tuple(a for a in entry.atoms if a not in ones))
            for key, entry in self.local.items()
        }
        return replace(
            self,
            axes=tuple(tuple(atom for atom in axis if atom not in ones) for axis in self.axes),
            terms=tuple(ways.renamed(term, names) for term in self.terms),
            local=local,
        )

    def _without(self, atom: int, gone: set[int]) -> Dependence:
        """Takes one of the atoms that are going away."""
        terms = [way for term in self.terms for way in ways.contracted(term, self.sizes, atom)]
        local = {}
        for key, entry in self.local.items():
            atoms_seen = entry.atoms
            if atoms_seen is not None and atom in atoms_seen:
                rest, size = tuple(a for a in atoms_seen if a != atom), self.sizes[atom]
                if not rest:
                    entry = entry.detached()
                elif atoms_seen[-1] == atom:
                    entry = replace(entry.then(Phases.window(size, size, 1, 0)), atoms=rest)
                    if any(self.sizes[a] > 1 for a in rest if a not in gone):
                        entry = entry.thinned(size)
                else:
                    entry = replace(entry.lost(), atoms=rest)
            local[key] = entry
        axes = tuple(tuple(a for a in atoms if a != atom) for atoms in self.axes)
        return replace(self, axes=axes, terms=ways.pruned(terms, self.sizes), local=local)

    def _join(self, group: tuple[int, ...]) -> tuple[Dependence, int]:
        """One atom for several that follow each other in the flattened map; the axes are the caller's to set."""
        if len(group) == 1:
            return self, group[0]
        atom = fresh_atom()
        terms = tuple(ways.joined(term, self.sizes, group, atom) for term in self.terms)
        local = {}
        for key, entry in self.local.items():
            seen = entry.atoms
            if seen and set(seen) & set(group):
                if seen == group[: len(seen)]:
                    entry = replace(entry.repeated(group[len(seen) :], self.sizes), atoms=(atom,))
                else:
                    others = tuple(a for a in seen if a not in group)
                    entry = replace(entry.lost(), atoms=(*others, atom))
            local[key] = entry
        sizes = {**self.sizes, atom: math.prod(self.sizes[a] for a in group)}
        return replace(self, sizes=sizes, terms=terms, local=local), atom

    def _split(self, atom: int, factors: tuple[int, ...]) -> tuple[Dependence, tuple[int, ...]]:
        new = tuple(fresh_atom() for _ in factors)
        names = {atom: new}
        local = {
            key: entry
            if entry.atoms is None
            else replace(entry, atoms=tuple(n for a in entry.atoms for n in names.get(a, (a,))))
            for key, entry in self.local.items()
        }
        result = replace(
            self,
            sizes={**self.sizes, **dict(zip(new, factors, strict=True))},
            terms=tuple(ways.renamed(term, names) for term in self.terms),
            local=local,
            axes=tuple(tuple(n for a in axis for n in names.get(a, (a,))) for axis in self.axes),
        )
        return result, new


def _refined(one: Dependence, two: Dependence, axis: int) -> tuple[Dependence, Dependence]:
    """Both with atoms of the same sizes along the axis."""

    def factors(map_: Dependence) -> tuple[int, ...]:
        return tuple(map_.sizes[atom] for atom in map_.axes[axis])

    if factors(one) == factors(two):
        return one, two
    borders = sorted({*_borders(factors(one)), *_borders(factors(two))}, reverse=True)
    if all(large % small == 0 for large, small in pairwise(borders)):
        wanted = tuple(large // small for large, small in pairwise(borders))
        return _with_factors(one, axis, wanted), _with_factors(two, axis, wanted)
    return one.single(axis), two.single(axis)


def _borders(factors: tuple[int, ...]) -> list[int]:
    borders = [1]
    for size in reversed(factors):
        borders.append(borders[-1] * size)
    return borders


def _with_factors(map_: Dependence, axis: int, wanted: tuple[int, ...]) -> Dependence:
    finer = map_.split(axis, wanted)
    axes = list(finer.axes)
    axes[axis : axis + len(wanted)] = [tuple(atom for one in axes[axis : axis + len(wanted)] for atom in one)]
    return replace(finer, axes=tuple(axes))


def _step_of(index: Index, phases: Phases | None) -> float:
    """Cells from one cell's window to the next one's; 1 where a single window is left, as for a global operation."""
    if len(index) == 1:
        return 1.0
    if phases is not None:
        return phases.step / len(phases.taps)
    rows = index[(index >= 0).any(axis=1)]
    first = np.where(rows >= 0, rows, np.iinfo(rows.dtype).max).min(axis=1)
    # Of windows that grow, as those of a running sum, one end stays and the other moves by a cell.
    return max(_usual(np.abs(np.diff(end))) for end in (first, rows.max(axis=1))) or 1.0


def _usual(steps: Index) -> float:
    """The step that nearly all of them are, else their mean; 0 where nothing moves."""
    moved = steps[steps > 0]
    if len(moved) == 0:
        return 0.0
    sizes, counts = np.unique(moved, return_counts=True)
    # Borders cut windows short, and where cells were rolled or mirrored, a jump from one end to the other is no step.
    if len(moved) >= 0.9 * len(steps) and counts.max() >= 0.8 * len(moved):
        return float(sizes[counts.argmax()])
    return float(steps[steps <= 2 * np.median(moved)].mean())


def _aligned(one: Local, other: Local, sizes: Sizes) -> tuple[Local, Local]:
    """Both along the same atoms, where one only lacks the last of the other's."""
    if one.atoms and other.atoms and one.atoms != other.atoms:
        if other.atoms[: len(one.atoms)] == one.atoms:
            return one.repeated(other.atoms[len(one.atoms) :], sizes), other
        if one.atoms[: len(other.atoms)] == other.atoms:
            return one, other.repeated(one.atoms[len(other.atoms) :], sizes)
    return one, other


def _both(one: Local, other: Local) -> Local:
    whole, irregular = one.whole or other.whole, one.irregular or other.irregular
    coarsest = min(one.coarsest, other.coarsest)
    if bool(one.atoms) != bool(other.atoms):
        # One way sees the same cells wherever the other looks: a gate, or a map that was averaged to one cell.
        kept, gate = (one, other) if one.atoms else (other, one)
        return replace(kept, whole=whole or gate.atoms is not None, irregular=irregular, coarsest=coarsest)
    if one.atoms is None or other.atoms is None:
        kept = other if one.atoms is None else one
        return replace(kept, whole=whole, irregular=irregular, coarsest=coarsest)
    merged = replace(one, whole=whole, irregular=irregular, step=min(one.step, other.step), coarsest=coarsest)
    if one.atoms != other.atoms or one.wide is None or other.wide is None:
        return merged.lost()
    assert one.narrow is not None
    assert other.narrow is not None
    wide = one.wide.union(other.wide)
    if wide is None:
        return merged.lost()
    narrow = one.narrow if one.narrow.size <= other.narrow.size else other.narrow
    return replace(merged, wide=wide, narrow=narrow)
