"""Trials on disk are whole or not there, found by what determines them, and written by one run at a time."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from poolaudit.errors import InvalidInputError
from poolaudit.store.trials import (
    NoSpaceError,
    StoredTrial,
    TrialStore,
    decode_trial,
    encode_trial,
    store_checkpoint,
    trial_key,
)

KEY = trial_key({"variant": "weaker@pool", "seed": 3})


def trial(items: int = 50) -> StoredTrial:
    rng = np.random.default_rng(0)
    facts = {"seed": 3, "outcome": "finished", "history": {"loss": [0.5, None]}}
    return StoredTrial(KEY, facts, {"test": rng.random((items, 2), np.float32)})


def test_a_trial_comes_back_as_it_was(tmp_path: Path) -> None:
    store = TrialStore(tmp_path)
    assert store.read(KEY) is None
    store.checkpoint_path(KEY).write_bytes(b"half done")
    store.write(trial())
    again = store.read(KEY)
    assert again is not None
    assert again.facts == trial().facts
    assert again.arrays["test"].tobytes() == trial().arrays["test"].tobytes()
    assert len(store) == 1
    assert not store.checkpoint_path(KEY).exists()


def test_the_key_depends_on_content_not_on_order() -> None:
    assert trial_key({"a": 1, "b": [1, 2]}) == trial_key({"b": [1, 2], "a": 1})
    assert trial_key({"a": 1}) != trial_key({"a": 2}) != trial_key({"b": 1})


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "empty"])
def test_a_damaged_trial_is_put_aside_and_counts_as_none(tmp_path: Path, damage: str) -> None:
    store = TrialStore(tmp_path)
    whole = encode_trial(trial())
    content = {
        "cut": whole[:-20],
        "flipped": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
        "other": encode_trial(StoredTrial("0" * 64, {}, {})),
        "empty": b"",
    }[damage]
    store.trial_path(KEY).write_bytes(content)
    assert store.read(KEY) is None
    assert len(store) == 0
    assert list((tmp_path / "trials").glob("*.damaged"))
    store.write(trial())
    assert store.read(KEY) is not None


def test_what_is_no_trial_is_refused() -> None:
    with pytest.raises(ValueError, match="whole trial"):
        decode_trial(b"PK\x03\x04 something else")


def test_a_second_run_is_kept_out_and_a_dead_one_is_not_waited_for(tmp_path: Path) -> None:
    store = TrialStore(tmp_path)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom poolaudit.store.trials import TrialStore\n"
        f"with TrialStore(Path({str(tmp_path)!r})).held():\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(InvalidInputError, match="Another run"), store.held():
        pass
    other.kill()
    other.wait()
    other.stdout.close()
    assert other.stdin is not None
    other.stdin.close()
    with store.held():
        pass


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    store = TrialStore(tmp_path)
    store.write(trial())
    before = store.trial_path(KEY).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        with pytest.raises(NoSpaceError, match="cannot be stored"):
            store.write(trial(20_000))
        with pytest.raises(NoSpaceError, match="cannot be stored"):
            store_checkpoint(store.checkpoint_path(KEY), bytes(10_000))
        with pytest.raises(NoSpaceError):
            store.keep_array("x-1", np.zeros(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert store.trial_path(KEY).read_bytes() == before
    assert [path.name for path in tmp_path.rglob("*.part")] == []
    assert not list((tmp_path / "data").iterdir())


def test_arrays_are_kept_once_and_can_be_mapped(tmp_path: Path) -> None:
    store = TrialStore(tmp_path)
    path = store.keep_array("x-abc", np.arange(6).reshape(2, 3))
    assert store.keep_array("x-abc", np.arange(6).reshape(2, 3)) == path
    assert np.load(path, mmap_mode="r").tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("damage", ["cut in the header", "cut", "another number", "other kind of number", "no array"])
def test_a_damaged_array_is_written_again(tmp_path: Path, damage: str) -> None:
    store, array = TrialStore(tmp_path), np.random.default_rng(0).random((600, 4))
    path = store.keep_array("x-abc", array)
    whole, written = path.read_bytes(), path.stat().st_mtime_ns
    assert store.keep_array("x-abc", array).stat().st_mtime_ns == written, "one that is whole stays"
    path.write_bytes(
        {
            "cut in the header": whole[:50],
            "cut": whole[:-8],
            "another number": whole[:-8] + b"\0" * 8,
            "other kind of number": whole.replace(b"<f8", b"<i8"),
            "no array": b"",
        }[damage]
    )
    store.keep_array("x-abc", array)
    assert path.read_bytes() == whole


def test_a_store_that_cannot_be_locked_is_told(tmp_path: Path) -> None:
    store = TrialStore(tmp_path)
    (tmp_path / "lock").mkdir()
    with pytest.raises(InvalidInputError, match="cannot be written to"), store.held():
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="--store"):
        TrialStore(tmp_path / "file" / "store")
