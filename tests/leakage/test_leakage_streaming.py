"""Data larger than memory: read in pieces by `leaks`, refused in plain words elsewhere."""

from __future__ import annotations

import errno
import io
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leakage.leakage_examples import textures
from poolaudit.audit.leaks import find_leaks
from poolaudit.errors import InvalidInputError
from poolaudit.subject import archives, memory
from poolaudit.subject.data import load_splits

SEED = 8


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that may hold 40 kB."""
    monkeypatch.setattr(memory, "memory_limit_bytes", lambda: 40_000)
    monkeypatch.setattr("poolaudit.subject.images.memory_limit_bytes", lambda: 40_000)
    monkeypatch.setattr(archives, "memory_limit_bytes", lambda: 40_000)
    monkeypatch.setattr(archives, "_MAPPED_FROM_BYTES", 10_000)
    monkeypatch.setattr(memory, "_PIECE_BYTES", 7_001)


@pytest.fixture
def splits():  # type: ignore[no-untyped-def]
    items = textures(200, np.random.default_rng(SEED))
    test = items[140:].copy()
    test[:5] = items[:5, :, ::-1]
    return items[:140], test


def counted(result):  # type: ignore[no-untyped-def]
    leak = result.evidence.leakage
    return leak.test_items_exact, leak.test_items_near


@pytest.mark.usefixtures("little_memory")
def test_an_archive_without_compression_may_be_larger_than_memory(splits, tmp_path) -> None:  # type: ignore[no-untyped-def]
    train, test = splits
    np.savez(tmp_path / "train.npz", x=train, y=np.arange(140) % 2)
    np.savez(tmp_path / "test.npz", x=test, y=np.arange(60) % 2)
    assert counted(find_leaks(tmp_path / "train.npz", tmp_path / "test.npz")) == (0, 5)
    mapped = load_splits({"train": tmp_path / "train.npz", "test": tmp_path / "test.npz"}, stream=True)
    assert isinstance(mapped["train"].inputs.base, np.memmap)
    assert (mapped["train"].inputs == train).all()
    with pytest.raises(InvalidInputError, match="memory"):
        load_splits({"train": tmp_path / "train.npz"})


@pytest.mark.usefixtures("little_memory")
def test_a_compressed_archive_may_be_larger_than_memory(splits, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    train, test = splits
    np.savez_compressed(tmp_path / "train.npz", x=train, y=np.arange(140) % 2)
    np.savez_compressed(tmp_path / "test.npz", x=test, y=np.arange(60) % 2)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "scratch").mkdir()
    assert counted(find_leaks(tmp_path / "train.npz", tmp_path / "test.npz")) == (0, 5)
    unpacked = load_splits({"train": tmp_path / "train.npz", "test": tmp_path / "test.npz"}, stream=True)
    assert isinstance(unpacked["train"].inputs.base, np.memmap)
    assert (unpacked["train"].inputs == train).all()
    assert not isinstance(unpacked["test"].inputs.base, np.memmap), "what fits is held in memory"
    assert list((tmp_path / "scratch").iterdir()) == [], "nothing is left behind"
    with pytest.raises(InvalidInputError, match="memory"):
        load_splits({"train": tmp_path / "train.npz"})


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("order", ["C", "F"])
def test_unpacked_arrays_keep_dtype_and_order(order: str, tmp_path: Path) -> None:
    given = np.asarray(np.random.default_rng(SEED).normal(size=(90, 30, 5)).astype(">f4"), order=order)  # type: ignore[call-overload]
    np.savez_compressed(tmp_path / "a.npz", x=given)
    found = archives.read_npz(tmp_path / "a.npz", ["x"], stream=True)["x"]
    assert isinstance(found, np.memmap)
    assert (found.dtype, found.flags.f_contiguous) == (given.dtype, order == "F")
    assert (found == given).all()


def packed(path: Path, held: bytes, shape: tuple[int, ...]) -> Path:
    """An archive whose array is said to have this shape, and holds these bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})  # type: ignore[no-untyped-call]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + held)
    return path


@pytest.mark.usefixtures("little_memory")
def test_a_compressed_array_that_is_not_what_it_says_is_refused(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Before anything is unpacked where the archive itself says so, and where the unpacking shows it otherwise."""
    longer = packed(tmp_path / "longer.npz", bytes(50_000), (60_000,))
    with pytest.raises(InvalidInputError, match="longer than its part"):
        archives.read_npz(longer, ["x"], stream=True)
    bomb = packed(tmp_path / "bomb.npz", bytes(50_000), (1 << 50,))
    with pytest.raises(InvalidInputError, match="longer than its part"):
        archives.read_npz(bomb, ["x"], stream=True)
    noise = np.random.default_rng(SEED).integers(0, 256, 60_000, np.uint8).tobytes()
    whole = packed(tmp_path / "whole.npz", noise, (60_000,))
    assert archives.read_npz(whole, ["x"], stream=True)["x"].tobytes() == noise
    content = bytearray(whole.read_bytes())
    content[30_000] ^= 1
    (tmp_path / "damaged.npz").write_bytes(content)
    with pytest.raises(InvalidInputError, match="no readable NPZ archive"):
        archives.read_npz(tmp_path / "damaged.npz", ["x"], stream=True)
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: SimpleNamespace(free=50_000))
    with pytest.raises(InvalidInputError, match="scratch space") as refused:
        archives.read_npz(whole, ["x"], stream=True)
    assert "TMPDIR" in str(refused.value)


@pytest.mark.usefixtures("little_memory")
def test_a_disk_that_fills_up_while_an_array_is_unpacked_is_told(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A file of at most 20 kB stands for a disk that others fill meanwhile."""
    whole = packed(tmp_path / "whole.npz", bytes(60_000), (60_000,))
    real = tempfile.TemporaryFile

    def small(dir: str) -> Any:
        file = real(dir=dir)
        write = file.write

        def full(piece: bytes) -> int:
            if file.tell() + len(piece) > 20_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(piece)

        return _Written(file, full)

    monkeypatch.setattr(memory.tempfile, "TemporaryFile", small)
    with pytest.raises(InvalidInputError, match="No space left") as refused:
        archives.read_npz(whole, ["x"], stream=True)
    assert "TMPDIR" in str(refused.value)


class _Written:
    """A file with another way to write."""

    def __init__(self, file: Any, write: Any) -> None:
        self._file, self.write = file, write

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def flush(self) -> None:
        self._file.flush()


@pytest.mark.usefixtures("little_memory")
def test_an_archive_that_was_cut_is_refused(splits, tmp_path) -> None:  # type: ignore[no-untyped-def]
    np.savez(tmp_path / "train.npz", x=splits[0], y=np.arange(140) % 2)
    whole = (tmp_path / "train.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:30_000] + whole[-400:])
    with pytest.raises(InvalidInputError):
        load_splits({"train": tmp_path / "cut.npz"}, stream=True)


@pytest.mark.usefixtures("little_memory")
def test_image_files_may_be_larger_than_memory(splits, tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name, items in zip(("train", "test"), splits, strict=True):
        for at, item in enumerate(items):
            folder = tmp_path / name / "ab"[at % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(item[..., 0]).save(folder / f"{at:03d}.png")
    assert counted(find_leaks(tmp_path / "train", tmp_path / "test")) == (0, 5)
    with pytest.raises(InvalidInputError, match="memory"):
        load_splits({"train": tmp_path / "train"})


def test_scratch_space_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="TMPDIR"):
        memory.scratch_array((1 << 50,), np.dtype(np.uint8), "images")
