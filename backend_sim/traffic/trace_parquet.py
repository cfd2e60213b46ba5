"""Rows of a Parquet file as text, as if it were a CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from layerweaver.ir import TrafficError
from layerweaver.ir.extras import need_extra
from layerweaver.ir.files import open_file

__all__ = ["parquet_rows"]

_ROWS_AT_ONCE = 16_384
_MOST_COLUMN_BYTES = 1 << 28
"""Of one column in one row group, unpacked."""

_MOST_TEXT_BYTES = 1 << 12
_OF_VALUES = (ArithmeticError, LookupError, TypeError, ValueError)
"""What values raise that Python has no room for, text that is none, and columns of one name."""


def parquet_rows(
    path: Path, choose: Callable[[Sequence[str]], Sequence[str]]
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows of a file with their numbers from 1, a part of the file at a time.

    Moments become ISO 8601 text, in UTC if they have a zone; what is missing becomes empty.

    Args:
        path: The file.
        choose: Told the names of all columns; answers which are wanted.

    Raises:
        OutputError: If pyarrow is missing.
        TrafficError: If the file cannot be read, a column holds nothing that could be a cell of a CSV, or
            unpacks to more than 256 MiB in a row group or to a text of more than 4,096 bytes.
    """
    need_extra("pyarrow", "reading Parquet", "data", str(path))
    import pyarrow  # noqa: PLC0415 - optional and heavy
    from pyarrow import parquet  # noqa: PLC0415

    number = 0
    try:
        open_file(path).close()  # else Arrow waits for whoever writes a pipe
        with parquet.ParquetFile(path) as file:
            wanted = list(dict.fromkeys(choose(file.schema_arrow.names)))
            texts = _checked(file, wanted, path)
        # Equal texts are one in memory, as they are in the file.
        with parquet.ParquetFile(path, read_dictionary=texts) as file:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted):
                columns = [_texts(batch.column(name), f"{path}, column {name!r}") for name in wanted]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield number, dict(zip(wanted, values, strict=True))
    except (pyarrow.ArrowException, OSError, MemoryError, *_OF_VALUES) as failure:
        reason = (str(failure).splitlines() or ["no reason"])[0][:200]
        raise TrafficError(
            f"cannot be read ({reason})", where=str(path), accepted="give a Parquet file"
        ) from None


def _checked(file: Any, wanted: Sequence[str], path: Path) -> list[str]:
    """Refuse columns that are no cells, or too large once unpacked; those that hold texts."""
    from pyarrow import types  # noqa: PLC0415

    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
    texts = []
    for name in wanted:
        where, kind = f"{path}, column {name!r}", file.schema_arrow.field(name).type
        if types.is_dictionary(kind):
            kind = kind.value_type
        if types.is_nested(kind) or types.is_binary(kind) or types.is_fixed_size_binary(kind):
            raise TrafficError(f"holds {kind}", where=where, accepted="give numbers, texts or moments")
        sizes = [chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == name]
        if max(sizes, default=0) > _MOST_COLUMN_BYTES:
            raise TrafficError(
                f"unpacks to more than {_MOST_COLUMN_BYTES >> 20} MiB",
                where=where,
                accepted="write it in smaller row groups",
            )
        if types.is_string(kind) or types.is_large_string(kind):
            texts.append(name)
    return texts


def _texts(column: Any, where: str) -> list[str]:
    import pyarrow  # noqa: PLC0415 - optional and heavy
    from pyarrow import compute  # noqa: PLC0415

    kind = column.type
    if pyarrow.types.is_timestamp(kind):
        column = column.cast(pyarrow.timestamp("ns", tz="UTC" if kind.tz else None)).cast(pyarrow.string())
    words = column.dictionary if pyarrow.types.is_dictionary(kind) else column
    if pyarrow.types.is_string(words.type) or pyarrow.types.is_large_string(words.type):
        longest = compute.max(compute.binary_length(words)).as_py() or 0
        if longest > _MOST_TEXT_BYTES:
            raise TrafficError(
                f"holds a text of {longest:,} bytes",
                where=where,
                accepted=f"give at most {_MOST_TEXT_BYTES:,}",
            )
    return ["" if value is None else str(value) for value in column.to_pylist()]
