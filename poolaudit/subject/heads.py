"""Tells what a classifier's raw outputs mean, and turns them into probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from poolaudit.errors import InvalidInputError
from poolaudit.subject._final_activation import (
    FinalActivation,
    compiled_loss,
    final_activation,
)
from poolaudit.subject._loaded import LoadedModel

Array = npt.NDArray[Any]

ROW_SUM_TOLERANCE = 1e-2  # half-precision soft-max over a thousand classes stays within it
REGRESSION_LOSSES = frozenset(
    {
        "mean_squared_error",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_logarithmic_error",
        "huber",
        "log_cosh",
        "mse",
        "mae",
        "poisson",
    }
)
# Bounded to [0, 1] and rising, so 0.5 is their middle as it is the sigmoid's.
SIGMOID_LIKE = frozenset({"sigmoid", "hard_sigmoid", "sparse_sigmoid"})
SOFTMAX_LIKE = frozenset({"softmax", "sparsemax"})
SIGNED = frozenset({"linear", "tanh", "log_softmax", "hard_tanh", "softsign", "leaky_relu", "elu", "selu"})


BOUNDED = frozenset({"tanh", "hard_tanh", "softsign"})
_NO_LOG_ODDS = (
    " (not log-odds: decisions and rankings are right, but the probabilities made from it, log loss and calibration "
    "are not meaningful)"
)


@dataclass(frozen=True, slots=True)
class Head:
    """How a model's raw outputs are to be read.

    Attributes:
        kind: "sigmoid" (one column, probability of class 1), "single_logit" (one column, its logit), "softmax" (one
            probability a class), "logits" (one unnormalised score a class) or "multi_sigmoid" (one independent
            probability a class).
        classes: Number of classes; 2 for one column.
        stated: What the head is and how that is known, in words.
        are_probabilities: False for margins, whose squashed values rank and decide but are no probabilities.
        problem: Where the compiled loss contradicts the head, what that means, in words; None otherwise.
        decides_where_known: False where that leaves open at which output the model decides.
    """

    kind: str
    classes: int
    stated: str
    are_probabilities: bool = True
    problem: str | None = None
    decides_where_known: bool = True


def find_head(loaded: LoadedModel, sample_outputs: Array) -> Head:
    """Reads the head from the end of the model's graph, and from the output values where the graph does not tell.

    Args:
        loaded: The model under audit.
        sample_outputs: Raw outputs, shape (n, k), n at least 1, finite.

    Raises:
        InvalidInputError: Where the outputs cannot be class scores: one soft-max unit (always 1), a soft-max whose
            rows do not sum to 1, a single unit trained for regression or cut off at 0.
    """
    outputs = np.asarray(sample_outputs, dtype=np.float64)
    if outputs.ndim != 2 or outputs.size == 0 or not np.isfinite(outputs).all():
        raise InvalidInputError(
            f"Outputs of shape {outputs.shape} to read the head from", "finite outputs of shape (n, classes)"
        )
    final = final_activation(loaded)
    loss, from_logits = compiled_loss(loaded)
    head = _declared(loaded.name, final, loss, outputs) if final is not None else None
    if head is None:
        head = _inferred(outputs, final)
    remark, contradicts = _loss_remark(head.kind, loss, from_logits)
    problem = remark.removeprefix("; but ") if contradicts else None
    known = not (contradicts and head.kind == "single_logit")
    return replace(head, stated=head.stated + remark, problem=problem, decides_where_known=known)


def to_probabilities(raw: Array, head: Head) -> Array:
    """Class probabilities, float64, shape (n, classes).

    One column becomes two, [1 - p, p]. Independent sigmoids are not normalised, so their rows need not sum to 1.
    """
    values = np.asarray(raw, dtype=np.float64).reshape(len(raw), -1)
    expected = 1 if head.kind in ("sigmoid", "single_logit") else head.classes
    if values.shape[1] != expected:
        raise InvalidInputError(f"Raw outputs with {values.shape[1]} columns", f"{expected} for a {head.kind} head")
    if head.kind in ("sigmoid", "single_logit"):
        if head.kind == "sigmoid":
            positive, negative = np.clip(values[:, 0], 0.0, 1.0), 1.0 - np.clip(values[:, 0], 0.0, 1.0)
        else:
            positive, negative = expit(values[:, 0]), expit(-values[:, 0])
        return np.stack([negative, positive], axis=1)
    if head.kind == "logits":
        return np.asarray(softmax(values, axis=1))
    clipped = np.clip(values, 0.0, 1.0)
    if head.kind == "softmax":
        # Single precision leaves sums such as 0.9999998; metrics that check for 1 would refuse them.
        clipped = clipped / clipped.sum(axis=1, keepdims=True)
    return clipped


def _declared(name: str, final: FinalActivation, loss: str | None, outputs: Array) -> Head | None:
    columns = outputs.shape[1]
    said = f"final activation {final.name} of {final.where}"
    if final.name in SOFTMAX_LIKE:
        if columns == 1:
            raise InvalidInputError(
                f"{name} ends in a softmax over one unit ({final.where}), which gives 1.0 for every input",
                "softmax over two or more units, or sigmoid over one",
                "Train the model again with activation='sigmoid' on the last layer",
            )
        if not _rows_sum_to_one(outputs):
            raise InvalidInputError(
                f"{name} declares a softmax ({final.where}), but its rows sum to between "
                f"{outputs.sum(axis=1).min():.3g} and {outputs.sum(axis=1).max():.3g}",
                "probabilities that sum to 1 over the classes",
                "Check the axis of the softmax and what follows it",
            )
        return Head("softmax", columns, f"softmax over {columns} classes: {said}")
    if final.name in SIGMOID_LIKE:
        if columns == 1:
            return Head("sigmoid", 2, f"one sigmoid unit, the probability of class 1: {said}")
        return Head(
            "multi_sigmoid",
            columns,
            f"{columns} independent sigmoids, not normalised over the classes; the class with the highest one is "
            f"predicted: {said}",
        )
    if final.name in SIGNED:
        return _signed(name, final, said, loss, columns)
    if final.name in ("relu", "relu6", "softplus", "exponential", "square", "softsign_positive"):
        if columns == 1:
            raise InvalidInputError(
                f"{name} ends in one unit with activation {final.name} ({final.where}); its outputs are never "
                "negative, so nothing says from which value on class 1 is meant",
                "a single unit with sigmoid or no activation",
                "Train the model again with activation='sigmoid' on the last layer",
            )
        return Head(
            "logits",
            columns,
            f"{columns} scores read as logits: {said}, which cannot be negative, so their softmax is a ranking of "
            "the classes rather than probabilities",
        )
    return None


def _signed(name: str, final: FinalActivation, said: str, loss: str | None, columns: int) -> Head:
    if columns == 1:
        if loss in REGRESSION_LOSSES:
            raise InvalidInputError(
                f"{name} ends in one unit without sigmoid ({final.where}) and was compiled with {loss}: a regression",
                "a classifier",
                "Name a function that wraps the model so that it returns class probabilities (package.module:function)",
            )
        if _is_margin(final, loss):
            return Head("single_logit", 2, f"one margin, positive for class 1{_NO_LOG_ODDS}: {said}", False)
        return Head("single_logit", 2, f"one logit, positive for class 1: {said}")
    kind = "log-probabilities, read as logits" if final.name == "log_softmax" else "logits"
    if _is_margin(final, loss):
        return Head("logits", columns, f"margins over {columns} classes{_NO_LOG_ODDS}: {said}", False)
    return Head("logits", columns, f"{kind} over {columns} classes: {said}")


def _is_margin(final: FinalActivation, loss: str | None) -> bool:
    return final.name in BOUNDED or (loss or "").endswith("hinge")


def _inferred(outputs: Array, final: FinalActivation | None) -> Head:
    columns = outputs.shape[1]
    why = f"the final activation {final.name} is not known" if final else "the graph does not tell"
    inside = bool(outputs.min() >= -1e-6 and outputs.max() <= 1.0 + 1e-6)
    basis = f"inferred from {len(outputs)} outputs ({why}): "
    if columns == 1 and inside:
        return Head("sigmoid", 2, f"{basis}one column within [0, 1], read as the probability of class 1")
    if columns == 1:
        return Head("single_logit", 2, f"{basis}one column outside [0, 1], read as a logit")
    if inside and _rows_sum_to_one(outputs):
        return Head("softmax", columns, f"{basis}rows within [0, 1] that sum to 1, read as softmax")
    if inside:
        return Head(
            "multi_sigmoid",
            columns,
            f"{basis}rows within [0, 1] that do not sum to 1, read as independent sigmoids, not normalised",
        )
    return Head("logits", columns, f"{basis}values outside [0, 1], read as logits")


def _rows_sum_to_one(outputs: Array) -> bool:
    return bool(outputs.min() >= -1e-6 and np.all(np.abs(outputs.sum(axis=1) - 1.0) <= ROW_SUM_TOLERANCE))


def _loss_remark(kind: str, loss: str | None, from_logits: bool | None) -> tuple[str, bool]:
    """What the compiled loss says about the head, and whether it contradicts it."""
    if loss is None or from_logits is None:
        return "", False
    is_logits = kind in ("logits", "single_logit")
    setting = f"{loss} with from_logits={from_logits}"
    if is_logits == from_logits:
        return f"; the compiled loss ({setting}) agrees", False
    if from_logits:
        return (
            f"; but the compiled loss is {setting}, which applies the activation a second time: the model was "
            "trained on squashed scores",
            True,
        )
    return (
        f"; but the compiled loss is {setting}, which expects probabilities, not logits"
        + (", so whether the model decides at 0 or at 0.5 is not known" if kind == "single_logit" else ""),
        True,
    )
