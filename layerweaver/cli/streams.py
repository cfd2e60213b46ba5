"""Standard output and standard error, whoever reads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO

from layerweaver.ir.errors import OutputError

__all__ = ["drop", "standard_output"]


@contextmanager
def standard_output() -> Iterator[None]:
    """Bear with a standard output that may be closed, full, or read by nobody any more.

    Raises:
        OutputError: If what was printed cannot be written.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open to the end
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal cannot show is no reason to fail.
        sys.stdout.reconfigure(errors="replace")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away (as `head` does): say nothing, not even at exit.
        drop(sys.stdout)
    except OSError as error:
        if error.filename is not None:
            raise
        drop(sys.stdout)
        raise OutputError(f"cannot be written ({error.strerror})", where="standard output") from None


def drop(stream: TextIO) -> None:
    """Let nobody read a stream any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
