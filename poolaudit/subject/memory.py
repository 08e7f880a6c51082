"""How much a file may claim: sizes are checked against the machine before anything is read."""

from __future__ import annotations

import os

from poolaudit.errors import InvalidInputError

_FALLBACK_BYTES = 8 << 30
_SHARE_OF_MEMORY = 0.5


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


def _gibibytes(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 30):,.1f} GiB"
