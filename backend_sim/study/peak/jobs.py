"""Many independent searches, one after the other or in processes, and what is left of them after Ctrl-C."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

from layerweaver.backend_sim.study.peak.search import Search

__all__ = ["in_processes"]


def in_processes(
    searches: Sequence[Callable[[], Search]], jobs: int, ended: Callable[[int], None]
) -> list[Search | None]:
    """Run searches in processes of their own.

    After Ctrl-C the processes are ended at once; what they had not finished is lost.

    Args:
        searches: What to run; can be pickled.
        jobs: Processes.
        ended: Told the number of searches that have ended, whenever one does.

    Returns:
        One search each, in order; None where it was not finished.
    """
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        min(jobs, len(searches)),
        mp_context=multiprocessing.get_context("spawn"),
        # Ctrl-C reaches all processes of a terminal; one alone decides what it means.
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    with pool:
        futures = [pool.submit(search) for search in searches]
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                future.result()
                ended(number)
        except BaseException as reason:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            if not isinstance(reason, KeyboardInterrupt):
                raise
            return [_finished(future) for future in futures]
    return [future.result() for future in futures]


def _finished(future: Future[Search]) -> Search | None:
    done = future.done() and not future.cancelled() and future.exception() is None
    return future.result() if done else None
