"""Refuses HDF5 files that reach into other files, run in a ring or unpack to more than they can mean."""

from __future__ import annotations

from typing import Any

from poolaudit.errors import InvalidInputError
from poolaudit.subject.memory import require_fits

# Weights lie in the file nearly as they are; gzip reaches about 1000:1 only on nothing.
_BOMB_FLOOR_BYTES = 2**28
_BOMB_EXPANSION = 100


def refuse_foreign_links(file: Any, name: str) -> None:
    """Refuses an open h5py file that is more than the data in itself.

    Raises:
        InvalidInputError: It holds links or data kept in other files, a group that holds itself, or a
            data set that unpacks to an implausible size or to more than fits into memory.
    """
    import h5py

    seen: set[int] = set()
    pending: list[Any] = [file]
    total = 0
    while pending:
        group = pending.pop()
        for key in group:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _refused(name, f"an external link ({key!r})")
            if isinstance(link, h5py.SoftLink):
                continue  # points inside the same file, at something visited by its own hard link
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if isinstance(item, h5py.Group):
                if address in seen:
                    raise _refused(name, f"a group under two names ({key!r})")
                pending.append(item)
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise _refused(name, f"a data set kept in another file ({key!r})")
                total += item.nbytes
                _require_plausible(name, key, item, total)
            seen.add(address)


def _require_plausible(name: str, key: str, item: Any, total: int) -> None:
    if item.nbytes > _BOMB_FLOOR_BYTES and item.nbytes > _BOMB_EXPANSION * max(item.id.get_storage_size(), 1):
        raise _refused(name, f"a data set that unpacks to an implausible size ({key!r})")
    require_fits(total, f"{name}: its data")


def _refused(name: str, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{name} holds {what}",
        "HDF5 files that keep all their data in themselves",
        "Save the model again with model.save(...)",
    )
