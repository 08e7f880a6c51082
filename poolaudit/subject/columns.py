"""Arrow columns as NumPy arrays by their buffers: Arrow's own conversion imports pandas wherever it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np

from poolaudit.errors import InvalidInputError


def factorised(column: Any) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[Any]]:
    """Codes int64 (n,) and the distinct values they index, of an Arrow chunked array without nulls."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    values = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    codes = [_buffer(chunk.indices.cast(pa.int64()), np.int64) for chunk in column.chunks]
    return np.concatenate([np.empty(0, np.int64), *codes]), values


def as_floats(column: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """An Arrow chunked array of numbers as float64 (n,), NaN where nothing is written."""
    import pyarrow as pa

    column = column.cast(pa.float64())
    if column.null_count:
        column = column.fill_null(float("nan"))
    return np.concatenate([np.empty(0), *(_buffer(chunk, np.float64) for chunk in column.chunks)])


def as_texts(column: Any, what: str) -> np.ndarray[Any, Any]:
    """An Arrow chunked array as an object array (n,) of text, None where nothing is written.

    Raises:
        InvalidInputError: The column holds lists, records or bytes that are no text; `what` names it.
    """
    import pyarrow as pa

    kind = column.type
    try:
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        column = column.cast(pa.string())
    except pa.ArrowException as error:
        raise InvalidInputError(f"{what} holds {kind}", "text, numbers or times") from error
    codes, values = factorised(column.fill_null("") if column.null_count else column)
    texts = np.empty(len(values), object)
    texts[:] = [value or None for value in values]
    return np.asarray(texts[codes])


def _buffer(chunk: Any, dtype: type) -> np.ndarray[Any, Any]:
    if len(chunk) == 0:
        return np.empty(0, dtype)
    return np.frombuffer(chunk.buffers()[1], dtype, len(chunk), chunk.offset * np.dtype(dtype).itemsize)
