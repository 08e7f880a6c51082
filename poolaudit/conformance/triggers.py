"""What a case must have for a known divergence to be its explanation, and what is left out when it is tried again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from poolaudit.conformance.case import Case
from poolaudit.strategies import FLAWS


def _window_exceeds_input(case: Case) -> bool:
    configuration = case.configuration
    if configuration.layout != "windowed" or not isinstance(configuration.window, tuple):
        return False
    sizes = configuration.spatial_shape(case.input_shape)
    return any(isinstance(k, int) and k > n for k, n in zip(configuration.window, sizes, strict=False))


def _one_adaptive_output(case: Case) -> bool:
    configuration = case.configuration
    if configuration.layout != "adaptive" or not isinstance(configuration.output_size, tuple):
        return False
    sizes = configuration.spatial_shape(case.input_shape)
    few = any(isinstance(size, int | float) and size < 2 for size in configuration.output_size)
    return few or 1 in sizes


def _strides_beyond_input(case: Case) -> bool:
    configuration = case.configuration
    if configuration.layout != "windowed" or configuration.padding != "same":
        return False
    sizes = configuration.spatial_shape(case.input_shape)
    axes = zip(configuration.effective_window, configuration.effective_strides, sizes, strict=False)
    return any(
        isinstance(s, int) and s > 0 and (-(-n // s) - 1) * s + k - n <= -2 for k, s, n in axes if isinstance(k, int)
    )


def _has_flaw(flaw: str, case: Case) -> bool:
    return case.flaw == flaw


TRIGGERS: dict[str, Callable[[Case], bool]] = {
    "window_exceeds_input": _window_exceeds_input,
    "one_adaptive_output": _one_adaptive_output,
    "strides_beyond_input": _strides_beyond_input,
    "same_padding": lambda case: case.configuration.padding == "same",
    "ties": lambda case: case.data not in ("permutation", "normal"),
    "empty_batch": lambda case: 0 in case.input_shape[:1],
    "averages": lambda case: case.configuration.known_kind.reduction in ("average", "mixed", None),
    **{f"flaw_{flaw}": partial(_has_flaw, flaw) for flaw in FLAWS},
}
"""Names that entries of `known_divergences.toml` may give as `trigger`."""


def triggered(case: Case, names: Collection[str]) -> bool:
    """Whether the case has one of the features."""
    return any(TRIGGERS[name](case) for name in names)
