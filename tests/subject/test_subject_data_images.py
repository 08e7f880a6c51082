"""Folders and manifests of images: what is read, what is noted, and what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from poolaudit.errors import InvalidInputError
from poolaudit.subject.data import DataSplit, load_splits

RNG_SEED = 7


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> np.ndarray:
    """Random pixels of `size` (height, width), written to `path`."""
    rng = np.random.default_rng(RNG_SEED)
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "1": (), "I;16": (), "P": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "CMYK": (4,)}[mode]
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, size, dtype=np.uint16))
    elif mode in ("1", "P"):
        image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode)
    elif mode == "CMYK":
        image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).convert("CMYK")
    else:
        image = Image.fromarray(rng.integers(0, 256, (*size, *channels), dtype=np.uint8))
    image.save(path)
    return np.asarray(image)


def load(source: Path, **options: object) -> DataSplit:
    return load_splits({"test": source}, **options)["test"]  # type: ignore[arg-type]


def tree(root: Path, mode: str = "RGB", suffix: str = "png") -> Path:
    for name in ("cat/1", "cat/2", "dog/deep/3"):
        save(root / f"{name}.{suffix}", mode)
    return root


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "webp", "tif", "jpg"])
def test_a_folder_of_class_folders_is_read(tmp_path: Path, suffix: str) -> None:
    root = tree(tmp_path / "photos", suffix=suffix)
    (root / "cat" / ".hidden.png").write_bytes(b"not an image")
    (root / ".cache").mkdir()
    split = load(root)
    assert split.inputs.shape == (3, 6, 4, 3)
    assert split.inputs.dtype == np.uint8
    assert split.class_names == ("cat", "dog")
    assert split.labels.tolist() == [0, 0, 1]
    assert split.paths is not None
    assert split.paths.tolist() == [f"cat/1.{suffix}", f"cat/2.{suffix}", f"dog/deep/3.{suffix}"]
    assert split.source == "photos"


@pytest.mark.parametrize(
    ("mode", "channels", "dtype"),
    [("L", 1, np.uint8), ("1", 1, np.uint8), ("I;16", 1, np.uint16), ("P", 3, np.uint8), ("RGBA", 3, np.uint8)],
)
def test_pixel_modes(tmp_path: Path, mode: str, channels: int, dtype: type) -> None:
    split = load(tree(tmp_path / "photos", mode))
    assert split.inputs.shape == (3, 6, 4, channels)
    assert split.inputs.dtype == dtype
    assert any("converted to RGB" in note for note in split.notes) == (mode in ("P", "RGBA"))
    if mode in ("L", "I;16"):
        np.testing.assert_array_equal(split.inputs[0, :, :, 0], save(tmp_path / "same.png", mode))


def test_one_colour_image_makes_all_colour(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos", "L")
    save(root / "dog" / "colour.png", "RGB")
    split = load(root)
    assert split.inputs.shape == (4, 6, 4, 3)
    assert "3 of mode L" in split.notes[0]
    grey = split.inputs[0]
    assert (grey[..., 0] == grey[..., 1]).all()


def test_a_grey_split_follows_a_colour_one(tmp_path: Path) -> None:
    splits = load_splits({"train": tree(tmp_path / "train"), "test": tree(tmp_path / "test", "L")})
    assert splits["test"].inputs.shape == (3, 6, 4, 3)
    assert "expanded to three channels" in splits["test"].notes[-1]
    assert splits["train"].notes == ()


def test_class_folders_are_ordered_as_keras_orders_them(tmp_path: Path) -> None:
    for name in ("10", "2", "1"):
        save(tmp_path / "photos" / name / "a.png")
    split = load(tmp_path / "photos")
    assert split.class_names == ("1", "10", "2")
    assert "as Keras does" in split.notes[-1]


def test_an_empty_class_folder_is_a_class(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos")
    (root / "bird").mkdir()
    assert load(root).class_names == ("bird", "cat", "dog")


def test_mixed_sizes_name_two_sizes_and_the_cure(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos")
    save(root / "dog" / "large.png", size=(9, 8))
    with pytest.raises(InvalidInputError, match=r"mostly 6x4, but 'dog/large.png' is 9x8.*--resize 224x224"):
        load(root)
    split = load(root, resize=(5, 7))
    assert split.inputs.shape == (4, 5, 7, 3)
    assert "4 of 4 images were resized to 5x7" in split.notes[0]


def test_sixteen_bit_images_are_resized_without_loss_of_depth(tmp_path: Path) -> None:
    split = load(tree(tmp_path / "photos", "I;16"), resize=(3, 2))
    assert split.inputs.dtype == np.uint16
    assert split.inputs.max() > 255


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, "truncated"])
def test_an_unreadable_image_is_named(tmp_path: Path, content: bytes | str) -> None:
    root = tree(tmp_path / "photos")
    good = (root / "cat" / "1.png").read_bytes()
    (root / "dog" / "bad.png").write_bytes(good[:-30] if isinstance(content, str) else content)
    with pytest.raises(InvalidInputError, match=r"the image 'dog/bad.png' cannot be read"):
        load(root)


def test_a_postscript_file_renamed_png_is_not_handed_to_another_program(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos")
    (root / "dog" / "bad.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 6\n%%EndComments\n")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        load(root)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_refused(tmp_path: Path, side: int) -> None:
    root = tree(tmp_path / "photos")
    (root / "dog" / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(InvalidInputError, match=r"'dog/bomb.png' is too large to be opened safely.*89,478,485 pixels"):
        load(root)


def test_more_images_than_memory_are_refused_before_any_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="GiB of memory"):
        load(tree(tmp_path / "photos"), resize=(10**6, 10**6))


@pytest.mark.parametrize("inside", [True, False])
def test_links_that_leave_the_folder_are_refused(tmp_path: Path, inside: bool) -> None:
    root = tree(tmp_path / "photos")
    save(tmp_path / "outside.png")
    (root / "dog" / "link.png").symlink_to(root / "cat" / "1.png" if inside else tmp_path / "outside.png")
    if inside:
        assert len(load(root)) == 4
        return
    with pytest.raises(InvalidInputError, match=r"'dog/link.png' is a link that leaves"):
        load(root)


def test_linked_class_folders_are_refused(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos")
    (tmp_path / "elsewhere").mkdir()
    (root / "owl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInputError, match="linked folder"):
        load(root)


def test_folders_without_classes_or_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    save(tmp_path / "flat" / "a.png")
    with pytest.raises(InvalidInputError, match="no class folders"):
        load(tmp_path / "flat")
    (tmp_path / "bare" / "cat").mkdir(parents=True)
    (tmp_path / "bare" / "cat" / "notes.txt").write_text("x")
    with pytest.raises(InvalidInputError, match="holds no images"):
        load(tmp_path / "bare")


def test_files_that_are_no_images_are_noted(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos")
    (root / "cat" / "notes.txt").write_text("x")
    assert "1 files that are no images in class folders were ignored: 'cat/notes.txt'." in load(root).notes


def manifest(folder: Path, rows: str, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_text(rows)
    return path


def test_manifests_in_both_forms_and_the_folder_agree(tmp_path: Path) -> None:
    tree(tmp_path)
    rows = "path,label,group,time,note\ncat/1.png,cat,a,2024-01-01,x\ncat/2.png,cat,a,,x\ndog/deep/3.png,dog,b,2024,x\n"
    from_csv = load(manifest(tmp_path, rows))
    table = pa.table(
        {
            "path": ["cat/1.png", "cat/2.png", "dog/deep/3.png"],
            "label": ["cat", "cat", "dog"],
            "group": ["a", "a", "b"],
            "time": ["2024-01-01", None, "2024"],
        }
    )
    parquet.write_table(table, tmp_path / "manifest.parquet")
    from_parquet = load(tmp_path / "manifest.parquet")
    for split in (from_csv, from_parquet):
        assert split.class_names == ("cat", "dog")
        assert split.groups is not None
        assert split.groups.tolist() == ["a", "a", "b"]
        assert split.times is not None
        assert split.times.tolist() == ["2024-01-01", None, "2024"]
        assert split.paths is not None
        assert split.paths.tolist() == ["cat/1.png", "cat/2.png", "dog/deep/3.png"]
    (tmp_path / "manifest.csv").unlink()
    (tmp_path / "manifest.parquet").unlink()
    assert from_csv.sha256 == from_parquet.sha256 == load(tmp_path).sha256


def test_whole_number_labels_of_a_manifest_are_indices(tmp_path: Path) -> None:
    tree(tmp_path)
    split = load(manifest(tmp_path, "path,label\ncat/1.png,0\ncat/2.png,10\ndog/deep/3.png,2\n"))
    assert split.labels.tolist() == [0, 10, 2]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("path,label\n../outside.png,a\n", "not below the data's own folder"),
        ("path,label\ncat/../../outside.png,a\n", "not below the data's own folder"),
        ("path,label\nABSOLUTE,a\n", "not below the data's own folder"),
        ("path,label\nlink.png,a\n", "a link that leaves"),
        ("path,label\nlinked/outside.png,a\n", "a link that leaves"),
        ("path,label\ncat/l.png,a\n", "no image file 'cat/l.png'"),
        ("path,label\n,a\n", "row 1 has no path"),
        ("path,label\ncat/1.png,\n", "label is missing in 1 rows"),
        ("path,label\n", "no rows"),
        ("file,label\ncat/1.png,a\n", "no column 'path'"),
        ("path,labels\ncat/1.png,a\n", "Did you mean 'labels'?"),
        ("label,p_0,p_1\n0,1,0\n", "looks like a file of predictions"),
        ("path,label\ncat/1.png,a,b\n", "cannot be read as CSV"),
        ("path,label\ncat,a\n", "no image file 'cat'"),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path: Path, rows: str, told: str) -> None:
    outside = tmp_path / "outside.png"
    save(outside)
    inside = tmp_path / "data"
    tree(inside)
    (inside / "link.png").symlink_to(outside)
    (inside / "linked").symlink_to(tmp_path)
    with pytest.raises(InvalidInputError) as caught:
        load(manifest(inside, rows.replace("ABSOLUTE", str(outside))))
    assert told in str(caught.value)
