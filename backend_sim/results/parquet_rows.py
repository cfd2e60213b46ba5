"""The rows of a result in Parquet, read once and checked at the edge."""

from __future__ import annotations

import io
from typing import Any

from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.ir.extras import need_extra

__all__ = ["parquet_rows"]

_MOST_CELLS = 20_000_000
_MOST_BYTES = 1 << 28
"""Unpacked, as many as one cell of a CSV may have."""


def parquet_rows(data: bytes, where: str) -> list[dict[str, object]]:
    """The rows of a file that :func:`~layerweaver.backend_sim.results.files.save_result` wrote.

    Args:
        data: The file.
        where: What errors call it.

    Raises:
        OutputError: If pyarrow is missing.
        ResultError: If it is no Parquet file, holds anything but numbers and texts, or too much.
    """
    need_extra("pyarrow", "reading Parquet", "data", where)
    import pyarrow  # noqa: PLC0415 - optional and heavy
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(io.BytesIO(data)) as file:
            texts = _texts(file, where)
        # Equal texts are one in memory, as they are in the file.
        table = parquet.read_table(io.BytesIO(data), read_dictionary=texts)
        columns = [_values(column) for column in table.columns]
    except (
        pyarrow.ArrowException,
        OSError,
        MemoryError,
        ArithmeticError,
        LookupError,
        ValueError,
    ) as failure:
        reason = (str(failure).splitlines() or ["no reason"])[0][:200]
        raise ResultError(f"is not readable Parquet ({reason})", where=where) from None
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _texts(file: Any, where: str) -> list[str]:
    """The columns of texts; refuses what is no table of results, or too large."""
    from pyarrow import types  # noqa: PLC0415

    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if metadata.num_rows * metadata.num_columns > _MOST_CELLS:
        raise ResultError(f"has more than {_MOST_CELLS:,} cells", where=where)
    if sum(group.total_byte_size for group in groups) > _MOST_BYTES:
        raise ResultError(f"unpacks to more than {_MOST_BYTES >> 20} MiB", where=where)
    texts = []
    for field in file.schema_arrow:
        is_text = types.is_string(field.type)
        plain = types.is_integer(field.type) or types.is_floating(field.type) or types.is_boolean(field.type)
        if not (is_text or plain or types.is_null(field.type)):
            raise ResultError(f"column {field.name[:80]!r} holds {field.type}", where=where)
        texts += [field.name] if is_text else []
    return texts


def _values(column: Any) -> list[object]:
    """A column's values, equal texts as one object."""
    values: list[object] = []
    for chunk in column.chunks:
        if not hasattr(chunk, "dictionary"):
            values += chunk.to_pylist()
            continue
        known = chunk.dictionary.to_pylist()
        values += [None if place is None else known[place] for place in chunk.indices.to_pylist()]
    return values
