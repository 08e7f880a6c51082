"""Reads a `.keras` archive as untrusted data before Keras sees it."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError, is_out_of_space, listed, no_space_for_a_model
from poolaudit.subject._config_scan import parse_config
from poolaudit.subject._hdf5 import refuse_foreign_links
from poolaudit.subject._keras_load import admit_code, load_keras_file

CONFIG = "config.json"
WEIGHTS = ("model.weights.h5", "model.weights.npz")
LARGEST_TEXT_BYTES = 64 * 2**20
# Keras stores weights nearly uncompressed; DEFLATE reaches about 1000:1 only on nothing.
BOMB_FLOOR_BYTES = 2**28
BOMB_EXPANSION = 100
# Most models have fewer weights; they need no room for temporary files.
MOST_BYTES_IN_MEMORY = 2**26


def load_keras_archive(path: Path, *, trust_model_code: bool) -> tuple[Any, tuple[str, ...]]:
    """The model of a `.keras` file and the notes of loading it; code in the file is refused unless trusted.

    Raises:
        InvalidInputError: Where the archive is damaged, unsafe or holds code; nothing of it was run.
    """
    config = check_archive(path)
    custom_objects, restore_compiled = admit_code(path.name, config, trust_model_code)
    return load_keras_file(
        path,
        path.name,
        custom_objects,
        restore_compiled=restore_compiled,
        trust_model_code=trust_model_code,
    )


def check_archive(path: Path) -> dict[str, Any]:
    """The archive's configuration, after its members, sizes and links were found harmless.

    Raises:
        InvalidInputError: Otherwise.
    """
    name = path.name
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(name, archive.infolist())
            config = parse_config(archive.read(CONFIG), f"{CONFIG} of {name}")
            _check_weights(name, archive)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        if is_out_of_space(error):
            raise no_space_for_a_model(f"{name} cannot be unpacked") from error
        raise InvalidInputError(
            f"{name} is damaged or incomplete ({type(error).__name__}: {error})",
            "a whole .keras file as model.save(...) writes it",
            "Copy or save the file again",
        ) from error
    return config


def _check_members(name: str, members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    outside = [member for member in names if _leaves_the_archive(member)]
    if outside:
        raise _unsafe(name, f"members that point outside it: {listed(outside, 3)}")
    links = [member.filename for member in members if stat.S_ISLNK(member.external_attr >> 16)]
    if links:
        raise _unsafe(name, f"symbolic links: {listed(links, 3)}")
    if len(set(names)) < len(names):
        raise _unsafe(name, "two members of the same name")
    bombs = [
        member.filename
        for member in members
        if (member.filename.endswith(".json") and member.file_size > LARGEST_TEXT_BYTES)
        or (member.file_size > BOMB_FLOOR_BYTES and member.file_size > BOMB_EXPANSION * max(member.compress_size, 1))
    ]
    if bombs:
        raise _unsafe(name, f"members that unpack to an implausible size: {listed(bombs, 3)}")
    missing = [] if CONFIG in names else [CONFIG]
    if not set(WEIGHTS) & set(names):
        missing.append(WEIGHTS[0])
    if missing:
        raise InvalidInputError(
            f"{name} is a ZIP archive without {' and '.join(missing)}",
            "a .keras file as model.save(...) writes it",
            "Save the whole model, not a part of it",
        )


def _leaves_the_archive(member: str) -> bool:
    parts = member.replace("\\", "/").split("/")
    return member.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\x00" in member


def _check_weights(name: str, archive: zipfile.ZipFile) -> None:
    if WEIGHTS[0] not in archive.namelist():
        return
    import h5py

    # HDF5 jumps back and forth; a member of an archive would be read from its start for each step back.
    with tempfile.SpooledTemporaryFile(MOST_BYTES_IN_MEMORY) as copy:
        with archive.open(WEIGHTS[0]) as member:
            shutil.copyfileobj(member, copy, 1 << 20)
        with h5py.File(copy, "r") as weights:
            refuse_foreign_links(weights, name)


def _unsafe(name: str, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{name} holds {what}; it was not opened",
        "a .keras file as model.save(...) writes it",
        "Do not use this file unless you know how it was made",
    )
