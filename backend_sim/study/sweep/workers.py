"""Where points are measured: in this process, in a pool of processes, or on a Dask cluster.

All three are executors of ``concurrent.futures``. Dask unpickles what reaches it: whoever can talk to a
scheduler runs code on its workers, so a cluster is as trusted as this process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.processes import process_pool
from layerweaver.backend_sim.study.sweep.parcel import pack
from layerweaver.backend_sim.study.sweep.study import Study
from layerweaver.ir import OutputError, ScenarioError, read_bounded
from layerweaver.ir.extras import need_extra
from layerweaver.ir.files import is_file

__all__ = ["workers"]

_CONNECT_S = 10
_MOST_FILE_BYTES = 1 << 20
_ADDRESS = re.compile(r"(?:(?:tcp|tls|wss?)://)?(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]]+):[0-9]{1,5}/?")
"""HOST:PORT, perhaps with the kind of connection before it."""


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
def workers(study: Study, count: int, cluster: str | None) -> Iterator[tuple[Executor, Any, int]]:
    """An executor, the study's job as it takes it, and how many calls it works on at once.

    Args:
        study: The study.
        count: Processes; one is this process.
        cluster: Address of a Dask scheduler or path of its scheduler file; None for this machine.

    Raises:
        OutputError: If Dask is not installed or no scheduler answers.
        ScenarioError: If a worker of the cluster has another version of the package, or none.
    """
    if cluster is not None:
        with _dask(study, cluster) as found:
            yield found
    elif count == 1:
        yield _Here(), study.job, 1
    else:
        with process_pool(count) as pool:
            yield pool, study.job, count


def _hush() -> None:
    """What goes wrong on a cluster is said in one line, by us."""
    for name in ("distributed", "tornado", "asyncio", *logging.root.manager.loggerDict):
        if name.split(".")[0] in {"distributed", "tornado", "asyncio"}:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _address(cluster: str) -> str:
    """Where the scheduler is: what was given, or what its scheduler file says."""
    address: Any = cluster
    if is_file(cluster):
        try:
            data = read_bounded(Path(cluster), _MOST_FILE_BYTES)
            address = json.loads(data or b"")["address"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            raise _refused(cluster, "is no scheduler file") from None
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        raise _refused(cluster, f"{str(address)[:60]!r} is no address")
    return address


def _refused(cluster: str, what: str) -> OutputError:
    accepted = "the address of a Dask scheduler, such as tcp://10.0.0.1:8786, or its scheduler file"
    return OutputError(what, where=f"--cluster {cluster}", accepted=accepted)


@contextlib.contextmanager
def _dask(study: Study, cluster: str) -> Iterator[tuple[Executor, Any, int]]:
    need_extra("distributed", "a cluster", "distributed", f"--cluster {cluster}")
    import distributed  # noqa: PLC0415 - optional and heavy

    connect: Any = distributed.Client
    _hush()
    address = _address(cluster)
    try:
        client = connect(address=address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        said = str(error).splitlines()[0][:80] if str(error) else "timeout"
        raise _refused(cluster, f"no scheduler answers ({said})") from None
    job = study.job
    parcel = pack([job.base, *(axis.values for axis in study.axes)], Path(job.folder))
    _hush()
    with client:
        # The standard library's function is there whatever the worker has.
        there = client.run(metadata.version, "layerweaver", on_error="return")
        for worker, version in there.items():
            if version != job.version:
                has = f"layerweaver {version}" if isinstance(version, str) else "no layerweaver"
                raise ScenarioError(
                    f"worker {worker} has {has}, not {job.version}",
                    where=f"--cluster {cluster}",
                    accepted="install the same version everywhere",
                )
        threads = sum(client.nthreads().values()) or 1
        sent = client.scatter(replace(job, parcel=parcel), broadcast=True) if there else None
        with client.get_executor(pure=False) as executor:
            yield executor, replace(job, parcel=parcel) if sent is None else sent, threads
