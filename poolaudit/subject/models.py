"""Loads the model under audit: safely from a file, or from code the user names."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError, did_you_mean
from poolaudit.subject._loaded import LoadedModel, Shape
from poolaudit.subject._prediction import predict

__all__ = ["LoadedModel", "load_model", "predict"]

ALLOWED = "a .keras file, an .h5 or .hdf5 file, a SavedModel folder, or package.module:function"
_CODE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_SUFFIXES = {".keras": "keras", ".h5": "h5", ".hdf5": "h5"}
_MAGIC = {b"PK\x03\x04": "keras", b"\x89HDF": "h5"}


def load_model(source: Any, *, trust_model_code: bool = False) -> LoadedModel:
    """A model ready to predict, from a file, a folder, named code, or a Keras model itself.

    Files are data: nothing stored in them is run unless `trust_model_code` is True. Code named by the user
    (`package.module:function`) is imported and called; the current directory is importable.

    Args:
        source: Path of a `.keras`, `.h5` or `.hdf5` file or of a SavedModel folder; "package.module:function" that
            returns a Keras model (or names one); or a `keras.Model`.
        trust_model_code: Allow Lambda layers and other code inside the file to run.

    Raises:
        InvalidInputError: Where there is no such file, it is damaged, unsafe, not a model, or the code fails.
    """
    if isinstance(source, str | Path):
        text = str(source)
        path = Path(text)
        if path.exists():
            return _from_path(path, trust_model_code)
        if _CODE.fullmatch(text):
            return _from_code(text)
        raise _missing(path)
    _require_keras_model(source, "The object given as model")
    return _wrapped(source, source=source.name, form="object", sha256=None)


def _from_path(path: Path, trust_model_code: bool) -> LoadedModel:
    if path.is_dir():
        return _from_saved_model(path, trust_model_code)
    if not path.is_file():  # a pipe or a device may never end
        raise InvalidInputError(f"{path.name} is no file", ALLOWED)
    form = _SUFFIXES.get(path.suffix.lower())
    try:
        with path.open("rb") as file:
            magic = _MAGIC.get(file.read(4))
        if form is None:
            raise _unknown_suffix(path, magic)
        if magic is not None and magic != form:
            right = ".keras" if magic == "keras" else ".h5"
            raise InvalidInputError(
                f"{path.name} is named {path.suffix} but is a {'ZIP' if magic == 'keras' else 'HDF5'} file",
                ALLOWED,
                f"Rename it to end in {right}",
            )
        digest = _sha256(path)
    except OSError as error:
        raise InvalidInputError(
            f"{path.name} cannot be read ({error.strerror})", ALLOWED, "Check its permissions"
        ) from error
    from poolaudit.subject._keras_load import require_tensorflow_backend

    require_tensorflow_backend()
    if form == "keras":
        from poolaudit.subject._keras_archive import load_keras_archive

        model, notes = load_keras_archive(path, trust_model_code=trust_model_code)
    else:
        from poolaudit.subject._legacy_h5 import load_legacy_h5

        model, notes = load_legacy_h5(path, trust_model_code=trust_model_code)
    _require_keras_model(model, path.name)
    return _wrapped(model, source=path.name, form=form, sha256=digest, notes=notes)


def _from_code(text: str) -> LoadedModel:
    module_name, _, function_name = text.partition(":")
    from poolaudit.subject._keras_load import current_directory_importable, require_tensorflow_backend

    require_tensorflow_backend()
    with current_directory_importable():
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            raise InvalidInputError(
                f"Module {module_name!r} cannot be imported ({type(error).__name__}: {error})",
                ALLOWED,
                "Check the name, or run from the folder that holds the module",
            ) from error
        builder = getattr(module, function_name, None)
        if builder is None:
            raise InvalidInputError(
                f"Module {module_name!r} has no {function_name!r}",
                "a function that returns a Keras model",
                did_you_mean(function_name, [name for name in vars(module) if not name.startswith("_")]),
            )
        model = builder
        if not _is_keras_model(builder):
            if not callable(builder):
                raise InvalidInputError(
                    f"{text} is a {type(builder).__name__}", "a function that returns a Keras model"
                )
            try:
                model = builder()
            except Exception as error:
                raise InvalidInputError(
                    f"{text} raised {type(error).__name__}: {error}",
                    "a function that takes no arguments and returns a Keras model",
                ) from error
    _require_keras_model(model, text)
    return _wrapped(model, source=text, form="code", sha256=None)


def _from_saved_model(path: Path, trust_model_code: bool) -> LoadedModel:
    from poolaudit.subject._saved_model import load_saved_model

    serving = load_saved_model(path, trust_model_code=trust_model_code)
    (key, shape, dtype) = serving.inputs[0] if serving.inputs else ("", None, "float32")
    output, output_shape = serving.outputs[0] if serving.outputs else ("", None)
    _require_numeric(path.name, dtype)
    function = serving.function
    return LoadedModel(
        name=path.resolve().name,
        source=path.resolve().name,
        format="savedmodel",
        sha256=_folder_sha256(path),
        parameters=serving.parameters,
        input_shape=shape if len(serving.inputs) == 1 else None,
        output_shape=output_shape if len(serving.outputs) == 1 else None,
        call=lambda x: function(**{key: x})[output],
        input_count=len(serving.inputs),
        output_count=len(serving.outputs),
        input_dtype=dtype,
        notes=serving.notes,
        signature=serving,
    )


def _wrapped(model: Any, *, source: str, form: str, sha256: str | None, notes: tuple[str, ...] = ()) -> LoadedModel:
    import keras

    graph_inputs = _tensors(model, "inputs")
    graph_outputs = _tensors(model, "outputs")
    input_shape = tuple(graph_inputs[0].shape) if len(graph_inputs) == 1 else None
    output_shape = tuple(graph_outputs[0].shape) if len(graph_outputs) == 1 else None
    input_count, output_count = len(graph_inputs), len(graph_outputs)
    dtype = graph_inputs[0].dtype if graph_inputs else (getattr(model, "input_dtype", None) or "float32")
    if not graph_inputs:
        input_shape = _built_shape(model)
        if input_shape is None:
            notes += ("The model states no input shape, so inputs are not checked against one.",)
        else:
            input_count = 1
            output_shape, output_count = _symbolic_outputs(model, input_shape, dtype)
    _require_numeric(model.name, dtype)
    formats = {getattr(layer, "data_format", None) for layer in model._flatten_layers()}
    if "channels_first" in formats:
        notes += ("The model keeps channels on the second axis (channels_first); give the data the same way.",)
    if not model.built:
        notes += ("The model has never been built; its weights are whatever it starts with.",)
    return LoadedModel(
        name=model.name,
        source=source,
        format=form,
        sha256=sha256,
        parameters=int(model.count_params()) if model.built else 0,
        input_shape=input_shape,
        output_shape=output_shape,
        call=lambda x: model(x, training=False),
        input_count=input_count,
        output_count=output_count,
        input_dtype=keras.backend.standardize_dtype(dtype),
        fixed_sizes=bool(graph_inputs),
        notes=notes,
        keras_model=model,
    )


def _tensors(model: Any, attribute: str) -> list[Any]:
    try:
        return list(getattr(model, attribute, None) or ())
    except (AttributeError, ValueError):  # a Sequential model that has not been built
        return []


def _built_shape(model: Any) -> Shape | None:
    """The shape a subclassed model was built with, the batch left open."""
    build = model.get_build_config() if model.built else None
    shape = build.get("input_shape") if build else None
    if shape is None:  # a model that names its own shape: def build(self, input_shape=(None, 24, 24, 3))
        parameter = inspect.signature(model.build).parameters.get("input_shape")
        shape = None if parameter is None else parameter.default
    if not isinstance(shape, list | tuple) or not all(size is None or isinstance(size, int) for size in shape):
        return None
    return (None, *shape[1:])


def _symbolic_outputs(model: Any, input_shape: Shape, dtype: str) -> tuple[Shape | None, int]:
    import keras

    from poolaudit.subject._keras_load import quiet_keras

    try:
        with quiet_keras():
            outputs = keras.tree.flatten(
                model.compute_output_spec(keras.KerasTensor(input_shape, dtype=dtype), training=False)
            )
    except Exception:  # a model may refuse symbolic tensors; then its first prediction tells the shape
        return None, 0
    return (tuple(outputs[0].shape) if len(outputs) == 1 else None), len(outputs)


def _is_keras_model(value: Any) -> bool:
    import keras

    return isinstance(value, keras.Model)


def _require_keras_model(value: Any, what: str) -> None:
    if not _is_keras_model(value):
        kind = f"{type(value).__module__}.{type(value).__name__}"
        cure = "Models of the package tf_keras (Keras 2) have to be saved and loaded with Keras 3"
        raise InvalidInputError(
            f"{what} is a {kind}, not a Keras model",
            "a keras.Model (Keras 3)",
            cure if "tf_keras" in kind else "",
        )
    import keras

    if isinstance(value, keras.Sequential) and not value.layers:
        raise InvalidInputError(f"{what} is a Sequential model without layers", "a model that computes something")


def _require_numeric(name: str, dtype: str) -> None:
    if not str(dtype).startswith(("float", "bfloat", "int", "uint", "bool")):
        raise InvalidInputError(f"{name} takes inputs of dtype {dtype}", "a model that takes numbers")


def _missing(path: Path) -> InvalidInputError:
    cure = ""
    if path.parent.is_dir():
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix.lower() in _SUFFIXES]
        cure = did_you_mean(path.name, names)
    return InvalidInputError(f"There is no model {path.name!r}", ALLOWED, cure)


def _unknown_suffix(path: Path, magic: str | None) -> InvalidInputError:
    cure = {"keras": "It is a ZIP file: a Keras model has to be named *.keras", "h5": "Rename it to end in .h5"}
    return InvalidInputError(f"{path.name} has no suffix of a model file", ALLOWED, cure.get(magic or "", ""))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _folder_sha256(folder: Path) -> str:
    """Over the sorted relative paths and the digests of their files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{_sha256(path)}\n".encode())
    return digest.hexdigest()
