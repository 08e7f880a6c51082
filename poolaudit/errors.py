"""Errors a user can act on. Each names what arrived, what is allowed and what to do."""

from __future__ import annotations

import difflib
import errno
import itertools
import os
import tempfile
from collections.abc import Iterable

_MOST_CHOICES = 2000  # a header of 200,000 columns would be searched for seconds
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), f"errno = {errno.ENOSPC},")


class PoolauditError(Exception):
    """Base of every error poolaudit raises on purpose; the command line shows its text and exits with 2."""


class InvalidInputError(PoolauditError, ValueError):
    """A file, an array or an option that cannot be audited as it is.

    Args:
        arrived: What was given, with its name and the offending value.
        allowed: What would be accepted.
        cure: What the user can do about it; may be empty.
    """

    def __init__(self, arrived: str, allowed: str = "", cure: str = "") -> None:
        self.arrived, self.allowed, self.cure = arrived, allowed, cure
        parts = [arrived.rstrip(".") + "."]
        if allowed:
            parts.append(f"Allowed: {allowed.rstrip('.')}.")
        if cure:
            parts.append(cure if cure[-1] in ".?!`" else cure + ".")
        super().__init__(" ".join(parts))


class MissingExtraError(PoolauditError, ImportError):
    """An optional dependency is needed and not installed; the text carries the pip command."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional dependency. Install it with: pip install 'poolaudit[{extra}]'")


def is_out_of_space(error: BaseException | None) -> bool:
    """Whether a full disk, or a used-up quota, is what the error or one that it came from tells.

    HDF5 and TensorFlow tell it in their text alone.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(error) for words in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


def no_space_for_a_model(what: str) -> InvalidInputError:
    """The error of a model that needs temporary files where there is no room for them; `what` cannot be done."""
    return InvalidInputError(
        f"{what}: no space is left in {tempfile.gettempdir()!r}",
        "room for the model's weights",
        "Make room there, or name another folder for temporary files with TMPDIR",
    )


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The sentence `Did you mean 'x'?` for the closest of `choices`, or an empty string."""
    known = list(itertools.islice(choices, _MOST_CHOICES))
    by_lowercase = {choice.lower(): choice for choice in known}
    close = difflib.get_close_matches(word.lower(), list(by_lowercase), n=1, cutoff=0.6)
    return f"Did you mean {by_lowercase[close[0]]!r}?" if close else ""


def listed(names: Iterable[str], limit: int = 8) -> str:
    """Names as readable text, cut after `limit` with the number left out."""
    known = list(names)
    shown = ", ".join(repr(name) for name in known[:limit])
    return shown if len(known) <= limit else f"{shown} and {len(known) - limit} more"
