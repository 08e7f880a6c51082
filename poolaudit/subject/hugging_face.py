"""Data as Hugging Face stores them: Parquet files with the images inside, and image folders with a metadata.csv."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError, listed
from poolaudit.subject.images import load_images
from poolaudit.subject.labels import encode_labels
from poolaudit.subject.memory import require_fits
from poolaudit.subject.splits import RawSplit

METADATA = "metadata.csv"
_LABELS = ("label", "labels", "fine_label")


def image_column(path: Path) -> str | None:
    """The first column of a Parquet file that holds images as Hugging Face stores them; None where there is none."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        schema = parquet.read_schema(path)
    except (pa.ArrowException, OSError, ValueError):
        return None  # the reader of tables says what is wrong with it
    for field in schema:
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            return str(field.name)
    return None


def read_embedded_images(path: Path, column: str, resize: tuple[int, int] | None) -> RawSplit:
    """The images inside a Parquet file and their column `label`, with the class names that the file states.

    Raises:
        InvalidInputError: No labels, a row without an image, an image that cannot be read, mixed sizes without
            `resize`, more than fits into memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            label = next((name for name in _LABELS if name in names), None)
            if label is None:
                raise InvalidInputError(f"{path.name} has no column 'label'; it has {listed(names)}", "image,label")
            require_fits(2 * path.stat().st_size, path.name)
            table = file.read(columns=[column, label])
            stated = _class_names(file.schema_arrow.metadata, label)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{path.name} cannot be read as Parquet ({type(error).__name__})") from error
    if table.num_rows == 0:
        raise InvalidInputError(f"{path.name} has no rows", "at least one item")
    labels = encode_labels(table.column(label), f"{path.name}: {label}")
    texts = np.array(labels.texts)[labels.codes]
    with tempfile.TemporaryDirectory() as folder:
        # The images go through the one reader that opens every image as a stranger's.
        files = []
        for row, entry in enumerate(table.column(column).to_pylist()):
            content = None if entry is None else entry.get("bytes")
            if not content:
                raise InvalidInputError(
                    f"{path.name}: row {row + 1} holds no image", "the bytes of an image in each row"
                )
            files.append(f"row {row + 1}")
            (Path(folder) / files[-1]).write_bytes(content)
        pixels, notes = load_images(Path(folder).resolve(), files, resize, path.name)
    return RawSplit(
        inputs=pixels,
        labels=_numbers(texts) if stated else texts,
        source=path.name,
        class_names=stated,
        paths=np.array(files, object),
        notes=notes,
        from_images=True,
    )


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...] | None:
    """Names of a ClassLabel feature; None where the file states none."""
    try:
        stated: Any = json.loads((metadata or {})[b"huggingface"])
        names = stated["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names)


def _numbers(texts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    try:
        return texts.astype(np.int64)
    except ValueError:
        return texts
