"""The reference against hand-computed cases, SciPy, scikit-image and a padded sliding-window implementation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.special import logsumexp
from skimage.measure import block_reduce

from poolaudit.configuration import KINDS, PoolConfiguration
from poolaudit.errors import InvalidInputError
from poolaudit.reference import pool
from poolaudit.strategies import FINITE_INPUTS, pool_cases, pool_input

steady = settings(derandomize=True, deadline=None, max_examples=80)
ROW = np.array([1.0, 5.0, 2.0, -3.0, 4.0])


def one_dimensional(configuration, row, **options):
    return pool(configuration, np.asarray(row)[None, :, None], **options).ravel()


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        (PoolConfiguration("max", 1, (2,)), [5, 2]),
        (PoolConfiguration("max", 1, (2,), padding="same"), [5, 2, 4]),
        (PoolConfiguration("max", 1, (2,), (1,), ((1, 0),)), [1, 5, 5, 2, 4]),
        (PoolConfiguration("max", 1, (2,), (1,), "valid", (3,)), [1, 5]),
        (PoolConfiguration("average", 1, (2,), padding="same"), [3, -0.5, 4]),
        (PoolConfiguration("average", 1, (2,), padding="same", count_padding=True), [3, -0.5, 2]),
        (PoolConfiguration("average", 1, (3,), (2,), "same"), [3, 4 / 3, 0.5]),
        (PoolConfiguration("min", 1, (3,), (2,)), [1, -3]),
        (PoolConfiguration("median", 1, (3,), (1,)), [2, 2, 2]),
        (PoolConfiguration("median", 1, (2,)), [3, -0.5]),
        (PoolConfiguration("median", 1, (2,), even_median="lower"), [1, -3]),
        (PoolConfiguration("median", 1, (2,), even_median="upper"), [5, 2]),
        (PoolConfiguration("rms", 1, (2,)), [math.sqrt(13), math.sqrt(6.5)]),
        (PoolConfiguration("gem", 1, (2,), p=1.0, epsilon=0.5), [3, 1.25]),
        (PoolConfiguration("gem", 1, (2,), p=3.0), [63 ** (1 / 3), 4 ** (1 / 3)]),
        (PoolConfiguration("lse", 1, (2,), sharpness=2.0), [math.log((math.e**2 + math.e**10) / 2) / 2, None]),
        (PoolConfiguration("mixed", 1, (2,), alpha=0.25), [3.5, 0.125]),
        (PoolConfiguration("blur", 1, (3,), (2,)), [13 / 4, 0]),
        (PoolConfiguration("blur", 1, (3,), (2,), "same"), [7 / 3, 1.5, 5 / 3]),
        (PoolConfiguration("blur", 1, (3,), (2,), "same", count_padding=True), [1.75, 1.5, 1.25]),
        (PoolConfiguration("subsample", 1, strides=(2,)), [1, 2, 4]),
        (PoolConfiguration("stochastic", 1, (2,), (4,)), [26 / 6]),
        (PoolConfiguration("adaptive_max", 1, output_size=(3,)), [5, 5, 4]),
        (PoolConfiguration("adaptive_average", 1, output_size=(2,)), [8 / 3, 1]),
        (PoolConfiguration("global_average", 1), [1.8]),
        (PoolConfiguration("global_max", 1), [5]),
        (PoolConfiguration("spp", 1, levels=(1, 2)), [5, 5, 4]),
    ],
)
def test_values_by_hand(configuration, expected):
    found = one_dimensional(configuration, ROW)
    assert len(found) == len(expected)
    for value, wanted in zip(found, expected, strict=True):
        if wanted is not None:
            assert value == pytest.approx(wanted, abs=1e-6)


SLIDING = {
    "max": np.nanmax,
    "min": np.nanmin,
    "average": np.nanmean,
    "median": np.nanmedian,
    "rms": lambda w, axis: np.sqrt(np.nanmean(w**2, axis=axis)),
}


def sliding(configuration, x):
    """Independent of the reference: pad with NaN, take sliding views, reduce with the nan-functions."""
    rank = configuration.rank
    window, strides, dilation = (
        configuration.effective_window,
        configuration.effective_strides,
        configuration.effective_dilation,
    )
    spans = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
    pads = []
    for axis in range(rank):
        size = x.shape[1 + axis]
        if configuration.padding == "same":
            total = max((math.ceil(size / strides[axis]) - 1) * strides[axis] + spans[axis] - size, 0)
            pads.append((total // 2, total - total // 2))
        else:
            pads.append((0, 0) if configuration.padding == "valid" else configuration.padding[axis])
    padded = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=np.nan)
    views = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(range(1, 1 + rank)))
    steps = (slice(None), *(slice(None, None, s) for s in strides), slice(None))
    taps = tuple(slice(None, None, d) for d in dilation)
    return SLIDING[configuration.kind](views[steps + taps], axis=tuple(range(-rank, 0)))


@pytest.mark.parametrize("kind", sorted(SLIDING))
def test_windowed_kinds_agree_with_padded_sliding_views(kind):
    @steady
    @given(
        pool_cases(kind, paddings=("valid", "same", "explicit"), dilation=True, batches=(1, 2)),
        st.sampled_from(FINITE_INPUTS),
        st.integers(0, 999),
    )
    def agrees(case, data, seed):
        x = pool_input(case.input_shape, "float64", data, seed).array
        np.testing.assert_allclose(pool(case.configuration, x), sliding(case.configuration, x), rtol=1e-12, atol=1e-12)

    agrees()


@pytest.mark.parametrize(("window", "stride"), [((2, 3), (1, 2)), ((3, 3), (2, 2)), ((4, 1), (3, 1))])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_maximum_and_average_agree_with_scipy_filters(window, stride, padding):
    x = np.random.default_rng(3).standard_normal((7, 9))
    configuration = PoolConfiguration("max", 2, window, stride, padding)
    shape = configuration.output_shape((1, 7, 9, 1))[1:3]
    before = [configuration.axis_padding(axis, size)[0] for axis, size in enumerate(x.shape)]
    margin = 5
    # SciPy centres window k at i - k // 2; a wide margin keeps every sampled centre inside the array.
    centres = [
        np.arange(outputs) * s - p + k // 2 + margin
        for outputs, s, p, k in zip(shape, stride, before, window, strict=True)
    ]
    walled = np.pad(x, margin, constant_values=-np.inf)
    largest = ndimage.maximum_filter(walled, window)[np.ix_(*centres)]
    np.testing.assert_array_equal(pool(configuration, x[None, ..., None])[0, ..., 0], largest)
    inside = np.pad(np.ones_like(x), margin)
    sums, counts = (ndimage.uniform_filter(a, window)[np.ix_(*centres)] for a in (np.pad(x, margin), inside))
    average = PoolConfiguration("average", 2, window, stride, padding)
    np.testing.assert_allclose(pool(average, x[None, ..., None])[0, ..., 0], sums / counts, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("kind", "function"), [("max", np.max), ("average", np.mean), ("min", np.min), ("median", np.median)]
)
def test_tiling_windows_agree_with_scikit_image(kind, function, rank):
    x = np.random.default_rng(rank).standard_normal((2, *(6, 4, 9)[:rank], 3))
    window = (3, 2, 3)[:rank]
    blocks = block_reduce(x, (1, *window, 1), function)
    np.testing.assert_allclose(pool(PoolConfiguration(kind, rank, window), x), blocks, rtol=1e-14)
    outputs = tuple(n // k for n, k in zip(x.shape[1:-1], window, strict=True))
    adaptive = PoolConfiguration(f"adaptive_{kind}", rank, output_size=outputs)
    np.testing.assert_allclose(pool(adaptive, x), blocks, rtol=1e-14)
    whole = PoolConfiguration(f"global_{kind}", rank)
    axes = tuple(range(1, rank + 1))
    np.testing.assert_allclose(pool(whole, x), function(x, axis=axes), rtol=1e-14)


@pytest.mark.parametrize(("kind", "options"), [("gem", {"p": 2.5}), ("lse", {"sharpness": 3.0})])
def test_smooth_means_agree_with_scipy_generic_filters(kind, options):
    x = np.abs(np.random.default_rng(0).standard_normal(11)) + 0.1
    functions = {
        "gem": lambda w: np.mean(w**2.5) ** (1 / 2.5),
        "lse": lambda w: (logsumexp(3.0 * w) - math.log(len(w))) / 3.0,
    }
    filtered = ndimage.generic_filter(x, functions[kind], 3)[1:-1:2]
    found = one_dimensional(PoolConfiguration(kind, 1, (3,), (2,), **options), x)
    np.testing.assert_allclose(found, filtered, rtol=1e-12)


def test_blur_agrees_with_scipy_convolution():
    x = np.random.default_rng(0).standard_normal((8, 9))
    kernel = np.outer([1, 3, 3, 1], [1, 2, 1]) / 32
    filtered = ndimage.correlate(np.pad(x, 5), kernel, mode="constant")
    before = (1, 1)
    configuration = PoolConfiguration("blur", 2, (4, 3), (2, 2), "same", count_padding=True)
    assert tuple(configuration.axis_padding(axis, x.shape[axis])[0] for axis in (0, 1)) == before
    centres = np.ix_(np.arange(4) * 2 - 1 + 2 + 5, np.arange(5) * 2 - 1 + 1 + 5)
    np.testing.assert_allclose(pool(configuration, x[None, ..., None])[0, ..., 0], filtered[centres])


@steady
@given(st.sampled_from(("max", "average", "min")), st.integers(1, 9), st.integers(1, 9), st.integers(1, 11))
def test_adaptive_kinds_reduce_their_slices(reduction, height, width, outputs):
    x = np.random.default_rng(height).integers(-9, 9, (2, height, width, 2)).astype(float)
    function = {"max": np.max, "average": np.mean, "min": np.min}[reduction]
    found = pool(PoolConfiguration(f"adaptive_{reduction}", 2, output_size=(outputs, 2)), x)
    for i, j in itertools.product(range(outputs), range(2)):
        rows = slice(i * height // outputs, math.ceil((i + 1) * height / outputs - 1e-12))
        columns = slice(j * width // 2, math.ceil((j + 1) * width / 2 - 1e-12))
        np.testing.assert_allclose(found[:, i, j], function(x[:, rows, columns], axis=(1, 2)))


@steady
@given(pool_cases(paddings=("valid", "same", "explicit"), batches=(0, 1, 2)), st.integers(0, 99))
def test_channels_first_is_the_transposed_of_channels_last(case, seed):
    from dataclasses import replace

    x = np.abs(np.random.default_rng(seed).standard_normal(case.input_shape))
    first = replace(case.configuration, data_format="channels_first")
    last, moved = pool(case.configuration, x), pool(first, np.moveaxis(x, -1, 1))
    assert moved.shape == first.output_shape(np.moveaxis(x, -1, 1).shape)
    np.testing.assert_array_equal(moved, np.moveaxis(last, -1, 1) if last.ndim > 2 else last)


@pytest.mark.parametrize("name", [kind.name for kind in KINDS if kind.has("constant_preserving")])
@pytest.mark.parametrize("constant", [0.75, 3.0])
def test_constants_come_back(name, constant):
    kind = KINDS.get(name)
    configuration = PoolConfiguration(
        name,
        2,
        window=(3, 2) if kind.layout == "windowed" and name != "subsample" else None,
        strides=(2, 1) if kind.layout == "windowed" else None,
        padding="same",
        output_size=(2, 3) if kind.layout == "adaptive" else None,
    )
    found = pool(configuration, np.full((1, 5, 4, 2), constant))
    np.testing.assert_allclose(found, constant, rtol=1e-12)


def test_not_a_number_propagates_within_its_windows_only():
    row = [1.0, np.nan, 3.0, 4.0]
    for kind in ("max", "average", "min", "median", "rms", "gem", "lse", "mixed", "blur", "stochastic"):
        found = one_dimensional(PoolConfiguration(kind, 1, (2,)), row)
        assert np.isnan(found[0]), kind
        assert np.isfinite(found[1]), kind


def test_infinities_follow_the_definition():
    row = [-np.inf, -np.inf, np.inf, 1.0, np.inf, -np.inf]
    assert list(one_dimensional(PoolConfiguration("max", 1, (2,)), row)) == [-np.inf, np.inf, np.inf]
    assert list(one_dimensional(PoolConfiguration("min", 1, (2,)), row)) == [-np.inf, 1.0, -np.inf]
    average = one_dimensional(PoolConfiguration("average", 1, (2,)), row)
    assert list(average[:2]) == [-np.inf, np.inf]
    assert np.isnan(average[2])
    assert list(one_dimensional(PoolConfiguration("lse", 1, (2,)), row))[:2] == [-np.inf, np.inf]
    assert list(one_dimensional(PoolConfiguration("median", 1, (2,)), row))[:2] == [-np.inf, np.inf]


@pytest.mark.parametrize("kind", ["average", "rms", "gem", "lse", "mixed", "stochastic", "blur", "median"])
def test_means_of_the_largest_values_do_not_overflow(kind):
    largest = np.finfo(np.float64).max
    assert one_dimensional(PoolConfiguration(kind, 1, (3,)), [largest] * 3) == pytest.approx(largest)


def test_masked_steps_are_deleted_whatever_they_hold():
    x = np.array([[[1.0], [2.0], [6.0]], [[4.0], [np.nan], [np.inf]]])
    mask = np.array([[True, True, True], [True, False, False]])
    for kind, first in (("average", 3.0), ("max", 6.0), ("min", 1.0), ("median", 2.0), ("rms", math.sqrt(41 / 3))):
        found = pool(PoolConfiguration(f"global_{kind}", 1), x, mask)
        np.testing.assert_allclose(found.ravel(), [first, 4.0])
    windowed = pool(PoolConfiguration("average", 1, (2,), padding="same"), x, mask)
    assert windowed[0].ravel().tolist() == [1.5, 6.0]
    assert windowed[1, 0, 0] == 4.0
    assert np.isnan(windowed[1, 1, 0])


def test_windows_of_padding_only_have_no_value_unless_padding_counts():
    configuration = PoolConfiguration("max", 1, (1,), (1,), ((1, 0),))
    assert np.isnan(one_dimensional(configuration, [2.0])[0])
    counted = PoolConfiguration("average", 1, (1,), (1,), ((1, 0),), count_padding=True)
    assert one_dimensional(counted, [2.0]).tolist() == [0.0, 2.0]


def test_empty_batches_and_channels_have_the_right_shape():
    configuration = PoolConfiguration("average", 2, (2, 2))
    assert pool(configuration, np.zeros((0, 4, 4, 3))).shape == (0, 2, 2, 3)
    assert pool(configuration, np.zeros((2, 4, 4, 0))).shape == (2, 2, 2, 0)
    assert pool(PoolConfiguration("global_max", 2), np.zeros((2, 4, 4, 0))).shape == (2, 0)


@pytest.mark.parametrize(
    ("configuration", "x", "mask", "word"),
    [
        (PoolConfiguration("max", 1, (4,)), np.zeros((1, 3, 1)), None, "does not fit"),
        (PoolConfiguration("max", 1, (0,)), np.zeros((1, 3, 1)), None, "not positive"),
        (PoolConfiguration("unknown", 1, (2,)), np.zeros((1, 3, 1)), None, "no formula"),
        (PoolConfiguration("global_max", 1), np.zeros((1, 3, 1)), np.ones((1, 2)), "mask has shape"),
    ],
)
def test_what_is_not_defined_is_refused(configuration, x, mask, word):
    with pytest.raises(InvalidInputError, match=word):
        pool(configuration, x, mask)
