"""Receptive fields against published values, closed forms and measured gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from measured_support import gradient_of_centre, twin_of

from poolaudit.errors import InvalidInputError
from poolaudit.evidence.geometry import GeometryEvidence, LayerField
from poolaudit.geometry.inspect import inspect_pooling
from specimens import models as specimens
from specimens.geometry_models import layers, sequential

# Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019: the last map
# before the head. Keras puts the stride of a ResNet v1 block into the first 1x1 convolution of its first unit, TF-Slim
# into the 3x3 of its last; docs/geometry.md derives why both come to 483.
PUBLISHED = {"VGG16": (212, 32), "MobileNet": (315, 32), "ResNet50": (483, 32), "InceptionV3": (1311, 32)}


@pytest.fixture(autouse=True)
def _one_network_at_a_time() -> Iterator[None]:
    """Keras remembers every model; forty of them take 10 GB."""
    yield
    keras.backend.clear_session()


def last_field(evidence: GeometryEvidence) -> LayerField:
    return next(layer for layer in evidence.layers if layer.name == evidence.last_map)


@pytest.mark.parametrize("name", ["VGG16", "MobileNet"])
def test_published_fields_are_met(name: str) -> None:
    check_published(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "InceptionV3"])
def test_published_fields_are_met_by_large_networks(name: str) -> None:
    check_published(name)


def check_published(name: str) -> None:
    evidence = inspect_pooling(getattr(keras.applications, name)(weights=None))
    size, stride = PUBLISHED[name]
    assert [(field.size, field.stride) for field in last_field(evidence).fields] == [(size, stride)] * 2


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in dir(keras.applications) if n[0].isupper()])
def test_every_application_is_analysed(name: str) -> None:
    model = getattr(keras.applications, name)(weights=None)
    shape = [size or 224 for size in model.input_shape[1:]]
    evidence = inspect_pooling(model, input_shape=shape)
    assert evidence.fields_reason is None
    assert evidence.coverage[0].doubt is None
    assert evidence.last_map is not None
    assert all(field.size is not None for field in last_field(evidence).fields)
    # NASNetMobile's first convolution is VALID with stride 2: of 224 rows and columns it leaves the last unread.
    assert evidence.coverage[0].blind == (447 if name == "NASNetMobile" else 0)
    if evidence.coverage[0].blind:
        assert evidence.coverage[0].proof is not None
        assert evidence.coverage[0].proof.unchanged == evidence.coverage[0].proof.items


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VGG16", "MobileNet", "ResNet50", "InceptionV3", "DenseNet121", "EfficientNetB0"])
def test_fields_are_those_of_gradients(name: str) -> None:
    """The gradient of the centre of the last map spans what the exact analysis says, row by row."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        shape = {"InceptionV3": (299, 299, 3)}.get(name, (224, 224, 3))
        model = getattr(keras.applications, name)(weights=None)
        evidence = inspect_pooling(model)
        last = last_field(evidence)
        assert evidence.last_map is not None
        seen = gradient_of_centre(twin_of(model), evidence.last_map, shape)
    finally:
        keras.config.set_floatx(before)
    for axis, field in enumerate(last.fields):
        cells = seen.any(axis=1 - axis).nonzero()[0]
        if field.whole:
            assert len(cells) == shape[axis]
            continue
        assert field.size is not None
        assert field.stride is not None
        assert field.start is not None
        first = int(field.start + field.stride * (last.output_shape[1 + axis] // 2))
        assert cells.min() == max(0, first)
        assert cells.max() == min(shape[axis] - 1, first + field.size - 1)


@pytest.mark.parametrize(
    ("steps", "size", "stride", "start"),
    [
        ([("Conv1D", {"kernel_size": 3, "dilation_rate": 4})], 9, 1, 0),
        ([("Conv1D", {"kernel_size": 3, "dilation_rate": 4, "padding": "same"})], 9, 1, -4),
        ([("Conv1D", {"kernel_size": 3, "dilation_rate": 4, "padding": "causal"})], 9, 1, -8),
        ([("Conv1D", {"kernel_size": 4, "strides": 3}), ("MaxPooling1D", {"pool_size": 2})], 7, 6, 0),
        ([("MaxPooling1D", {"pool_size": 2}), ("UpSampling1D", {"size": 2})], 2, 1, 0),
        ([("UpSampling1D", {"size": 3}), ("Conv1D", {"kernel_size": 3, "padding": "same"})], 2, 1 / 3, -1),
        ([("ZeroPadding1D", {"padding": (2, 0)}), ("AveragePooling1D", {"pool_size": 5, "strides": 2})], 5, 2, -2),
        ([("Cropping1D", {"cropping": (3, 1)}), ("AveragePooling1D", {"pool_size": 5, "strides": 2})], 5, 2, 3),
        ([("Conv1DTranspose", {"kernel_size": 4, "strides": 2})], 2, 0.5, -1),
        ([("SeparableConv1D", {"kernel_size": 5}), ("DepthwiseConv1D", {"kernel_size": 2})], 6, 1, 0),
    ],
)
def test_closed_forms(steps: list[tuple[str, dict[str, Any]]], size: int, stride: float, start: int) -> None:
    made = []
    for name, options in steps:
        filters = {} if "Conv" not in name or "Depthwise" in name else {"filters": 2}
        made.append(getattr(layers, name)(**filters, **options))
    evidence = inspect_pooling(sequential((40, 2), *made))
    (field,) = evidence.layers[-1].fields
    assert (field.size, field.stride, field.start) == (size, pytest.approx(stride), start)


def test_axes_are_told_apart() -> None:
    evidence = inspect_pooling(
        sequential((9, 20, 31, 1), layers.Conv3D(2, (1, 3, 5)), layers.MaxPooling3D((2, 1, 3)), layers.Flatten())
    )
    fields = evidence.layers[1].fields
    assert [(f.axis, f.size, f.stride) for f in fields] == [("depth", 2, 2.0), ("height", 3, 1.0), ("width", 7, 3.0)]


def test_nested_shared_and_subclassed_models_have_fields() -> None:
    nested = inspect_pooling(specimens.nested())
    assert [layer.name for layer in nested.layers] == ["middle/pool", "middle/inner/pool", "pool", "head/scores"]
    assert [layer.fields[0].size for layer in nested.layers[:2]] == [2, 4]
    shared = inspect_pooling(specimens.shared_layer())
    assert {layer.name: layer.fields[0].size for layer in shared.layers if "pool" in layer.name} == {
        "pool": 2,
        "pool@2": 8,
    }
    own = inspect_pooling(specimens.subclassed(), input_shape=(16, 16, 1))
    assert {layer.name for layer in own.layers} >= {"early", "late", "scores"}


def test_open_sizes_ask_for_a_shape() -> None:
    model = sequential((None, None, 3), layers.Conv2D(2, 3), layers.GlobalAveragePooling2D())
    with pytest.raises(InvalidInputError, match="--input-shape"):
        inspect_pooling(model)
    assert inspect_pooling(model, input_shape=(20, 30, 3)).input_sizes == (20, 30)
    with pytest.raises(InvalidInputError, match="does not fit"):
        inspect_pooling(model, input_shape=(20, 30, 4))
    with pytest.raises(InvalidInputError, match="does not fit"):
        inspect_pooling(model, input_shape=(20, 3))


def test_the_effective_field_is_smaller_than_the_theoretical() -> None:
    from poolaudit.geometry.analysis import ModelInput
    from poolaudit.geometry.effective_field import effective_field
    from poolaudit.subject.models import load_model

    keras.utils.set_random_seed(0)
    steps = [layers.Conv2D(4, 3, padding="same", name=f"conv_{i}") for i in range(8)]
    model = sequential((33, 33, 1), *steps, layers.GlobalAveragePooling2D(), layers.Dense(2))
    last = last_field(inspect_pooling(model))
    x = np.random.default_rng(0).normal(size=(6, 33, 33, 1)).astype("float32")
    inputs = ModelInput("input", (33, 33, 1), (0, 1), 2)
    found = effective_field(load_model(model), inputs, last, steps[-1], x, np.random.default_rng(0), 0.95)
    assert [entry.theoretical for entry in found] == [17, 17]
    for entry in found:
        assert entry.width.value is not None
        assert 3 <= entry.width.value < 17
        assert entry.items == 6
