"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from poolaudit.errors import InvalidInputError

_OTHER_FOLDER = "Name a folder that can be written to with --out"
_UNFINISHED = ".part"
_LONGEST_TURN_SECONDS = 30.0


def write_atomically(path: Path, content: bytes, cure: str = _OTHER_FOLDER) -> None:
    """Writes `content` to `path` through a temporary neighbour, so that a reader never sees half a file.

    Raises:
        InvalidInputError: The folder cannot be written to or the disk is full; an older file stays as it was.
    """
    write_together({path: content}, cure)


def write_together(contents: Mapping[Path, bytes | None], cure: str = _OTHER_FOLDER) -> None:
    """Writes each content to its path; where one cannot be written, none is, and older files stay as they were.

    A path without content is removed with the others. Runs that write into one folder at once take turns, so that what
    stands there is of one run; what one that was killed left half-written is removed by the next that writes the file.

    Raises:
        InvalidInputError: A path is a folder, its folder cannot be written to, or the disk is full.
    """
    path = next(iter(contents))
    temporary: dict[Path, str] = {}
    try:
        with _turn(sorted({path.parent for path in contents})) as is_alone, _gone_at_the_end(temporary):
            for path, content in contents.items():
                if is_alone:
                    _remove_unfinished(path)
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                if content is None:
                    continue
                prefix = _unfinished_prefix(path)
                handle, temporary[path] = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=_UNFINISHED)
                with os.fdopen(handle, "wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                # mkstemp makes the file private; a report is meant to be shared as any file of the user's would be.
                os.chmod(temporary[path], 0o666 & ~_umask())
            for path in contents:
                if path in temporary:
                    os.replace(temporary[path], path)
                else:
                    path.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInputError(
            f"{str(path)!r} cannot be written: {error.strerror}",
            cure=cure,
        ) from None


def make_output_folder(folder: Path, option: str = "--out") -> Path:
    """Creates `folder` and proves that it can be written to, before any long work begins.

    Raises:
        InvalidInputError: It is a file, or it cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidInputError(
            f"The output folder {str(folder)!r} cannot be written to: {error.strerror}",
            "a folder that exists or can be created",
            f"Name another one with {option}",
        ) from None
    return folder


def locked(handle: int) -> bool | None:
    """Takes the lock of an open file or folder, which dies with the process, however it dies.

    Returns:
        True where it is held now, False where another process holds it, None where the file system has no locks (some
        network ones).
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextlib.contextmanager
def _turn(folders: list[Path]) -> Iterator[bool]:
    """Waits until no other run writes into these folders; the locks die with the process, however it dies.

    Yields False where a folder cannot be locked: the file system has no locks (some network ones), or somebody holds
    it for longer than any writing takes, and is therefore no run of poolaudit.
    """
    with contextlib.ExitStack() as held:
        deadline = time.monotonic() + _LONGEST_TURN_SECONDS
        locked = [_locked(folder, deadline, held) for folder in folders]
        yield all(locked)


def _locked(folder: Path, deadline: float, held: contextlib.ExitStack) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    held.callback(os.close, handle)
    while (mine := locked(handle)) is False and time.monotonic() <= deadline:
        time.sleep(0.02)
    return bool(mine)


@contextlib.contextmanager
def _gone_at_the_end(temporary: Mapping[Path, str]) -> Iterator[None]:
    try:
        yield
    finally:
        for ready in temporary.values():
            with contextlib.suppress(OSError):
                os.unlink(ready)


def _remove_unfinished(path: Path) -> None:
    for left in os.listdir(path.parent):
        if left.startswith(_unfinished_prefix(path)) and left.endswith(_UNFINISHED):
            with contextlib.suppress(OSError):  # what stays of an earlier run must not cost this one
                (path.parent / left).unlink()


def _unfinished_prefix(path: Path) -> str:
    return f".{path.name}."


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
