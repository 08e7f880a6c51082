"""Refuses HDF5 files that reach into other files."""

from __future__ import annotations

from typing import Any

from poolaudit.errors import InvalidInputError


def refuse_foreign_links(file: Any, name: str) -> None:
    """Raises InvalidInputError where an open h5py file holds external links, external storage or virtual data sets."""
    import h5py

    pending: list[Any] = [file]
    while pending:
        group = pending.pop()
        for key in group:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _refused(name, f"an external link ({key!r})")
            if isinstance(link, h5py.SoftLink):
                continue  # points inside the same file, at something visited by its own hard link
            item = group[key]
            if isinstance(item, h5py.Group):
                pending.append(item)
            elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                raise _refused(name, f"a data set kept in another file ({key!r})")


def _refused(name: str, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{name} holds {what}",
        "HDF5 files that keep all their data in themselves",
        "Save the model again with model.save(...)",
    )
