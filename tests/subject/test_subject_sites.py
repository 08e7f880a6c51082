"""Pooling sites are found where they are, and only there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from poolaudit.evidence.geometry import GeometryEvidence, PoolingSite  # noqa: E402
from poolaudit.subject.models import load_model  # noqa: E402
from poolaudit.subject.sites import list_pooling_sites  # noqa: E402
from specimens import models  # noqa: E402

layers = keras.layers


def sites_of(model: Any) -> GeometryEvidence:
    return list_pooling_sites(load_model(model))


def brief(evidence: GeometryEvidence) -> list[tuple[str, str]]:
    return [(site.name, site.kind) for site in evidence.sites]


def functional(shape: tuple[int | None, ...], *chain: Any) -> Any:
    inputs = x = keras.Input(shape)
    for layer in chain:
        x = layer(x)
    return keras.Model(inputs, x)


def test_sequential_sites_carry_window_strides_padding_and_shapes() -> None:
    evidence = sites_of(models.sequential_2d())
    assert evidence.not_seen == ()
    assert evidence.sites == (
        PoolingSite(
            "first", "MaxPooling2D", "max", 2, (2, 2), (2, 2), "valid", "channels_last",
            (None, 14, 14, 4), (None, 7, 7, 4), "layer",
        ),
        PoolingSite(
            "second", "AveragePooling2D", "average", 2, (3, 3), (2, 2), "same", "channels_last",
            (None, 7, 7, 4), (None, 4, 4, 4), "layer",
        ),
        PoolingSite(
            "last", "GlobalAveragePooling2D", "global_average", 2, None, None, None, "channels_last",
            (None, 4, 4, 4), (None, 4), "layer",
        ),
    )  # fmt: skip


def test_one_and_three_dimensional_pooling() -> None:
    one, three = sites_of(models.sequential_1d()), sites_of(models.sequential_3d())
    assert [(site.kind, site.rank, site.window) for site in one.sites] == [
        ("average", 1, (2,)),
        ("global_max", 1, None),
    ]
    assert [(site.kind, site.rank, site.window) for site in three.sites] == [
        ("max", 3, (1, 2, 2)),
        ("global_average", 3, None),
    ]


def test_operations_of_a_functional_graph_with_open_sizes() -> None:
    evidence = sites_of(models.functional_with_operations())
    assert [(site.layer, site.kind, site.found_by) for site in evidence.sites] == [
        ("keras.ops.max_pool", "max", "operation"),
        ("keras.ops.average_pool", "average", "operation"),
        ("keras.ops.mean", "global_average", "operation"),
        ("keras.ops.max", "global_max", "operation"),
    ]
    assert evidence.sites[0].input_shape == (None, None, None, 3)
    assert evidence.sites[0].padding == "same"


def test_nested_names_are_joined_and_further_calls_numbered() -> None:
    assert brief(sites_of(models.nested())) == [
        ("middle/pool", "max"),
        ("middle/inner/pool", "max"),
        ("pool", "global_max"),
    ]
    shared = sites_of(models.shared_layer())
    assert [(site.name, site.input_shape) for site in shared.sites] == [
        ("pool", (None, 16, 16, 1)),
        ("pool@2", (None, 8, 8, 2)),
    ]


def test_subclassed_model_in_order_of_execution_with_hidden_pooling() -> None:
    evidence = sites_of(models.subclassed())
    assert [(site.name, site.kind, site.found_by) for site in evidence.sites] == [
        ("early", "max", "layer"),
        ("max_pool2d", "max", "trace"),
        ("late", "average", "layer"),
        ("reduce_mean", "global_average", "trace"),
    ]
    assert evidence.sites[1].window == (3, 3)
    assert evidence.sites[1].strides == (2, 2)
    assert len(evidence.not_seen) == 1
    assert "'unused'" in evidence.not_seen[0]


def test_looking_leaves_the_model_as_it_was() -> None:
    model = models.subclassed()
    first = sites_of(model)
    assert all("call" not in vars(layer) for layer in model._flatten_layers())
    assert sites_of(model) == first


def test_custom_layers_are_named_for_what_they_do() -> None:
    evidence = sites_of(models.custom_layers())
    assert [(site.name, site.layer, site.kind, site.found_by) for site in evidence.sites] == [
        ("minimum", "MinimumPooling", "custom", "trace"),
        ("plain", "PlainPooling", "max", "trace"),
        ("slicing", "SlicingPooling", "custom", "heuristic"),
        ("blocks/reduce_mean", "tf.reduce_mean", "average", "trace"),
    ]
    assert evidence.sites[3].window == (2, 2)
    assert evidence.sites[3].input_shape == (None, 4, 4, 2)


def test_normalisation_attention_and_strides_are_no_pooling() -> None:
    evidence = sites_of(models.without_pooling())
    assert evidence == GeometryEvidence((), ())


class SqueezeAndExcite(layers.Layer):
    """Gates channels by their average over space, which passes through weights before it comes back."""

    def build(self, shape: Any) -> None:
        self.weight = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x: Any) -> Any:
        gate = tf.sigmoid(tf.matmul(tf.reduce_mean(x, [1, 2]), self.weight))
        return x * gate[:, None, None, :]


def test_squeeze_and_excite_average_is_a_site() -> None:
    evidence = sites_of(functional((8, 8, 2), SqueezeAndExcite(name="gate")))
    assert brief(evidence) == [("gate/reduce_mean", "global_average")]


class OneDimensionalOperations(layers.Layer):
    def call(self, x: Any) -> Any:
        x = tf.nn.avg_pool1d(tf.nn.max_pool1d(x, 3, 2, "SAME"), 2, 2, "VALID")
        x = tf.reduce_max(tf.reshape(x, (-1, 2, 4, x.shape[-1])), axis=2)
        return tf.reduce_max(x, axis=1)


def test_one_dimensional_operations_inside_a_layer() -> None:
    evidence = sites_of(functional((32, 3), OneDimensionalOperations(name="op")))
    assert [(site.kind, site.rank, site.window, site.strides) for site in evidence.sites] == [
        ("max", 1, (3,), (2,)),
        ("average", 1, (2,), (2,)),
        ("max", 1, (4,), (4,)),
        ("global_max", 1, None, None),
    ]
    assert evidence.sites[0].input_shape == (None, 32, 3)


class GeneralisedMean(layers.Layer):
    def call(self, x: Any) -> Any:
        return tf.pow(tf.reduce_mean(tf.pow(tf.maximum(x, 1e-6), 3.0), [1, 2]), 1 / 3)


def test_a_mean_of_powers_is_not_called_an_average() -> None:
    assert brief(sites_of(functional((8, 8, 2), GeneralisedMean(name="gem")))) == [("gem/reduce_mean", "custom")]


class Patches(layers.Layer):
    def call(self, x: Any) -> Any:
        patches = tf.image.extract_patches(x, (1, 3, 3, 1), (1, 2, 2, 1), (1, 1, 1, 1), "VALID")
        blocks = tf.reshape(patches, (-1, patches.shape[1], patches.shape[2], 9, x.shape[-1]))
        return tf.reduce_max(blocks, axis=3)


class Compiled(layers.Layer):
    @tf.function(autograph=False)
    def call(self, x: Any) -> Any:
        return tf.nn.max_pool2d(x, 2, 2, "VALID")


class InPython(layers.Layer):
    def call(self, x: Any) -> Any:
        y = tf.py_function(lambda t: t[:, ::2, ::2], [x], tf.float32)
        y.set_shape((None, 4, 4, 2))
        return y


class Halving(layers.Layer):
    def call(self, x: Any) -> Any:
        return x[:, ::2, ::2]


class MinimumBySubclass(layers.MaxPooling2D):
    def call(self, x: Any) -> Any:
        return -super().call(-x)


class PoolBlock(layers.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = layers.MaxPooling2D(2, name="inner")

    def call(self, x: Any) -> Any:
        return self.inner(x)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (Patches(name="x"), [("x/reduce_max", "max", (3, 3), "trace")]),
        (Compiled(name="x"), [("x/max_pool2d", "max", (2, 2), "trace")]),
        (MinimumBySubclass(2, name="x"), [("x", "custom", (2, 2), "layer")]),
        (PoolBlock(name="x"), [("x/inner", "max", (2, 2), "layer")]),
        (layers.Lambda(lambda t: tf.nn.max_pool2d(t, 2, 2, "VALID"), name="x"),
         [("x/max_pool2d", "max", (2, 2), "trace")]),
        (layers.AdaptiveMaxPooling2D(2, name="x"), [("x", "adaptive_max", None, "layer")]),
        (layers.TimeDistributed(layers.MaxPooling1D(2, name="p"), name="x"),
         [("x/p", "max", (2,), "layer")]),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_pooling_in_many_disguises(layer: Any, expected: list[tuple[Any, ...]]) -> None:
    evidence = sites_of(functional((8, 8, 2), layer))
    assert [(s.name, s.kind, s.window, s.found_by) for s in evidence.sites] == expected


def test_adaptive_operation() -> None:
    evidence = sites_of(functional((8, 8, 2), lambda x: keras.ops.adaptive_average_pool(x, (2, 2))))
    assert [(site.kind, site.rank, site.output_shape) for site in evidence.sites] == [
        ("adaptive_average", 2, (None, 2, 2, 2))
    ]


def test_what_cannot_be_looked_into_is_said() -> None:
    python = sites_of(functional((8, 8, 2), InPython(name="python")))
    assert python.sites == ()
    assert any("'python' calls Python code" in sentence for sentence in python.not_seen)
    halving = sites_of(functional((8, 8, 2), Halving(name="half")))
    assert halving.sites == ()
    assert "'half'" in halving.not_seen[0]
    assert "not recognised" in halving.not_seen[0]


class Untraceable(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="untraceable")
        self.pool = layers.MaxPooling2D(2, name="pool")

    def call(self, x: Any) -> Any:
        return self.pool(x) if float(tf.reduce_sum(x)) > 0 else x


def test_a_model_that_cannot_be_traced_still_lists_its_layers() -> None:
    model = Untraceable()
    model(tf.ones((1, 8, 8, 1)))
    evidence = sites_of(model)
    assert brief(evidence) == [("pool", "max")]
    assert "could not be traced" in evidence.not_seen[0]


def test_a_model_without_a_shape_takes_that_of_the_data() -> None:
    model = keras.Sequential([layers.MaxPooling2D(2, name="pool"), layers.GlobalMaxPooling2D(name="peak")])
    loaded = load_model(model)
    assert list_pooling_sites(loaded).not_seen
    evidence = list_pooling_sites(loaded, (None, 8, 8, 1))
    assert evidence.not_seen == ()
    assert [site.input_shape for site in evidence.sites] == [(None, 8, 8, 1), (None, 4, 4, 1)]


def test_saved_model_sites_come_from_the_serving_graph(tmp_path: Path) -> None:
    models.subclassed().export(tmp_path / "exported", verbose=False)
    evidence = list_pooling_sites(load_model(tmp_path / "exported"))
    assert [(site.kind, site.window, site.found_by) for site in evidence.sites] == [
        ("max", (2, 2), "trace"),
        ("max", (3, 3), "trace"),
        ("average", (2, 2), "trace"),
        ("global_average", None, "trace"),
    ]
    assert any("stores operations" in sentence for sentence in evidence.not_seen)


def test_a_real_architecture_is_listed_in_seconds() -> None:
    keras.utils.clear_session()  # names count up over a process
    loaded = load_model(keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3)))
    start = time.perf_counter()
    evidence = list_pooling_sites(loaded)
    assert time.perf_counter() - start < 20  # a loaded machine; about one second alone
    assert brief(evidence) == [("global_average_pooling2d", "global_average")]
    assert evidence.not_seen == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("ResNet50", {"max": 1, "global_average": 1}),
        ("NASNetMobile", {"max": 8, "average": 52, "global_average": 1}),
        ("DenseNet121", {"max": 1, "average": 3, "global_average": 1}),
        ("InceptionV3", {"global_average": 1}),
        ("EfficientNetB0", {"global_average": 17}),
        ("ConvNeXtTiny", {"global_average": 1}),
        ("VGG16", {"max": 5}),
    ],
)
def test_keras_applications(name: str, kinds: dict[str, int]) -> None:
    evidence = sites_of(getattr(keras.applications, name)(weights=None))
    for kind, count in kinds.items():
        assert sum(site.kind == kind for site in evidence.sites) == count
    assert evidence.not_seen == ()
    assert len({site.name for site in evidence.sites}) == len(evidence.sites)
