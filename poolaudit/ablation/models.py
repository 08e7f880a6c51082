"""The model of a trial: the baseline with fresh weights, the variant made from it, compiled as the subject was."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from poolaudit.ablation.recipe import DEFAULT_RATE, Recipe
from poolaudit.ablation.trial import BASELINE, RETRAINED, ModelSource, TrialSpec
from poolaudit.errors import InvalidInputError, did_you_mean
from poolaudit.subject.compiled_loss import loss_of

if TYPE_CHECKING:
    from poolaudit.ablation.training import Materials

_RECIPE = "a Recipe, or a function that returns a compiled Keras model"


def build_trial_model(spec: TrialSpec, materials: Materials) -> Any:
    """The compiled model of a trial. Variant and baseline of one seed start from the same weights where shapes allow.

    Raises:
        InvalidInputError: The model cannot be built afresh.
    """
    import keras

    shape = (None, *materials.test.shape[1:])
    recipe_of(spec.model)  # importing its module may draw random numbers, the first time only
    keras.utils.set_random_seed(spec.seed)
    original = baseline_model(spec.model)
    fresh = original
    if spec.depth == RETRAINED and spec.model.file is not None:
        keras.utils.set_random_seed(spec.seed)
        fresh = reborn(original, shape)
    if spec.plan.default_optimizer:
        ensure_compiled(original, spec.plan.loss)
    elif not is_compiled(original):
        raise InvalidInputError(
            "The model's compile configuration cannot be loaded again",
            "losses and metrics that are registered with Keras in a module a worker can import",
        )
    model = fresh
    if spec.variant != BASELINE or spec.control:
        from poolaudit.ablation.surgery import build_variant
        from poolaudit.ablation.variants import parse_variant

        if spec.model.file is None and not all(layer.built for layer in fresh._flatten_layers()):
            fresh(np.asarray(materials.test[:1]), training=False)  # a model by code has no shapes before its first call
        wanted = parse_variant(spec.variant)
        model = build_variant(fresh, wanted, control=spec.control, input_shape=shape).model
    compile_like(original, model)
    keras.utils.set_random_seed(spec.seed)
    return model


def recipe_of(source: ModelSource) -> Recipe | None:
    """The recipe behind a reference; None for a file."""
    return None if source.reference is None else read_recipe(source.reference, source.search)


@functools.lru_cache(maxsize=8)
def read_recipe(reference: str, search: tuple[str, ...] = ()) -> Recipe:
    """The recipe that `package.module:name` stands for.

    Raises:
        InvalidInputError: There is no such module or name, or it is neither recipe nor function.
    """
    module_name, _, name = reference.partition(":")
    extend_search_path(search)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise InvalidInputError(
            f"Module {module_name!r} cannot be imported ({type(error).__name__}: {error})",
            f"package.module:name of {_RECIPE}",
            "Check the name, or run from the folder that holds the module",
        ) from error
    found = getattr(module, name, None)
    if found is None:
        public = [known for known in vars(module) if not known.startswith("_")]
        raise InvalidInputError(f"Module {module_name!r} has no {name!r}", _RECIPE, did_you_mean(name, public))
    if isinstance(found, Recipe):
        return _checked(found, reference)
    if not callable(found):
        raise InvalidInputError(f"{reference} is a {type(found).__name__}", _RECIPE)
    made = _called(found, reference)
    return _checked(made, reference) if isinstance(made, Recipe) else Recipe(build=found)


def _checked(recipe: Recipe, reference: str) -> Recipe:
    for name in ("epochs", "batch_size"):
        number = getattr(recipe, name)
        if not isinstance(number, int) or number < 1:
            raise InvalidInputError(f"{reference}: {name} is {number!r}", "a whole number, 1 or more")
    try:
        json.dumps(dict(recipe.fit), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{reference}: fit holds what a worker process cannot be sent ({error})",
            "numbers, texts, lists and mappings of them",
            "Build callbacks and the like in a train function of the recipe",
        ) from error
    _check_fit(recipe, reference)
    return recipe


def _check_fit(recipe: Recipe, reference: str) -> None:
    """Refuses what training ignores or stumbles over: it gives `model.fit` data, epochs and batches itself."""
    if recipe.fit and recipe.train is not None:
        raise InvalidInputError(
            f"{reference} has both fit and a train function, which is called without them",
            "one of the two",
            "Use the arguments inside the train function",
        )
    for name in recipe.fit:
        if name in ("epochs", "batch_size"):
            raise InvalidInputError(
                f"{reference}: fit holds {name!r}", f"Recipe(..., {name}={recipe.fit[name]!r})", "Move it out of fit"
            )
        if name != "class_weight":
            raise InvalidInputError(
                f"{reference}: fit holds {name!r}",
                "'class_weight'",
                did_you_mean(name, ("class_weight",)) or "Call model.fit with it in a train function of the recipe",
            )
    weights = recipe.fit.get("class_weight")
    if weights is not None and not (
        isinstance(weights, Mapping)
        and all(str(label).isdecimal() for label in weights)
        and all(isinstance(weight, int | float) and weight >= 0 for weight in weights.values())
    ):
        raise InvalidInputError(
            f"{reference}: class_weight is {weights!r}",
            "a mapping from class index (0, 1 ...) to a weight of 0 or more",
        )


def extend_search_path(folders: tuple[str, ...]) -> None:
    sys.path.extend(folder for folder in folders if folder not in sys.path)


def baseline_model(source: ModelSource) -> Any:
    """The baseline as file or recipe give it.

    Raises:
        InvalidInputError: It cannot be loaded or built.
    """
    import keras

    extend_search_path(source.search)
    for module in source.modules:
        importlib.import_module(module)
    if source.file is not None:
        from poolaudit.subject.models import load_model

        return load_model(source.file, trust_model_code=source.trust_model_code).keras_model
    assert source.reference is not None
    model = _called(read_recipe(source.reference, source.search).build, source.reference)
    if not isinstance(model, keras.Model):
        raise InvalidInputError(f"{source.reference} builds a {type(model).__name__}", "a compiled keras.Model")
    return model


def reborn(model: Any, shape: tuple[int | None, ...]) -> Any:
    """The same model with fresh weights, drawn from its own initializers.

    Layers that the model does not train keep theirs: frozen layers, and statistics that were adapted to data.

    Raises:
        InvalidInputError: The model's class cannot build itself from its configuration.
    """
    import keras

    try:
        graph = isinstance(model, keras.Sequential) or hasattr(model, "_functional") or bool(_inputs(model))
        copy = keras.models.clone_model(model) if graph else type(model).from_config(model.get_config())
        if not copy.built:
            copy.build(shape)
    except Exception as error:
        raise InvalidInputError(
            f"{model.name} cannot be built afresh ({type(error).__name__}: {str(error)[:200]})",
            "a Sequential or functional model, or a recipe",
            "Name a function that builds and compiles it (package.module:function)",
        ) from error
    for old, new in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
        kept = isinstance(old, keras.layers.Normalization) or not old.trainable
        if kept and old.weights and not list(old._layers):
            new.set_weights(old.get_weights())
            if hasattr(new, "finalize_state"):
                new.finalize_state()
    return copy


def kept_layers(model: Any) -> tuple[str, ...]:
    """Names of the layers that keep their weights when the model is trained from scratch."""
    import keras

    return tuple(
        layer.name
        for layer in model._flatten_layers()
        if layer.weights
        and not list(layer._layers)
        and (isinstance(layer, keras.layers.Normalization) or not layer.trainable)
    )


def is_compiled(model: Any) -> bool:
    return getattr(model, "optimizer", None) is not None and getattr(model, "loss", None) is not None


def ensure_compiled(model: Any, loss: str | None) -> None:
    """Gives a model without compile configuration the default one."""
    if is_compiled(model):
        return
    import keras

    fitting: Any = loss or "sparse_categorical_crossentropy"
    if fitting.endswith("_from_logits"):
        fitting = {
            "binary_crossentropy_from_logits": keras.losses.BinaryCrossentropy,
            "sparse_categorical_crossentropy_from_logits": keras.losses.SparseCategoricalCrossentropy,
        }[fitting](from_logits=True)
    model.compile(keras.optimizers.Adam(DEFAULT_RATE), fitting)


def compile_like(original: Any, model: Any) -> None:
    """Compiles with a new optimizer of the same configuration and the same loss; metrics are measured afterwards."""
    optimizer = original.optimizer
    model.compile(
        optimizer=type(optimizer).from_config(optimizer.get_config()),
        loss=loss_of(original),
        jit_compile=getattr(original, "jit_compile", "auto"),
    )


def _inputs(model: Any) -> list[Any]:
    try:
        return list(getattr(model, "inputs", None) or ())
    except (AttributeError, ValueError):
        return []


def _called(function: Any, name: str) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise InvalidInputError(
            f"{name} raised {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            "a function that takes no arguments and returns a compiled Keras model",
        ) from error
