"""Gradients against finite differences and hand-computed cases; the tie rule against guilty gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolaudit.configuration import KINDS, PoolConfiguration
from poolaudit.errors import InvalidInputError
from poolaudit.reference import (
    gradient_bounds,
    gradient_support,
    is_convex_split,
    pool,
    pool_gradient,
    window_membership,
)
from poolaudit.strategies import pool_cases, pool_input, upstream_gradients

steady = settings(derandomize=True, deadline=None, max_examples=60)
FORMULA_KINDS = [kind.name for kind in KINDS if kind.has("has_formula")]


@pytest.mark.parametrize("kind", FORMULA_KINDS)
def test_gradients_agree_with_finite_differences(kind):
    @settings(derandomize=True, deadline=None, max_examples=12)
    @given(
        pool_cases(
            kind,
            paddings=("valid", "same", "explicit"),
            dilation=True,
            data_formats=("channels_last", "channels_first"),
            batches=(1, 2),
            channels=(1, 3),
        ),
        st.integers(0, 999),
    )
    def agrees(case, seed):
        # Spread, positive, tie-free data: no step crosses a tie, and every kind is smooth there.
        generator = np.random.default_rng(seed)
        x = (generator.permutation(np.prod(case.input_shape)).reshape(case.input_shape) + 1) / 8
        direction, upstream = (generator.standard_normal(s) for s in (x.shape, case.output_shape))
        step = 1e-5
        ahead, behind = (pool(case.configuration, x + sign * step * direction) for sign in (1, -1))
        measured = float(((ahead - behind) * upstream).sum()) / (2 * step)
        gradient = pool_gradient(case.configuration, x, upstream)
        assert float((gradient * direction).sum()) == pytest.approx(measured, rel=1e-5, abs=1e-6)
        assert not gradient[~gradient_support(case.configuration, x)].any()

    agrees()


def test_ties_are_shared_evenly_or_given_to_the_first():
    x = np.array([[[2.0], [2.0], [1.0], [3.0]]])
    configuration = PoolConfiguration("max", 1, (2,))
    upstream = np.array([[[4.0], [8.0]]])
    assert pool_gradient(configuration, x, upstream).ravel().tolist() == [2, 2, 0, 8]
    assert pool_gradient(configuration, x, upstream, ties="first").ravel().tolist() == [4, 0, 0, 8]
    assert gradient_support(configuration, x).ravel().tolist() == [True, True, False, True]
    lower, upper = gradient_bounds(configuration, x, upstream)
    assert lower.ravel().tolist() == [0, 0, 0, 8]
    assert upper.ravel().tolist() == [4, 4, 0, 8]


@pytest.mark.parametrize(
    ("gradient", "right"),
    [
        ([2, 2, 0, 8], True),
        ([4, 0, 0, 8], True),
        ([1, 3, 0, 8], True),
        ([4, 4, 0, 8], False),
        ([2, 1, 0, 8], False),
        ([5, -1, 0, 8], False),
        ([2, 2, 8, 0], False),
        ([2, 2, 1, 7], False),
        ([6, 0, 0, 6], False),
        ([np.nan, 2, 0, 8], False),
    ],
)
def test_any_convex_split_of_ties_is_right_and_nothing_else(gradient, right):
    x = np.array([[[2.0], [2.0], [1.0], [3.0]]])
    upstream = np.array([[[4.0], [8.0]]])
    configuration = PoolConfiguration("max", 1, (2,))
    found = np.array(gradient, dtype=float).reshape(x.shape)
    assert is_convex_split(configuration, x, upstream, found) is right


def test_mass_must_not_move_between_unlinked_windows():
    x = np.ones((1, 4, 1))
    configuration = PoolConfiguration("max", 1, (2,))
    upstream = np.array([[[4.0], [4.0]]])
    assert is_convex_split(configuration, x, upstream, np.array([1.0, 3, 2, 2]).reshape(x.shape))
    assert not is_convex_split(configuration, x, upstream, np.array([2.0, 1, 3, 2]).reshape(x.shape))


@pytest.mark.parametrize("kind", ["max", "min", "adaptive_max", "global_min", "spp"])
def test_both_tie_rules_are_convex_splits_and_doubled_ones_are_not(kind):
    @steady
    @given(pool_cases(kind, batches=(1, 2)), st.sampled_from(("ties", "constant", "post_relu")), st.data())
    def holds(case, data_kind, data):
        x = pool_input(case.input_shape, "float32", data_kind, data.draw(st.integers(0, 99))).array
        upstream = data.draw(upstream_gradients(case.output_shape)).array
        for ties in ("even", "first"):
            gradient = pool_gradient(case.configuration, x, upstream, ties=ties)
            assert is_convex_split(case.configuration, x, upstream, gradient)
            assert np.isclose(gradient.sum(), upstream.astype(float).sum(), atol=1e-9)
            # Twice the mass is no split of the mass; where it is 0, windows that overlap may hide the factor.
            if abs(upstream.astype(float).sum()) > 1e-3:
                assert not is_convex_split(case.configuration, x, upstream, 2 * gradient)

    holds()


@steady
@given(pool_cases(batches=(1, 2)), st.integers(0, 99))
def test_kinds_with_partition_of_unity_keep_the_gradient_mass(case, seed):
    generator = np.random.default_rng(seed)
    x = np.abs(generator.integers(-3, 4, case.input_shape)) + 0.5
    upstream = generator.standard_normal(case.output_shape)
    mass = pool_gradient(case.configuration, x, upstream).sum()
    if "partition_of_unity" in case.configuration.traits:
        assert mass == pytest.approx(upstream.sum(), abs=1e-9)
    if "degree_one" in case.configuration.traits:
        euler = (pool_gradient(case.configuration, x, upstream) * x).sum()
        assert euler == pytest.approx((pool(case.configuration, x) * upstream).sum(), abs=1e-9)


def test_masked_cells_have_no_gradient():
    x = np.array([[[1.0], [9.0], [3.0]]])
    mask = np.array([[True, False, True]])
    upstream = np.array([[6.0]])
    assert pool_gradient(PoolConfiguration("global_average", 1), x, upstream, mask).ravel().tolist() == [3, 0, 3]
    assert pool_gradient(PoolConfiguration("global_max", 1), x, upstream, mask).ravel().tolist() == [0, 0, 6]
    assert is_convex_split(
        PoolConfiguration("global_max", 1), x, upstream, np.array([0, 0, 6.0]).reshape(1, 3, 1), mask
    )


@pytest.mark.parametrize("kind", FORMULA_KINDS)
def test_gradients_are_finite_on_zeros(kind):
    layout = KINDS.get(kind).layout
    configuration = PoolConfiguration(
        kind,
        1,
        window=(2,) if layout == "windowed" and kind != "subsample" else None,
        strides=(2,) if kind == "subsample" else None,
        output_size=(2,) if layout == "adaptive" else None,
    )
    x = np.zeros((1, 4, 1))
    assert np.isfinite(pool_gradient(configuration, x, np.ones_like(pool(configuration, x)))).all()


def test_wrong_shapes_and_kinds_are_refused():
    x = np.zeros((1, 4, 1))
    with pytest.raises(InvalidInputError, match="upstream gradient has shape"):
        pool_gradient(PoolConfiguration("max", 1, (2,)), x, np.zeros((1, 4, 1)))
    with pytest.raises(InvalidInputError, match="extreme cells"):
        gradient_bounds(PoolConfiguration("average", 1, (2,)), x, np.zeros((1, 2, 1)))


@steady
@given(pool_cases(paddings=("valid", "same", "explicit"), dilation=True, batches=(1,), channels=(1,)))
def test_membership_is_where_changes_of_a_counting_kind_arrive(case):
    from dataclasses import replace

    configuration = case.configuration
    counting = {"windowed": "average", "adaptive": "adaptive_average", "global": "global_average"}
    if configuration.layout in counting and configuration.kind != "subsample":
        configuration = replace(configuration, kind=counting[configuration.layout])
    elif configuration.layout == "pyramid":
        configuration = replace(configuration, pyramid_reduction="average")
    cells = int(np.prod(case.input_shape))
    units = np.eye(cells).reshape(cells, *case.input_shape[1:])
    responses = pool(configuration, units).reshape(cells, -1)
    membership = window_membership(configuration, case.input_shape)
    np.testing.assert_array_equal(membership, responses.T != 0)
    assert not membership.flags.writeable
