"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from poolaudit.errors import InvalidInputError

_OTHER_FOLDER = "Name a folder that can be written to with --out"


def write_atomically(path: Path, content: bytes, cure: str = _OTHER_FOLDER) -> None:
    """Writes `content` to `path` through a temporary neighbour, so that a reader never sees half a file.

    Raises:
        InvalidInputError: The folder cannot be written to or the disk is full; an older file stays as it was.
    """
    write_together({path: content}, cure)


def write_together(contents: Mapping[Path, bytes], cure: str = _OTHER_FOLDER) -> None:
    """Writes each content to its path; where one cannot be written, none is, and older files stay as they were.

    Raises:
        InvalidInputError: A path is a folder, its folder cannot be written to, or the disk is full.
    """
    temporary: dict[Path, str] = {}
    path = next(iter(contents))
    try:
        for path, content in contents.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            handle, temporary[path] = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            # mkstemp makes the file private; a report is meant to be shared as any file of the user's would be.
            os.chmod(temporary[path], 0o666 & ~_umask())
        for path, ready in temporary.items():
            os.replace(ready, path)
    except OSError as error:
        raise InvalidInputError(
            f"{str(path)!r} cannot be written: {error.strerror}",
            cure=cure,
        ) from None
    finally:
        for ready in temporary.values():
            if os.path.exists(ready):
                os.unlink(ready)


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
