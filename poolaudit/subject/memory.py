"""How much a file may claim: sizes are checked against the machine before anything is read."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import IO, Any

import numpy as np

from poolaudit.errors import InvalidInputError

_FALLBACK_BYTES = 8 << 30
_SHARE_OF_MEMORY = 0.5
_SHARE_OF_DISK = 0.9
_PIECE_BYTES = 8 << 20


def memory_limit_bytes() -> int:
    """Half of the machine's physical memory; 4 GiB where the platform does not tell."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        physical = _FALLBACK_BYTES
    return int(physical * _SHARE_OF_MEMORY)


def require_fits(n_bytes: int, what: str) -> None:
    """Raises InvalidInputError where `n_bytes` is more than this machine may hold."""
    limit = memory_limit_bytes()
    if n_bytes > limit:
        raise InvalidInputError(
            f"{what} would take {_gibibytes(n_bytes)} of memory",
            f"at most {_gibibytes(limit)} on this machine",
            "Audit a smaller sample, or use a machine with more memory; if the file is small, it is damaged",
        )


def scratch_array(shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> np.ndarray[Any, Any]:
    """An empty array in a nameless file that is gone with it.

    Raises:
        InvalidInputError: The disk of temporary files has no room for it.
    """
    needed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    with _scratch_file(needed, what) as file:
        file.truncate(needed)
        return np.memmap(file, dtype, "r+", 0, shape)


def scratch_copy(
    source: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], what: str, *, fortran: bool = False
) -> np.ndarray[Any, Any]:
    """A read-only array in a nameless file, copied from where `source` stands, in pieces.

    Raises:
        InvalidInputError: The disk of temporary files has no room for it.
        EOFError: The source ends before the array does.
    """
    left = int(np.prod(shape, dtype=object)) * dtype.itemsize
    with _scratch_file(left, what) as file:
        while left:
            piece = source.read(min(left, _PIECE_BYTES))
            if not piece:
                raise EOFError("an array is shorter than its header says")
            try:
                # Written, not mapped: a disk that is full ends a mapping with a signal, and a write with an error.
                file.write(piece)
                file.flush()
            except OSError as error:
                raise _no_room(f"{what} could not be unpacked: {error.strerror}") from error
            left -= len(piece)
        return np.memmap(file, dtype, "r", 0, shape, "F" if fortran else "C")


def _scratch_file(needed: int, what: str) -> IO[bytes]:
    folder = tempfile.gettempdir()
    if needed > _SHARE_OF_DISK * shutil.disk_usage(folder).free:
        raise _no_room(f"{what} would take {_gibibytes(needed)} of scratch space")
    return tempfile.TemporaryFile(dir=folder)


def _no_room(what: str) -> InvalidInputError:
    folder = tempfile.gettempdir()
    return InvalidInputError(
        what,
        f"at most {_gibibytes(int(_SHARE_OF_DISK * shutil.disk_usage(folder).free))} in {folder!r}",
        "Name a larger disk in TMPDIR, or audit a smaller sample",
    )


def _gibibytes(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 30):,.1f} GiB"
