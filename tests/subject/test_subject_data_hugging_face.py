"""Data as Hugging Face stores them, made here with the same libraries: Parquet with images inside, image folders."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from poolaudit.errors import InvalidInputError
from poolaudit.subject.data import load_splits


def png(value: int, size: int = 6) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, images: list[bytes | None], labels: list[object], names: list[str] | None = None) -> Path:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    entries = [{"bytes": content, "path": None} for content in images]
    table = pa.table({"image": pa.array(entries, kind), "label": pa.array(labels)})
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path)
    return path


def test_images_inside_a_parquet_file_have_the_class_names_that_it_states(tmp_path: Path) -> None:
    file = write(tmp_path / "test.parquet", [png(10), png(20), png(30)], [1, 0, 1], ["cat", "dog"])
    split = load_splits({"test": file})["test"]
    assert split.inputs.shape == (3, 6, 6, 1)
    assert split.inputs[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert split.class_names == ("cat", "dog")
    assert [split.class_names[label] for label in split.labels] == ["dog", "cat", "dog"]


def test_labels_in_words_need_no_names(tmp_path: Path) -> None:
    file = write(tmp_path / "test.parquet", [png(10), png(20)], ["dog", "cat"])
    split = load_splits({"test": file})["test"]
    assert [split.class_names[label] for label in split.labels] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([png(1), None], "row 2 holds no image"),
        ([png(1), b"no image"], "cannot be read"),
        ([png(1), png(1, 7)], "sizes"),
    ],
)
def test_rows_without_a_readable_image_are_refused(images: list[bytes | None], message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "test.parquet", images, [0, 1], ["cat", "dog"])
    with pytest.raises(InvalidInputError, match=message):
        load_splits({"test": file})


def test_a_parquet_file_of_images_without_labels_is_refused(tmp_path: Path) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    parquet.write_table(pa.table({"image": pa.array([{"bytes": png(1), "path": None}], kind)}), tmp_path / "x.parquet")
    with pytest.raises(InvalidInputError, match="no column 'label'"):
        load_splits({"test": tmp_path / "x.parquet"})


def test_image_folders_of_both_layouts_are_read(tmp_path: Path) -> None:
    for name, value in (("cat", 1), ("dog", 2)):
        (tmp_path / "by class" / name).mkdir(parents=True)
        (tmp_path / "by class" / name / "0.png").write_bytes(png(value))
    (tmp_path / "listed").mkdir()
    for number, value in enumerate((1, 2)):
        (tmp_path / "listed" / f"{number}.png").write_bytes(png(value))
    (tmp_path / "listed" / "metadata.csv").write_text("file_name,label\n0.png,cat\n1.png,dog\n")
    splits = [load_splits({"test": tmp_path / folder})["test"] for folder in ("by class", "listed")]
    for split in splits:
        assert [split.class_names[label] for label in split.labels] == ["cat", "dog"]
        assert split.inputs[:, 0, 0, 0].tolist() == [1, 2]
