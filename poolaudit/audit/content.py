"""What a result depends on, told by content: the same key only where the same would be measured again.

A key that is the same for different content would pass off an old answer as a new one. Whatever cannot be told by its
content (code outside Keras and poolaudit, a data set that is read once) therefore has no key, and is measured again.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError
from poolaudit.subject._config_scan import embedded_code, parse_config
from poolaudit.subject.tables import TABLE_SUFFIXES, read_table

_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "faiss-cpu", "hypothesis", "pillow", "pyarrow")
# What decides which kernels run, and in which precision.
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "KERAS_BACKEND",
    "ONEDNN_MAX_CPU_ISA",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)
_OWN_PREFIX = "poolaudit>"


class NoFingerprint(Exception):
    """What was given cannot be told apart by content; the message says what and why."""


def content_key(what: str, given: Mapping[str, Any], plain: Any = None) -> str:
    """SHA-256 over the content of everything given, poolaudit's own code, and the machine's software and processor.

    Args:
        given: By name what `fingerprint` takes: files, arrays, models, settings. A text is looked for as a file.
        plain: Whatever JSON takes, as it is.

    Raises:
        NoFingerprint: The content of something cannot be told.
    """
    parts = {name: fingerprint(value) for name, value in given.items()}
    text = json.dumps([what, _environment(), parts, plain], sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def fingerprint(value: Any) -> str:
    """Text that is the same for the same content.

    Files and folders count by their content and not by their place; a table counts with the files it names.

    Raises:
        NoFingerprint: The content cannot be told.
    """
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str | Path):
        return _of_text(value)
    if isinstance(value, np.ndarray):
        return _of_array(value)
    if isinstance(value, Mapping):
        return json.dumps({str(key): fingerprint(entry) for key, entry in value.items()}, sort_keys=True)
    if isinstance(value, tuple | list):
        return json.dumps([fingerprint(entry) for entry in value])
    if is_dataclass(value) and not isinstance(value, type):
        return json.dumps({name: fingerprint(entry) for name, entry in asdict(value).items()}, sort_keys=True)
    if hasattr(value, "get_config") and hasattr(value, "weights"):
        return fingerprint_of_model(value)
    raise NoFingerprint(f"a {type(value).__name__} is not told apart by content")


def fingerprint_of_model(model: Any) -> str:
    """Of a live Keras model: configuration, how it was compiled, and weights.

    Raises:
        NoFingerprint: Something in it is code outside Keras, whose behaviour stands in no configuration.
    """
    for layer in model._flatten_layers():
        package = type(layer).__module__.partition(".")[0]
        if package not in ("keras", "poolaudit"):
            raise NoFingerprint(f"the layer {layer.name!r} is code of {package!r}")
    try:
        config = json.dumps([model.get_config(), model.get_compile_config()], sort_keys=True, default=_no_address)
    except NoFingerprint:
        raise
    except Exception as error:
        raise NoFingerprint(f"{model.name} does not describe itself ({type(error).__name__})") from error
    _refuse_code(json.loads(config), model.name)
    flags = [layer.trainable for layer in model._flatten_layers()]
    return json.dumps([config, flags, [_of_array(np.asarray(weight)) for weight in model.get_weights()]])


def _no_address(value: Any) -> str:
    """Plain text for what JSON does not know; an object that shows itself by its address is not told by content."""
    text = repr(value)
    if " at 0x" in text:
        raise NoFingerprint(f"a {type(value).__name__} in the model's configuration is code")
    return text


def _refuse_code(config: Any, name: str) -> None:
    foreign = [
        code
        for code in embedded_code(config, frozenset())
        if not (code.module or "").startswith("poolaudit.") and not (code.registered_name or "").startswith(_OWN_PREFIX)
    ]
    if foreign:
        raise NoFingerprint(f"{name} holds code: {foreign[0].described()}")


def _of_text(value: str | Path) -> str:
    path = Path(value)
    try:
        if path.is_file():
            return _of_file(path)
        if path.is_dir():
            return _of_folder(path)
    except OSError as error:
        raise NoFingerprint(f"{path.name} cannot be read ({error.strerror})") from error
    # "package.module:function" is code, and a data set by name is a copy on this machine; digits are in a wheel.
    if isinstance(value, str) and ":" in value and not value.startswith("sklearn:"):
        raise NoFingerprint(f"{value} is code or a data set known by name only")
    return f"text {value}"


def _of_file(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix == ".keras":
        _refuse_code_in_archive(path)
    elif suffix in (".h5", ".hdf5"):
        _refuse_code_in_hdf5(path)
    elif suffix in TABLE_SUFFIXES:
        return f"table {_of_files([path, *_named_files(path)], path.parent)}"
    return _of_files([path], path.parent)


def _of_folder(folder: Path) -> str:
    entries = sorted(folder.rglob("*"))
    link = next((entry for entry in entries if entry.is_symlink()), None)
    if link is not None:
        raise NoFingerprint(f"{link.name} is a link")
    return _of_files([entry for entry in entries if entry.is_file()], folder)


def _named_files(table: Path) -> Iterator[Path]:
    """The files that a manifest names; they are its content as much as its rows."""
    try:
        columns, _ = read_table(table, lambda name: False if name in ("path", "file_name") else None)
    except InvalidInputError as error:
        raise NoFingerprint(str(error)) from error
    for name in sorted({str(entry) for column in columns.values() for entry in column.to_pylist()}):
        file = table.parent / name
        if file.is_file():
            yield file


def _refuse_code_in_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            config = parse_config(archive.read("config.json"), path.name)
    except (OSError, KeyError, zipfile.BadZipFile, InvalidInputError, RuntimeError, NotImplementedError) as error:
        raise NoFingerprint(f"{path.name} cannot be read ({type(error).__name__})") from error
    _refuse_code(config, path.name)


def _refuse_code_in_hdf5(path: Path) -> None:
    import h5py

    try:
        with h5py.File(path) as file:
            text = file.attrs.get("model_config")
        config = parse_config(text or "{}", path.name)
    except (OSError, InvalidInputError) as error:
        raise NoFingerprint(f"{path.name} cannot be read ({type(error).__name__})") from error
    _refuse_code(config, path.name)
    # The old form names no module: a class of the user's, registered with Keras, could stand behind any name.
    keras = sys.modules.get("keras")
    if keras is not None:
        registered = [n for n in keras.saving.get_custom_objects() if not str(n).startswith(_OWN_PREFIX)]
        if registered:
            raise NoFingerprint(f"{path.name} may use {registered[0]!r}, which is registered with Keras here")


def _of_files(files: list[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        name = file.relative_to(root) if file.is_relative_to(root) else file
        digest.update(f"{name}\0{file.stat().st_size}\0".encode(errors="surrogateescape"))
        with file.open("rb") as stream:
            digest.update(_digest(stream))
    return f"files {digest.hexdigest()}"


def _digest(stream: Any) -> bytes:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.digest()


def _of_array(value: np.ndarray[Any, Any]) -> str:
    if value.dtype.hasobject:
        return json.dumps([fingerprint(entry) for entry in value.ravel().tolist()])
    content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return f"array {value.dtype.str} {value.shape} {content}"


@functools.cache
def _environment() -> str:
    """Versions, poolaudit's own code, processor, GPUs, and what was set to choose kernels."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    settings = home / "keras.json"
    return json.dumps(
        {
            "versions": {name: _version(name) for name in _PACKAGES},
            "python": platform.python_version(),
            "code": _of_files(*_own_code()),
            "machine": [platform.system(), platform.machine(), _processor()],
            "gpus": sorted(entry.name for entry in Path("/dev").glob("nvidia[0-9]*")),
            "variables": {name: os.environ.get(name) for name in _VARIABLES},
            "keras": settings.read_text(errors="replace") if settings.is_file() else None,
        },
        sort_keys=True,
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a build of its own, such as tensorflow-cpu
        return None


def _own_code() -> tuple[list[Path], Path]:
    root = Path(__file__).parents[1]
    return sorted(root.rglob("*.py")), root


def _processor() -> str:
    """Model and features of the processor: they choose the kernels."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return " ".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))
