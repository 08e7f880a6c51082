"""One registry for everything that is found by name: properties, detectors, variants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from poolaudit.errors import InvalidInputError, did_you_mean, listed

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Names to entries, in order of registration; a name can be taken once.

    Args:
        kind: What an entry is called in messages, for example "detector".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, entry: Entry) -> Entry:
        """Raises ValueError where the name is taken: two checks must never hide each other."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> Entry:
        """Raises InvalidInputError, with the closest name, where nothing bears this name."""
        if name not in self._entries:
            raise InvalidInputError(
                f"There is no {self.kind} {name!r}",
                listed(sorted(self._entries), 40),
                did_you_mean(name, self._entries),
            )
        return self._entries[name]

    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
