"""Calls in processes of their own, and what is left of them after Ctrl-C."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from layerweaver.ir import OutputError

__all__ = ["UNDER_MAIN", "in_processes", "is_script", "process_pool"]

Result = TypeVar("Result")
_SAFE_PATH = "PYTHONSAFEPATH"
"""Set, a new Python leaves the present folder out of where it imports from."""
UNDER_MAIN = 'put what a script calls with workers under if __name__ == "__main__":'
"""What a script has to do, in words: every process runs it, and would begin the same work again."""


@contextlib.contextmanager
def process_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end at once if what is done with it does not end well.

    They import nothing from the present folder before they know where their parent's modules come from.

    Raises:
        OutputError: In a process of somebody else's pool, which can start none.
    """
    this = multiprocessing.current_process()
    if getattr(this, "_inheriting", False):
        sys.exit(f"a process runs the script anew before its work: {UNDER_MAIN}")
    # A new Python knows the ways of starting processes that come with it, not those of other packages.
    strange = multiprocessing.get_start_method(allow_none=True) not in (
        None,
        *multiprocessing.get_all_start_methods(),
    )
    if this.daemon or strange:
        raise OutputError(
            f"{this.name} is a process of a pool, which starts no others", accepted="leave workers at 1"
        )
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
    )
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


def is_script() -> bool:
    """Whether a file that somebody wrote is run, which processes run once more."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    return file is not None and file.endswith(".py") and getattr(main, "__spec__", None) is None


def _begin() -> None:
    """What a process of a pool does first."""
    # Ctrl-C reaches all processes of a terminal; one alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's processes would wait for ever for the next call of one who was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def in_processes(
    calls: Sequence[Callable[[], Result]], count: int, ended: Callable[[int], None]
) -> list[Result | None]:
    """Call functions in processes.

    After Ctrl-C the processes are ended at once; what they had not finished is lost.

    Args:
        calls: What to call; can be pickled.
        count: Processes.
        ended: Told the number of calls that have ended, whenever one does.

    Returns:
        What each returned, in order; None where it was not finished.

    Raises:
        OutputError: If a process was killed.
    """
    futures: list[Future[Result]] = []
    try:
        with process_pool(min(count, len(calls))) as pool:
            futures += [pool.submit(call) for call in calls]
            for number, future in enumerate(as_completed(futures), start=1):
                future.result()
                ended(number)
    except KeyboardInterrupt:
        return [_finished(future) for future in futures]
    except BrokenProcessPool:
        raise OutputError(
            "a process that worked on it was killed",
            accepted=UNDER_MAIN if is_script() else "run it again, with fewer --workers",
        ) from None
    return [future.result() for future in futures]


def _finished(future: Future[Result]) -> Result | None:
    done = future.done() and not future.cancelled() and future.exception() is None
    return future.result() if done else None
