"""The slips that developers of pooling layers make are caught within the examples a quick run affords."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from poolaudit.reference import pool
from poolaudit.strategies import FINITE_INPUTS, pool_cases, pool_input


def zero_padding_wins(configuration, x):
    return np.maximum(pool(configuration, x), 0) if configuration.padding == "same" else pool(configuration, x)


def odd_cell_in_front(configuration, x):
    axes = configuration.spatial_axes()
    return np.flip(pool(configuration, np.flip(x, axes)), axes)


def default_stride_of_one(configuration, x):
    if configuration.strides is None:
        configuration = replace(configuration, strides=(1,) * configuration.rank)
    return pool(configuration, x)


def padding_in_the_divisor(configuration, x):
    return pool(replace(configuration, count_padding=True), x)


def strides_swapped(configuration, x):
    strides = configuration.effective_strides[::-1]
    return pool(replace(configuration, strides=strides), x)


def window_cut_to_the_input(configuration, x):
    sizes = configuration.spatial_shape(x.shape)
    window = tuple(min(k, n) for k, n in zip(configuration.effective_window, sizes, strict=True))
    return pool(replace(configuration, window=window, strides=configuration.effective_strides), x)


def last_channels_forgotten(configuration, x):
    pooled = pool(configuration, x)
    pooled[..., 16:] = 0
    return pooled


def caught(layer, kind, rank, examples=60):
    @settings(derandomize=True, deadline=None, database=None, max_examples=examples, phases=[Phase.generate])
    @given(pool_cases(kind, rank), st.sampled_from(FINITE_INPUTS), st.integers(0, 65535))
    def equals_the_reference(case, data, seed):
        x = pool_input(case.input_shape, "float32", data, seed).array
        found, expected = layer(case.configuration, x), pool(case.configuration, x)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)

    try:
        equals_the_reference()
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (zero_padding_wins, "max"),
        (odd_cell_in_front, "max"),
        (odd_cell_in_front, "average"),
        (default_stride_of_one, "max"),
        (padding_in_the_divisor, "average"),
        (strides_swapped, "max"),
        (window_cut_to_the_input, "max"),
        (last_channels_forgotten, "average"),
    ],
)
def test_a_guilty_layer_is_caught_within_sixty_examples(layer, kind):
    assert caught(layer, kind, 2)


def test_the_innocent_layer_passes():
    assert not caught(pool, "max", 2)
    assert not caught(pool, "average", 3)
