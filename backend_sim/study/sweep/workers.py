"""Where points are measured: in this process, in a pool of processes, or on a Dask cluster.

All three are executors of ``concurrent.futures``. Dask unpickles what reaches it: whoever can talk to a
scheduler runs code on its workers, so a cluster is as trusted as this process.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.processes import process_pool
from layerweaver.backend_sim.study.sweep.measure import Job
from layerweaver.ir import OutputError
from layerweaver.ir.extras import need_extra

__all__ = ["workers"]

_CONNECT_S = 10
_MOST_FILE_BYTES = 1 << 28


class _Here(Executor):
    """Runs at once in this process: no pool for one worker."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)
        return future


@contextlib.contextmanager
def workers(job: Job, count: int, cluster: str | None) -> Iterator[tuple[Executor, Any, int]]:
    """An executor, the job as it takes it, and how many calls it works on at once.

    Args:
        job: What the points have in common.
        count: Processes; one is this process.
        cluster: Address of a Dask scheduler or path of its scheduler file; None for this machine.

    Raises:
        OutputError: If Dask is not installed or no scheduler answers.
    """
    if cluster is not None:
        with _dask(job, cluster) as found:
            yield found
    elif count == 1:
        yield _Here(), job, 1
    else:
        with process_pool(count) as pool:
            yield pool, job, count


@contextlib.contextmanager
def _dask(job: Job, cluster: str) -> Iterator[tuple[Executor, Any, int]]:
    need_extra("distributed", "a cluster", "distributed", f"--cluster {cluster}")
    import distributed  # noqa: PLC0415 - optional and heavy

    connect: Any = distributed.Client
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":  # what goes wrong is said in one line, by us
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    where = {"scheduler_file": cluster} if Path(cluster).is_file() else {"address": cluster}
    try:
        client = connect(**where, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise OutputError(
            f"no scheduler answers ({str(error).splitlines()[0][:80] if str(error) else 'timeout'})",
            where=f"--cluster {cluster}",
            accepted="the address of a Dask scheduler, or its scheduler file",
        ) from None
    with client:
        threads = sum(client.nthreads().values()) or 1
        sent = client.scatter(replace(job, files=_contents(job.base, Path(job.folder))), broadcast=True)
        with client.get_executor(pure=False) as executor:
            yield executor, sent, threads


def _contents(value: Any, folder: Path) -> dict[str, bytes]:
    """The files that a scenario names, by path as it names them: workers need not share a folder."""
    if isinstance(value, Mapping):
        return {key: data for item in value.values() for key, data in _contents(item, folder).items()}
    if isinstance(value, list):
        return {key: data for item in value for key, data in _contents(item, folder).items()}
    if not isinstance(value, str) or "\0" in value or not Path(value).suffix or len(value) > 4096:
        return {}
    path = folder / value
    if not path.is_file():
        return {}
    if path.stat().st_size > _MOST_FILE_BYTES:
        raise OutputError(
            f"is larger than {_MOST_FILE_BYTES >> 20} MiB", where=str(path), accepted="models without weights"
        )
    return {value: path.read_bytes()}
