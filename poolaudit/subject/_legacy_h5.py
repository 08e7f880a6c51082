"""Loads whole models from HDF5, with the traps of files written by older versions of Keras."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError, is_out_of_space, no_space_for_a_model
from poolaudit.subject._config_scan import parse_config
from poolaudit.subject._hdf5 import refuse_foreign_links
from poolaudit.subject._keras_load import admit_code, load_keras_file

Shape = tuple["int | None", ...]


def load_legacy_h5(path: Path, *, trust_model_code: bool) -> tuple[Any, tuple[str, ...]]:
    """The model of an `.h5` file and the notes of loading it.

    Keras 2 stored a Sequential model's input shape on its first layer as `batch_input_shape`; Keras 3 reads that
    value as a shape without batch and so adds an axis, in silence where the layers allow it. The configuration is
    mended in a temporary copy, and the loaded shape is compared with the stored one in every case.

    Raises:
        InvalidInputError: Where the file is no HDF5, no whole model, holds code, or its shapes disagree.
    """
    name = path.name
    config, training_config, backend, first_kernel = _read(path)
    stored = stored_input_shapes(config)
    custom_objects, restore_compiled = admit_code(name, {**config, "compile_config": training_config}, trust_model_code)
    notes: list[str] = []
    mended = mend_config(config)
    with tempfile.TemporaryDirectory() as scratch:
        source = path
        if mended != config:
            source = Path(scratch) / "mended.h5"
            try:
                _write_mended(path, source, mended)
            except (OSError, RuntimeError, ValueError) as error:  # h5py has a kind of its own for each place
                if is_out_of_space(error):
                    raise no_space_for_a_model(f"{name} cannot be mended") from error
                raise
            notes.append(
                "The file keeps its input shape in a form of Keras 2 that Keras 3 misreads; "
                f"it was mended in memory to the stored shape {_shown(stored)}."
            )
        try:
            model, load_notes = load_keras_file(
                source,
                name,
                custom_objects,
                restore_compiled=restore_compiled and training_config is not None,
                trust_model_code=trust_model_code,
            )
        except InvalidInputError:
            _explain_misfit(name, stored, first_kernel)
            raise
    if training_config is not None:
        notes.extend(load_notes)
    _compare(name, model, stored, notes)
    if backend not in ("tensorflow", ""):
        notes.append(
            f"The file was written by Keras on the {backend} backend; kernels stored by that backend can mean "
            "something else here, so compare a few known predictions."
        )
    return model, tuple(notes)


def stored_input_shapes(config: dict[str, Any]) -> tuple[Shape, ...]:
    """Input shapes, with batch, that a stored configuration declares; empty where it declares none."""
    inner = config.get("config")
    layers = inner if isinstance(inner, list) else inner.get("layers", []) if isinstance(inner, dict) else []
    layers = [layer for layer in layers if isinstance(layer, dict) and isinstance(layer.get("config"), dict)]
    if not layers:
        return ()
    if config.get("class_name") == "Sequential":
        first = layers[0]
        shape = _declared(first["config"])
        if shape is None and first.get("class_name") in ("Sequential", "Functional", "Model"):
            return stored_input_shapes(first)
        if shape is None and isinstance(inner, dict):
            shape = _as_shape(inner.get("build_input_shape"))
        return () if shape is None else (shape,)
    shapes = (
        _declared(layer["config"])
        for layer in layers
        if layer.get("class_name") == "InputLayer" and not layer.get("inbound_nodes")
    )
    return tuple(shape for shape in shapes if shape is not None)


def mend_config(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with every Sequential part given an explicit input layer; equal to `config` where sound."""
    mended = copy.deepcopy(config)
    _mend(mended)
    return mended


def _mend(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _mend(item)
        return
    if not isinstance(node, dict):
        return
    if node.get("class_name") == "Sequential":
        if isinstance(node.get("config"), list):  # the oldest form: the list of layers itself
            node["config"] = {"name": node.get("name") or "sequential", "layers": node["config"]}
        inner = node.get("config")
        layers = inner.get("layers") if isinstance(inner, dict) else None
        if isinstance(layers, list) and layers and isinstance(layers[0], dict):
            first = layers[0].get("config")
            if layers[0].get("class_name") != "InputLayer" and isinstance(first, dict):
                shape = first.pop("batch_input_shape", None)
                if shape is not None:
                    layers.insert(
                        0,
                        {
                            "class_name": "InputLayer",
                            "config": {
                                "batch_shape": shape,
                                "dtype": first.get("dtype") if isinstance(first.get("dtype"), str) else "float32",
                                "name": f"{first.get('name', 'first')}_input",
                            },
                        },
                    )
    for value in node.values():
        _mend(value)


def _read(path: Path) -> tuple[dict[str, Any], Any, str, tuple[str, Shape] | None]:
    import h5py

    name = path.name
    try:
        with h5py.File(path, "r") as file:
            refuse_foreign_links(file, name)
            stored = file.attrs.get("model_config")
            if stored is None:
                raise _no_model(name, file)
            config = parse_config(stored, f"model_config of {name}")
            training = file.attrs.get("training_config")
            training_config = None
            if training is not None:
                training_config = parse_config(training, f"training_config of {name}")
            return config, training_config, _text(file.attrs.get("backend")), _first_kernel(file)
    except (OSError, RuntimeError, KeyError) as error:
        raise InvalidInputError(
            f"{name} is damaged or no HDF5 file ({type(error).__name__}: {error})",
            "a whole model saved as .h5 or .hdf5",
            "Copy or save the file again",
        ) from error


def _no_model(name: str, file: Any) -> InvalidInputError:
    weights_only = "layer_names" in file.attrs or any(
        key in file for key in ("layers", "_layer_checkpoint_dependencies", "model_weights", "vars")
    )
    if weights_only:
        return InvalidInputError(
            f"{name} holds weights only, not the model they belong to",
            "a whole model",
            "Save it with model.save('model.keras'), or name a function that builds the model and loads these "
            "weights (package.module:function)",
        )
    return InvalidInputError(
        f"{name} is an HDF5 file but holds no Keras model (it has no model_config)",
        "a model saved with model.save(...)",
        "Check that this is the right file",
    )


def _first_kernel(file: Any) -> tuple[str, Shape] | None:
    """Layer and shape of the first convolution kernel in the stored order of layers."""
    weights = file.get("model_weights")
    if weights is None:
        return None
    for layer in weights.attrs.get("layer_names", ()):
        layer_name = _text(layer)
        group = weights.get(layer_name)
        for weight in () if group is None else group.attrs.get("weight_names", ()):
            data = group.get(_text(weight))
            if data is not None and len(getattr(data, "shape", ())) >= 3 and "kernel" in _text(weight):
                return layer_name, tuple(data.shape)
            if data is not None and "kernel" in _text(weight):
                return None  # a dense kernel comes first: it does not tell the number of channels
    return None


def _explain_misfit(name: str, stored: tuple[Shape, ...], first_kernel: tuple[str, Shape] | None) -> None:
    """Raises the clearer error where the stored shape and the first convolution's weights cannot both be right."""
    if first_kernel is None or len(stored) != 1:
        return
    layer, kernel = first_kernel
    shape = stored[0]
    if len(shape) != len(kernel) or kernel[-2] is None:
        return
    if shape[-1] is not None and kernel[-2] not in (shape[-1], shape[1]):
        raise InvalidInputError(
            f"{name} declares the input shape {shape}, but the weights of its first convolution {layer!r} take "
            f"{kernel[-2]} channels",
            "a file whose stored input shape fits its weights",
            "Save the model again from the code that trained it",
        )


def _compare(name: str, model: Any, stored: tuple[Shape, ...], notes: list[str]) -> None:
    loaded = tuple(tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ())
    if not stored:
        notes.append("The file states no input shape, so the loaded one could not be compared with it.")
        return
    if sorted(map(repr, loaded)) != sorted(map(repr, stored)):
        raise InvalidInputError(
            f"{name} states the input shape {_shown(stored)}, but Keras loads it with {_shown(loaded)}",
            "a file that loads with the shape it states",
            "Save the model again as .keras with the version of Keras that wrote it",
        )


def _write_mended(source: Path, target: Path, config: dict[str, Any]) -> None:
    import h5py

    shutil.copyfile(source, target)
    target.chmod(0o600)
    with h5py.File(target, "r+") as file:
        del file.attrs["model_config"]
        file.attrs["model_config"] = json.dumps(config)


def _declared(layer_config: dict[str, Any]) -> Shape | None:
    return _as_shape(layer_config.get("batch_shape")) or _as_shape(layer_config.get("batch_input_shape"))


def _as_shape(value: Any) -> Shape | None:
    if not isinstance(value, list) or not all(size is None or isinstance(size, int) for size in value):
        return None
    return tuple(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _shown(shapes: tuple[Shape, ...]) -> str:
    return str(shapes[0]) if len(shapes) == 1 else str(list(shapes))
