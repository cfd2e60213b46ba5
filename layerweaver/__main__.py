"""The command line's entry point: errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from layerweaver.ir.errors import LayerweaverError

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
    from layerweaver.cli.app import CommandLineError, run  # noqa: PLC0415

    try:
        return run(list(sys.argv[1:] if arguments is None else arguments))
    except LayerweaverError as error:
        print(f"layerweaver: {error}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except CommandLineError as error:
        print(f"layerweaver: {error}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except KeyboardInterrupt:
        print("layerweaver: interrupted; nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (as `head` does): say nothing, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
