"""The columns of a prediction file - CSV, Parquet or NPZ - by name, before anything is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError, listed
from poolaudit.subject.archives import npz_keys, read_npz
from poolaudit.subject.classes import require_distinct
from poolaudit.subject.files import exists, missing_file
from poolaudit.subject.labels import MAX_CLASSES, all_whole
from poolaudit.subject.splits import Array, require_length
from poolaudit.subject.tables import TABLE_SUFFIXES, read_table

_TEXT_COLUMNS = ("label", "predicted", "group", "time", "path")


def read_columns(file: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Columns by name, `p_<class>` among them in file order, and the names of those that mean nothing here.

    Raises:
        InvalidInputError: The file is missing, damaged, of another kind, or its arrays do not fit together.
    """
    if not exists(file):
        raise missing_file(file, "file", "a .csv, .parquet or .npz of predictions")
    suffix = file.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        return read_table(file, _is_number)
    if suffix == ".npz":
        return _npz_columns(file)
    raise InvalidInputError(f"{file.name} has the unknown ending {suffix!r}", "a .csv, .parquet or .npz of predictions")


def _is_number(name: str) -> bool | None:
    if name in _TEXT_COLUMNS:
        return False
    return True if name == "score" or (name.startswith("p_") and len(name) > 2) else None


def _npz_columns(file: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    keys = npz_keys(file)
    wanted = [key for key in keys if _is_number(key) is not None or key in ("probabilities", "class_names")]
    arrays = read_npz(file, wanted)
    matrix, names = arrays.pop("probabilities", None), arrays.pop("class_names", None)
    ignored = tuple(key for key in keys if key not in wanted)
    n = len(arrays["label"]) if "label" in arrays and arrays["label"].ndim else 0
    for key, array in arrays.items():
        if array.ndim != 1:
            raise InvalidInputError(f"{file.name}: {key} has shape {array.shape}", "one axis: (items,)")
        if "label" in arrays:
            require_length(array, n, key, file.name)
    if matrix is not None:
        if matrix.ndim != 2 or matrix.shape[1] < 2:
            raise InvalidInputError(
                f"{file.name}: probabilities has shape {matrix.shape}",
                "(items, classes) with at least two classes; for a single score use score",
            )
        if any(key.startswith("p_") for key in arrays):
            raise InvalidInputError(f"{file.name} holds probabilities and p_<class> arrays", "one of the two")
        require_length(matrix, n, "probabilities", file.name)
        arrays |= _split_matrix(matrix, names, arrays, file.name)
    return dict(arrays), ignored


def _split_matrix(matrix: Array, names: Array | None, arrays: dict[str, Array], source: str) -> dict[str, Array]:
    count = matrix.shape[1]
    if count > MAX_CLASSES:
        raise InvalidInputError(f"{source}: probabilities has {count:,} columns", f"at most {MAX_CLASSES:,}")
    if names is None:
        texts = tuple(str(index) for index in range(count))
        label = arrays.get("label")
        if label is not None and label.dtype.kind in "US":
            raise InvalidInputError(
                f"{source} holds probabilities and text labels, but no class_names",
                "class_names, one a column of probabilities",
                "Save the names in the order of the columns",
            )
    else:
        texts = tuple(str(name) for name in names.ravel().tolist())
        require_distinct(texts, f"{source}: the class names")
        if len(texts) != count:
            raise InvalidInputError(
                f"{source}: class_names has {len(texts)} entries for {count} columns of probabilities", "one a column"
            )
        for key in ("label", "predicted"):
            if key in arrays and arrays[key].dtype.kind in "iu" and not all_whole(texts):
                values = arrays[key]
                outside = (values < 0) | (values >= count)
                if outside.any():
                    raise InvalidInputError(
                        f"{source}: {key}: {int(outside.sum()):,} labels are outside the classes: "
                        f"{int(values[outside][0])} (first in row {int(outside.argmax()) + 1})",
                        f"0 to {count - 1}, for {listed(texts)}",
                    )
                arrays[key] = np.array(texts)[values]
    return {f"p_{text}": matrix[:, index] for index, text in enumerate(texts)}
