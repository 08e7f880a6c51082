"""Surgery on the architectures people use: every variant that applies at every site builds, runs and differs, or says
why it cannot."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from poolaudit.ablation.locate import locate  # noqa: E402
from poolaudit.ablation.plan import PlannedCall, planned, walk  # noqa: E402
from poolaudit.ablation.proof import differs_from_baseline  # noqa: E402
from poolaudit.ablation.surgery import VariantImpossible, VariantUnchanged, build_variant  # noqa: E402
from poolaudit.ablation.variants import Variant, applicable_variants  # noqa: E402

SIZES = {
    "VGG16": 32,
    "ResNet50": 64,
    "DenseNet121": 64,
    "InceptionV3": 107,  # the smallest whose last map has more than one cell
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


def fitting(model: Any) -> list[Variant]:
    return [entry for entry in applicable_variants(model) if isinstance(entry, Variant)]


def one_of_each_geometry(model: Any, variants: list[Variant]) -> list[Variant]:
    """One variant for each action and kind of place: what pools there, from and to which shapes, read and fed by what.

    Variants of several sites are all kept.
    """
    located = {entry.site.name: entry for entry in locate(model)}
    calls = [call for _, call in walk(planned(model))]
    by_key = {(id(call.operation), call.occurrence): call for call in calls}

    def kind_of(call: PlannedCall) -> tuple[Any, ...]:
        return type(call.operation).__name__, *(tensor.shape for tensor in call.node.outputs)

    def place(name: str) -> tuple[Any, ...]:
        entry = located[name.removesuffix("@1")]
        here = by_key[entry.key].node
        reads, writes = {id(t) for t in here.input_tensors}, {id(t) for t in here.outputs}
        behind = sorted(kind_of(c) for c in calls if writes & {id(t) for t in c.node.input_tensors})
        before = sorted(kind_of(c) for c in calls if reads & {id(t) for t in c.node.outputs})
        return *dataclasses.astuple(dataclasses.replace(entry.site, name="")), *behind, *before

    chosen: dict[tuple[Any, ...], Variant] = {}
    for variant in variants:
        single = len(variant.sites) == 1 and variant.sites != ("all",)
        chosen.setdefault((variant.action, place(variant.sites[0]) if single else variant.name), variant)
    return list(chosen.values())


def swept(name: str, model: Any, variants: list[Variant]) -> Counter[str]:
    """How many variants differ, how many change nothing and how many do not fit; each refusal has a reason."""
    size = SIZES[name]
    x = np.random.default_rng(1).uniform(0, 255, (16, size, size, 3)).astype("float32")
    before = [weight.numpy().copy() for weight in model.weights]
    counts: Counter[str] = Counter()
    for variant in variants:
        try:
            built = build_variant(model, variant)
            outputs = np.asarray(built.model(x[:2], training=False))
            assert outputs.shape == (2, 5), variant.name
            assert np.isfinite(outputs).all(), variant.name
            try:
                differs_from_baseline(model, built, x[:2])
            except VariantUnchanged:  # by chance, on so few
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
    model = architecture(name)
    counts = swept(name, model, fitting(model)[::step])
    assert counts["differs"] >= 4
    assert counts["unchanged"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SIZES))
def test_every_variant_at_every_site_differs_or_says_why_not(name: str) -> None:
    model = architecture(name)
    variants = fitting(model)
    if name == "NASNetMobile":  # its cells repeat: 431 variants, of which 193 are of a kind of their own
        variants = one_of_each_geometry(model, variants)
        assert len(variants) > 150
    counts = swept(name, model, variants)
    assert counts["differs"] > 0.6 * sum(counts.values())
