"""Data splits from any of the forms poolaudit reads, checked, with one class mapping for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.subject.archives import npz_keys, read_npz
from poolaudit.subject.builtin import read_builtin
from poolaudit.subject.classes import map_classes, require_distinct
from poolaudit.subject.datasets import as_labels, collect, is_dataset
from poolaudit.subject.feature_sizes import SIZE_KEYS, feature_sizes
from poolaudit.subject.files import exists, missing_file
from poolaudit.subject.functions import call_reference, is_reference
from poolaudit.subject.hugging_face import METADATA, image_column, read_embedded_images
from poolaudit.subject.images import read_image_folder
from poolaudit.subject.labels import resolve_class
from poolaudit.subject.manifests import read_manifest
from poolaudit.subject.splits import (
    SPLIT_NAMES,
    Array,
    DataSplit,
    RawSplit,
    check_against_classes,
    check_against_input_shape,
    finish_split,
    require_auditable_inputs,
    require_length,
    require_two_classes,
)
from poolaudit.subject.tables import TABLE_SUFFIXES

__all__ = [
    "DataSplit",
    "check_against_classes",
    "check_against_input_shape",
    "load_splits",
    "require_two_classes",
    "resolve_class",
]

_SCHEMES = ("sklearn", "keras", "tfds")
_COLUMNS = {"group": "groups", "time": "times", "path": "paths"}
_FORMS = (
    "an .npz with x and y, a folder of class folders of images, a .csv or .parquet manifest "
    "(path,label[,group,time,size]), sklearn:digits, keras:fashion_mnist, tfds:NAME/SPLIT, package.module:function"
)


def load_splits(
    sources: Mapping[str, Any],
    *,
    resize: tuple[int, int] | None = None,
    class_names: Sequence[str] | None = None,
    stream: bool = False,
) -> dict[str, DataSplit]:
    """Splits by name ("test", "train", "validation"), with the same `class_names` on each.

    Args:
        sources: For each split a path or name (an .npz, a folder, a manifest, `sklearn:digits`, `keras:NAME`,
            `tfds:NAME/SPLIT`, `package.module:function`), or in Python (x, y) arrays, a mapping with "x" and "y", a
            `tf.data.Dataset` or a `DataSplit`. Inputs are (items, ...), labels (items,) or one-hot (items, classes).
        resize: Height and width for image files.
        class_names: In the order of the model's outputs; needed where integer labels shall have names, or where
            splits disagree.
        stream: Inputs in files may be larger than memory: `inputs` is then a memory map, for readers that take items in
            pieces.

    Raises:
        InvalidInputError: Anything that cannot be audited as it is.
        MissingExtraError: `tfds:` without TensorFlow Datasets.
    """
    raw: dict[str, RawSplit] = {}
    for name, source in sources.items():
        if name not in SPLIT_NAMES:
            raise InvalidInputError(f"There is no split {name!r}", listed(SPLIT_NAMES), did_you_mean(name, SPLIT_NAMES))
        raw[name] = _checked(_read(source, name, resize, stream))
    if resize is not None and not any(_is_image_source(source) for source in sources.values()):
        raise InvalidInputError(
            "A size to resize to was given and no split comes from image files", "folders and manifests"
        )
    names, labels, notes = map_classes(raw, class_names)
    return {
        name: finish_split(name, dataclasses.replace(split, notes=(*split.notes, *notes[name])), labels[name], names)
        for name, split in _equal_channels(raw).items()
    }


def _read(source: Any, name: str, resize: tuple[int, int] | None, stream: bool) -> RawSplit:
    if isinstance(source, DataSplit):
        return _from_split(source)
    if isinstance(source, (str, Path)):
        return _from_text(str(source), name, resize, stream)
    return _from_object(source, "arrays")


def _from_text(text: str, name: str, resize: tuple[int, int] | None, stream: bool) -> RawSplit:
    scheme, colon, rest = text.partition(":")
    if colon and scheme in _SCHEMES:
        return read_builtin(scheme, rest, name)
    path = Path(text)
    if text and exists(path, folder=True):
        if exists(path / METADATA):
            return read_manifest(path / METADATA, resize, stream=stream)
        return read_image_folder(path, resize, stream=stream)
    if exists(path):
        suffix = path.suffix.lower()
        if suffix == ".npz":
            return _from_npz(path, name, stream)
        if suffix in TABLE_SUFFIXES:
            column = None if suffix == ".csv" else image_column(path)
            if column is not None:
                return read_embedded_images(path, column, resize)
            return read_manifest(path, resize, stream=stream)
        raise InvalidInputError(f"{path.name} has the unknown ending {path.suffix!r}", _FORMS)
    if is_reference(text):
        if did_you_mean(scheme, _SCHEMES) and "." not in scheme and _not_importable(scheme):
            raise InvalidInputError(f"There is no source {text!r}", _FORMS, did_you_mean(scheme, _SCHEMES))
        return _from_object(call_reference(text), text)
    raise missing_file(path, "file or folder", _FORMS)


def _not_importable(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is None


def _from_npz(path: Path, name: str, stream: bool) -> RawSplit:
    keys = npz_keys(path)
    pairs = (("x", "y"), (f"x_{name}", f"y_{name}"))
    found = next(((x, y) for x, y in pairs if x in keys and y in keys), None)
    if found is None:
        missing = "y" if "x" in keys else "x"
        raise InvalidInputError(
            f"{path.name} has no array {missing!r}; it has {listed(keys)}",
            f"x (items, ...) and y (items,), or x_{name} and y_{name}; optional group, time, path, class_names, size, "
            "mask, box",
            did_you_mean(missing, keys),
        )
    optional = [key for key in (*_COLUMNS, "class_names", *SIZE_KEYS) if key in keys]
    arrays = read_npz(path, (*found, *optional), stream=stream)
    return _from_arrays(arrays[found[0]], arrays[found[1]], path.name, {key: arrays[key] for key in optional})


def _from_object(value: Any, source: str) -> RawSplit:
    if isinstance(value, DataSplit):
        return _from_split(value)
    if is_dataset(value):
        return collect(value, "tf.data.Dataset" if source == "arrays" else source)
    if isinstance(value, Mapping):
        if not {"x", "y"} <= value.keys():
            raise InvalidInputError(
                f"{source}: the mapping holds {listed(map(str, value))}",
                'the keys "x" and "y", optional "group", "time", "path", "class_names", "size", "mask" and "box"',
            )
        optional = {key: value[key] for key in (*_COLUMNS, "class_names", *SIZE_KEYS) if value.get(key) is not None}
        return _from_arrays(value["x"], value["y"], source, optional)
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return _from_arrays(value[0], value[1], source, {})
    raise InvalidInputError(
        f"{source}: the data are a {type(value).__name__}",
        '(x, y) arrays, a mapping with "x" and "y", or a tf.data.Dataset',
    )


def _from_arrays(x: Any, y: Any, source: str, optional: Mapping[str, Any]) -> RawSplit:
    columns = {field: _array(optional[key], key, source) for key, field in _COLUMNS.items() if key in optional}
    names: tuple[str, ...] | None = None
    if "class_names" in optional:
        given = as_labels(_array(optional["class_names"], "class_names", source), source)
        names = require_distinct(tuple(str(name) for name in given.ravel().tolist()), f"{source}: the class names")
    inputs = _array(x, "x", source)
    sizes, size_source = (
        (None, None)
        if inputs.ndim < 2
        else feature_sizes(
            {key: _array(optional[key], key, source) for key in SIZE_KEYS if key in optional}, inputs, source
        )
    )
    return RawSplit(
        inputs=inputs,
        labels=as_labels(_array(y, "y", source), source),
        source=source,
        class_names=names,
        groups=columns.get("groups"),
        times=columns.get("times"),
        paths=columns.get("paths"),
        sizes=sizes,
        size_source=size_source,
    )


def _array(value: Any, what: str, source: str) -> Array:
    if np.ma.is_masked(value):
        raise InvalidInputError(f"{source}: {what} has masked entries", "arrays without masked entries")
    try:
        return np.asarray(value)
    except Exception as error:  # ragged lists, foreign array types
        raise InvalidInputError(
            f"{source}: {what} is no array ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
            "arrays whose items have one shape",
        ) from error


def _from_split(split: DataSplit) -> RawSplit:
    return RawSplit(
        inputs=split.inputs,
        labels=np.array(split.class_names)[split.labels],
        source=split.source,
        class_names=split.class_names,
        groups=split.groups,
        times=split.times,
        paths=split.paths,
        notes=split.notes,
        sizes=split.sizes,
        size_source=split.size_source,
    )


def _checked(raw: RawSplit) -> RawSplit:
    require_auditable_inputs(raw.inputs, raw.source)
    n = len(raw.inputs)
    require_length(raw.labels, n, "y", raw.source)
    for key, field in _COLUMNS.items():
        require_length(getattr(raw, field), n, key, raw.source)
    return raw


def _is_image_source(source: Any) -> bool:
    if not isinstance(source, (str, Path)):
        return False
    path = Path(source)
    return exists(path, folder=True) or path.suffix.lower() in TABLE_SUFFIXES


def _equal_channels(raw: Mapping[str, RawSplit]) -> dict[str, RawSplit]:
    """Grey 8-bit image splits are expanded where another split of the audit is in colour."""
    shapes = [split.inputs.shape[1:] for split in raw.values() if split.inputs.dtype == np.uint8]
    result = dict(raw)
    for name, split in raw.items():
        shape = split.inputs.shape[1:]
        if split.from_images and len(shape) == 3 and shape[2] == 1 and (*shape[:2], 3) in shapes:
            note = "Grey images were expanded to three channels, as another split is in colour."
            result[name] = dataclasses.replace(
                split, inputs=np.repeat(split.inputs, 3, axis=3), notes=(*split.notes, note)
            )
    return result
