"""Data larger than memory: read in pieces by `leaks`, refused in plain words elsewhere."""

from __future__ import annotations

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
    monkeypatch.setattr(archives, "_MAPPED_FROM_BYTES", 10_000)


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
    np.savez_compressed(tmp_path / "packed.npz", x=train, y=np.arange(140) % 2)
    with pytest.raises(InvalidInputError, match="memory"):
        find_leaks(tmp_path / "packed.npz", tmp_path / "test.npz")


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
