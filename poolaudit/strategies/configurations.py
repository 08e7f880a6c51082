"""Valid configurations with the input shape they are valid for, biased to where pooling layers break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from hypothesis import strategies as st

from poolaudit.configuration import KINDS, PoolConfiguration, window_span
from poolaudit.errors import InvalidInputError
from poolaudit.strategies.axes import CORNERS, Axis, corner_exists, draw_axis

CHANNELS = (1, 2, 3, 5, 8, 17)
"""One channel, a few, a vector register of 8, and one that no vector width divides."""

BATCHES = (1, 2, 3, 1, 2, 3, 2, 0)
"""Drawn uniformly, so one batch in eight is empty."""

# "free" comes first, because a shrinking case moves to the front.
_CORNER_DRAWS = ("free", "free", *tuple(CORNERS)[1:])
_LARGEST_AXIS = {1: 12, 2: 8, 3: 5}


@dataclass(frozen=True, slots=True)
class PoolCase:
    """A configuration and the shape of an input it is valid for.

    Attributes:
        configuration: The layer's settings.
        input_shape: Batch, spatial axes and channels in the order of the configuration's data format.
        corner: The key of `CORNERS` that was forced on one axis.
    """

    configuration: PoolConfiguration
    input_shape: tuple[int, ...]
    corner: str = "free"

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output by the definition."""
        return tuple(size for size in self.configuration.output_shape(self.input_shape) if size is not None)


def pool_configurations(
    kind: str | None = None,
    rank: int | None = None,
    *,
    paddings: Sequence[str] = ("valid", "same"),
    dilation: bool = False,
    data_formats: Sequence[str] = ("channels_last",),
    square: bool = False,
) -> st.SearchStrategy[PoolConfiguration]:
    """Valid configurations without their input; the arguments are those of `pool_cases`.

    A VALID window of these fits into some input, not into every one: use `pool_cases` to have both.
    """
    cases = pool_cases(kind, rank, paddings=paddings, dilation=dilation, data_formats=data_formats, square=square)
    return cases.map(lambda case: case.configuration)


def pool_cases(
    kind: str | None = None,
    rank: int | None = None,
    *,
    paddings: Sequence[str] = ("valid", "same"),
    dilation: bool = False,
    data_formats: Sequence[str] = ("channels_last",),
    square: bool = False,
    corners: Sequence[str] | None = None,
    batches: Sequence[int] = BATCHES,
    channels: Sequence[int] = CHANNELS,
    largest_axis: int | None = None,
) -> st.SearchStrategy[PoolCase]:
    """Valid configurations and input shapes, every output cell of which reads at least one input cell.

    Shrinks towards rank 1, one cell, one channel, batch 1, a window of one and default strides. Strides are
    left at their default in half the draws, windows reach 3 cells beyond the input under SAME, and two cases in
    three have one axis forced into one of `CORNERS`. The data are drawn elsewhere (`pool_inputs`).

    >>> pool_cases("average", 1, paddings=("same",)).example()  # doctest: +SKIP
    PoolCase(configuration=PoolConfiguration(kind='average', rank=1, window=(4,), ...

    Args:
        kind: A name of `poolaudit.configuration.KINDS`; None draws among the common ones. `unknown` is drawn
            as a windowed kind.
        rank: Spatial axes; None draws 1 to 3.
        paddings: Out of `"valid"`, `"same"` and `"explicit"`.
        dilation: Also draw dilated windows, then always with strides of 1, as TensorFlow demands.
        data_formats: Out of `"channels_last"` and `"channels_first"`.
        square: The same window and stride on every axis, for layers that accept one number only.
        corners: Keys of `CORNERS` to draw from; None draws all of them, and twice as often none. To be
            sure of each, run a few examples with `corners=(name,)` for every name.
        batches: Batch sizes to draw from, uniformly.
        channels: Numbers of channels to draw from, uniformly.
        largest_axis: Longest spatial axis; None means 12, 8 and 5 in 1, 2 and 3 dimensions.

    Raises:
        InvalidInputError: A kind, padding or corner that does not exist.
    """
    if kind is not None:
        KINDS.get(kind)
    for name, given, known in (
        ("padding", paddings, ("valid", "same", "explicit")),
        ("corner", corners or (), tuple(CORNERS)),
        ("data format", data_formats, ("channels_last", "channels_first")),
    ):
        unknown = [entry for entry in given if entry not in known]
        if unknown:
            raise InvalidInputError(f"There is no {name} {unknown[0]!r}", ", ".join(known))
    choices = _Choices(
        kinds=_COMMON_KINDS if kind is None else (kind,),
        ranks=(1, 2, 3) if rank is None else (rank,),
        paddings=tuple(paddings),
        dilation=dilation,
        data_formats=tuple(data_formats),
        square=square,
        corners=_CORNER_DRAWS if corners is None else tuple(corners),
        batches=tuple(batches),
        channels=tuple(channels),
        largest_axis=largest_axis,
    )
    return _cases(choices)


_COMMON_KINDS = (
    "max",
    "average",
    "min",
    "median",
    "rms",
    "gem",
    "lse",
    "mixed",
    "blur",
    "subsample",
    "adaptive_max",
    "adaptive_average",
    "global_max",
    "global_average",
    "spp",
)


@dataclass(frozen=True, slots=True)
class _Choices:
    kinds: tuple[str, ...]
    ranks: tuple[int, ...]
    paddings: tuple[str, ...]
    dilation: bool
    data_formats: tuple[str, ...]
    square: bool
    corners: tuple[str, ...]
    batches: tuple[int, ...]
    channels: tuple[int, ...]
    largest_axis: int | None


Chosen = TypeVar("Chosen")


def _pick(draw: st.DrawFn, options: Sequence[Chosen]) -> Chosen:
    """One draw less where there is nothing to choose."""
    return options[0] if len(options) == 1 else options[draw(st.integers(0, len(options) - 1))]


@st.composite
def _cases(draw: st.DrawFn, choices: _Choices) -> PoolCase:
    kind, rank = _pick(draw, choices.kinds), _pick(draw, choices.ranks)
    data_format = _pick(draw, choices.data_formats)
    layout = KINDS.get(kind).layout
    longest = choices.largest_axis or _LARGEST_AXIS[rank]
    configuration = PoolConfiguration(kind, rank, data_format=data_format)
    corner = "free"
    if layout in ("windowed", "any"):
        corner, spatial, configuration = _windowed(draw, choices, configuration, longest)
    else:
        spatial = tuple(draw(st.integers(1, longest)) for _ in range(rank))
        if layout == "adaptive":
            configuration = replace(configuration, output_size=_output_size(draw, spatial, choices.square))
        elif layout == "global":
            configuration = replace(configuration, keepdims=draw(st.booleans()))
        else:
            configuration = replace(configuration, levels=_pick(draw, ((1,), (1, 2), (1, 2, 4), (3, 2))))
    configuration = _with_parameters(draw, configuration)
    batch, channels = _pick(draw, choices.batches), _pick(draw, choices.channels)
    ordered = (channels, *spatial) if data_format == "channels_first" else (*spatial, channels)
    return PoolCase(configuration, (batch, *ordered), corner)


def _output_size(draw: st.DrawFn, spatial: tuple[int, ...], square: bool) -> tuple[int, ...]:
    if square:
        return (draw(st.integers(1, min(spatial))),) * len(spatial)
    return tuple(draw(st.integers(1, size)) for size in spatial)


def _with_parameters(draw: st.DrawFn, configuration: PoolConfiguration) -> PoolConfiguration:
    reduction = configuration.known_kind.reduction
    if reduction == "gem":
        return replace(configuration, p=_pick(draw, (3.0, 1.0, 2.0, 4.5)))
    if reduction == "mixed":
        return replace(configuration, alpha=_pick(draw, (0.5, 0.25, 0.8)))
    if reduction == "lse":
        return replace(configuration, sharpness=_pick(draw, (1.0, 0.5, 4.0)))
    return configuration


def _windowed(
    draw: st.DrawFn, choices: _Choices, configuration: PoolConfiguration, longest: int
) -> tuple[str, tuple[int, ...], PoolConfiguration]:
    rank = configuration.rank
    single = configuration.known_kind.reduction == "subsample"
    padding = _pick(draw, choices.paddings)
    dilated = choices.dilation and not single and draw(st.booleans())
    possible = tuple(c for c in choices.corners if corner_exists(c, padding, dilated, single)) or ("free",)
    corner = _pick(draw, possible)
    forced = draw(st.integers(0, rank - 1)) if corner != "free" and rank > 1 and not choices.square else 0
    default_strides = not dilated and not single and _default_strides(draw, corner)
    axes = []
    for position in range(1 if choices.square else rank):
        axis_corner = corner if position == forced else "free"
        axes.append(draw_axis(draw, axis_corner, padding, longest, dilated, default_strides, single))
    if choices.square:
        axes = _repeated(draw, axes[0], rank, longest, padding, corner)
    explicit = tuple(axis.padding for axis in axes)
    return (
        corner,
        tuple(axis.size for axis in axes),
        replace(
            configuration,
            window=None if single else tuple(axis.window for axis in axes),
            strides=None if default_strides else tuple(axis.stride for axis in axes),
            padding=explicit if padding == "explicit" else padding,
            dilation=tuple(axis.dilation for axis in axes) if dilated else None,
        ),
    )


def _default_strides(draw: st.DrawFn, corner: str) -> bool:
    # The default comes first: it is the simpler case to read.
    default = not draw(st.booleans())
    return default and corner != "stride_exceeds_window"


def _repeated(draw: st.DrawFn, first: Axis, rank: int, longest: int, padding: str, corner: str) -> list[Axis]:
    """The first axis' settings on every axis, on sizes of their own where any size is valid."""
    least = window_span(first.window, first.dilation) if padding == "valid" else first.size
    axes = [first]
    for _ in range(rank - 1):
        larger = padding == "valid" or (padding == "same" and first.dilation == 1)
        size = draw(st.integers(least, max(longest, least))) if larger else first.size
        axes.append(replace(first, size=size))
    return axes
