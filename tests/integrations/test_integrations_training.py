"""AuditCallback: an audit at the end of a real training, in TensorBoard and on disk; never at the training's cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
import tensorflow as tf  # noqa: E402
from tensorflow.core.util import event_pb2  # noqa: E402

from poolaudit import AuditCallback  # noqa: E402
from poolaudit.errors import InvalidInputError  # noqa: E402
from poolaudit.integrations.numbers import numbers_of  # noqa: E402

STAGES = ("geometry", "evaluation")


def model() -> Any:
    made = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ],
        name="in_training",
    )
    made.compile("adam", "sparse_categorical_crossentropy")
    return made


def scalars(folder: Path) -> dict[str, tuple[int, float]]:
    found = {}
    for file in folder.glob("events*"):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                content = tf.make_ndarray(value.tensor)
                found[value.tag] = (event.step, content.item())
    return found


def test_the_audit_runs_when_the_training_ends(trained_digits: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    data = tf.data.Dataset.from_tensor_slices((trained_digits.x[:200], trained_digits.y[:200])).batch(50)
    callback = AuditCallback(data, out=tmp_path / "report", tensorboard=tmp_path / "logs", stages=STAGES)
    trained = model()
    seen: list[Any] = []
    history = trained.fit(
        trained_digits.x[200:],
        trained_digits.y[200:],
        epochs=3,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(trained.get_weights())),
            callback,
        ],
    )
    assert len(history.history["loss"]) == 3
    result = callback.result
    assert result is not None
    assert callback.problem is None
    for before, after in zip(seen[-1], trained.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    predicted = trained.predict(trained_digits.x[:200], verbose=0).argmax(axis=1)
    assert result.evidence.evaluation is not None
    assert result.evidence.evaluation.accuracy.value == np.mean(predicted == trained_digits.y[:200])
    assert (tmp_path / "report" / "report.html").is_file()
    logged = scalars(tmp_path / "logs")
    for name, value in numbers_of(result).items():
        step, shown = logged[f"poolaudit/{name}"]
        assert step == 3
        assert shown == pytest.approx(value, rel=1e-6)
    assert logged["poolaudit/summary"][1].decode().startswith("## ")
    # A training can go on after the audit.
    trained.fit(trained_digits.x[200:], trained_digits.y[200:], epochs=1, verbose=0)


def test_what_cannot_be_estimated_is_not_logged_as_a_number(trained_digits: Any) -> None:
    never = trained_digits.y[:200] % 9
    callback = AuditCallback((trained_digits.x[:200], never), stages=("evaluation",))
    model().fit(trained_digits.x[:200], never, verbose=0, callbacks=[callback], epochs=1)
    assert callback.result is not None
    assert callback.result.evidence.evaluation is not None
    absent = callback.result.evidence.evaluation.per_class[9]
    assert absent.recall.value is None
    assert f"recall/{absent.name}" not in numbers_of(callback.result)


@pytest.mark.parametrize(
    ("test", "options"),
    [
        ("nowhere.npz", {}),
        ((np.zeros((4, 8, 8, 1)), np.arange(4)), {"budget": "endless"}),
        ((np.zeros((4, 8, 8, 1)), np.arange(4)), {"policy": "strict.toml"}),
        ((np.zeros((4, 8, 8, 1)), np.arange(4) % 2), {"positive": "blue", "class_names": ("red", "green")}),
    ],
    ids=["data", "option", "policy", "class"],
)
def test_what_is_wrong_is_refused_before_the_training(test: Any, options: dict[str, Any], trained_digits: Any) -> None:
    started: list[int] = []
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: started.append(epoch))
    with pytest.raises(InvalidInputError):
        model().fit(trained_digits.x, trained_digits.y, verbose=0, callbacks=[AuditCallback(test, **options), begin])
    assert started == []


def test_an_option_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(InvalidInputError, match="Did you mean 'positive'"):
        AuditCallback(test="test.npz", positiv="fraud")


def test_an_audit_that_fails_costs_no_training(trained_digits: Any) -> None:
    wrong_shape = (np.zeros((40, 5, 5, 1), np.float32), np.arange(40) % 10)
    callback = AuditCallback(wrong_shape, stages=STAGES)
    with pytest.warns(UserWarning, match="could not audit"):
        history = model().fit(trained_digits.x, trained_digits.y, verbose=0, epochs=1, callbacks=[callback])
    assert len(history.history["loss"]) == 1
    assert callback.result is None
    assert "5" in str(callback.problem)
