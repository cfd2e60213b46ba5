"""Rows of a Parquet file as text, as if it were a CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from layerweaver.ir import TrafficError
from layerweaver.ir.extras import need_extra

__all__ = ["parquet_rows"]

_ROWS_AT_ONCE = 16_384
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
        TrafficError: If the file cannot be read.
    """
    need_extra("pyarrow", "reading Parquet", "data", str(path))
    import pyarrow  # noqa: PLC0415 - optional and heavy
    from pyarrow import parquet  # noqa: PLC0415

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            wanted = list(dict.fromkeys(choose(file.schema_arrow.names)))
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted):
                columns = [_texts(batch.column(name), pyarrow) for name in wanted]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield number, dict(zip(wanted, values, strict=True))
    except (pyarrow.ArrowException, OSError, MemoryError, *_OF_VALUES) as failure:
        reason = (str(failure).splitlines() or ["no reason"])[0][:200]
        raise TrafficError(
            f"cannot be read ({reason})", where=str(path), accepted="give a Parquet file"
        ) from None


def _texts(column: Any, pyarrow: Any) -> list[str]:
    kind = column.type
    if pyarrow.types.is_timestamp(kind):
        column = column.cast(pyarrow.timestamp("ns", tz="UTC" if kind.tz else None)).cast(pyarrow.string())
    return ["" if value is None else str(value) for value in column.to_pylist()]
