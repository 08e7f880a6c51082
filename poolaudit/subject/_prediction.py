"""Runs a loaded model over inputs, in inference mode, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.errors import InvalidInputError
from poolaudit.subject._keras_load import quiet_keras
from poolaudit.subject._loaded import LoadedModel

Array = npt.NDArray[Any]


def predict(
    model: LoadedModel,
    inputs: Array,
    batch_size: int = 128,
    on_batch: Callable[[int, int], None] | None = None,
) -> Array:
    """Raw outputs of the model, float32 (float64 where the model computes in it), shape (n, k).

    Args:
        model: The model under audit.
        inputs: Shape (n, ...) as the model's input shape says, numeric.
        batch_size: Inputs a call, at least 1; the last call may hold fewer.
        on_batch: Called after every batch with the number of inputs done and their total.

    Raises:
        InvalidInputError: Where the inputs do not fit the model, the model has several inputs or outputs, fails on
            these inputs, does not give one row of numbers an input, or gives NaN or infinity.
    """
    if batch_size < 1:
        raise InvalidInputError(f"batch_size is {batch_size}", "1 or more")
    inputs = np.asarray(inputs)
    check_single(model)
    check_inputs(model, inputs)
    function = _compiled(model, inputs.shape[1:])
    fixed = model.input_shape[0] if model.input_shape else None
    step = fixed or batch_size
    rows: list[Array] = []
    for start in range(0, len(inputs), step):
        batch = inputs[start : start + step].astype(model.input_dtype, copy=False)
        count = len(batch)
        if fixed and count < fixed:
            batch = np.concatenate([batch, np.repeat(batch[-1:], fixed - count, axis=0)])
        try:
            with quiet_keras():
                raw = _single(model, function(batch))
        except InvalidInputError:
            raise
        except Exception as error:
            raise InvalidInputError(
                f"{model.name} fails on inputs of shape {inputs.shape} ({type(error).__name__}: {_first(error)})",
                f"inputs of shape {model.input_shape}" if model.input_shape else "",
                "Check that the model predicts on this data outside poolaudit",
            ) from error
        rows.append(_as_rows(model, raw, len(batch))[:count])
        if on_batch is not None:
            on_batch(start + count, len(inputs))
    outputs = np.concatenate(rows)
    unusable = int(np.sum(~np.isfinite(outputs).all(axis=1)))
    if unusable:
        raise InvalidInputError(
            f"{model.name} gives NaN or infinity for {unusable} of {len(outputs)} inputs",
            "finite outputs",
            "Look for NaN or very large values in the inputs or in the model's weights",
        )
    return outputs


def check_single(model: LoadedModel) -> None:
    """Raises InvalidInputError where the model has more than one input or output."""
    for count, what in ((model.input_count, "inputs"), (model.output_count, "outputs")):
        if count > 1:
            raise _several(model, count, what)


def _several(model: LoadedModel, count: int, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{model.name} has {count} {what}",
        "a classifier with one input and one output",
        "Wrap it in a keras.Model that takes the one input and returns the class scores, and name a function that "
        "builds the wrapper (package.module:function)",
    )


def _single(model: LoadedModel, result: Any) -> Array:
    """The one output tensor, also where the model wraps it in a list or a dictionary."""
    outputs = list(result.values()) if isinstance(result, dict) else result
    if isinstance(outputs, list | tuple):
        if len(outputs) != 1:
            raise _several(model, len(outputs), "outputs")
        outputs = outputs[0]
    return np.asarray(outputs)


def check_inputs(model: LoadedModel, inputs: Array) -> None:
    """Raises InvalidInputError where the inputs are empty, not numeric, or not of the model's input shape."""
    if not (np.issubdtype(inputs.dtype, np.number) or inputs.dtype == np.bool_) or np.iscomplexobj(inputs):
        raise InvalidInputError(f"The inputs have dtype {inputs.dtype}", "real numbers")
    if inputs.ndim < 2 or len(inputs) == 0:
        raise InvalidInputError(f"The inputs have shape {inputs.shape}", "at least one input, along the first axis")
    if np.issubdtype(inputs.dtype, np.floating) and not np.isfinite(inputs).all():
        count = int(np.sum(~np.isfinite(inputs.reshape(len(inputs), -1)).all(axis=1)))
        raise InvalidInputError(f"{count} of {len(inputs)} inputs hold NaN or infinity", "finite inputs")
    expected = model.input_shape
    if expected is None:
        return
    arrived, wanted = inputs.shape[1:], expected[1:]
    fits = len(arrived) == len(wanted) and all(
        size is None or size == got or (not model.fixed_sizes and axis < len(wanted) - 1)
        for axis, (size, got) in enumerate(zip(wanted, arrived, strict=True))
    )
    if not fits:
        raise InvalidInputError(
            f"The inputs have shape {inputs.shape}",
            f"{model.name} takes {expected} (None: any size)",
            _shape_cure(arrived, wanted),
        )


def _shape_cure(arrived: tuple[int, ...], wanted: tuple[int | None, ...]) -> str:
    def fit(got: tuple[int, ...], want: tuple[int | None, ...]) -> bool:
        pairs = zip(got, want, strict=False)
        return len(got) == len(want) and all(size is None or size == one for one, size in pairs)

    if wanted and wanted[-1] == 1 and fit(arrived, wanted[:-1]):
        return "Add a channel axis: x[..., numpy.newaxis]"
    if arrived and arrived[-1] == 1 and fit(arrived[:-1], wanted):
        return "Drop the last axis: x[..., 0]"
    if len(arrived) != len(wanted):
        return f"Give inputs with {len(wanted) + 1} axes, the first one counting the inputs"
    if len(wanted) >= 2 and fit((*arrived[1:], arrived[0]), wanted):
        return "Move the channels to the last axis: numpy.moveaxis(x, 1, -1)"
    if len(wanted) >= 2 and fit((arrived[-1], *arrived[:-1]), wanted):
        return "Move the channels to the second axis: numpy.moveaxis(x, -1, 1)"
    if wanted[-1] is not None and arrived[-1] != wanted[-1]:
        return f"Give inputs with {wanted[-1]} channels; these have {arrived[-1]}"
    if len(wanted) == 3 and None not in wanted[:2]:
        return f"Resize the images: --resize {wanted[0]}x{wanted[1]}"
    return "Give inputs of the size the model was built for"


def _compiled(model: LoadedModel, item_shape: tuple[int, ...]) -> Callable[[Any], Any]:
    function = model.compiled.get(item_shape)
    if function is None:
        import tensorflow as tf

        batch = model.input_shape[0] if model.input_shape else None
        spec = tf.TensorSpec((batch, *item_shape), model.input_dtype)
        # One trace for every batch size: the last, smaller batch must not trace the model again.
        function = tf.function(model.call, input_signature=[spec], autograph=False)
        model.compiled[item_shape] = function
    return function


def _as_rows(model: LoadedModel, raw: Array, count: int) -> Array:
    if not np.issubdtype(raw.dtype, np.floating) and raw.dtype.name != "bfloat16":
        raise InvalidInputError(
            f"{model.name} gives outputs of dtype {raw.dtype}",
            "floating point class scores",
            "Audit the model that gives the scores, before they are turned into labels",
        )
    shape = raw.shape
    if not shape or shape[0] != count or (raw.ndim > 2 and max(shape[1:-1]) > 1):
        raise InvalidInputError(
            f"{model.name} gives outputs of shape {shape} for {count} inputs",
            "one row of class scores an input",
            "poolaudit audits classifiers of whole inputs, not maps of scores",
        )
    rows = raw.reshape(count, -1)
    return rows if rows.dtype == np.float64 else rows.astype(np.float32)


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else "no message"
