"""A clean split: which items may be tested on, written as indices or as a manifest beside the data."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError
from poolaudit.evidence.leakage import CleanSplit
from poolaudit.store.atomic import write_atomically

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """Positions of the test items that are clean, and what was taken out.

    Attributes:
        clean: Positions, rising.
        summary: For the evidence.
    """

    clean: Array
    summary: CleanSplit


def divide(n: int, copies: Array, in_shared_group: Array, repeats: Array) -> Division:
    """The test items without copies, shared groups and repeats.

    Args:
        copies, in_shared_group, repeats: (n,) bool.
    """
    clean = ~copies & ~in_shared_group & ~repeats
    return Division(
        np.flatnonzero(clean),
        CleanSplit(
            test_items=int(clean.sum()),
            removed_copies=int(copies.sum()),
            removed_groups=int((in_shared_group & ~copies).sum()),
            removed_repeats=int((repeats & ~copies & ~in_shared_group).sum()),
            written=None,
        ),
    )


def write_division(
    path: Path, division: Division, paths: Sequence[str | None] | None, labels: Sequence[str]
) -> CleanSplit:
    """Writes the clean test items: `.csv` as a manifest (index, path, label), `.npz` as the array `test`.

    Raises:
        InvalidInputError: Another ending, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["index", "path", "label"])
        for at in division.clean.tolist():
            writer.writerow([at, "" if paths is None else paths[at] or "", labels[at]])
        content = stream.getvalue().encode(errors="replace")
    elif suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, test=division.clean)
        content = buffer.getvalue()
    else:
        raise InvalidInputError(
            f"The clean split shall be written to {path.name!r}", ".csv (a manifest) or .npz (indices)"
        )
    write_atomically(path, content)
    summary = division.summary
    return CleanSplit(
        summary.test_items, summary.removed_copies, summary.removed_groups, summary.removed_repeats, path.name
    )
