"""Importing a file that nobody vouches for, within 10 seconds of its own and 1 GB."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model
from layerweaver.ir import LayerweaverError

__all__ = ["bounded", "examine"]

resource = pytest.importorskip("resource", reason="memory is bounded by setrlimit")

SECONDS = 10
MEMORY_BYTES = 1 << 30
DIMS = {"batch": 2, "seq": 16, "tokens": 16, "past": 7, "N": 4, "M": 3}


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Stop what runs inside after 10 seconds of CPU time, and let it have 1 GB more than there was."""

    def out_of_time(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"took more than {SECONDS} s")

    status = Path("/proc/self/statm")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if status.exists():
        in_use = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_BYTES, limits[1]))
    previous = signal.signal(signal.SIGPROF, out_of_time)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def examine(path: Path) -> str:
    """What ``inspect`` needs of a model; the error's line, or "" for a clean result."""
    try:
        symbols = {
            dim
            for value in read_model(path).graph.inputs
            for dim in value.shape or ()
            if isinstance(dim, str) and dim in DIMS
        }
        graph = import_model(path, ImportOptions(dims={name: DIMS[name] for name in symbols}))
    except LayerweaverError as error:
        return str(error)
    assert graph.macs >= 0
    assert graph.parameters >= 0
    assert int(graph.live_bytes().max(initial=0)) >= 0
    doubled = graph.with_batch(2 * graph.batch)
    assert doubled.macs >= graph.macs
    assert all(warning.isprintable() for warning in graph.warnings)
    return ""
