"""Designed cases that come before the drawn ones: each corner of a layout once, the same for every seed.

Unbiased draws miss corners: an odd amount of padding, unequal strides, a window larger than the input. A dozen
designed cases hold them all; drawn cases follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from poolaudit.configuration import KINDS, PoolConfiguration
from poolaudit.conformance.case import Case
from poolaudit.conformance.drawing import enlarged
from poolaudit.conformance.loading import LoadedSubject
from poolaudit.conformance.property import LayerProperty

# Size, window and stride of one axis; None is the default stride.
_SAME = ((5, 2, 2), (4, 3, 2), (6, 2, 1), (3, 5, 1), (7, 4, 3), (1, 2, None), (6, 3, None), (2, 5, 2))
_VALID = ((5, 3, 1), (5, 2, None), (7, 3, 2), (6, 2, 3), (4, 4, None), (1, 1, 1), (8, 5, 2))
_ADAPTIVE = ((5, 3), (7, 4), (6, 2), (10, 3), (4, 4), (3, 1), (8, 5))
_SIZES = (4, 5, 1, 7, 2)
_LEVELS = ((1, 2), (1, 2, 4), (3, 2), (1,))
_CHANNELS = (2, 3, 1, 5)


def classics(subject: LoadedSubject, prop: LayerProperty, mode: str, dtype: str) -> Iterator[Case]:
    """The designed cases that this layer can be given and that this property is about."""
    seen = set()
    for number, (configuration, sizes) in enumerate(_configurations(subject, prop)):
        batch = prop.batches[number % len(prop.batches)]
        channels = _CHANNELS[number % len(_CHANNELS)]
        configuration = subject.fits(configuration)
        shape = enlarged(configuration, (batch, *sizes, channels))
        if configuration.problems(shape) or (configuration.layout != "any" and configuration.has_empty_window(shape)):
            continue
        case = Case(configuration, shape, prop.data[number % len(prop.data)], number, dtype)
        if (configuration, shape) not in seen:
            seen.add((configuration, shape))
            yield case


def _configurations(subject: LoadedSubject, prop: LayerProperty) -> Iterator[tuple[PoolConfiguration, tuple[int, ...]]]:
    rank, layout = subject.dims, subject.layout
    base = PoolConfiguration(subject.like, rank)
    if layout == "windowed":
        for turn in range(max(len(_SAME), len(_VALID))):
            for padding, table in (("same", _SAME), ("valid", _VALID)):
                if padding in prop.paddings and turn < len(table):
                    yield from _windowed(subject, replace(base, padding=padding), table, turn)
        return
    if layout == "adaptive":
        for turn in range(len(_ADAPTIVE)):
            rows = [_ADAPTIVE[turn if subject.scalar else (turn + axis) % len(_ADAPTIVE)] for axis in range(rank)]
            yield replace(base, output_size=tuple(m for _, m in rows)), tuple(n for n, _ in rows)
        return
    for turn in range(len(_SIZES)):
        sizes = tuple(_SIZES[(turn + axis) % len(_SIZES)] for axis in range(rank))
        if layout == "pyramid":
            yield replace(base, levels=_LEVELS[turn % len(_LEVELS)]), tuple(size + 2 for size in sizes)
        else:
            yield replace(base, keepdims=bool(turn % 2)) if layout == "global" else base, sizes


def _windowed(
    subject: LoadedSubject, base: PoolConfiguration, table: tuple[tuple[int, int, int | None], ...], turn: int
) -> Iterator[tuple[PoolConfiguration, tuple[int, ...]]]:
    rank = subject.dims
    rows = [table[turn if subject.scalar else (turn + axis) % len(table)] for axis in range(rank)]
    sizes = tuple(n for n, _, _ in rows)
    window = tuple(k for _, k, _ in rows)
    strides = None if rows[0][2] is None else tuple(s or k for _, k, s in rows)
    if KINDS.get(subject.like).reduction == "subsample":
        yield replace(base, strides=strides or window), sizes
        return
    configuration = replace(base, window=window, strides=strides)
    yield configuration, sizes
    if turn in (0, 2) and subject.takes("dilation_rate"):
        yield (
            replace(configuration, window=(2 + turn // 2,) * rank, strides=(1,) * rank, dilation=(2,) * rank),
            tuple(size + 4 for size in sizes),
        )
