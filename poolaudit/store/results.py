"""AuditResult to JSON and back, unchanged; NaN and infinity never get in."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import msgspec

from poolaudit.errors import InvalidInputError
from poolaudit.results import SCHEMA_VERSION, AuditResult
from poolaudit.store.atomic import write_atomically
from poolaudit.store.consistency import contradiction_in, require_coherent

DIGEST = "sha256"
_FILE_LIMIT_BYTES = 500_000_000
_EXACT = 2.0**53


def encode_result(result: AuditResult) -> bytes:
    """UTF-8 JSON, indented, with keys in the order of the dataclass fields; a lone surrogate is written as "?".

    Last comes the SHA-256 of the rest, by which a damaged file is known.

    Raises:
        ValueError: A number is NaN or infinite; JSON has no such numbers, and a result must not need them.
    """
    plain = msgspec.to_builtins(result)
    content = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False).encode(errors="replace")
    return content.removesuffix(b"\n}") + f',\n "{DIGEST}": "{_digest(content)}"\n}}\n'.encode()


def decode_result(content: bytes, origin: str = "result.json") -> AuditResult:
    """The AuditResult that `content` holds.

    Raises:
        InvalidInputError: It is not JSON, not of this schema, of another schema version, damaged, or incoherent.
    """
    try:
        top = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        version = top.get("schema_version")
        if version is None or bytes(version) != str(SCHEMA_VERSION).encode():
            raise InvalidInputError(
                f"{origin!r} has schema version {bytes(version)[:20].decode(errors='replace') if version else 'none'}",
                f"schema version {SCHEMA_VERSION}",
                "Run the audit again with this version of poolaudit",
            )
        result = msgspec.json.decode(content, type=AuditResult)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(
            f"{origin!r} is not a poolaudit result: {error}", "a result.json written by poolaudit"
        ) from None
    if DIGEST in top:
        _require_undamaged(content, bytes(top[DIGEST]), origin)
    require_coherent(contradiction_in(result), origin)
    return result


def _require_undamaged(content: bytes, stated: bytes, origin: str) -> None:
    try:
        if stated == f'"{_digest(content)}"'.encode():
            return
    except (ValueError, RecursionError):  # a number of thousands of digits in a field that no result has
        pass
    raise InvalidInputError(
        f"{origin!r} is damaged: its content does not give its {DIGEST}",
        "a result.json as poolaudit wrote it",
        f"Copy it again, or run the audit again; where it was changed on purpose, remove {DIGEST!r} from it",
    )


def _digest(content: bytes) -> str:
    """SHA-256 of what a result says without its digest, however its JSON is laid out."""
    document = json.loads(content.decode(), parse_float=_number)
    document.pop(DIGEST, None)
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _number(text: str) -> Any:
    """1.0 as 1: programs that lay JSON out anew write either."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def save_result(result: AuditResult, path: str | Path) -> Path:
    """Writes the result as JSON, atomically; returns the path."""
    path = Path(path)
    write_atomically(path, encode_result(result))
    return path


def load_result(path: str | Path) -> AuditResult:
    """Reads a result that `save_result` wrote; a folder stands for the `result.json` in it.

    Raises:
        InvalidInputError: The file is missing, unreadable, too large, or no result of this schema version.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "result.json"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device may never end
            raise InvalidInputError(
                f"The result {str(path)!r} cannot be read: it is no file", "a result.json written by poolaudit"
            )
        if status.st_size > _FILE_LIMIT_BYTES:
            raise InvalidInputError(f"{str(path)!r} is larger than 500 MB", "a result.json written by poolaudit")
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"The result {str(path)!r} cannot be read: {error.strerror}", "a result.json written by poolaudit"
        ) from None
    return decode_result(content, path.name)
