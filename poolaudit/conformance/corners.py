"""Cases written down and not drawn, for statements about the framework's own layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from poolaudit.configuration import PoolConfiguration
from poolaudit.conformance.case import Case
from poolaudit.conformance.loading import LoadedSubject


def plain(subject: LoadedSubject, **settings: Any) -> PoolConfiguration:
    """Windows of two, two outputs, or the global form, in the subject's kind and rank; settings replace these."""
    both = (2,) * subject.dims
    base = PoolConfiguration(subject.like, subject.dims)
    if base.layout == "windowed":
        base = replace(base, window=both)
    elif base.layout == "adaptive":
        base = replace(base, output_size=both)
    return replace(base, **settings)


def one_case(subject: LoadedSubject, dtype: str) -> tuple[Case, ...]:
    """A small plain case."""
    return (Case(plain(subject), (2, *(4,) * subject.dims, 3), "permutation", 1, dtype),)


def without_channels(subject: LoadedSubject, dtype: str) -> tuple[Case, ...]:
    """Channels 0."""
    return (Case(plain(subject), (2, *(4,) * subject.dims, 0), "constant", 0, dtype),)


def without_length(subject: LoadedSubject, dtype: str) -> tuple[Case, ...]:
    """A first spatial axis of length 0, under SAME."""
    shape = (2, 0, *(4,) * (subject.dims - 1), 3)
    return (Case(plain(subject, padding="same"), shape, "constant", 0, dtype),)


def largest_windows(subject: LoadedSubject, dtype: str) -> tuple[Case, ...]:
    """The largest window that 32 bits can say, under SAME: the whole input, and nothing else."""
    window = (2**31 - 1,) * subject.dims
    return (Case(plain(subject, window=window, padding="same"), (1, *(4,) * subject.dims, 1), "constant", 4, dtype),)


def long_axes(subject: LoadedSubject, dtype: str) -> tuple[Case, ...]:
    """Axes so long that single precision cannot hold the product of index and length."""
    rest = (1,) * (subject.dims - 1)
    return tuple(
        Case(plain(subject, output_size=(m, *rest)), (1, n, *rest, 1), "permutation", 0, dtype)
        for n, m in ((16_000, 1_100), (100_000, 997))
    )


def halves_of_range(subject: LoadedSubject, dtype: str) -> tuple[Case, ...]:
    """Few steps of half the largest value: their mean exists, their sum does not."""
    return (Case(plain(subject), (1, 4, 1), "half_maximum", 0, dtype),)


def many_steps(subject: LoadedSubject, dtype: str) -> tuple[Case, ...]:
    """More steps than half precision can count."""
    return (Case(plain(subject), (1, 70_000, 1), "constant", 5, dtype),)


def spelt_padding(subject: LoadedSubject, dtype: str) -> tuple[Case, ...]:
    """Padding in capitals, as tf.nn spells it."""
    return (Case(plain(subject, padding="SAME"), (1, *(5,) * subject.dims, 1), "ties", 0, dtype),)


def wide_strides(subject: LoadedSubject, dtype: str) -> tuple[Case, ...]:
    """SAME with strides so wide that one window, at the start, is all there is."""
    rank = subject.dims
    configuration = plain(subject, strides=(4,) * rank, padding="same")
    return (Case(configuration, (1, *(4,) * rank, 2), "permutation", 1, dtype),)


def explicit_padding(subject: LoadedSubject, dtype: str) -> tuple[Case, ...]:
    """One padded cell on each side."""
    padding = ((1, 1),) * subject.dims
    case = Case(plain(subject, padding=padding), (1, *(4,) * subject.dims, 2), "permutation", 3, dtype)
    return (case, replace(case, data="negative"))
