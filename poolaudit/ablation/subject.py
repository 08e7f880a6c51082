"""The model under ablation: where workers get it from, and what identifies it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.ablation.models import baseline_model, is_compiled, kept_layers, read_recipe
from poolaudit.ablation.recipe import DEFAULT_BATCH_SIZE, DEFAULT_EPOCHS, DEFAULT_RATE, Recipe
from poolaudit.ablation.settings import AblationSettings
from poolaudit.ablation.trial import ModelSource, TrainingPlan, module_text, search_path, sha256_of, source_text
from poolaudit.ablation.variants import ACTIONS
from poolaudit.errors import InvalidInputError
from poolaudit.store.trials import NoSpaceError, TrialStore, canonical_json
from poolaudit.subject.compiled_loss import loss_of
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


def model_source(subject: AblationSubject, store: TrialStore, actions: Iterable[str] = ()) -> ModelSource:
    """Where workers get the baseline from; a model that is not code is put into the store as a file.

    Args:
        actions: Names of the variants' actions, whose code workers need as well.

    Raises:
        InvalidInputError: It cannot be written as a file, or rests on code that a worker cannot import.
    """
    modules = _own_modules(subject.model, actions)
    code = "".join(module_text(sys.modules.get(name)) for name in modules)
    if subject.reference is not None:
        assert subject.recipe is not None
        text = source_text(subject.recipe.build) + source_text(subject.recipe.train)
        parts = [subject.reference, subject.recipe.version, text, _described(subject.model), code]
        return ModelSource(None, subject.reference, search_path(), modules, fingerprint=sha256_of("\n".join(parts)))
    described = _described(subject.model) + _kept_weights(subject.model) + code
    fingerprint = sha256_of(described)
    path = store.folder / "models" / f"{sha256_of(described + _weights(subject.model))}.keras"
    if not _is_whole(path):
        ready = path.with_name(f".{path.stem}.part.keras")
        try:
            ready.unlink(missing_ok=True)
            subject.model.save(ready)
            ready.replace(path)
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO)
            raise NoSpaceError(f"The model cannot be stored in {str(store.folder)!r}: {reason}.") from error
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


def _is_whole(path: Path) -> bool:
    """Whether the model file is there and undamaged, by the checksums it holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error):
        return False


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
        unused = (
            "; the epochs or batch size asked for do not reach it" if settings.epochs or settings.batch_size else ""
        )
        return plan, f"by the recipe's own code ({subject.reference}){unused}"
    how = (
        f"with Adam at {DEFAULT_RATE:g} and {loss}, poolaudit's default, because the model carries no compile "
        "configuration"
        if default
        else f"with the model's own compile configuration ({_optimizer(subject.model)}, {_loss(subject.model)}"
        f"{_labels_for_own_loss(subject.model, head)})"
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
    loss = loss_of(model)
    return loss if isinstance(loss, str) else str(getattr(loss, "name", None) or getattr(loss, "__name__", "own loss"))


def _labels_for_own_loss(model: Any, head: Head) -> str:
    """What a loss of the user's own is given: it may have been written for labels of another form."""
    from poolaudit.ablation.training import targets_for

    loss = loss_of(model)
    if isinstance(loss, str) or getattr(loss, "__module__", type(loss).__module__).startswith("keras."):
        return ""
    columns = 1 if head.kind in ("sigmoid", "single_logit") else head.classes
    given = targets_for(loss, np.zeros(1, np.int64), columns, head.classes).shape[1]
    return ", labels as one column a class" if given > 1 else ", labels as one column of class indices"


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
    if isinstance(thing, Mapping):
        return {name: _configured(part) for name, part in thing.items()}
    if isinstance(thing, list | tuple):
        return [_configured(part) for part in thing]
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


def _own_modules(model: Any, actions: Iterable[str]) -> tuple[str, ...]:
    """Modules whose import makes the model's own code, and the variants' own actions, known to a worker.

    Raises:
        InvalidInputError: Some of it stands in a script, which a worker cannot import.
    """
    import keras

    known = keras.saving.get_custom_objects()
    used: list[Any] = [type(layer) for layer in [model, *model._flatten_layers()]]
    used += [known[text] for text in _texts_of_configuration(model) if text in known]
    used += [ACTIONS.get(action).replace for action in actions]
    modules = {str(getattr(thing, "__module__", "keras")) for thing in used}
    own = sorted(name for name in modules if name.split(".")[0] not in ("keras", "tensorflow", "poolaudit"))
    if "__main__" in own:
        raise InvalidInputError(
            "The model or a variant uses a class or function that stands in the running script",
            "layers, losses and actions that a worker process can import",
            "Move them into a module beside the script",
        )
    return tuple(own)


def _texts_of_configuration(model: Any) -> set[str]:
    """Every text in the model's architecture and compile configuration, names of registered objects among them."""
    parts = []
    for describe in (model.get_config, model.get_compile_config):
        with contextlib.suppress(Exception):  # the model's own code; what cannot be described is told when it is saved
            parts.append(describe())
    found: set[str] = set()
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            found.add(part)
        elif isinstance(part, Mapping):
            parts += part.values()
        elif isinstance(part, list | tuple):
            parts += part
    return found
