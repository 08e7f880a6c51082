"""Messages for paths where nothing usable lies."""

from __future__ import annotations

from pathlib import Path

from poolaudit.errors import InvalidInputError, did_you_mean


def missing_file(path: Path, what: str, allowed: str, source: str = "", name: str = "") -> InvalidInputError:
    """The error for a path where there is no `what`, with the closest name beside it; never an absolute path."""
    try:
        siblings = [entry.name for entry in path.parent.iterdir() if entry.name != path.name]
    except (OSError, ValueError):
        siblings = []
    prefix = f"{source}: there" if source else "There"
    return InvalidInputError(
        f"{prefix} is no {what} {(name or path.name)[:200]!r}", allowed, did_you_mean(path.name, siblings)
    )


def exists(path: Path, *, folder: bool = False) -> bool:
    """Is there a regular file (or a folder)? A path the platform cannot even ask about is not there."""
    try:
        return path.is_dir() if folder else path.is_file()
    except (OSError, ValueError):
        return False
