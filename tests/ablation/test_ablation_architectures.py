"""Surgery on the architectures people use: every variant that applies at every site builds, runs and differs, or says
why it cannot."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from poolaudit.ablation.proof import differs_from_baseline  # noqa: E402
from poolaudit.ablation.surgery import VariantImpossible, VariantUnchanged, build_variant  # noqa: E402
from poolaudit.ablation.variants import Variant, applicable_variants  # noqa: E402

SIZES = {
    "VGG16": 32,
    "ResNet50": 64,
    "DenseNet121": 64,
    "InceptionV3": 75,
    "Xception": 71,
    "EfficientNetB0": 64,
    "NASNetMobile": 64,
    "MobileNetV2": 64,
    "ConvNeXtTiny": 64,
}


def architecture(name: str) -> Any:
    keras.utils.set_random_seed(0)
    size = SIZES[name]
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=5)
    # Untrained statistics let the signal of a deep model die out, and then nothing could be told apart.
    return settled(model, np.random.default_rng(0).uniform(0, 255, (8, size, size, 3)).astype("float32"))


def settled(model: Any, x: Any) -> Any:
    from poolaudit.ablation.swap import recalibrate

    recalibrate(model, x, batch_size=8)
    return model


def swept(name: str, model: Any, step: int) -> Counter[str]:
    """How many variants differ, how many change nothing and how many do not fit; each refusal has a reason."""
    size = SIZES[name]
    x = np.random.default_rng(1).uniform(0, 255, (2, size, size, 3)).astype("float32")
    before = [weight.numpy().copy() for weight in model.weights]
    counts: Counter[str] = Counter()
    for variant in [entry for entry in applicable_variants(model) if isinstance(entry, Variant)][::step]:
        try:
            built = build_variant(model, variant)
            outputs = np.asarray(built.model(x, training=False))
            assert outputs.shape == (2, 5), variant.name
            differs_from_baseline(model, built, x)
            counts["differs"] += 1
        except VariantImpossible as error:
            counts["impossible"] += 1
            print(f"{name} {error}")
        except VariantUnchanged as error:
            counts["unchanged"] += 1
            print(f"{name} {error}")
        keras.backend.clear_session(free_memory=False)
    for was, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(was, weight.numpy())
    print(name, dict(counts))
    return counts


@pytest.mark.parametrize(("name", "step"), [("VGG16", 9), ("Xception", 13)])
def test_a_sample_of_variants_differs(name: str, step: int) -> None:
    counts = swept(name, architecture(name), step)
    assert counts["differs"] >= 4
    assert counts["unchanged"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SIZES))
def test_every_variant_at_every_site_differs_or_says_why_not(name: str) -> None:
    counts = swept(name, architecture(name), 1)
    assert counts["differs"] > 0.6 * sum(counts.values())
