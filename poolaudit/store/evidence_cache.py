"""Evidence kept by the content it was measured on, so that the same question is answered at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from poolaudit.store.atomic import make_output_folder, write_atomically

Kept = TypeVar("Kept")


def cache_key(parts: Sequence[object]) -> str:
    """A file name that is the same for the same parts, given in the same order."""
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode(errors="replace")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What a file holds: JSON, and the SHA-256 of the key it is kept under and of that JSON."""

    sha256: str
    kept: msgspec.Raw


def load_kept(folder: Path, key: str, kind: type[Kept]) -> Kept | None:
    """What was kept under this key; None where there is nothing, or nothing whole that can be read as `kind`."""
    try:
        sealed = msgspec.json.decode((folder / f"{key}.json").read_bytes(), type=_Sealed)
        if sealed.sha256 != _seal(key, bytes(sealed.kept)):
            return None
        return msgspec.json.decode(sealed.kept, type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        return None


def keep(folder: Path, key: str, value: object, option: str = "--cache") -> None:
    """Writes the value as JSON, atomically; the folder is made.

    Raises:
        InvalidInputError: The folder, which `option` names, cannot be written to.
    """
    make_output_folder(folder, option)
    content = msgspec.json.encode(value)
    sealed = msgspec.json.encode(_Sealed(_seal(key, content), msgspec.Raw(content)))
    write_atomically(folder / f"{key}.json", sealed, f"Name a folder that can be written to with {option}")


def _seal(key: str, content: bytes) -> str:
    return hashlib.sha256(key.encode() + b"\0" + content).hexdigest()
