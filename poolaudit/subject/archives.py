"""NPZ archives read as plain data: no pickle, and no array larger than the machine can hold."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from poolaudit.errors import InvalidInputError, listed
from poolaudit.subject.memory import memory_limit_bytes, require_fits, scratch_copy

# Signature, and the lengths of name and extra field, of a member's header within the file.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 1
_MAPPED_FROM_BYTES = 64 << 20
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


def read_npz(path: Path, keys: Iterable[str], *, stream: bool = False) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays called `keys`, each with its stored dtype.

    Sizes are taken from the array headers and checked before any data is decompressed.

    Args:
        stream: Arrays may be larger than memory. Those that were stored without compression stay in the file and are
            read where they are used; their checksums are not verified. Compressed ones that do not fit into memory
            are unpacked once into a nameless scratch file and read from there.

    Raises:
        InvalidInputError: An array holds Python objects, is damaged, or is larger than memory allows, or with `stream`
            than the disk of temporary files does.
    """
    wanted = tuple(keys)
    try:
        with zipfile.ZipFile(path) as archive:
            total = 0
            mapped = {key for key in wanted if stream and _can_be_mapped(archive.getinfo(f"{key}.npy"))}
            unpacked: set[str] = set()
            for key in wanted:
                with archive.open(f"{key}.npy") as member:
                    declared = _declared_bytes(member, path, key)
                if key in mapped:
                    continue
                if stream and total + declared > memory_limit_bytes():
                    unpacked.add(key)
                    continue
                total += declared
                require_fits(total, f"{path.name}: the array {key!r}")
            arrays = {}
            for key in wanted:
                if key in mapped:
                    arrays[key] = _mapped(path, archive.getinfo(f"{key}.npy"))
                    continue
                if key in unpacked:
                    arrays[key] = _unpacked(path, archive, archive.getinfo(f"{key}.npy"))
                    continue
                with archive.open(f"{key}.npy") as member:
                    arrays[key] = np.lib.format.read_array(member, allow_pickle=False)
            return arrays
    except InvalidInputError:
        raise
    except MemoryError as error:
        raise InvalidInputError(f"{path.name} does not fit into memory", "", "Audit a smaller sample") from error
    except Exception as error:  # NumPy parses an array's header as Python: TokenError, SyntaxError, RecursionError ...
        raise _not_an_archive(path, error) from error


def _can_be_mapped(info: zipfile.ZipInfo) -> bool:
    plain = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & _ENCRYPTED
    return plain and info.file_size >= _MAPPED_FROM_BYTES


def _mapped(path: Path, info: zipfile.ZipInfo) -> np.ndarray[Any, Any]:
    """A read-only view of an array that lies in the archive as it is."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER.size)
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if signature != b"PK\x03\x04":
            raise ValueError("the archive's directory does not lead to its arrays")
        start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        file.seek(start)
        shape, fortran, dtype = _header(file)
        place = file.tell()
    _require_within(info, place - start, shape, dtype)
    return np.memmap(path, dtype, "r", place, shape, "F" if fortran else "C")


def _unpacked(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray[Any, Any]:
    """A read-only view of an array that was unpacked into a scratch file; no more than the archive says it holds."""
    with archive.open(info) as member:
        shape, fortran, dtype = _header(member)
        _require_within(info, member.tell(), shape, dtype)
        what = f"{path.name}: the array {info.filename.removesuffix('.npy')!r}"
        return scratch_copy(member, shape, dtype, what, fortran=fortran)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"array format {version} is not supported")


def _require_within(info: zipfile.ZipInfo, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if start + int(np.prod(shape, dtype=object)) * dtype.itemsize > info.file_size:
        raise EOFError("an array is longer than its part of the archive")


def _declared_bytes(member: IO[bytes], path: Path, key: str) -> int:
    shape, _, dtype = _header(member)
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
