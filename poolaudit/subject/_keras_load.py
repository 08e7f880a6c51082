"""Loads Keras models from configurations that were read and judged first."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError
from poolaudit.subject._config_scan import EmbeddedCode, embedded_code


def require_tensorflow_backend() -> None:
    """Raises InvalidInputError where Keras does not run on TensorFlow, before another backend is loaded."""
    stated = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if "keras" in sys.modules or stated == "tensorflow":
        import keras

        stated = keras.backend.backend()
    if stated != "tensorflow":
        raise InvalidInputError(
            f"Keras runs on the {stated} backend in this process",
            "the TensorFlow backend; a file of predictions, made on any backend, is audited with poolaudit metrics",
            "Set the environment variable KERAS_BACKEND=tensorflow and run again",
        )


def registered_names() -> frozenset[str]:
    """Keys of the custom objects registered with Keras in this process."""
    import keras

    return frozenset(keras.saving.get_custom_objects())


def _functions_of_keras() -> frozenset[str]:
    """Names of Keras's own losses and metrics that are functions.

    Keras writes them as it writes a function of the user's, by name alone, and finds them again by that name; so are
    those of every model that was read from an .h5 file. Names that users give functions of their own (`dice`) are not
    among them: there Keras's function may not be the one that trained the model.
    """
    import keras

    names = [name for module in (keras.losses, keras.metrics) for name in dir(module)]
    return frozenset(name for name in names if name.endswith(("_crossentropy", "_accuracy", "hinge", "_error")))


def admit_code(name: str, config: dict[str, Any], trust_model_code: bool) -> tuple[dict[str, Any], bool]:
    """Custom objects to load with, and whether the compiled state can be restored.

    Code that sits only in the compile configuration (a custom loss) is left out rather than refused: an audit needs
    the predictions.

    Raises:
        InvalidInputError: Where the model holds code and `trust_model_code` is False; nothing of it was run.
    """
    if '"poolaudit>' in json.dumps(config):
        # A variant that poolaudit wrote. By name, as the room of these layers lies on a higher floor.
        importlib.import_module("poolaudit.ablation.layers")
    known = registered_names()
    body = {key: value for key, value in config.items() if key != "compile_config"}
    found = embedded_code(body, known)
    compile_code = embedded_code(config.get("compile_config"), known | _functions_of_keras())
    if found and not trust_model_code:
        raise _refusal(name, found)
    if not trust_model_code:
        return {}, not compile_code
    return _imported(name, found), not compile_code


def _refusal(name: str, found: tuple[EmbeddedCode, ...]) -> InvalidInputError:
    places = "; ".join(code.described() for code in found[:5])
    if len(found) > 5:
        places += f"; and {len(found) - 5} more"
    if all(code.kind == "custom" for code in found):
        cure = (
            "Name a function that builds or loads the model instead (package.module:function), or trust the file "
            "and let the modules it names be imported: --trust-model-code (trust_model_code=True)"
        )
    else:
        cure = "If you trust the author of the file, load it with --trust-model-code (trust_model_code=True)"
    return InvalidInputError(
        f"{name} holds code that would run on loading, in {places}; nothing of it was run",
        "models made of Keras layers and of custom objects that are registered with Keras",
        cure,
    )


def _imported(name: str, found: tuple[EmbeddedCode, ...]) -> dict[str, Any]:
    objects: dict[str, Any] = {}
    for code in found:
        if code.kind != "custom" or code.module is None:
            continue
        try:
            with current_directory_importable():
                value = getattr(importlib.import_module(code.module), code.class_name)
        except Exception as error:
            raise InvalidInputError(
                f"{name} needs {code.class_name!r} of module {code.module!r}, which cannot be imported "
                f"({type(error).__name__}: {error})",
                cure="Install that module, or run from the folder that holds it",
            ) from error
        objects[code.class_name] = value
        if code.registered_name:
            objects[code.registered_name] = value
    return objects


@contextlib.contextmanager
def current_directory_importable() -> Iterator[None]:
    """Puts the current directory on the import path for a while."""
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


@contextlib.contextmanager
def quiet_keras() -> Iterator[None]:
    """Holds back the warnings Keras gives on old files; what matters of them goes into the notes."""
    absl_logger = logging.getLogger("absl")
    level = absl_logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        absl_logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            absl_logger.setLevel(level)


def load_keras_file(
    path: Path, name: str, custom_objects: dict[str, Any], *, restore_compiled: bool, trust_model_code: bool
) -> tuple[Any, tuple[str, ...]]:
    """The model and the notes of loading it: first with its compiled state, then without.

    Raises:
        InvalidInputError: Where Keras cannot load it either way.
    """
    import keras

    def load(compiled: bool) -> Any:
        with quiet_keras():
            return keras.saving.load_model(
                str(path), custom_objects=custom_objects, compile=compiled, safe_mode=not trust_model_code
            )

    if restore_compiled:
        try:
            return load(True), ()
        except Exception as error:
            if type(error).__name__ == "ResourceExhaustedError":  # it would be as large without its optimizer
                raise _not_loadable(name, error, path) from error
            compiled_error = error
        try:
            model = load(False)
        except Exception as error:
            raise _not_loadable(name, error, path) from error
        return model, (
            "The file's optimizer, loss or metrics could not be restored "
            f"({_first_line(compiled_error, path)}); the model was loaded without them (compile=False).",
        )
    try:
        model = load(False)
    except Exception as error:
        raise _not_loadable(name, error, path) from error
    return model, (
        "The file's loss, optimizer or metrics are custom code; the model was loaded without them (compile=False).",
    )


def _not_loadable(name: str, error: Exception, path: Path) -> InvalidInputError:
    return InvalidInputError(
        f"{name} cannot be loaded by Keras ({_first_line(error, path)})",
        "a complete model that this version of Keras can load",
        "Save the model again with model.save('model.keras'), or name a function that builds it "
        "(package.module:function)",
    )


def without_paths(text: str, path: Path) -> str:
    """The text with the folder of a file taken out: reports must not tell where on a machine it lay."""
    for folder in (path.parent, path.parent.resolve()):
        if len(str(folder)) > 1:
            text = text.replace(f"{folder}{os.sep}", "")
    return text


def _first_line(error: Exception, path: Path) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = without_paths(text, path)
    shown = text if len(text) <= 200 else text[:197] + "..."
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
