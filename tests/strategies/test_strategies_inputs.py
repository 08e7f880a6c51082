"""Inputs replay from their line, keep their promises and shrink; masks leave what they should."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from poolaudit.errors import InvalidInputError
from poolaudit.strategies import (
    FINITE_INPUTS,
    INPUT_KINDS,
    masks,
    pool_input,
    pool_inputs,
    special_elements,
    special_inputs,
    upstream_gradients,
)

steady = settings(derandomize=True, deadline=None, max_examples=60)
DTYPES = ("float16", "bfloat16", "float32", "float64")


def replayed(described):
    """The array a reader gets who pastes the line."""
    return eval(described.describe, {"np": np, "ml_dtypes": ml_dtypes})  # noqa: S307 - our own line is the subject


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", INPUT_KINDS)
@pytest.mark.parametrize("shape", [(2, 3, 2), (1, 1, 1), (0, 4, 1)])
def test_one_line_of_numpy_makes_the_same_array(kind, dtype, shape):
    for seed in (0, 11):
        described = pool_input(shape, dtype, kind, seed)
        assert "\n" not in described.describe
        assert repr(described) == described.describe
        assert described.array.shape == shape
        assert described.array.dtype == np.dtype(getattr(ml_dtypes, dtype, dtype))
        again = replayed(described)
        assert again.dtype == described.array.dtype
        assert again.tobytes() == described.array.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_finite_kinds_are_finite_and_sums_of_them_do_not_overflow(dtype):
    largest = float(ml_dtypes.finfo(getattr(ml_dtypes, dtype, dtype)).max)
    for kind in FINITE_INPUTS:
        array = pool_input((2, 6, 6, 3), dtype, kind, 5).array.astype(np.float64)
        assert np.isfinite(array).all()
        assert abs(array).sum() < largest


def test_kinds_hold_what_they_say():
    assert len(np.unique(pool_input((4, 5), "float32", "permutation", 3).array)) == 20
    assert len(np.unique(pool_input((4, 5), "float32", "ties", 3).array)) <= 5
    assert pool_input((4, 5), "float32", "spike", 7).array.sum() == 1
    assert pool_input((4, 5), "float32", "halves", 7).array.sum() == 10
    assert (pool_input((4, 5), "float32", "negative", 7).array <= -1).all()
    assert pool_input((3,), "float16", "half_maximum", 0).array[0] == 32752
    specials = pool_input((40, 40), "float32", "specials", 0).array
    assert np.isnan(specials).any()
    assert np.isinf(specials).any()
    assert np.finfo(np.float32).max in specials
    assert np.finfo(np.float32).tiny in specials


@steady
@given(pool_inputs((2, 4, 1)), upstream_gradients((2, 2, 1), "float64"), special_inputs((1, 5, 1), "float16"))
def test_drawn_inputs_have_their_shape_and_cannot_be_written(data, upstream, special):
    assert data.kind in FINITE_INPUTS
    assert (data.array.shape, upstream.array.shape, special.array.shape) == ((2, 4, 1), (2, 2, 1), (1, 5, 1))
    for described in (data, upstream, special):
        np.testing.assert_array_equal(replayed(described), described.array)
        assert not described.array.flags.writeable


def test_inputs_shrink_to_the_first_kind_and_seed():
    least = find(pool_inputs((1, 3, 1)), lambda data: True)
    assert (least.kind, least.seed) == ("ties", 0)
    spoilt = find(special_inputs((1, 4, 1)), lambda data: bool(np.isnan(data.array).any()))
    assert sorted(spoilt.array.ravel().tolist(), key=math.isnan)[:3] == [0, 0, 0]


def test_special_elements_hold_both_zeros_and_both_extremes():
    found = {str(find(special_elements(), lambda v, s=s: str(v) == s)) for s in ("-0.0", "0.0", "nan", "-inf")}
    assert found == {"-0.0", "0.0", "nan", "-inf"}
    assert find(special_elements("float16"), lambda v: math.isfinite(v) and v > 1) == 65504.0


def test_large_special_arrays_are_filled_with_zeros():
    array = find(special_inputs((5, 5), elements=st.just(1.0)), lambda data: True).array
    assert array.ravel().tolist() == [1.0] * 16 + [0.0] * 9


@steady
@given(masks(3, 5))
def test_masks_leave_a_step_in_every_row(mask):
    assert mask.shape == (3, 5)
    assert mask.dtype == np.bool_
    assert mask.any(axis=1).all()


def test_masks_reach_every_pattern():
    def row(wanted):
        return find(masks(1, 3), lambda mask: mask[0].tolist() == wanted)

    for wanted in ([True] * 3, [True, False, False], [False, False, True], [True, False, True]):
        assert row(wanted).shape == (1, 3)
    assert not find(masks(1, 3, fully_masked=True), lambda mask: not mask.any()).any()
    assert find(masks(2, 3), lambda mask: True).all()
    assert find(masks(2, 0), lambda mask: True).shape == (2, 0)


def test_unknown_names_are_refused():
    with pytest.raises(InvalidInputError, match="no dtype 'int8'"):
        pool_inputs((1,), "int8")
    with pytest.raises(InvalidInputError, match="Did you mean 'normal'"):
        pool_inputs((1,), kinds=("norml",))
