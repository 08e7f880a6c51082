"""Swap against cloning and predicting for each variant, side by side in one run. Run this file for the numbers:

python tests/benchmarks/test_benchmark_swap.py [size] [items] [batch]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from poolaudit.ablation.swap import swap_predictions  # noqa: E402
from poolaudit.ablation.variants import Variant, applicable_variants  # noqa: E402


def side_by_side(size: int, items: int, batch_size: int) -> tuple[float, float]:
    """Seconds of swap and of cloning, for VGG16 with average for max pooling at each of its five sites."""
    model = keras.applications.VGG16(weights=None, input_shape=(size, size, 3), classes=10)
    x = np.random.default_rng(0).normal(size=(items, size, size, 3)).astype("float32")
    found = applicable_variants(model, groups=("each",), actions=["average"])
    variants = [entry for entry in found if isinstance(entry, Variant)]
    assert len(variants) == 5
    model.predict(x[:batch_size], batch_size=batch_size, verbose=0)
    start = time.perf_counter()
    swapped = swap_predictions(model, variants, x, batch_size=batch_size)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    model.predict(x, batch_size=batch_size, verbose=0)
    cloned = {v.name: _cloned(model, v).predict(x, batch_size=batch_size, verbose=0) for v in variants}
    plain = time.perf_counter() - start
    for name, outputs in cloned.items():
        np.testing.assert_allclose(swapped[name], outputs, atol=1e-5)
    return ours, plain


def _cloned(model: Any, variant: Variant) -> Any:
    def clone(layer: Any) -> Any:
        if layer.name == variant.sites[0]:
            return keras.layers.AveragePooling2D(layer.pool_size, layer.strides, layer.padding, name=layer.name)
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


@pytest.mark.slow
def test_swap_is_at_least_1_8_times_faster_than_cloning() -> None:
    ratios = []
    for _ in range(3):
        ours, plain = side_by_side(64, 128, 32)
        ratios.append(plain / ours)
    assert sorted(ratios)[1] >= 1.8


if __name__ == "__main__":
    sizes = [int(word) for word in sys.argv[1:]] or [64, 256, 32]
    for _ in range(3):
        ours, plain = side_by_side(*sizes)
        print(f"swap {ours:.2f} s, cloning {plain:.2f} s, {plain / ours:.2f} times", flush=True)
