"""The strategies reach their corners, draw only what they promise, and shrink to something readable."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings

from poolaudit.configuration import KINDS, PoolConfiguration
from poolaudit.errors import InvalidInputError
from poolaudit.reference import pool
from poolaudit.strategies import (
    CORNERS,
    FLAWS,
    invalid_configurations,
    pool_cases,
    pool_configurations,
)

ALL_PADDINGS = ("valid", "same", "explicit")


def drawn(strategy, count):
    """`count` examples of a fresh, seeded run."""
    cases = []

    @seed(7)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(case):
        cases.append(case)

    collect()
    return cases


def corners_met(case):
    """Corners a case really shows, judged from the numbers and not from its label."""
    configuration = case.configuration
    sizes = configuration.spatial_shape(case.input_shape)
    axes = list(zip(sizes, configuration.effective_window, configuration.effective_strides, strict=True))
    shown = {"free"}
    if any(k > n for n, k, _ in axes):
        shown.add("window_exceeds_input")
    if any(s > k for _, k, s in axes):
        shown.add("stride_exceeds_window")
    if 1 in sizes:
        shown.add("single_cell")
    if configuration.padding == "valid" and any(s == k > 1 for _, k, s in axes):
        shown.add("stride_equals_window")
    outputs = [len(configuration.axis_windows(axis, n)) for axis, n in enumerate(sizes)]
    if 1 in outputs:
        shown.add("single_output")
    return shown


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_hundred_draws_meet_every_corner_and_three_hundred_force_each(rank):
    cases = drawn(pool_cases("max", rank), 300)
    met = Counter(corner for case in cases[:100] for corner in corners_met(case))
    assert met.keys() == CORNERS.keys()
    assert min(met.values()) >= 5
    assert {case.corner for case in cases} == CORNERS.keys()
    for case in cases:
        assert case.corner in corners_met(case), case
    default_strides = sum(case.configuration.strides is None for case in cases)
    assert 75 <= default_strides <= 225
    assert {case.input_shape[0] for case in cases} == {0, 1, 2, 3}
    assert {case.input_shape[-1] for case in cases} == {1, 2, 3, 5, 8, 17}


def test_forced_corners_are_really_there():
    for corner in CORNERS:
        cases = drawn(pool_cases("average", corners=(corner,), paddings=ALL_PADDINGS), 60)
        forced = [case for case in cases if case.corner == corner]
        assert forced
        assert all(corner in corners_met(case) for case in forced)


@pytest.mark.parametrize("square", [False, True])
def test_every_valid_case_has_a_value_in_every_output_cell(square):
    strategy = pool_cases(
        paddings=ALL_PADDINGS,
        dilation=True,
        data_formats=("channels_last", "channels_first"),
        square=square,
    )
    cases = drawn(strategy, 400)
    for case in cases:
        assert case.configuration.problems(case.input_shape) == ()
        pooled = pool(case.configuration, np.ones(case.input_shape))
        assert pooled.shape == case.output_shape
        assert math.prod(pooled.shape[1:]) > 0
        assert not np.isnan(pooled).any(), case
        if case.configuration.dilation is not None:
            assert set(case.configuration.effective_strides) == {1}
        if square and case.configuration.window is not None:
            assert len(set(case.configuration.window)) == 1
            assert len(set(case.configuration.effective_strides)) == 1
    assert any(case.configuration.dilation for case in cases)


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_kind_can_be_drawn(kind):
    for case in drawn(pool_cases(kind, paddings=ALL_PADDINGS), 10):
        assert case.configuration.kind == kind
        assert case.configuration.problems(case.input_shape) == ()


def test_options_are_obeyed():
    strategy = pool_cases("max", 2, paddings=("same",), batches=(4,), channels=(7,), largest_axis=3)
    for case in drawn(strategy, 50):
        assert case.configuration.padding == "same"
        assert case.input_shape[0] == 4
        assert case.input_shape[3] == 7
        assert max(case.input_shape[1:3]) <= 3
    assert all(isinstance(c, PoolConfiguration) for c in drawn(pool_configurations("gem", 1), 5))


def test_cases_shrink_to_small_numbers():
    # Shrinking may end in a local minimum, once in some hundred starts; which start it is must not be left to chance.
    least = find(pool_cases("max"), lambda case: True, random=Random(7))
    assert least.input_shape == (1, 1, 1)
    assert least.configuration == PoolConfiguration("max", 1, (1,))
    overlapping = find(
        pool_cases("max", 2),
        lambda case: case.configuration.effective_strides[1] < case.configuration.effective_window[1],
        random=Random(7),
    )
    assert math.prod(overlapping.input_shape) <= 2
    assert overlapping.configuration.window == (1, 2)
    assert overlapping.corner == "free"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"kind": "maxx"}, "Did you mean 'max'"),
        ({"paddings": ("full",)}, "no padding 'full'"),
        ({"corners": ("edge",)}, "no corner 'edge'"),
        ({"data_formats": ("NHWC",)}, "no data format 'NHWC'"),
    ],
)
def test_unknown_options_are_refused(options, word):
    with pytest.raises(InvalidInputError, match=word):
        pool_cases(**options)


def plainly_wrong(case):
    """Invalid by a predicate of its own, which knows nothing of `PoolConfiguration.problems`."""
    configuration, shape = case.configuration, case.input_shape
    rank = configuration.rank
    if len(shape) != rank + 2 or configuration.data_format not in ("channels_last", "channels_first"):
        return True
    good = lambda value: (  # noqa: E731
        type(value) is tuple and len(value) == rank and all(type(v) is int and 0 < v < 2**31 for v in value)
    )
    if configuration.kind.startswith("adaptive"):
        return not good(configuration.output_size)
    if configuration.kind.startswith("global"):
        return False
    if not good(configuration.window) or not (configuration.strides is None or good(configuration.strides)):
        return True
    if configuration.padding not in ("valid", "same"):
        return True
    spatial = shape[1 : 1 + rank]
    return configuration.padding == "valid" and any(k > n for k, n in zip(configuration.window, spatial, strict=True))


def test_every_invalid_case_is_wrong_and_every_flaw_is_reached():
    cases = drawn(invalid_configurations(), 600)
    for case in cases:
        assert plainly_wrong(case), case
        assert case.configuration.problems(case.input_shape), case
        assert case.field == FLAWS[case.flaw].field
    assert {case.flaw for case in cases} == FLAWS.keys()


def test_invalid_cases_are_valid_but_for_their_flaw():
    """Each complaint names the flawed field, so nothing else can be what a layer refuses."""
    for case in drawn(invalid_configurations("max"), 200):
        for problem in case.configuration.problems(case.input_shape):
            named = "input has" if case.field == "input_shape" else case.field
            assert named in problem or "does not fit" in problem, case


def test_the_predicate_of_this_file_passes_valid_cases():
    kinds = ("max", "adaptive_max", "global_max")
    assert not any(plainly_wrong(case) for kind in kinds for case in drawn(pool_cases(kind), 100))


def test_flaws_can_be_chosen():
    cases = drawn(invalid_configurations("max", 2, flaws=("zero_strides",)), 20)
    assert all(0 in case.configuration.strides for case in cases)
    with pytest.raises(InvalidInputError, match="Did you mean 'zero_strides'"):
        invalid_configurations(flaws=("zero_stride",))
    with pytest.raises(InvalidInputError, match="none of these flaws"):
        invalid_configurations("global_max", flaws=("zero_window",))
