"""`poolaudit.inspect_pooling`: what a model's pooling does to its input, without any data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from poolaudit.evidence.geometry import GeometryEvidence
from poolaudit.geometry.measure import measure_geometry
from poolaudit.subject.models import load_model


def inspect_pooling(
    model: Any,
    *,
    input_shape: Sequence[int] | Sequence[Sequence[int]] | None = None,
    feature_size: float | None = None,
    trust_model_code: bool = False,
    seed: int = 0,
) -> GeometryEvidence:
    """Pooling sites, receptive field of every layer, and which input cells reach the output.

    Args:
        model: A `keras.Model`, the path of a model file, or "package.module:function".
        input_shape: Without the batch and with channels, such as (224, 224, 3); one for each input of a model with
            several. Needed where the model leaves sizes open.
        feature_size: Size of the smallest feature that matters, in cells.
        trust_model_code: Allow code inside a model file to run.
        seed: Of the values that blind cells are overwritten with for the proof.

    Raises:
        InvalidInputError: The model cannot be loaded, or its sizes are open and not given.
    """
    shapes: list[Sequence[int]] | None = None
    if input_shape is not None:
        several = any(isinstance(part, (list, tuple)) for part in input_shape)
        shapes = [tuple(part) for part in input_shape] if several else [tuple(input_shape)]  # type: ignore[arg-type]
    loaded = load_model(model, trust_model_code=trust_model_code)
    return measure_geometry(loaded, shapes=shapes, feature_size=feature_size, seed=seed)
