"""The model under ablation: where workers get it from, and what identifies it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from poolaudit.ablation.models import baseline_model, is_compiled, kept_layers, read_recipe
from poolaudit.ablation.recipe import DEFAULT_BATCH_SIZE, DEFAULT_EPOCHS, DEFAULT_RATE, Recipe
from poolaudit.ablation.settings import AblationSettings
from poolaudit.ablation.trial import ModelSource, TrainingPlan, search_path, sha256_of, source_text
from poolaudit.errors import InvalidInputError
from poolaudit.store.trials import TrialStore, canonical_json
from poolaudit.subject.heads import Head
from poolaudit.subject.models import LoadedModel

_LOSSES = {
    "sigmoid": "binary_crossentropy",
    "single_logit": "binary_crossentropy_from_logits",
    "softmax": "sparse_categorical_crossentropy",
    "logits": "sparse_categorical_crossentropy_from_logits",
}


@dataclass(frozen=True, slots=True, eq=False)
class AblationSubject:
    """The baseline.

    Attributes:
        model: The Keras model; with trained weights where `is_trained`.
        recipe: Where code builds it.
        reference: "package.module:name" of the recipe.
        is_trained: The weights are those that ship.
    """

    model: Any
    recipe: Recipe | None = None
    reference: str | None = None
    is_trained: bool = True
    trust_model_code: bool = False
    notes: tuple[str, ...] = field(default=())


def subject_of(loaded: LoadedModel, *, trust_model_code: bool = False) -> AblationSubject:
    """A loaded model as the baseline.

    Raises:
        InvalidInputError: A SavedModel, whose layers cannot be taken apart.
    """
    if loaded.keras_model is None:
        raise InvalidInputError(
            f"{loaded.name} is a SavedModel: its pooling cannot be exchanged",
            "a .keras or .h5 file, a keras.Model, or a recipe",
            "Save the model with model.save('model.keras'), or name a function that builds it",
        )
    return AblationSubject(loaded.keras_model, trust_model_code=trust_model_code)


def subject_from_recipe(reference: str) -> AblationSubject:
    """The baseline that `package.module:name` builds; its weights are fresh.

    Raises:
        InvalidInputError: It cannot be imported or built.
    """
    import keras

    recipe = read_recipe(reference, search_path())
    # Automatic layer names count up in a process; a worker starts at none, and sites are found by name.
    keras.utils.clear_session()
    model = baseline_model(ModelSource(file=None, reference=reference, search=search_path()))
    return AblationSubject(model, recipe, reference, is_trained=False)


def model_source(subject: AblationSubject, store: TrialStore) -> ModelSource:
    """Where workers get the baseline from; a model that is not code is put into the store as a file.

    Raises:
        InvalidInputError: It cannot be written as a file.
    """
    if subject.reference is not None:
        assert subject.recipe is not None
        text = source_text(subject.recipe.build) + source_text(subject.recipe.train)
        parts = [subject.reference, subject.recipe.version, text, _described(subject.model)]
        return ModelSource(None, subject.reference, search_path(), fingerprint=sha256_of("\n".join(parts)))
    described = _described(subject.model) + _kept_weights(subject.model)
    fingerprint = sha256_of(described)
    path = store.folder / "models" / f"{sha256_of(described + _weights(subject.model))}.keras"
    modules = _custom_modules(subject.model)
    if not path.exists():
        ready = path.with_name(f".{path.name}")
        try:
            ready.unlink(missing_ok=True)
            subject.model.save(ready.with_suffix(".part.keras"))
            ready.with_suffix(".part.keras").replace(path)
        except Exception as error:
            raise InvalidInputError(
                f"{subject.model.name} cannot be handed to worker processes ({type(error).__name__}: "
                f"{str(error)[:200]})",
                "a model that can be saved, or a recipe",
                "Name a function that builds and compiles it (package.module:function)",
            ) from error
    return ModelSource(
        file=str(path.resolve()),
        reference=None,
        search=search_path() if modules else (),
        modules=modules,
        trust_model_code=subject.trust_model_code,
        fingerprint=fingerprint,
    )


def training_plan(subject: AblationSubject, settings: AblationSettings, head: Head) -> tuple[TrainingPlan, str]:
    """How trials are trained, and the sentence that says so."""
    recipe = subject.recipe
    epochs = settings.epochs or (recipe.epochs if recipe else DEFAULT_EPOCHS)
    batch_size = settings.batch_size or (recipe.batch_size if recipe else DEFAULT_BATCH_SIZE)
    fit: Mapping[str, Any] = {
        name: {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else value
        for name, value in (recipe.fit if recipe else {}).items()
    }
    default = not is_compiled(subject.model)
    loss = None
    if default:
        loss = _LOSSES.get(head.kind, "binary_crossentropy")
    plan = TrainingPlan(epochs, batch_size, fit, default, loss)
    if recipe is not None and recipe.train is not None:
        return plan, f"by the recipe's own code ({subject.reference})"
    how = (
        f"with Adam at {DEFAULT_RATE:g} and {loss}, poolaudit's default, because the model carries no compile "
        "configuration"
        if default
        else f"with the model's own compile configuration ({_optimizer(subject.model)}, {_loss(subject.model)})"
    )
    chosen = "" if settings.epochs or recipe else ", poolaudit's default (set --epochs to what the model ships with)"
    return plan, f"from scratch {how}, {epochs} epochs{chosen}, batches of {batch_size}"


def _optimizer(model: Any) -> str:
    try:
        rate = float(np.asarray(model.optimizer.learning_rate))
    except (TypeError, ValueError):
        return type(model.optimizer).__name__
    return f"{type(model.optimizer).__name__} at {rate:.3g}"


def _loss(model: Any) -> str:
    loss = model.loss
    return loss if isinstance(loss, str) else str(getattr(loss, "name", None) or getattr(loss, "__name__", "own loss"))


def _described(model: Any) -> str:
    """Architecture and compile configuration as text; what describes itself badly is told apart by its class."""
    try:
        architecture = model.to_json()
    except Exception:
        architecture = f"{type(model).__module__}.{type(model).__qualname__} {model.count_params()}"
    optimizer = getattr(model, "optimizer", None)
    compiled = {
        "optimizer": None if optimizer is None else [type(optimizer).__name__, optimizer.get_config()],
        "loss": _configured(getattr(model, "loss", None)),
    }
    return (
        json.dumps(json.loads(architecture), sort_keys=True) + canonical_json(compiled)
        if (architecture.startswith("{"))
        else architecture + canonical_json(compiled)
    )


def _configured(thing: Any) -> Any:
    if thing is None or isinstance(thing, str):
        return thing
    config = thing.get_config() if hasattr(thing, "get_config") else None
    return [getattr(thing, "__name__", type(thing).__name__), config]


def _kept_weights(model: Any) -> str:
    """Digest of the weights that every trial starts with because the model does not train them."""
    names = set(kept_layers(model))
    return _digest(w for layer in model._flatten_layers() if layer.name in names for w in layer.get_weights())


def _weights(model: Any) -> str:
    return _digest(model.get_weights())


def _digest(arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _custom_modules(model: Any) -> tuple[str, ...]:
    """Modules whose import makes the model's own layers known to a worker.

    Raises:
        InvalidInputError: A layer's class stands in a script, which a worker cannot import.
    """
    modules = {type(layer).__module__ for layer in [model, *model._flatten_layers()]}
    own = sorted(name for name in modules if name.split(".")[0] not in ("keras", "tensorflow", "poolaudit"))
    if "__main__" in own:
        raise InvalidInputError(
            "The model has layers whose class stands in the running script",
            "layers that a worker process can import",
            "Move the class into a module beside the script",
        )
    return tuple(own)
