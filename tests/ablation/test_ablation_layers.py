"""The layers that variants put in: against their definitions, in every rank, format, padding and dtype."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from poolaudit.ablation import layers  # noqa: E402

SIZES = {1: (9,), 2: (9, 7), 3: (5, 6, 4)}
CASES = [
    (rank, window, stride, padding, data_format)
    for rank in (1, 2, 3)
    for window, stride in ((2, 2), (3, 2), (2, 3), (3, 3))
    for padding in ("valid", "same")
    for data_format in ("channels_last", "channels_first")
]


def inputs(rank: int, data_format: str, dtype: str = "float32") -> np.ndarray[Any, Any]:
    x = np.random.default_rng(3).normal(size=(2, *SIZES[rank], 3)).astype(dtype)
    return np.moveaxis(x, -1, 1) if data_format == "channels_first" else x


def made(name: str, rank: int, **settings: Any) -> Any:
    return getattr(layers, f"{name}{rank}D")(**settings)


@pytest.mark.parametrize(("rank", "window", "stride", "padding", "data_format"), CASES)
def test_shapes_are_those_of_pooling_and_a_filter_of_one_is_pooling(
    rank: int, window: int, stride: int, padding: str, data_format: str
) -> None:
    settings = {"pool_size": window, "strides": stride, "padding": padding, "data_format": data_format}
    x = inputs(rank, data_format)
    for reduction, keras_name in (("max", "Max"), ("average", "Average")):
        pooled = np.asarray(getattr(keras.layers, f"{keras_name}Pooling{rank}D")(**settings)(x))
        plain = made("BlurPooling", rank, **settings, filter_size=1, reduction=reduction)(x)
        np.testing.assert_allclose(plain, pooled, rtol=1e-6, atol=1e-6)
        for name in ("BlurPooling", "PolyphasePooling"):
            layer = made(name, rank, **settings, reduction=reduction)
            assert layer(x).shape == pooled.shape
            assert layer.compute_output_shape(x.shape) == pooled.shape
    for name in ("Subsampling", "GeMPooling", "MixedPooling"):
        assert made(name, rank, **settings)(x).shape == pooled.shape


def starts(size: int, window: int, stride: int, padding: str) -> list[int]:
    """First cell of every window, by TensorFlow's rule."""
    if padding == "valid":
        return [o * stride for o in range((size - window) // stride + 1)]
    count = -(-size // stride)
    before = max((count - 1) * stride + window - size, 0) // 2
    return [o * stride - before for o in range(count)]


def windows(x: Any, window: int, stride: int, padding: str) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Output index and the cells of its window that exist, for one item, channels last."""
    spaces = [list(enumerate(starts(size, window, stride, padding))) for size in x.shape[:-1]]
    for places in itertools.product(*spaces):
        cut = tuple(slice(max(start, 0), start + window) for _, start in places)
        yield tuple(o for o, _ in places), x[cut].reshape(-1, x.shape[-1])


@pytest.mark.parametrize(
    ("rank", "window", "stride", "padding"), [(1, 3, 2, "same"), (2, 2, 2, "valid"), (3, 2, 2, "same")]
)
def test_gem_and_mixed_follow_their_formulas(rank: int, window: int, stride: int, padding: str) -> None:
    x = inputs(rank, "channels_last")
    gem = np.asarray(made("GeMPooling", rank, pool_size=window, strides=stride, padding=padding, p=2.5)(x))
    mixed = np.asarray(made("MixedPooling", rank, pool_size=window, strides=stride, padding=padding)(x))
    for place, cells in windows(x[0].astype(np.float64), window, stride, padding):
        power = (np.maximum(cells, 1e-6) ** 2.5).mean(0) ** (1 / 2.5)
        np.testing.assert_allclose(gem[(0, *place)], power, rtol=1e-4)
        np.testing.assert_allclose(mixed[(0, *place)], (cells.max(0) + cells.mean(0)) / 2, rtol=1e-4, atol=1e-6)


def test_blur_weighs_neighbouring_windows_binomially_and_keeps_constants() -> None:
    x = inputs(1, "channels_last")
    blurred = np.asarray(layers.BlurPooling1D(3, 2, "valid", filter_size=5)(x))[0]
    dense = np.stack([x[0, i : i + 3].max(0) for i in range(7)])
    for output in range(3 + 1):
        weights = {2 * output + tap - 2: comb(4, tap) for tap in range(5) if 0 <= 2 * output + tap - 2 < 7}
        expected = sum(w * dense[i] for i, w in weights.items()) / sum(weights.values())
        np.testing.assert_allclose(blurred[output], expected, rtol=1e-5)
    constant = np.full((1, 5, 5, 1), -3.0, np.float32)
    assert np.allclose(layers.BlurPooling2D(3, 2, "same")(constant), -3)


def test_polyphase_pooling_follows_a_shift_that_plain_pooling_does_not() -> None:
    generator = np.random.default_rng(0)
    x = np.zeros((1, 16, 16, 2), np.float32)
    x[:, 4:11, 3:10] = generator.uniform(size=(1, 7, 7, 2))
    moved = np.roll(x, (1, 1), axis=(1, 2))
    adaptive, plain = layers.PolyphasePooling2D(2), keras.layers.MaxPooling2D(2)

    def sorted_values(layer: Any, image: Any) -> Any:
        return np.sort(np.asarray(layer(image)).reshape(-1))

    np.testing.assert_array_equal(sorted_values(adaptive, x), sorted_values(adaptive, moved))
    assert not np.array_equal(sorted_values(plain, x), sorted_values(plain, moved))


def test_subsampling_takes_the_middle_cell() -> None:
    x = np.arange(9, dtype=np.float32).reshape(1, 9, 1)
    assert np.asarray(layers.Subsampling1D(3, 2)(x)).ravel().tolist() == [1, 3, 5, 7]
    assert np.asarray(layers.Subsampling1D(2)(x)).ravel().tolist() == [0, 2, 4, 6]
    assert np.asarray(layers.Subsampling1D(3, 2, "same")(x)).ravel().tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("name", ["GeMPooling", "MixedPooling"])
def test_global_layers_are_the_windowed_ones_over_all_of_space(name: str) -> None:
    for data_format in ("channels_last", "channels_first"):
        x = inputs(2, data_format)
        whole = made(f"Global{name}", 2, data_format=data_format, keepdims=True)(x)
        windowed = made(name, 2, pool_size=SIZES[2], data_format=data_format)(x)
        np.testing.assert_allclose(whole, windowed, rtol=1e-5)
        flat = made(f"Global{name}", 2, data_format=data_format)(x)
        assert flat.shape == (2, 3)
        np.testing.assert_allclose(np.asarray(flat).ravel(), np.asarray(whole).ravel())


ALL_LAYERS = [
    (name, {"pool_size": 2, "padding": padding})
    for name in ("BlurPooling", "PolyphasePooling", "Subsampling", "GeMPooling", "MixedPooling")
    for padding in ("valid", "same")
] + [("GlobalGeMPooling", {}), ("GlobalMixedPooling", {})]


@pytest.mark.parametrize(("name", "settings"), ALL_LAYERS)
def test_open_sizes_half_precision_and_gradients(name: str, settings: dict[str, Any]) -> None:
    layer = made(name, 2, **settings)
    x = inputs(2, "channels_last")
    eager = np.asarray(layer(x))
    compiled = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
    np.testing.assert_allclose(compiled(tf.constant(x)), eager, rtol=1e-5, atol=1e-6)
    for dtype in ("float16", "bfloat16", "float64"):
        low = made(name, 2, **settings, dtype=dtype)(tf.cast(x, dtype))
        assert low.dtype == dtype
        np.testing.assert_allclose(np.asarray(tf.cast(low, tf.float32)), eager, rtol=0.05, atol=0.05)
    with tf.GradientTape() as tape:
        source = tf.constant(x)
        tape.watch(source)
        total = tf.reduce_sum(layer(source) ** 2)
    gradients = tape.gradient(total, [source, *layer.trainable_weights])
    assert all(np.isfinite(np.asarray(g)).all() for g in gradients)
    assert float(tf.reduce_sum(tf.abs(gradients[0]))) > 0


@pytest.mark.parametrize(("name", "settings"), ALL_LAYERS)
def test_a_saved_layer_comes_back_in_plain_keras(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    source = keras.Input((None, None, 3))
    model = keras.Model(source, made(name, 2, **settings)(source))
    for weight in model.weights:
        weight.assign(weight + 0.25)
    model.save(tmp_path / "layer.keras")
    again = keras.saving.load_model(tmp_path / "layer.keras")
    x = inputs(2, "channels_last")
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"pool_size": 0}, "pool_size"), ({"strides": (1, 2, 3)}, "strides"), ({"padding": "full"}, "padding")],
)
def test_wrong_arguments_are_refused_with_their_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        layers.BlurPooling2D(**wrong)


def test_a_window_larger_than_the_input_is_refused() -> None:
    for name in ("BlurPooling", "Subsampling", "GeMPooling"):
        with pytest.raises(Exception, match=r"larger|[Nn]egative|must be"):
            made(name, 1, pool_size=5)(np.zeros((1, 3, 1), np.float32))


def test_a_strided_convolution_starts_as_average_pooling() -> None:
    x = inputs(2, "channels_last")
    convolution = keras.layers.Conv2D(3, 2, strides=2, kernel_initializer=layers.AverageKernel())
    np.testing.assert_allclose(convolution(x), keras.layers.AveragePooling2D(2)(x), rtol=1e-4, atol=1e-6)


def test_resize_average_is_adaptive_pooling() -> None:
    x = inputs(2, "channels_last")
    halves = np.asarray(layers.ResizeAverage((3, 2))(x))
    np.testing.assert_allclose(halves[0, 1, 1], x[0, 3:6, 3:7].mean((0, 1)), rtol=1e-5, atol=1e-6)
    same = layers.ResizeAverage((9, 7))(x)
    np.testing.assert_allclose(same, x, rtol=1e-6)
