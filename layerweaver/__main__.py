"""The command line's entry point: errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO

__all__ = ["main"]

EXIT_WRONG_INPUT = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; None takes the process's own.

    Returns:
        0 when done, 2 when the input is wrong (one line on stderr says what), 130 after Ctrl-C, 1 where a
        command says so (``certify`` when verdicts differ). A fault of the tool itself raises.
    """
    try:
        # Loaded here, so that Ctrl-C is understood from the start.
        from layerweaver.cli.app import run  # noqa: PLC0415
        from layerweaver.ir.errors import LayerweaverError  # noqa: PLC0415

        try:
            with _standard_output():
                return run(list(sys.argv[1:] if arguments is None else arguments))
            return 0
        except LayerweaverError as error:
            _complain(str(error))
            return EXIT_WRONG_INPUT
    except MemoryError:
        _complain("there is not enough memory; ask for fewer or smaller requests, rows or files")
        return EXIT_WRONG_INPUT
    except KeyboardInterrupt:
        _complain("interrupted")
        return EXIT_INTERRUPTED


@contextmanager
def _standard_output() -> Iterator[None]:
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
        _drop(sys.stdout)
    except OSError as error:
        if error.filename is not None:
            raise
        from layerweaver.ir.errors import OutputError  # noqa: PLC0415

        _drop(sys.stdout)
        raise OutputError(f"cannot be written ({error.strerror})", where="standard output") from None


def _complain(text: str) -> None:
    try:
        print(f"layerweaver: {text}", file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
