"""The head is read from the graph first, from the values after, and contradictions are not passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from poolaudit.errors import InvalidInputError  # noqa: E402
from poolaudit.subject.heads import Head, find_head, to_probabilities  # noqa: E402
from poolaudit.subject.models import load_model, predict  # noqa: E402
from specimens import models  # noqa: E402

INPUTS = np.random.default_rng(5).normal(size=(12, 4)).astype(np.float32)


def head_of(model: Any, inputs: Any = INPUTS) -> Head:
    loaded = load_model(model)
    return find_head(loaded, predict(loaded, inputs))


@pytest.mark.parametrize(
    ("activation", "units", "kind", "classes"),
    [
        ("softmax", 3, "softmax", 3),
        ("sigmoid", 1, "sigmoid", 2),
        (None, 1, "single_logit", 2),
        ("linear", 3, "logits", 3),
        ("sigmoid", 4, "multi_sigmoid", 4),
        ("log_softmax", 3, "logits", 3),
        ("relu", 3, "logits", 3),
        ("hard_sigmoid", 1, "sigmoid", 2),
        ("tanh", 1, "single_logit", 2),
    ],
)
def test_declared_activations(activation: str | None, units: int, kind: str, classes: int) -> None:
    head = head_of(models.dense(activation, units))
    assert (head.kind, head.classes) == (kind, classes)
    assert "'scores'" in head.stated


def _chain(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.mark.parametrize(
    ("layers", "kind", "where"),
    [
        ([keras.layers.Dense(2), keras.layers.Softmax(name="end")], "softmax", "'end'"),
        ([keras.layers.Dense(2), keras.layers.Activation("softmax", name="end")], "softmax", "'end'"),
        ([keras.layers.Dense(2, "softmax", name="d"), keras.layers.Dropout(0.5)], "softmax", "'d'"),
        ([keras.layers.Dense(2, "softmax", name="d"), keras.layers.Reshape((2,))], "softmax", "'d'"),
        ([keras.layers.Dense(2, "softmax", name="d"), keras.layers.Activation("linear")], "softmax", "'d'"),
        ([keras.layers.Dense(2, "relu"), keras.layers.Dense(1, name="d")], "single_logit", "'d'"),
    ],
)
def test_what_follows_the_scores_is_passed_through(layers: list[Any], kind: str, where: str) -> None:
    head = head_of(_chain(*layers))
    assert head.kind == kind
    assert where in head.stated


def test_nested_models_operations_and_saved_models(tmp_path: Path) -> None:
    assert head_of(models.nested(), np.ones((3, 16, 16, 2))).stated.endswith("layer 'scores'")
    assert head_of(models.subclassed(), np.ones((3, 16, 16, 1))).kind == "softmax"
    inputs = keras.Input((4,))
    by_operation = keras.Model(inputs, keras.ops.softmax(keras.layers.Dense(3)(inputs)))
    assert head_of(by_operation).kind == "softmax"
    models.dense("sigmoid", 1).export(tmp_path / "exported", verbose=False)
    exported = head_of(tmp_path / "exported")
    assert (exported.kind, "Sigmoid" in exported.stated) == ("sigmoid", True)


class Opaque(keras.layers.Layer):
    """Ends in an operation that does not tell what it means."""

    def __init__(self, function: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def call(self, x: Any) -> Any:
        return tf.concat([self.function(x), x[:, :0]], axis=1)


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (tf.nn.softmax, "softmax"),
        (tf.nn.sigmoid, "multi_sigmoid"),
        (lambda x: x, "logits"),
        (lambda x: tf.nn.sigmoid(x[:, :1]), "sigmoid"),
        (lambda x: x[:, :1], "single_logit"),
    ],
)
def test_values_tell_where_the_graph_does_not(function: Any, kind: str) -> None:
    head = head_of(_chain(Opaque(function)))
    assert head.kind == kind
    assert head.stated.startswith("inferred from 12 outputs")


def test_the_compiled_loss_supports_or_contradicts() -> None:
    logits_loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    assert "agrees" in head_of(models.dense(None, 3, loss=logits_loss)).stated
    assert "a second time" in head_of(models.dense("softmax", 3, loss=logits_loss)).stated
    assert "expects probabilities" in head_of(models.dense(None, 1, loss="binary_crossentropy")).stated


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.dense("softmax", 1), "softmax over one unit"),
        (lambda: models.dense("relu", 1), "never negative"),
        (lambda: models.dense(None, 1, loss="mse"), "a regression"),
        (lambda: models.dense(None, 1, loss=keras.losses.MeanSquaredError()), "a regression"),
        (lambda: _chain(keras.layers.Dense(4), keras.layers.Reshape((2, 2)), keras.layers.Softmax(),
                        keras.layers.Flatten()), "rows sum to between 2 and 2"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:You are using a softmax:UserWarning")
def test_impossible_heads_are_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        head_of(make())


def test_probabilities() -> None:
    two = to_probabilities(np.array([[0.2], [1.0]]), Head("sigmoid", 2, ""))
    np.testing.assert_allclose(two, [[0.8, 0.2], [0.0, 1.0]])
    far = to_probabilities(np.array([[-800.0], [0.0], [800.0]]), Head("single_logit", 2, ""))
    np.testing.assert_allclose(far, [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    three = to_probabilities(np.array([[0.0, 0.0, 0.0], [1000.0, 0.0, 0.0]]), Head("logits", 3, ""))
    np.testing.assert_allclose(three, [[1 / 3] * 3, [1.0, 0.0, 0.0]])
    single = to_probabilities(np.array([[0.3, 0.6999999]], np.float32), Head("softmax", 2, ""))
    assert abs(single.sum() - 1.0) < 1e-12
    independent = to_probabilities(np.array([[0.9, 0.8]]), Head("multi_sigmoid", 2, ""))
    np.testing.assert_allclose(independent, [[0.9, 0.8]])
    with pytest.raises(InvalidInputError, match="2 columns"):
        to_probabilities(np.zeros((1, 2)), Head("sigmoid", 2, ""))


def test_an_unbuilt_model_is_read_at_the_shape_of_its_first_data() -> None:
    small = keras.Sequential([keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer="ones", name="d")])
    head = head_of(small)
    assert head.kind == "single_logit"  # by its values alone, all 1.0, it would pass for a sigmoid
