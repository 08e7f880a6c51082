"""Window arithmetic against hand-computed cases and the definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolaudit.configuration import (
    KINDS,
    TRAITS,
    PoolConfiguration,
    adaptive_bounds,
    same_padding,
    sliding_windows,
)
from poolaudit.errors import InvalidInputError

steady = settings(derandomize=True, deadline=None, max_examples=200)


@pytest.mark.parametrize(
    ("size", "window", "stride", "dilation", "expected"),
    [
        (5, 2, 2, 1, (0, 1)),
        (4, 2, 2, 1, (0, 0)),
        (5, 3, 2, 1, (1, 1)),
        (6, 3, 2, 1, (0, 1)),
        (3, 2, 5, 1, (0, 0)),
        (1, 4, 1, 1, (1, 2)),
        (5, 3, 1, 2, (2, 2)),
    ],
)
def test_same_padding_puts_the_odd_cell_behind(size, window, stride, dilation, expected):
    assert same_padding(size, window, stride, dilation) == expected


def test_clipped_windows_remember_which_taps_are_left():
    windows = sliding_windows(size=3, window=3, stride=2, padding=(2, 2), dilation=1)
    assert [(w.start, w.stop, w.first_tap) for w in windows] == [(0, 1, 2), (0, 3, 0), (2, 3, 0)]
    dilated = sliding_windows(size=5, window=3, stride=1, padding=(2, 2), dilation=2)
    assert [list(w.indices) for w in dilated] == [[0, 2], [1, 3], [0, 2, 4], [1, 3], [2, 4]]
    assert [w.first_tap for w in dilated] == [1, 1, 0, 0, 0]


@steady
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), st.data())
def test_windows_are_the_definition_cell_by_cell(size, window, stride, dilation, data):
    padding = data.draw(st.tuples(st.integers(0, 5), st.integers(0, 5)))
    windows = sliding_windows(size, window, stride, padding, dilation)
    starts = range(-padding[0], size + padding[1] - (window - 1) * dilation, stride)
    assert len(windows) == len(starts)
    for start, found in zip(starts, windows, strict=True):
        taps = [start + tap * dilation for tap in range(window)]
        assert list(found.indices) == [cell for cell in taps if 0 <= cell < size]
        if len(found):
            assert taps[found.first_tap] == found.start


@steady
@given(st.integers(1, 40), st.integers(1, 40))
def test_adaptive_windows_cover_every_cell_and_none_is_empty(size, outputs):
    bounds = adaptive_bounds(size, outputs)
    assert bounds == tuple(
        (math.floor(i * size / outputs + 1e-9), math.ceil((i + 1) * size / outputs - 1e-9)) for i in range(outputs)
    )
    assert all(start < stop for start, stop in bounds)
    assert {cell for start, stop in bounds for cell in range(start, stop)} == set(range(size))


def test_output_shapes_by_hand():
    assert PoolConfiguration("max", 2, (3, 2), (2, 1)).output_shape((4, 7, 5, 3)) == (4, 3, 4, 3)
    first = PoolConfiguration("max", 2, (2, 2), padding="same", data_format="channels_first")
    assert first.output_shape((4, 3, 7, 6)) == (4, 3, 4, 3)
    assert PoolConfiguration("global_average", 3).output_shape((2, 4, 5, 6, 7)) == (2, 7)
    kept = PoolConfiguration("global_average", 1, keepdims=True, data_format="channels_first")
    assert kept.output_shape((2, 7, 4)) == (2, 7, 1)
    assert PoolConfiguration("adaptive_max", 2, output_size=(3, 2)).output_shape((1, 7, 7, 2)) == (1, 3, 2, 2)
    assert PoolConfiguration("spp", 2, levels=(1, 2)).output_shape((1, 7, 7, 3)) == (1, 15)
    assert PoolConfiguration("max", 1, (5,)).output_shape((1, 4, 3)) == (1, 0, 3)


def test_unknown_sizes_stay_unknown_only_where_they_matter():
    assert PoolConfiguration("max", 2, (2, 2)).output_shape((None, None, 5, 3)) == (None, None, 2, 3)
    assert PoolConfiguration("global_max", 2).output_shape((None, None, None, 3)) == (None, 3)
    assert PoolConfiguration("adaptive_max", 1, output_size=(2,)).output_shape((None, None, 3)) == (None, 2, 3)


@pytest.mark.parametrize(
    ("configuration", "input_shape", "word"),
    [
        (PoolConfiguration("max", 1, (0,)), None, "not positive"),
        (PoolConfiguration("max", 1, (2,), (-1,)), None, "not positive"),
        (PoolConfiguration("max", 1, (True,)), None, "not an integer"),
        (PoolConfiguration("max", 1, (1.0,)), None, "not an integer"),
        (PoolConfiguration("max", 2, (2,)), None, "1 entries"),
        (PoolConfiguration("max", 1, (2**31,), padding="same"), None, "beyond int32"),
        (PoolConfiguration("max", 1, (2,), padding="SAME "), None, "padding"),
        (PoolConfiguration("max", 1, (2,), padding=((0, -1),)), None, "negative"),
        (PoolConfiguration("max", 1, (2,), data_format="NWC"), None, "data_format"),
        (PoolConfiguration("max", 1, (4,)), (1, 3, 1), "does not fit"),
        (PoolConfiguration("max", 1, (2,), dilation=(3,)), (1, 3, 1), "spanning 4"),
        (PoolConfiguration("max", 1, (2,)), (1, 3, 3, 1), "4 axes"),
        (PoolConfiguration("adaptive_max", 1), None, "output_size"),
        (PoolConfiguration("global_max", 1), (1, 0, 2), "no cells"),
    ],
)
def test_problems_name_what_is_wrong(configuration, input_shape, word):
    assert any(word in problem for problem in configuration.problems(input_shape))


def test_sound_configurations_have_no_problems():
    assert PoolConfiguration("max", 1, (4,), padding="same").problems((1, 3, 1)) == ()
    assert PoolConfiguration("max", 1, (4,), padding=((1, 0),)).problems((1, 3, 1)) == ()
    assert PoolConfiguration("global_max", 1).problems((0, 3, 0)) == ()
    assert PoolConfiguration("adaptive_max", 1, output_size=(5,)).problems((1, 3, 1)) == ()


def test_windows_of_padding_only_are_recognised():
    assert PoolConfiguration("max", 1, (2,), (1,), "same", (2,)).has_empty_window((1, 1, 1))
    assert not PoolConfiguration("max", 1, (2,), (1,), "same").has_empty_window((1, 1, 1))


def test_traits_follow_the_settings():
    assert "constant_preserving" in PoolConfiguration("average", 1, (2,), padding="same").traits
    counted = PoolConfiguration("average", 1, (2,), padding="same", count_padding=True)
    assert "constant_preserving" not in counted.traits
    assert "monotone" not in PoolConfiguration("mixed", 1, (2,), alpha=1.5).traits


def test_every_trait_is_used_and_every_kind_has_a_layout():
    used = {trait for kind in KINDS for trait in kind.traits}
    assert used == TRAITS.keys()
    with pytest.raises(KeyError, match="no trait"):
        KINDS.get("max").has("monotonous")


def test_unknown_kinds_are_refused_with_a_suggestion():
    with pytest.raises(InvalidInputError, match="Did you mean 'average'"):
        _ = PoolConfiguration("avrage", 1).known_kind


def test_unknown_kind_takes_its_layout_from_its_fields():
    assert PoolConfiguration("unknown", 1, (2,)).layout == "windowed"
    assert PoolConfiguration("unknown", 1, output_size=(2,)).layout == "adaptive"
    with pytest.raises(InvalidInputError, match="declares no window"):
        PoolConfiguration("unknown", 1).axis_windows(0, 3)


def test_arguments_and_repr_carry_what_the_kind_needs():
    assert PoolConfiguration("gem", 1, (2,), p=2.0).arguments()["p"] == 2.0
    assert "pool_size" not in PoolConfiguration("subsample", 1, strides=(2,)).arguments()
    assert PoolConfiguration("spp", 2, levels=(1, 3)).arguments()["levels"] == (1, 3)
    assert repr(PoolConfiguration("max", 1, (2,))) == "PoolConfiguration('max', rank=1, window=(2,))"
