"""Files of results, as the commands that take them read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from layerweaver.ir import read_bounded
from layerweaver.ir.files import is_file
from layerweaver.ir.json_text import parse_json

__all__ = ["load_bytes", "load_json", "load_text"]

MAX_DOCUMENT_BYTES = 1 << 26
_OF_STUDY = "table of a study"


def load_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        typer.BadParameter: If it is missing or too large.
    """
    try:
        data = read_bounded(path, MAX_DOCUMENT_BYTES)
    except OSError as error:
        raise typer.BadParameter(f"{path} is not readable ({error})") from None
    if data is None:
        raise typer.BadParameter(f"{path} is larger than {MAX_DOCUMENT_BYTES >> 20} MiB")
    return data


def load_text(path: Path) -> str:
    """Read a text file.

    Raises:
        typer.BadParameter: If it is missing, too large, or no UTF-8.
    """
    try:
        return load_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not text in UTF-8 ({error.reason})") from None


def _table_of_results(data: bytes) -> str:
    """What a file is called that holds a table of results or of a study's points; "" for others."""
    if data.startswith(b"PAR1"):
        return "table (Parquet)"
    columns = data.partition(b"\n")[0].removeprefix(b"\xef\xbb\xbf").rstrip().split(b",")
    if columns[0] == b"point":
        return _OF_STUDY
    return "table of results (CSV)" if b"policy" in columns else ""


def _no_table(path: Path, kind: str) -> str:
    """Which file to give in place of a table."""
    beside = path.with_suffix(".json")
    if kind == _OF_STUDY:
        return f"{path} is the {kind}; give the whole folder"
    if beside != path and is_file(beside):
        return f"{path} is a {kind}; give {beside}, which lies beside it"
    return f"{path} is a {kind}; give the result as JSON: the same run with -o {beside}"


def load_json(path: Path) -> Mapping[str, Any]:
    """Read a result document.

    Raises:
        typer.BadParameter: If the file is missing or is not a JSON object.
    """
    data = load_bytes(path)
    try:
        document = parse_json(data)
    except ValueError as error:
        if kind := _table_of_results(data):
            raise typer.BadParameter(_no_table(path, kind)) from None
        raise typer.BadParameter(f"{path} is not a readable JSON document ({error})") from None
    if not isinstance(document, dict):
        raise typer.BadParameter(f"{path} is not a JSON object; give a result printed with --json")
    return document
