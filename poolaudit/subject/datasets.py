"""A `tf.data.Dataset` as arrays; TensorFlow itself is not imported, the dataset brings it along."""

from __future__ import annotations

from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError, listed
from poolaudit.subject.memory import require_fits
from poolaudit.subject.splits import Array, RawSplit

_INFINITE = -1


def is_dataset(value: object) -> bool:
    """Is this a `tf.data.Dataset`?"""
    return hasattr(value, "element_spec") and hasattr(value, "as_numpy_iterator")


def collect(dataset: Any, source: str, class_names: tuple[str, ...] | None = None) -> RawSplit:
    """All items of a finite dataset of (x, y), (x, y, weight) or {"x": ..., "y": ...}, batched or not.

    Raises:
        InvalidInputError: It never ends, is empty, raises, yields something else, or items differ in shape.
    """
    if int(dataset.cardinality()) == _INFINITE:
        raise InvalidInputError(
            f"{source}: the dataset never ends", "a finite dataset", "Leave out .repeat(), or add .take(n)"
        )
    inputs: list[Array] = []
    labels: list[Array] = []
    batched: bool | None = None
    n_bytes, weighted = 0, False
    try:
        for element in dataset.as_numpy_iterator():
            x, y, has_weight = _pair(element, source)
            if batched is None:
                batched = _is_batched(dataset.element_spec, x, y, source)
            inputs.append(x if batched else x[np.newaxis])
            labels.append(y if batched else y[np.newaxis])
            weighted |= has_weight
            n_bytes += x.nbytes
            require_fits(2 * n_bytes, source)
    except InvalidInputError:
        raise
    except Exception as error:  # whatever the user's own pipeline raises
        raise InvalidInputError(
            f"{source}: the dataset raised {type(error).__name__}: {' '.join(str(error).split())[:200]}",
            "a dataset that can be iterated to its end",
        ) from error
    if not inputs:
        raise InvalidInputError(f"{source}: the dataset is empty", "at least one item")
    shapes = {part.shape[1:] for part in inputs}
    if len(shapes) > 1 or len({part.shape[1:] for part in labels}) > 1:
        raise InvalidInputError(
            f"{source}: items have different shapes: {listed(str(shape) for shape in sorted(shapes))}",
            "items of one shape",
            "Resize or pad them in the dataset",
        )
    return RawSplit(
        inputs=np.concatenate(inputs),
        labels=as_labels(np.concatenate(labels), source),
        source=source,
        class_names=class_names,
        notes=("Sample weights were ignored.",) if weighted else (),
    )


def as_labels(labels: Array, source: str) -> Array:
    """Labels in a dtype that can be judged: text in objects or bytes becomes text, anything else stays."""
    if labels.dtype.kind == "S":
        return np.asarray(np.char.decode(labels, "utf-8", "replace"))
    if labels.dtype.kind != "O":
        return labels
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in labels.ravel()]
    if not all(isinstance(value, str) for value in values):
        odd = next(value for value in values if not isinstance(value, str))
        raise InvalidInputError(
            f"{source}: the labels hold Python objects, for example {str(odd)[:40]!r} of type {type(odd).__name__}",
            "an array of integers, booleans or text, none missing",
        )
    return np.asarray(np.array(values, dtype=str).reshape(labels.shape))


def _pair(element: Any, source: str) -> tuple[Array, Array, bool]:
    if isinstance(element, dict):
        for x_key, y_key in (("x", "y"), ("image", "label")):
            if x_key in element and y_key in element:
                element = (element[x_key], element[y_key])
                break
    if isinstance(element, (tuple, list)) and len(element) in (2, 3):
        x, y = element[0], element[1]
        if all(isinstance(part, (np.ndarray, np.generic, int, float, bytes)) for part in (x, y)):
            return np.asarray(x), np.asarray(y), len(element) == 3
    raise InvalidInputError(
        f"{source}: the dataset yields {type(element).__name__}",
        'pairs (x, y) of dense arrays, or {"x": ..., "y": ...}',
        "Map the dataset to (inputs, labels); models with several inputs cannot be audited yet",
    )


def _is_batched(spec: Any, x: Array, y: Array, source: str) -> bool:
    """Batched where inputs and labels share their first axis, and the labels have one at all."""
    if y.ndim == 0:
        return False
    if x.ndim == 0 or x.shape[0] != y.shape[0]:
        return False
    if y.ndim == 1 and y.dtype.kind == "f" and np.count_nonzero(y) == 1 and y.sum() == 1 and not _has_open_axis(spec):
        raise InvalidInputError(
            f"{source}: one element has inputs of shape {x.shape} and labels {y.shape}; a batch and a single item "
            "with a one-hot label look the same here",
            "a dataset whose batches can be told from items",
            "Map the labels to integers",
        )
    return True


def _has_open_axis(spec: Any) -> bool:
    parts = list(spec.values()) if isinstance(spec, dict) else list(spec)
    return any(getattr(part, "shape", None) is not None and part.shape.rank and part.shape[0] is None for part in parts)
