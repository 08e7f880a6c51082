"""Evidence kept by the content it was measured on, so that the same question is answered at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from poolaudit.store.atomic import make_output_folder, write_atomically

Kept = TypeVar("Kept")


def cache_key(parts: Sequence[object]) -> str:
    """A file name that is the same for the same parts, given in the same order."""
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode(errors="replace")).hexdigest()[:32]


def load_kept(folder: Path, key: str, kind: type[Kept]) -> Kept | None:
    """What was kept under this key; None where there is nothing, or nothing that can be read as `kind`."""
    try:
        return msgspec.json.decode((folder / f"{key}.json").read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        return None


def keep(folder: Path, key: str, value: object) -> None:
    """Writes the value as JSON, atomically; the folder is made."""
    make_output_folder(folder)
    write_atomically(folder / f"{key}.json", msgspec.json.encode(value))
