"""The command line's entry point: errors become one line and an exit code."""

from __future__ import annotations

# Whatever else is needed loads within `main`, so that Ctrl-C is understood from the start.
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

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
    heard: list[int] = []
    stop_listening = None
    try:
        stop_listening = _listen(heard)
        from layerweaver.cli.app import run  # noqa: PLC0415
        from layerweaver.cli.streams import standard_output  # noqa: PLC0415
        from layerweaver.ir.errors import LayerweaverError  # noqa: PLC0415

        try:
            with standard_output():
                return run(list(sys.argv[1:] if arguments is None else arguments))
            return 0
        except LayerweaverError as error:
            if heard:
                raise
            _complain(str(error))
            return EXIT_WRONG_INPUT
    except KeyboardInterrupt:
        _complain("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        if heard:
            # Where Ctrl-C comes while C code imports or calls back, that answers with a fault of its own.
            _complain("interrupted")
            return EXIT_INTERRUPTED
        if not isinstance(error, MemoryError):
            raise
        _complain("there is not enough memory; ask for fewer or smaller requests, rows or files")
        return EXIT_WRONG_INPUT
    finally:
        if stop_listening is not None:
            stop_listening()


def _listen(heard: list[int]) -> Callable[[], object] | None:
    """Note every Ctrl-C in ``heard``; return what ends that, None where somebody else takes care of them."""
    import signal  # noqa: PLC0415

    def interrupt(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return None
    try:
        signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not the main thread
        return None
    return lambda: signal.signal(signal.SIGINT, signal.default_int_handler)


def _complain(text: str) -> None:
    try:
        print(f"layerweaver: {text}", file=sys.stderr, flush=True)
    except OSError:
        from layerweaver.cli.streams import drop  # noqa: PLC0415

        drop(sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
