"""Results by content: the same question asked again, in this session or a later one, is answered from the store."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError
from poolaudit.results import AuditResult
from poolaudit.store.atomic import write_atomically
from poolaudit.store.results import encode_result, load_result

_PACKAGES = ("poolaudit", "tensorflow", "keras", "numpy", "scipy", "scikit-learn")
_BUILT_IN = ("sklearn:", "keras:", "tfds:")


class NoFingerprint(Exception):
    """What was given cannot be told apart by content, such as code or a data set that is only read once."""


class ResultCache:
    """Results in memory and, where a folder is given, on disk; a damaged entry is measured again.

    Args:
        folder: Where results are kept across runs; None keeps them for this session only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, AuditResult] = {}

    def get(self, key: str | None) -> AuditResult | None:
        if key is None:
            return None
        if key not in self._known and self._folder is not None and (self._folder / f"{key}.json").is_file():
            try:
                self._known[key] = load_result(self._folder / f"{key}.json")
            except InvalidInputError:
                return None
        return self._known.get(key)

    def put(self, key: str | None, result: AuditResult) -> None:
        if key is None:
            return
        self._known[key] = result
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / f"{key}.json", encode_result(result))


def key_of(what: str, given: Mapping[str, Any]) -> str | None:
    """SHA-256 over the content of everything the result depends on; None where something has no fingerprint."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    try:
        parts = {name: fingerprint(value) for name, value in given.items()}
    except NoFingerprint:
        return None
    text = json.dumps([what, versions, parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(value: Any) -> str:
    """Text that is the same for the same content.

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
        return _of_model(value)
    raise NoFingerprint(type(value).__name__)


def _of_text(value: str | Path) -> str:
    path = Path(value)
    if path.is_file():
        return _of_files([path], path.parent)
    if path.is_dir():
        return _of_files(sorted(entry for entry in path.rglob("*") if entry.is_file()), path)
    # "package.module:function" is code, which may do anything; a text of any other kind is itself.
    if isinstance(value, str) and ":" in value and not value.startswith(_BUILT_IN):
        raise NoFingerprint(value)
    return f"text {value}"


def _of_files(files: list[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(root)}\0{file.stat().st_size}\0".encode(errors="surrogateescape"))
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


def _of_model(model: Any) -> str:
    try:
        config = json.dumps(model.get_config(), sort_keys=True, default=repr)
        compiled = json.dumps(model.get_compile_config(), sort_keys=True, default=repr)
    except Exception as error:
        raise NoFingerprint(type(model).__name__) from error
    # Code outside of Keras is part of what the model does and is in no configuration.
    modules = {type(layer).__module__.partition(".")[0] for layer in [model, *getattr(model, "layers", ())]}
    if modules - {"keras"}:
        raise NoFingerprint(f"custom layers from {', '.join(sorted(modules))}")
    weights = [_of_array(np.asarray(weight)) for weight in model.get_weights()]
    return json.dumps([config, compiled, weights])
