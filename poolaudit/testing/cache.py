"""Results by content: the same question asked again, in this session or a later one, is answered from the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError
from poolaudit.policy import Policy
from poolaudit.results import AuditResult
from poolaudit.store.atomic import write_atomically
from poolaudit.store.results import encode_result, load_result

# Folders that keep work between runs grow with every run and say nothing about what is found.
_OF_NO_INFLUENCE = ("trial_store", "stage_store", "cache", "command")


class ResultCache:
    """Results in memory and, where a folder is given, on disk; a damaged entry is measured again.

    A CI system hands such folders from one run to the next. An entry counts only where its own evidence, judged anew by
    the policy asked for, gives what it says.

    Args:
        folder: Where results are kept across runs; None keeps them for this session only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, AuditResult] = {}

    def get(self, key: str | None, policy: Policy | None = None) -> AuditResult | None:
        if key is None:
            return None
        if key not in self._known and self._folder is not None and (self._folder / f"{key}.json").is_file():
            from poolaudit.audit import judge_again

            try:
                stored = load_result(self._folder / f"{key}.json")
                if stored != judge_again(stored, policy or stored.policy):
                    return None
            except InvalidInputError:
                return None
            self._known[key] = stored
        return self._known.get(key)

    def put(self, key: str | None, result: AuditResult) -> None:
        if key is None:
            return
        self._known[key] = result
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / f"{key}.json", encode_result(result))


def key_of(what: str, given: Mapping[str, Any]) -> str | None:
    """The key of everything the result depends on; None where something cannot be told by its content."""
    from poolaudit.audit.content import NoFingerprint, content_key

    try:
        return content_key(what, {name: value for name, value in given.items() if name not in _OF_NO_INFLUENCE})
    except NoFingerprint:
        return None
