"""The live model under audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Shape = tuple["int | None", ...]


@dataclass(frozen=True)
class LoadedModel:
    """A model that can predict, and what is known of where it came from. Holds TensorFlow objects: never evidence.

    Attributes:
        name: The model's own name, or the file's.
        source: Base name of the file or folder, or "package.module:function"; never an absolute path.
        format: "keras", "h5", "savedmodel", "code" or "object".
        sha256: Of the file, or of a SavedModel's files; None for code and objects.
        parameters: Number of values in all weights.
        input_shape: With batch None; None where the model does not state one, or has several inputs.
        output_shape: Likewise.
        input_count: Number of input tensors; 0 where it is not known.
        output_count: Number of output tensors; 0 where it is not known.
        input_dtype: NumPy name of the dtype the model takes.
        fixed_sizes: Whether sizes of `input_shape` other than the last are binding. They are not for a subclassed
            model, which only remembers what it was first built with.
        notes: Sentences the report shows.
        keras_model: The Keras model; None for a SavedModel.
        signature: The serving function of a SavedModel; otherwise None.
        call: Maps a float tensor of shape (batch, ...) to the raw output tensor, in inference mode.
    """

    name: str
    source: str
    format: str
    sha256: str | None
    parameters: int
    input_shape: Shape | None
    output_shape: Shape | None
    call: Callable[[Any], Any] = field(repr=False)
    input_count: int = 1
    output_count: int = 1
    input_dtype: str = "float32"
    fixed_sizes: bool = True
    notes: tuple[str, ...] = ()
    keras_model: Any = field(default=None, repr=False)
    signature: Any = field(default=None, repr=False)
    # Compiled prediction functions by the shape of one input; only speed hangs on it.
    compiled: dict[tuple[int, ...], Callable[[Any], Any]] = field(default_factory=dict, repr=False, compare=False)

    def predict(self, inputs: np.ndarray, batch_size: int = 128) -> np.ndarray:
        """Raw outputs, shape (n, k); see `poolaudit.subject.models.predict`."""
        from poolaudit.subject._prediction import predict

        return predict(self, inputs, batch_size=batch_size)
