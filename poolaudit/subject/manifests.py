"""CSV and Parquet manifests: one row an image, with paths relative to the manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from poolaudit.errors import InvalidInputError, did_you_mean, listed
from poolaudit.subject.columns import as_floats, as_texts
from poolaudit.subject.feature_sizes import feature_sizes
from poolaudit.subject.images import load_images, require_inside
from poolaudit.subject.labels import encode_labels
from poolaudit.subject.splits import RawSplit
from poolaudit.subject.tables import read_table

_COLUMNS = ("path", "label", "group", "time")
_NUMBERS = ("size",)
# What the metadata.csv of a Hugging Face image folder calls the path.
_HUGGING_FACE = "file_name"


def read_manifest(path: Path, resize: tuple[int, int] | None, *, stream: bool = False) -> RawSplit:
    """The images named in column `path`, with their `label` and, where given, `group`, `time` and `size`.

    `size` is that of the feature that tells the class, in cells of the image as loaded.

    Raises:
        InvalidInputError: A column is missing, a path leaves the manifest's folder, an image cannot be read.
    """
    wanted = (*_COLUMNS, _HUGGING_FACE)
    columns, ignored = read_table(path, lambda name: False if name in wanted else True if name in _NUMBERS else None)
    if "path" not in columns and _HUGGING_FACE in columns:
        columns["path"] = columns.pop(_HUGGING_FACE)
    for needed in ("path", "label"):
        if needed not in columns:
            present = [*columns, *ignored]
            cure = did_you_mean(needed, present)
            if any(name.startswith("p_") for name in present) or "predicted" in present:
                cure = "This looks like a file of predictions; judge it with `poolaudit metrics`"
            raise InvalidInputError(
                f"{path.name} has no column {needed!r}; it has {listed(present)}", "path,label[,group,time,size]", cure
            )
    paths = as_texts(columns["path"], f"{path.name}: path")
    if len(paths) == 0:
        raise InvalidInputError(f"{path.name} has no rows", "at least one item")
    base = path.parent.resolve()
    for row, name in enumerate(paths):
        if name is None:
            raise InvalidInputError(f"{path.name}: row {row + 1} has no path", "a path in each row")
        require_inside(base, name, path.name)
    labels = encode_labels(columns["label"], f"{path.name}: label")
    pixels, notes = load_images(base, list(paths), resize, path.name, stream=stream)
    sizes = None
    if "size" in columns:
        stated = {"size": as_floats(columns["size"])}
        sizes, _ = feature_sizes(stated, pixels, path.name)
    return RawSplit(
        inputs=pixels,
        labels=np.array(labels.texts)[labels.codes],
        source=path.name,
        groups=as_texts(columns["group"], f"{path.name}: group") if "group" in columns else None,
        times=as_texts(columns["time"], f"{path.name}: time") if "time" in columns else None,
        paths=paths,
        notes=notes,
        from_images=True,
        sizes=sizes,
        size_source=None if sizes is None else "column",
    )
