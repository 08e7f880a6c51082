"""Configurations that every pooling layer must refuse, one flaw each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from poolaudit.configuration import KINDS, PoolConfiguration
from poolaudit.configuration.validation import INT32_MAX
from poolaudit.errors import InvalidInputError, did_you_mean
from poolaudit.strategies.configurations import PoolCase, pool_cases


@dataclass(frozen=True, slots=True)
class InvalidCase:
    """A configuration with exactly one flaw.

    Attributes:
        configuration: Settings of which one has a forbidden value, perhaps of another type than declared.
        input_shape: The input to try it on; itself flawed for `wrong_input_rank`.
        flaw: Key of `FLAWS`.
        field: The flawed field of the configuration, or `"input_shape"`.
        value: The forbidden value.
    """

    configuration: PoolConfiguration
    input_shape: tuple[int, ...]
    flaw: str
    field: str
    value: object


@dataclass(frozen=True, slots=True)
class Flaw:
    """How to spoil a valid case.

    Attributes:
        layouts: The layouts of pooling that have the spoilt field.
        field: The field of `PoolConfiguration`, or `input_shape`.
        values: From the valid case to forbidden values, simplest first.
    """

    layouts: tuple[str, ...]
    field: str
    values: Callable[[PoolCase], Sequence[object]]


def _entries(field: str, *wrong: object) -> Callable[[PoolCase], Sequence[object]]:
    """The field's tuple with one entry replaced, at each place."""

    def values(case: PoolCase) -> Sequence[object]:
        sound = _sound(case, field)
        return [(*sound[:at], entry, *sound[at + 1 :]) for entry in wrong for at in range(len(sound))]

    return values


def _sound(case: PoolCase, field: str) -> tuple[int, ...]:
    configuration = case.configuration
    if field == "window":
        return configuration.effective_window
    if field == "strides":
        return configuration.effective_strides
    sound: tuple[int, ...] = getattr(configuration, field)
    return sound


def _whole(*wrong: object) -> Callable[[PoolCase], Sequence[object]]:
    return lambda case: wrong


def _wrong_length(field: str) -> Callable[[PoolCase], Sequence[object]]:
    return lambda case: ((*_sound(case, field), 1), ())


def _too_large_window(case: PoolCase) -> Sequence[object]:
    configuration, sizes = case.configuration, case.configuration.spatial_shape(case.input_shape)
    window = configuration.effective_window
    return [(*window[:at], sizes[at] + more, *window[at + 1 :]) for more in (1, 3) for at in range(len(sizes))]


def _wrong_rank(case: PoolCase) -> Sequence[object]:
    return (case.input_shape[:-1], (*case.input_shape, 1))


_HUGE = (INT32_MAX + 1, 2**32 + 1, 2**63)
_WINDOWED, _ADAPTIVE = ("windowed", "any"), ("adaptive",)

FLAWS: dict[str, Flaw] = {
    "zero_window": Flaw(_WINDOWED, "window", _entries("window", 0)),
    "negative_window": Flaw(_WINDOWED, "window", _entries("window", -1, -3)),
    "fractional_window": Flaw(_WINDOWED, "window", _entries("window", 1.5, 0.5)),
    "boolean_window": Flaw(_WINDOWED, "window", _entries("window", True, False)),
    "text_window": Flaw(_WINDOWED, "window", _whole("2", "same")),
    "missing_window": Flaw(_WINDOWED, "window", _entries("window", None)),
    "window_of_wrong_length": Flaw(_WINDOWED, "window", _wrong_length("window")),
    "window_beyond_int32": Flaw(_WINDOWED, "window", _entries("window", *_HUGE)),
    "window_exceeds_input": Flaw(_WINDOWED, "window", _too_large_window),
    "zero_strides": Flaw(_WINDOWED, "strides", _entries("strides", 0)),
    "negative_strides": Flaw(_WINDOWED, "strides", _entries("strides", -1, -2)),
    "fractional_strides": Flaw(_WINDOWED, "strides", _entries("strides", 1.5, 0.5)),
    "boolean_strides": Flaw(_WINDOWED, "strides", _entries("strides", True, False)),
    "text_strides": Flaw(_WINDOWED, "strides", _whole("2")),
    "strides_of_wrong_length": Flaw(_WINDOWED, "strides", _wrong_length("strides")),
    "strides_beyond_int32": Flaw(_WINDOWED, "strides", _entries("strides", *_HUGE)),
    "unknown_padding": Flaw(_WINDOWED, "padding", _whole("full", "reflect", "", "val")),
    "padding_of_wrong_type": Flaw(_WINDOWED, "padding", _whole(None, 1, True)),
    "unknown_data_format": Flaw(
        (*_WINDOWED, "adaptive", "global"), "data_format", _whole("channels_middle", "NHWC_", "", 1)
    ),
    "zero_output_size": Flaw(_ADAPTIVE, "output_size", _entries("output_size", 0)),
    "negative_output_size": Flaw(_ADAPTIVE, "output_size", _entries("output_size", -1)),
    "fractional_output_size": Flaw(_ADAPTIVE, "output_size", _entries("output_size", 1.5)),
    "boolean_output_size": Flaw(_ADAPTIVE, "output_size", _entries("output_size", True)),
    "text_output_size": Flaw(_ADAPTIVE, "output_size", _whole("2")),
    "output_size_of_wrong_length": Flaw(_ADAPTIVE, "output_size", _wrong_length("output_size")),
    "output_size_beyond_int32": Flaw(_ADAPTIVE, "output_size", _entries("output_size", *_HUGE)),
    "wrong_input_rank": Flaw((*_WINDOWED, "adaptive", "global"), "input_shape", _wrong_rank),
}
"""Name of a flaw to how it is made. `boolean_*` is refused by a strict reader only: True is an int in Python."""


def invalid_configurations(
    kind: str | None = None, rank: int | None = None, *, flaws: Sequence[str] | None = None
) -> st.SearchStrategy[InvalidCase]:
    """A small valid case with one field spoilt; a layer must answer with a Python exception.

    Shrinks towards the first flaw, rank 1 and small numbers.

    Args:
        kind: Name of a windowed, adaptive or global kind; None draws among max, average and their adaptive
            and global forms.
        rank: Spatial axes; None draws 1 to 3.
        flaws: Keys of `FLAWS` to draw from; None draws from all that the kind can have.

    Raises:
        InvalidInputError: A name that does not exist, or a kind that can have none of the flaws.
    """
    unknown = [name for name in flaws or () if name not in FLAWS]
    if unknown:
        raise InvalidInputError(f"There is no flaw {unknown[0]!r}", ", ".join(FLAWS), did_you_mean(unknown[0], FLAWS))
    kinds = _KINDS if kind is None else (kind,)
    pairs = tuple(
        (flaw, name)
        for flaw in (FLAWS if flaws is None else flaws)
        for name in kinds
        if KINDS.get(name).layout in FLAWS[flaw].layouts
        and not (FLAWS[flaw].field == "window" and KINDS.get(name).reduction == "subsample")
    )
    if not pairs:
        raise InvalidInputError(f"Kind {kind!r} can have none of these flaws", ", ".join(FLAWS))
    sound: dict[tuple[str, tuple[str, ...]], st.SearchStrategy[PoolCase]] = {
        (name, paddings): pool_cases(name, rank, paddings=paddings, batches=(1, 2), channels=(1, 3), largest_axis=4)
        for name in kinds
        for paddings in (_ANY_PADDING, _VALID_ONLY)
    }
    return _invalid_cases(pairs, sound)


_ANY_PADDING, _VALID_ONLY = ("valid", "same"), ("valid",)
_KINDS = ("max", "average", "global_max", "global_average", "adaptive_max", "adaptive_average")


@st.composite
def _invalid_cases(
    draw: st.DrawFn,
    pairs: tuple[tuple[str, str], ...],
    sound: dict[tuple[str, tuple[str, ...]], st.SearchStrategy[PoolCase]],
) -> InvalidCase:
    name, kind = pairs[draw(st.integers(0, len(pairs) - 1))]
    case = draw(sound[kind, _VALID_ONLY if name == "window_exceeds_input" else _ANY_PADDING])
    flaw = FLAWS[name]
    values = flaw.values(case)
    value = values[draw(st.integers(0, len(values) - 1))]
    if flaw.field == "input_shape":
        shape = tuple(int(size) for size in value) if isinstance(value, tuple) else ()
        return InvalidCase(case.configuration, shape, name, "input_shape", shape)
    spoilt: dict[str, Any] = {flaw.field: value}
    configuration = replace(case.configuration, **spoilt)
    if flaw.field == "window" and configuration.strides is None:
        # The window must be the only flaw, and default strides would repeat it.
        configuration = replace(configuration, strides=case.configuration.effective_strides)
    return InvalidCase(configuration, case.input_shape, name, flaw.field, value)
