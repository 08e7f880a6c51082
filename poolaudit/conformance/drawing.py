"""Which cases a property is tried on, for one layer."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from poolaudit.configuration import KINDS, PoolConfiguration, window_span
from poolaudit.conformance.case import Case
from poolaudit.conformance.loading import LoadedSubject
from poolaudit.conformance.property import LayerProperty
from poolaudit.strategies import FLAWS, PoolCase, invalid_configurations, pool_cases

_SEEDS = st.integers(0, 2**16 - 1)
_STAND_IN = {"windowed": "max", "adaptive": "adaptive_max", "any": "global_max", "global": "global_max"}


def cases_for(
    subject: LoadedSubject, prop: LayerProperty, mode: str, dtype: str, flaw: str | None = None
) -> st.SearchStrategy[Case]:
    """Cases that this layer can be given and that this property is about."""
    if prop.cases == "invalid":
        return _invalid(subject, dtype, flaws_for(subject) if flaw is None else (flaw,))
    pooled = valid_cases(subject, prop, mode)
    data = st.sampled_from(prop.data) if len(prop.data) > 1 else st.just(prop.data[0])
    return st.builds(
        lambda case, kind, seed: Case(case.configuration, case.input_shape, kind, seed, dtype), pooled, data, _SEEDS
    )


def valid_cases(subject: LoadedSubject, prop: LayerProperty, mode: str) -> st.SearchStrategy[PoolCase]:
    """Valid configurations with a shape; what the layer cannot be given keeps the value it was found to have."""
    layout = subject.layout
    known = KINDS.get(subject.like).layout != "any"
    paddings = tuple(p for p in prop.paddings if subject.fixed.get("padding", p) == p) or prop.paddings
    formats = ("channels_last", "channels_first") if prop.needs_argument == "data_format" else ("channels_last",)
    drawn = pool_cases(
        subject.like if known else _STAND_IN[layout],
        subject.dims,
        paddings=paddings,
        dilation=subject.takes("dilation_rate"),
        data_formats=formats,
        square=subject.scalar,
        batches=prop.batches,
        channels=(1, 2, 3, 5) if mode == "xla" else (1, 2, 3, 5, 8, 17),
        largest_axis=prop.largest_axis,
    )
    return drawn.map(lambda case: _fitted(subject, case))


def _fitted(subject: LoadedSubject, case: PoolCase) -> PoolCase:
    configuration = case.configuration
    if KINDS.get(subject.like).layout == "any":
        configuration = replace(configuration, kind=subject.like)
        if subject.layout == "any":
            configuration = PoolConfiguration(subject.like, subject.dims, data_format=configuration.data_format)
    if not subject.fixed:
        return PoolCase(configuration, case.input_shape, case.corner)
    configuration = subject.fits(configuration)
    if isinstance(configuration.padding, tuple) and subject.takes("pool_size"):
        # Half a window at most, as PyTorch has it: a window that holds padding only has no value.
        least = [2 * max(cells) for cells in configuration.padding]
        window = tuple(max(size, most) for size, most in zip(configuration.effective_window, least, strict=True))
        configuration = replace(configuration, window=(max(window),) * len(window) if subject.scalar else window)
    return PoolCase(configuration, enlarged(configuration, case.input_shape), case.corner)


def enlarged(configuration: PoolConfiguration, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Axes long enough for the window that the layer insists on."""
    if configuration.layout != "windowed" or configuration.padding == "same":
        return shape
    sizes = list(shape)
    for axis, position in enumerate(configuration.spatial_axes()):
        span = window_span(configuration.effective_window[axis], configuration.effective_dilation[axis])
        around = sum(configuration.padding[axis]) if isinstance(configuration.padding, tuple) else 0
        sizes[position] = max(sizes[position], span - around)
    return tuple(sizes)


def _invalid(subject: LoadedSubject, dtype: str, flaws: tuple[str, ...]) -> st.SearchStrategy[Case]:
    kind = subject.like if KINDS.get(subject.like).layout != "any" else _STAND_IN[subject.layout]
    drawn = invalid_configurations(kind, subject.dims, flaws=flaws)
    return drawn.map(
        lambda case: Case(
            replace(case.configuration, kind=subject.like)
            if case.configuration.kind != subject.like
            else case.configuration,
            case.input_shape,
            "ties",
            0,
            dtype,
            case.flaw,
        )
    )


def flaws_for(subject: LoadedSubject) -> tuple[str, ...]:
    """Flaws that the layer can be given, and that any layer would have to refuse.

    Booleans and texts are left out: that True is refused where an integer is wanted is a matter of taste. So are, for
    anyone's but the framework's layers, one size too many and a data format that does not exist: many a right layer
    takes the first size, or compares the format with one of the two.
    """
    fields = {"window": "pool_size"}
    layout = subject.layout if subject.layout != "any" else "global"
    wanted = []
    for flaw, (field, name) in _REFUSABLE.items():
        argument = fields.get(field, field)
        lenient = flaw.endswith("wrong_length") or flaw == "unknown_data_format"
        if lenient and not subject.subject.builtin:
            continue
        if layout in FLAWS[flaw].layouts and (name == "always" or subject.takes(argument)):
            wanted.append(flaw)
    return tuple(wanted)


_REFUSABLE: dict[str, tuple[str, str]] = {
    "zero_window": ("window", ""),
    "negative_window": ("window", ""),
    "fractional_window": ("window", ""),
    "window_of_wrong_length": ("window", ""),
    "window_beyond_int32": ("window", ""),
    "window_exceeds_input": ("window", ""),
    "zero_strides": ("strides", ""),
    "negative_strides": ("strides", ""),
    "fractional_strides": ("strides", ""),
    "unknown_padding": ("padding", ""),
    "unknown_data_format": ("data_format", ""),
    "zero_output_size": ("output_size", ""),
    "negative_output_size": ("output_size", ""),
    "fractional_output_size": ("output_size", ""),
    "output_size_of_wrong_length": ("output_size", ""),
    "wrong_input_rank": ("input_shape", "always"),
}
