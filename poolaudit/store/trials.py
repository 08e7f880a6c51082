"""Trials on disk: one file a trial, named by what determines it, written whole or not at all.

A trial's key is the SHA-256 of everything its result hangs on: model architecture and compile configuration, variant,
seed, data, training configuration, versions. The same question finds the same answer, whoever asked it before; another
question never does. A file that is damaged is put aside and its trial trained again.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poolaudit.errors import InvalidInputError, PoolauditError
from poolaudit.store.atomic import locked, write_atomically

Array = npt.NDArray[Any]

FORMAT = 1
_MAGIC = b"poolaudit-trial-1\n"
_DIGEST_BYTES = 32
_ROWS_AT_ONCE = 256
_SECONDS_BETWEEN_LOOKS = 0.5


class NoSpaceError(PoolauditError, OSError):
    """A trial could not be stored; what was stored before is whole."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredTrial:
    """What one trial left behind.

    Attributes:
        key: SHA-256 of everything that determines it.
        facts: Plain data: variant, seed, outcome, reason, history, environment, seconds.
        arrays: Raw outputs by split ("test", "validation"); empty where the trial gave none.
    """

    key: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, Array]


def trial_key(question: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of what determines a trial."""
    return hashlib.sha256(canonical_json({"format": FORMAT, **question}).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=str)


def encode_trial(trial: StoredTrial) -> bytes:
    """Magic, SHA-256 of the rest, then an NPZ without pickles."""
    buffer = io.BytesIO()
    facts = json.dumps({"key": trial.key, **trial.facts}, allow_nan=False)
    arrays: dict[str, Any] = {"facts": np.frombuffer(facts.encode(), np.uint8), **trial.arrays}
    np.savez_compressed(buffer, **arrays)
    payload = buffer.getvalue()
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def decode_trial(content: bytes) -> StoredTrial:
    """Raises ValueError where the content is not a whole trial."""
    head = len(_MAGIC) + _DIGEST_BYTES
    payload = content[head:]
    if not content.startswith(_MAGIC) or hashlib.sha256(payload).digest() != content[len(_MAGIC) : head]:
        raise ValueError("not a whole trial")
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        facts = json.loads(archive["facts"].tobytes())
        arrays = {name: archive[name] for name in archive.files if name != "facts"}
    return StoredTrial(facts.pop("key"), facts, arrays)


class TrialStore:
    """A folder of trials, of the data and models they were trained with, and of unfinished trials' checkpoints.

    Args:
        folder: Created where it does not exist.

    Raises:
        InvalidInputError: The folder cannot be created or written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            for part in ("trials", "partial", "data", "models"):
                (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInputError(
                f"The trial store {str(folder)!r} cannot be created: {error.strerror}",
                "a folder that can be written to",
                "Name another one with --store",
            ) from None

    @contextmanager
    def held(self, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Keeps a second run out while this one writes; the lock dies with the process, however it dies.

        What a run that was killed had half written is removed first. On a file system without locks nobody is kept out;
        trials are written whole all the same.

        Args:
            waiting: Called now and then while another run holds the store; without it, none is waited for.

        Raises:
            InvalidInputError: Another run holds the store, or it cannot be written to.
        """
        try:
            lock = (self.folder / "lock").open("a")
        except OSError as error:
            raise InvalidInputError(
                f"The trial store {str(self.folder)!r} cannot be written to: {error.strerror}",
                "a folder that can be written to",
                "Name another one with --store",
            ) from None
        with lock:
            while (mine := locked(lock.fileno())) is False:
                if waiting is None:
                    raise InvalidInputError(
                        f"Another run is using the trial store {str(self.folder)!r}",
                        "one run a store at a time",
                        "Wait for it, or name another folder with --store",
                    )
                waiting()
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            if mine:  # without locks, what is half-written may be another run's
                for half_written in (*self.folder.rglob("*.part"), *self.folder.rglob("*.part.keras")):
                    half_written.unlink(missing_ok=True)
            yield

    def trial_path(self, key: str) -> Path:
        return self.folder / "trials" / f"{key}.trial"

    def checkpoint_path(self, key: str) -> Path:
        return self.folder / "partial" / f"{key}.checkpoint"

    def read(self, key: str) -> StoredTrial | None:
        """The trial, or None where there is none; a damaged file is renamed *.damaged and counts as none."""
        path = self.trial_path(key)
        try:
            trial = decode_trial(path.read_bytes())
            if trial.key == key:
                return trial
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, zipfile.BadZipFile, EOFError):
            pass
        path.replace(path.with_suffix(".damaged"))
        return None

    def write(self, trial: StoredTrial) -> None:
        """Stores the trial and forgets its checkpoint.

        Raises:
            NoSpaceError: The disk is full or the folder cannot be written to.
        """
        store_bytes(self.trial_path(trial.key), encode_trial(trial))
        self.checkpoint_path(trial.key).unlink(missing_ok=True)

    def keep_array(self, name: str, array: Array) -> Path:
        """Writes the array under a name that holds its content hash; readable with a memory map.

        A file that is there already stays, unless it is damaged.
        """
        path = self.folder / "data" / f"{name}.npy"
        if not _holds(path, array):
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
            store_bytes(path, buffer.getvalue())
        return path

    def __len__(self) -> int:
        return sum(1 for _ in (self.folder / "trials").glob("*.trial"))


def _holds(path: Path, array: Array) -> bool:
    """Whether the file is there, whole, and has this content."""
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    if stored.dtype != array.dtype or stored.shape != array.shape:
        return False
    steps = range(0, len(array), _ROWS_AT_ONCE)
    return all(np.array_equal(stored[i : i + _ROWS_AT_ONCE], array[i : i + _ROWS_AT_ONCE]) for i in steps)


def store_bytes(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all.

    Raises:
        NoSpaceError: The disk is full or the folder cannot be written to.
    """
    try:
        write_atomically(path, content)
    except InvalidInputError as error:
        raise NoSpaceError(f"{path.name} cannot be stored. {error.arrived}.") from None


def store_checkpoint(path: Path, content: bytes) -> None:
    """As `store_bytes`, without waiting for the disk: a checkpoint has to outlive its process, not the power.

    Raises:
        NoSpaceError: The disk is full or the folder cannot be written to.
    """
    ready = path.with_suffix(f".{os.getpid()}.part")
    try:
        ready.write_bytes(content)
        ready.replace(path)
    except OSError as error:
        ready.unlink(missing_ok=True)
        reason = os.strerror(error.errno or errno.EIO)
        raise NoSpaceError(f"A checkpoint cannot be stored: {reason}.") from None
