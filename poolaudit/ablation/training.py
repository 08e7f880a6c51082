"""One trial from spec to stored predictions; loads TensorFlow, and runs in a worker.

The order of the items in each epoch, like everything else random, follows from seed and epoch alone. After every epoch
weights, optimizer state and random states are kept, so a trial that was cut off goes on where it stood and ends in the
same bits.
"""

from __future__ import annotations

import io
import json
import math
import platform
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from poolaudit.ablation.models import build_trial_model, recipe_of
from poolaudit.ablation.trial import RECALIBRATED, TrialSpec, versions
from poolaudit.errors import InvalidInputError
from poolaudit.store.trials import StoredTrial
from poolaudit.subject.compiled_loss import loss_of

Array = npt.NDArray[Any]
Tell = Callable[[int, int], None]

FINISHED, DIVERGED, FAILED = "finished", "diverged", "failed"


class Checkpoint(Protocol):
    """Where an unfinished trial keeps what it has."""

    def load(self) -> bytes | None: ...
    def save(self, content: bytes) -> None: ...


class NoCheckpoint:
    """Keeps nothing: a trial that is cut off starts again."""

    def load(self) -> bytes | None:
        return None

    def save(self, content: bytes) -> None:
        pass


@dataclass(frozen=True, slots=True, eq=False)
class Materials:
    """The data a trial needs; inputs (n, ...), labels int64 (n,).

    Attributes:
        train: Inputs and labels.
        test: Inputs.
        validation: Inputs; None where there are none.
        classes: Number of classes.
    """

    train: tuple[Array, Array]
    test: Array
    validation: Array | None
    classes: int


def run_trial(
    spec: TrialSpec, materials: Materials, checkpoint: Checkpoint | None = None, tell: Tell | None = None
) -> StoredTrial:
    """Trains, predicts and returns the trial; a training that ends in NaN is a diverged trial, not an error.

    Args:
        spec: What to train.
        materials: The data.
        checkpoint: Where to keep and find unfinished work.
        tell: Called after every epoch with epochs done and in all.

    Raises:
        Exception: Whatever building or training raises; the caller makes it a failed trial.
    """
    import keras

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(spec.seed)
    started = time.perf_counter()
    model = build_trial_model(spec, materials)
    clock = time.perf_counter()
    history, epochs = _train(spec, model, materials, checkpoint or NoCheckpoint(), tell or (lambda done, total: None))
    fit_seconds = time.perf_counter() - clock
    outputs, reason = _outputs(model, materials, history)
    return StoredTrial(
        key=spec.key,
        facts={
            "variant": spec.variant,
            "control": spec.control,
            "seed": spec.seed,
            "depth": spec.depth,
            "outcome": DIVERGED if reason else FINISHED,
            "reason": reason,
            "history": _plain(history),
            "epochs": epochs,
            "parameters": int(model.count_params()),
            "fit_seconds": round(fit_seconds, 3),
            "seconds": round(time.perf_counter() - started, 3),
            "environment": environment(),
        },
        arrays=outputs,
    )


def failed_trial(spec: TrialSpec, reason: str) -> StoredTrial:
    """A trial that could not be trained, with the reason."""
    facts = {
        "variant": spec.variant,
        "control": spec.control,
        "seed": spec.seed,
        "depth": spec.depth,
        "outcome": FAILED,
        "reason": reason,
        "history": {},
        "epochs": 0,
        "parameters": 0,
        "fit_seconds": 0.0,
        "seconds": 0.0,
        "environment": environment(),
    }
    return StoredTrial(spec.key, facts, {})


def environment() -> dict[str, str]:
    return {**versions(), "python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}


def _train(
    spec: TrialSpec, model: Any, materials: Materials, checkpoint: Checkpoint, tell: Tell
) -> tuple[dict[str, list[float]], int]:
    recipe = recipe_of(spec.model)
    inputs, labels = materials.train
    if recipe is not None and recipe.train is not None and spec.depth != RECALIBRATED:
        given = recipe.train(model, np.asarray(inputs), np.asarray(labels), spec.seed)
        return _history_of(given), 0
    targets = targets_for(loss_of(model), labels, _columns(model, inputs), materials.classes)
    return _fit(spec, model, inputs, targets, checkpoint, tell)


def _history_of(given: Any) -> dict[str, list[float]]:
    """What a train function returned: a mapping, or Keras's History as `model.fit` returns it.

    Raises:
        InvalidInputError: It is something else.
    """
    found = getattr(given, "history", given)
    try:
        return {str(name): [float(v) for v in values] for name, values in dict(found or {}).items()}
    except (TypeError, ValueError):
        raise InvalidInputError(
            f"The recipe's train function returned a {type(given).__name__}",
            "nothing, what model.fit returned, or a mapping from metric to list of numbers",
        ) from None


def _fit(
    spec: TrialSpec, model: Any, inputs: Array, targets: Array, checkpoint: Checkpoint, tell: Tell
) -> tuple[dict[str, list[float]], int]:
    import keras
    import tensorflow as tf

    epochs = spec.plan.epochs
    history: dict[str, list[float]] = {}
    first = _restore(model, checkpoint.load(), history)
    order = tf.Variable(np.arange(len(inputs)))

    class Epochs(keras.callbacks.Callback):  # type: ignore[misc]
        """Sets order and random states before each epoch, and keeps what is there after it."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            order.assign(np.random.default_rng([spec.seed, epoch]).permutation(len(inputs)))
            # Layers keep their random states in variables. Seeding TensorFlow here would throw away its compiled
            # kernels, which costs as much as a short epoch.
            random.seed(f"{spec.seed} {epoch}")
            np.random.seed((spec.seed * 1_000_003 + epoch) % 2**32)  # noqa: NPY002 - for code of the user's own

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            for name, value in (logs or {}).items():
                history.setdefault(name, []).append(float(value))
            if not math.isfinite(history.get("loss", [0.0])[-1]):
                self.model.stop_training = True
            elif epoch + 1 < epochs:
                checkpoint.save(_snapshot(self.model, history, epoch + 1))
            tell(epoch + 1, epochs)

    if first < epochs:
        dataset = _dataset(inputs, targets, order, spec.plan.batch_size)
        arguments = _fit_arguments(spec.plan.fit)
        callbacks = [*arguments.pop("callbacks", ()), Epochs()]
        model.fit(
            dataset, initial_epoch=first, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks, **arguments
        )
    return history, len(history.get("loss", ())) or epochs


def targets_for(loss: Any, labels: Array, columns: int, classes: int) -> Array:
    """Labels in the form the loss takes: indices, one column for a single unit, or one column a class.

    Args:
        loss: As the model was compiled with it.
        columns: Of the model's output.
    """
    name = loss if isinstance(loss, str) else getattr(loss, "name", None) or getattr(loss, "__name__", "")
    if "sparse" in str(name):
        return labels.astype(np.int32).reshape(-1, 1)
    if columns == 1:
        return labels.astype(np.float32).reshape(-1, 1)
    return np.eye(classes, dtype=np.float32)[labels]


def _columns(model: Any, inputs: Array) -> int:
    shape = getattr(model, "output_shape", None)
    if not isinstance(shape, tuple):  # a model by code states none
        shape = model(np.asarray(inputs[:1]), training=False).shape
    return int(shape[-1])


def _dataset(inputs: Array, targets: Array, order: Any, batch_size: int) -> Any:
    """Batches in the order that the variable holds when an epoch begins."""
    import tensorflow as tf

    x, y = tf.convert_to_tensor(np.asarray(inputs)), tf.convert_to_tensor(targets)

    def gather(places: Any) -> Any:
        items = tf.gather(order, places)
        return tf.gather(x, items), tf.gather(y, items)

    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    batches = tf.data.Dataset.range(len(inputs)).batch(batch_size).map(gather).prefetch(2)
    return batches.with_options(options)


def _fit_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of fit; the keys of class_weight are numbers again after their way through JSON."""
    arguments = dict(given)
    if arguments.get("class_weight"):
        arguments["class_weight"] = {int(label): float(w) for label, w in dict(arguments["class_weight"]).items()}
    return arguments


def _snapshot(model: Any, history: Mapping[str, list[float]], epoch: int) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        f"v{i}": np.asarray(v) for i, v in enumerate([*model.variables, *model.optimizer.variables])
    }
    facts = json.dumps({"epoch": epoch, "history": _plain(history)})
    np.savez(buffer, facts=np.frombuffer(facts.encode(), np.uint8), **arrays)
    return buffer.getvalue()


def _restore(model: Any, content: bytes | None, history: dict[str, list[float]]) -> int:
    """Epochs already done; what does not fit or is damaged counts as nothing."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    if content is None:
        return 0
    variables = [*model.variables, *model.optimizer.variables]
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            facts = json.loads(archive["facts"].tobytes())
            values = [archive[f"v{i}"] for i in range(len(archive.files) - 1)]
    except Exception:
        return 0
    if [value.shape for value in values] != [tuple(v.shape) for v in variables]:
        return 0
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    history.update(facts["history"])
    return int(facts["epoch"])


def _outputs(model: Any, materials: Materials, history: Mapping[str, list[float]]) -> tuple[dict[str, Array], str]:
    from poolaudit.subject.models import load_model

    if any(not math.isfinite(value) for value in history.get("loss", [])):
        return {}, "its training loss became NaN or infinite"
    loaded = load_model(model)
    try:
        outputs = {"test": loaded.predict(np.asarray(materials.test), batch_size=256)}
        if materials.validation is not None:
            outputs["validation"] = loaded.predict(np.asarray(materials.validation), batch_size=256)
    except InvalidInputError as error:
        if "NaN or infinity" not in str(error):
            raise
        return {}, str(error)
    return outputs, ""


def _plain(history: Mapping[str, list[float]]) -> dict[str, list[float | None]]:
    """JSON has no NaN: None stands for what is not finite."""
    return {name: [v if math.isfinite(v) else None for v in values] for name, values in history.items()}
