"""Writes a variant as a model file that plain Keras loads."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.ablation.advice import code_changes
from poolaudit.ablation.plan import graph_of
from poolaudit.ablation.proof import differs_from_baseline
from poolaudit.ablation.surgery import build_variant
from poolaudit.ablation.variants import parse_variant
from poolaudit.ablation.whole_runs import predicted
from poolaudit.errors import InvalidInputError, is_out_of_space, no_space_for_a_model
from poolaudit.store.atomic import write_atomically
from poolaudit.subject._keras_load import quiet_keras
from poolaudit.subject._loaded import LoadedModel

_ITEMS = 4


@dataclass(frozen=True, slots=True)
class AppliedVariant:
    """What was written.

    Attributes:
        variant: Its name.
        sites: Names of the changed pooling sites.
        code_changes: The same change in the code that builds the model, one line a site, and what else changed.
        kept_weights: Number of weights with the original's values.
        must_be_trained: Paths of the weights that start anew; predictions mean nothing before they are trained.
        should_be_trained: Paths of the weights of the new layers, which start at a meaningful value.
        parameters, baseline_parameters: Values in all weights, after and before.
        needs_poolaudit: Whether the file holds layers of `poolaudit.ablation.layers`, which has to be imported before
            the file is loaded.
        notes: Sentences for the user.
    """

    variant: str
    sites: tuple[str, ...]
    code_changes: tuple[str, ...]
    kept_weights: int
    must_be_trained: tuple[str, ...]
    should_be_trained: tuple[str, ...]
    parameters: int
    baseline_parameters: int
    needs_poolaudit: bool
    notes: tuple[str, ...] = ()


def apply_variant(
    loaded: LoadedModel, variant: str, path: Path, *, control: bool = False, seed: int = 0
) -> AppliedVariant:
    """Builds a variant, proves that it differs, writes it, loads it again and compares; only then it is there.

    Args:
        variant: For example "blur@pool2".
        path: Ends in `.keras`.
        control: Write the parameter-matched control instead.
        seed: Of the weights that start anew, and of the inputs of the proof.

    Raises:
        InvalidInputError: The variant does not fit, changes nothing, or cannot be written as a file.
    """
    if path.suffix.lower() != ".keras":
        raise InvalidInputError(f"The output is {path.name!r}", "a file name that ends in .keras")
    model = layers_of(loaded)
    built = build_variant(model, parse_variant(variant), control=control, seed=seed)
    if built.not_savable is not None:
        raise InvalidInputError(
            f"{variant} of {loaded.name} cannot be written as a file: {built.not_savable}",
            cure="\n".join(code_changes(built)),
        )
    inputs = _drawn(model, seed)
    notes = []
    if inputs is None:
        notes.append("The sizes of the model's inputs are open, so the proof that it differs rests on the graph alone.")
    else:
        differs_from_baseline(model, built, inputs)
    write_atomically(path, _file_of(built.model, inputs))
    fresh = tuple(name for name in built.reinitialised_weights if name not in built.new_weights)
    return AppliedVariant(
        variant,
        built.sites,
        code_changes(built),
        len(built.kept_weights),
        fresh,
        built.new_weights,
        built.parameters,
        built.baseline_parameters,
        any(type(layer).__module__.startswith("poolaudit.") for layer in built.model._flatten_layers()),
        tuple(notes),
    )


def layers_of(loaded: LoadedModel) -> Any:
    """The Keras model.

    Raises:
        InvalidInputError: There is none.
    """
    if loaded.keras_model is None:
        raise InvalidInputError(
            f"{loaded.source} is a SavedModel, which stores operations and not layers",
            "a .keras or .h5 file, or code that builds the model",
            "Save the model again with model.save('model.keras')",
        )
    return loaded.keras_model


def _file_of(model: Any, inputs: Any) -> bytes:
    """The model as a file, after it was loaded from there and predicted the same.

    Raises:
        InvalidInputError: It does not survive being saved.
    """
    import keras

    with tempfile.TemporaryDirectory() as folder, quiet_keras():
        file = Path(folder) / "variant.keras"
        try:
            model.save(file)
            again = keras.saving.load_model(file, compile=False)
            same = inputs is None or _agree(predicted(model, inputs, _ITEMS), predicted(again, inputs, _ITEMS))
            reason = "" if same else "loaded again, it predicts something else"
        except Exception as error:  # the model's own layers take part in it
            if is_out_of_space(error):
                raise no_space_for_a_model("The variant cannot be saved") from error
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        if reason:
            raise InvalidInputError(
                f"The variant does not survive being saved ({reason})", cure="Change the model's code instead"
            )
        return file.read_bytes()


def _agree(ours: Any, theirs: Any) -> bool:
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
    return all(np.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in pairs)


def _drawn(model: Any, seed: int) -> Any:
    """A few inputs of noise as the model takes them; None where a size is open."""
    import keras

    graph = graph_of(model)
    structure = None if graph is None else graph._inputs_struct
    flat = [] if graph is None else graph.inputs
    if not flat or any(size is None for tensor in flat for size in tensor.shape[1:]):
        return None
    generator = np.random.default_rng(seed)
    return keras.tree.map_structure(
        lambda tensor: generator.normal(size=(tensor.shape[0] or _ITEMS, *tensor.shape[1:])).astype(
            keras.backend.standardize_dtype(tensor.dtype)
        ),
        structure,
    )
