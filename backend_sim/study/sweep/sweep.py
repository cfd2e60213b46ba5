"""Running a study: every point once, whatever interrupts, the same table whoever works on it."""

from __future__ import annotations

import functools
import itertools
import json
import shlex
import shutil
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.results.told_by_points import counted_lines
from layerweaver.backend_sim.study.processes import UNDER_MAIN, is_script
from layerweaver.backend_sim.study.sweep.known import StudyNote
from layerweaver.backend_sim.study.sweep.measure import Measured, measure_points
from layerweaver.backend_sim.study.sweep.objectives import (
    check_columns,
    is_number,
    objectives_without_values,
    relative_objectives,
    texts_of_columns,
)
from layerweaver.backend_sim.study.sweep.origin import origin_of, write_origin
from layerweaver.backend_sim.study.sweep.reading import INLINE_STUDY, read_study
from layerweaver.backend_sim.study.sweep.result import StudyResult
from layerweaver.backend_sim.study.sweep.search import searched
from layerweaver.backend_sim.study.sweep.store import Store
from layerweaver.backend_sim.study.sweep.study import Study
from layerweaver.backend_sim.study.sweep.summary import summary
from layerweaver.backend_sim.study.sweep.tables import point_columns, point_rows, write_tables
from layerweaver.backend_sim.study.sweep.without_effect import without_effect
from layerweaver.backend_sim.study.sweep.workers import workers
from layerweaver.ir import OutputError, ScenarioError
from layerweaver.ir.given import PATHS, check_flags, check_given, given_count
from layerweaver.ir.limits import MAX_WORKERS
from layerweaver.ir.text import counted

__all__ = ["run_study", "sweep"]

_MOST_AT_ONCE = 64
_MOST_WARNINGS = 20
_MOST_REASONS = 5
_TASK_S = 0.25
"""Points are sent in pieces that take about so long, so that sending them costs little."""


def sweep(
    study: str | Path | Mapping[str, Any],
    folder: str | Path | None = None,
    *,
    workers: int = 1,
    cluster: str | None = None,
    many: bool = False,
    allow_code: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> StudyResult:
    """Run a study, or go on with it.

    Args:
        study: Path of a study file, or its keys: ``scenario``, ``axes``, ``sample``, ``measure`` and
            ``objectives``. Objects are taken as values, too: NPU configs, paths, NumPy numbers.
        folder: Where the points are kept and the tables written; None takes a temporary folder.
        workers: Processes.
        cluster: Address of a Dask scheduler, or its scheduler file; None for this machine.
        many: Accept more than a million points of a grid.
        allow_code: Run policies that the study gives as Python files.
        progress: Told the share done and what is being done.

    Returns:
        ``{"points", "done_before", "failed", "pareto", "sensitivity"}``, with ``to_dataframe()``; also
        ``warnings`` where points warn of something, or something that is stated changes nothing.

    Raises:
        LayerweaverError: If the study is wrong, has changed since the folder was begun, or the folder is in
            use; what is known by then stays.
        KeyboardInterrupt: After Ctrl-C; the tables have what was known by then.
    """
    check_flags(ScenarioError, many=many, allow_code=allow_code)
    workers = given_count("workers", workers, ScenarioError, most=MAX_WORKERS)
    if folder is not None:
        check_given(folder, PATHS, OutputError, "give the path of a folder, or None for a passing one")
    if cluster is not None:
        check_given(cluster, PATHS, OutputError, "give a Dask scheduler's address or its scheduler file")
    found = read_study(study, many=many, allow_code=allow_code)
    if folder is not None:
        return run_study(found, Path(folder), workers, cluster, progress)
    place = Path(tempfile.mkdtemp(prefix="layerweaver-"))
    try:
        result = run_study(found, place, workers, cluster, progress)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    weakref.finalize(result, shutil.rmtree, place, ignore_errors=True)
    return result


def run_study(
    study: Study,
    folder: Path,
    count: int,
    cluster: str | None,
    progress: Callable[[float, str], None] | None,
) -> StudyResult:
    """Run a study that is read, or go on with it; see :func:`sweep`."""
    axes = [axis.name for axis in study.axes]
    with Store(folder) as store:
        store.claim(study.parts, study.job.version)
        spec = study.spec
        store.begin(StudyNote(axes=axes, aims=spec.objectives, points=study.total, sample=spec.sample.kind))
        write_origin(study, folder)
        done = store.done(study.total)
        before = sum(done)
        runner = _Runner(study, store, progress, before)
        try:
            if before < study.total:
                with workers(study, count, cluster) as (executor, job, at_once):
                    send = functools.partial(runner.run, executor, job, at_once)
                    if study.spec.sample.kind == "search":
                        searched(study, store, send)
                    else:
                        send((n, study.values(n)) for n in range(study.total) if not done[n])
        except (BrokenProcessPool, CancelledError, ConnectionError) as error:
            kept = before + runner.finished
            lost = "a worker" if cluster is None else f"the cluster {cluster}, or a worker of it,"
            raise OutputError(
                f"{lost} was lost ({type(error).__name__}); {kept} of {study.total} points are kept",
                where=str(folder),
                accepted=_how_to_go_on(study, folder, count, cluster),
            ) from None
        finally:
            write_tables(store, axes, folder, json.dumps(origin_of(study), default=str))
        if store.failed < study.total:
            columns = point_columns(store, axes)
            check_columns(study, columns, texts_of_columns(store, columns))
        document = {
            "points": study.total,
            "done_before": before,
            "failed": store.failed,
            **_said(study, store, axes),
        }
        return StudyResult(document, axes, folder)


def _how_to_go_on(study: Study, folder: Path, count: int, cluster: str | None) -> str:
    """The command that goes on with a study, or what a script that has its keys must do."""
    if study.source.source == INLINE_STUDY:
        again = "run it again; with the same folder it goes on"
        return f"{again}, and {UNDER_MAIN}" if cluster is None and is_script() else again
    words = ["layerweaver", "sweep", study.source.source, "-o", str(folder)]
    words += ["--workers", str(count)] if cluster is None else ["--cluster", cluster]
    return f"go on with: {shlex.join(words + ['--allow-code'] * study.job.allow_code)}"


def _said(study: Study, store: Store, axes: Sequence[str]) -> dict[str, object]:
    """The rows of the Pareto front, the sensitivity, and what points warn of."""
    said, aims = store.summary, study.spec.objectives
    if said is None or said.aims != aims:
        said = summary(store, axes, aims)
        store.summarise(said)
    columns = point_columns(store, axes)
    rows = point_rows(store, axes, columns, said.pareto)
    pareto = [dict(zip(columns[:-1], row[:-1], strict=True)) for row in rows]
    warned = [
        *_failed(store),
        *_unsure(store),
        *relative_objectives(study.spec),
        *without_effect(study, store),
    ]
    warned += [*objectives_without_values(study.spec, store), *_warned(store, axes)]
    return {
        "pareto": pareto,
        "sensitivity": [item.document() for item in said.sensitivity],
        **({"warnings": warned} if warned else {}),
    }


def _failed(store: Store) -> Iterator[str]:
    """Why points failed, and how many; what most say comes first."""
    for reason, many in Counter(store.reasons()).most_common(_MOST_REASONS):
        yield f"{counted(many, 'point')} failed: {reason}"


def _unsure(store: Store) -> Iterator[str]:
    """Peaks that trials were too short to be sure of, and how long they would have to be."""
    if "status" not in store.columns():
        return
    peaks, short, least = 0, 0, 0
    for told, needed in store.picked(["status", "needed_queries"]):
        peaks += sum(bool(status) for status in told)
        lacking = [count or 0 for status, count in zip(told, needed, strict=True) if status == "too_short"]
        short += len(lacking)
        least = max([least, *lacking])
    if short:
        would_do = f": give the study queries: {least:.0f} or more" if least else ""
        yield (
            f"{short:,} of {counted(peaks, 'peak')} {'is' if short == 1 else 'are'} not sure, as trials were "
            f"too short{would_do}"
        )


def _warned(store: Store, axes: Sequence[str]) -> list[str]:
    """What points warn of most often, and how many."""
    if "warnings" not in store.columns():
        return []
    cells = (cell for (column,) in store.picked(["warnings"]) for cell in column)
    lines = counted_lines(cells, axes)[:_MOST_WARNINGS]
    return [f"{counted(many, 'point')}: {said}" for said, many in lines]


class _Runner:
    """Sends points to an executor and keeps what comes back."""

    def __init__(
        self, study: Study, store: Store, progress: Callable[[float, str], None] | None, before: int
    ) -> None:
        self._study, self._store = study, store
        self._progress = progress
        self._before = before
        self._checked = before > 0
        self._piece = 1
        self.finished = 0

    def run(
        self, executor: Any, job: Any, at_once: int, points: Iterable[tuple[int, tuple[Any, ...]]]
    ) -> list[Measured]:
        """Measure points; what they gave is also returned where the study is searched."""
        found: list[Measured] = []
        running: dict[Future[list[Measured]], tuple[list[tuple[int, tuple[Any, ...]]], float]] = {}
        left, exhausted = iter(points), False
        while running or not exhausted:
            while not exhausted and len(running) < min(_MOST_AT_ONCE, 2 * at_once):
                piece = list(itertools.islice(left, self._piece))
                exhausted = not piece
                if piece:
                    running[executor.submit(measure_points, job, piece)] = (piece, time.monotonic())
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                piece, began = running.pop(future)
                self._keep(piece, future.result())
                if self._study.spec.sample.kind == "search":
                    found.extend(future.result())
                self._adapt(len(piece), time.monotonic() - began)
        return found

    def _keep(self, piece: list[tuple[int, tuple[Any, ...]]], measured: list[Measured]) -> None:
        values = dict(piece)
        self._store.add([(point, values[point.number]) for point in measured])
        self.finished += len(measured)
        if not self._checked:
            good = next((point for point in measured if not point.error), None)
            if good is not None:
                self._checked = True
                axes = [axis.name for axis in self._study.axes]
                metrics = {name: value for name, value in good.row.items() if name not in axes}
                texts = [n for n, value in metrics.items() if value is not None and not is_number(value)]
                check_columns(self._study, [*axes, *metrics], texts)
        if self._progress is not None:
            known = self._before + self.finished
            self._progress(known / self._study.total, f"{known:,} of {self._study.total:,} points")

    def _adapt(self, points: int, seconds: float) -> None:
        each = seconds / points
        self._piece = max(1, min(2 * self._piece, 256, int(_TASK_S / max(each, 1e-6))))
