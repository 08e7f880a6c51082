"""CSV and Parquet files as Arrow columns: only the wanted columns, with the types they must have."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poolaudit.errors import InvalidInputError, listed
from poolaudit.subject.memory import require_fits

TABLE_SUFFIXES = (".csv", ".parquet", ".pq")
Columns = dict[str, Any]


def read_table(path: Path, is_number: Callable[[str], bool | None]) -> tuple[Columns, tuple[str, ...]]:
    """The wanted columns of a CSV (comma, UTF-8, one header line) or Parquet file, and the names left out.

    Args:
        path: Ends in .csv, .parquet or .pq.
        is_number: Tells for a column name whether it holds numbers (True), text (False) or is not wanted (None).
            Text columns of a CSV stay text, so a class "007" stays "007"; Parquet columns keep their types.

    Returns:
        Columns by name as Arrow chunked arrays.

    Raises:
        InvalidInputError: Missing, damaged, not UTF-8, rows of unequal length, a column twice.
    """
    if path.suffix.lower() == ".csv":
        return _read_csv(path, is_number)
    return _read_parquet(path, is_number)


def _read_csv(path: Path, is_number: Callable[[str], bool | None]) -> tuple[Columns, tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    names = _csv_header(path)
    _require_unique(names, path)
    types = {name: is_number(name) for name in names}
    text = pa.dictionary(pa.int32(), pa.string())
    wanted = {name: pa.float64() if number else text for name, number in types.items() if number is not None}
    ignored = tuple(name for name in names if name not in wanted)
    if not wanted:
        return {}, ignored
    require_fits(2 * path.stat().st_size, path.name)
    try:
        # A stream, not a path: Arrow would decompress by file name. As bytes: a name need not be UTF-8.
        with pa.OSFile(os.fsencode(path), "rb") as stream:
            table = arrow_csv.read_csv(
                stream,
                read_options=arrow_csv.ReadOptions(block_size=4 << 20),
                parse_options=arrow_csv.ParseOptions(delimiter=","),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=wanted, include_columns=list(wanted), strings_can_be_null=False
                ),
            )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return {name: table.column(name) for name in wanted}, ignored


def _csv_header(path: Path) -> list[str]:
    try:
        with path.open("r", encoding="utf-8-sig", newline="") as stream:
            line = stream.readline(1 << 20)
    except (UnicodeDecodeError, OSError) as error:
        raise _unreadable(path, error) from error
    if "\x00" in line:
        raise _unreadable(path, ValueError("it holds zero bytes"))
    try:
        names = next(csv.reader([line]), [])
    except csv.Error as error:
        raise _unreadable(path, error) from error
    broken = [name for name in names if "\n" in name or "\r" in name]
    if broken:
        raise InvalidInputError(
            f"{path.name} has a column whose name {broken[0].strip()!r} goes on in the next line",
            "column names, and so class names, on one line",
            "Rename the column",
        )
    if not names:
        raise InvalidInputError(f"{path.name} is empty", "a header line and at least one row")
    if len(names) == 1 and any(mark in line for mark in ";\t|"):
        raise InvalidInputError(
            f"{path.name} does not seem to be separated by commas; its first line is {line.strip()[:80]!r}",
            "comma-separated values in UTF-8 with one header line",
            "Save it again with commas, or as Parquet",
        )
    return names


def _read_parquet(path: Path, is_number: Callable[[str], bool | None]) -> tuple[Columns, tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with path.open("rb") as stream, parquet.ParquetFile(stream) as file:
            names = list(file.schema_arrow.names)
            _require_unique(names, path)
            wanted = [name for name in names if is_number(name) is not None]
            ignored = tuple(name for name in names if name not in wanted)
            require_fits(file.metadata.num_rows * max(1, len(wanted)) * 16, path.name)
            table = file.read(columns=wanted)
            return {name: table.column(name) for name in wanted}, ignored
    except InvalidInputError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error


def _require_unique(names: list[str], path: Path) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidInputError(
            f"{path.name} has the column {listed(twice)} more than once",
            "each column once",
            "Rename or drop one of them; which one counts cannot be guessed",
        )


def _unreadable(path: Path, error: Exception) -> InvalidInputError:
    reason = " ".join(str(error).replace(str(path), path.name).split())[:300]
    if path.suffix.lower() == ".csv":
        return InvalidInputError(
            f"{path.name} cannot be read as CSV: {reason}",
            "comma-separated values in UTF-8, one header line, the same number of fields in each row",
            "Correct the row, or save the file again",
        )
    return InvalidInputError(
        f"{path.name} cannot be read as Parquet: {reason}",
        "a complete Parquet file",
        "Check that it was copied completely, and save it again",
    )
