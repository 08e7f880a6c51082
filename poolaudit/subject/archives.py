"""NPZ archives read as plain data: no pickle, and no array larger than the machine can hold."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from poolaudit.errors import InvalidInputError, listed
from poolaudit.subject.memory import require_fits

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError)


def npz_keys(path: Path) -> tuple[str, ...]:
    """Names of the arrays in the archive.

    Raises:
        InvalidInputError: The file is no readable NPZ archive, or a name occurs twice.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist()]
    except _BROKEN as error:
        raise _not_an_archive(path, error) from error
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidInputError(
            f"{path.name} holds {listed(twice)} more than once",
            "each array once",
            "Write the file again with numpy.savez",
        )
    return tuple(name[:-4] for name in names if name.endswith(".npy"))


def read_npz(path: Path, keys: Iterable[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays called `keys`, each with its stored dtype.

    Sizes are taken from the array headers and checked before any data is decompressed.

    Raises:
        InvalidInputError: An array holds Python objects, is damaged, or is larger than memory allows.
    """
    wanted = tuple(keys)
    try:
        with zipfile.ZipFile(path) as archive:
            total = 0
            for key in wanted:
                with archive.open(f"{key}.npy") as member:
                    total += _declared_bytes(member, path, key)
                require_fits(total, f"{path.name}: the array {key!r}")
            arrays = {}
            for key in wanted:
                with archive.open(f"{key}.npy") as member:
                    arrays[key] = np.lib.format.read_array(member, allow_pickle=False)
            return arrays
    except InvalidInputError:
        raise
    except MemoryError as error:
        raise InvalidInputError(f"{path.name} does not fit into memory", "", "Audit a smaller sample") from error
    except _BROKEN as error:
        raise _not_an_archive(path, error) from error


def _declared_bytes(member: IO[bytes], path: Path, key: str) -> int:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    else:
        raise ValueError(f"array format {version} is not supported")
    if dtype.hasobject or dtype.names is not None:
        raise InvalidInputError(
            f"{path.name}: the array {key!r} holds Python objects or records (dtype {dtype})",
            "plain arrays of numbers, booleans or text; object arrays are pickles, which can run code",
            "Convert it before saving, for example labels with numpy.asarray(labels, dtype=str)",
        )
    count = 1
    for size in shape:
        if size < 0:
            raise ValueError("negative array size")
        count *= int(size)
    return count * int(dtype.itemsize)


def _not_an_archive(path: Path, error: Exception) -> InvalidInputError:
    reason = str(error).replace(str(path), path.name)
    return InvalidInputError(
        f"{path.name} is no readable NPZ archive ({type(error).__name__}: {reason})",
        "a file written by numpy.savez or numpy.savez_compressed; pickles are never opened",
        "Check that it was copied completely, and save it again with numpy.savez",
    )
