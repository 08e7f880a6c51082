"""Content hashes of arrays: equal content gives an equal hash, whatever the file it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

_CHUNK_BYTES = 16 << 20


def content_sha256(parts: Iterable[np.ndarray[Any, Any] | str | None]) -> str:
    """SHA-256 over dtype, shape and bytes of each array in turn; texts and None have marks of their own."""
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            digest.update(b"none;")
        elif isinstance(part, str):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(b"text;%d;" % len(encoded) + encoded)
        else:
            digest.update(f"array;{part.dtype.str};{part.shape};".encode())
            for chunk in row_chunks(part, _CHUNK_BYTES):
                digest.update(np.ascontiguousarray(chunk).data)
    return digest.hexdigest()


def row_chunks(array: np.ndarray[Any, Any], chunk_bytes: int) -> Iterable[np.ndarray[Any, Any]]:
    """Slices along the first axis of about `chunk_bytes` each, so no second copy of a large array is made."""
    if array.size == 0:
        return
    rows = max(1, chunk_bytes // max(1, array.nbytes // len(array)))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
