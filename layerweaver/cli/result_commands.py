"""``report`` and ``rerun``: results as one page, and once more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from layerweaver.backend_sim.results.searches import peak_notes
from layerweaver.cli.manual import epilog
from layerweaver.cli.outputs import named_file, spare
from layerweaver.cli.rendering.results import (
    certify_tables,
    comparison_tables,
    outcome_tables,
    peak_table,
)
from layerweaver.cli.result_files import load_bytes, load_json, load_text
from layerweaver.cli.serving import CodeOption, OutputOption, deliver, finish
from layerweaver.cli.session import JsonOption, Session, console, session_of
from layerweaver.ir.limits import MAX_WORKERS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from layerweaver.backend_sim.results.schema.peak import Peak
    from layerweaver.backend_sim.results.schema.run import Run

__all__ = ["register"]


_FILES_OF_STUDY = ("points.csv", "points.parquet", "study.json", "study.sqlite")
_TABLES = {".csv": "CSV", ".parquet": "Parquet"}


def _study_folder(path: Path) -> Path | None:
    """The folder of a sweep that is given by itself or by one of its files; None for other files."""
    from layerweaver.ir.files import is_folder

    if is_folder(path):
        return path
    beside = path.name in _FILES_OF_STUDY and (path.parent / _FILES_OF_STUDY[-1]).is_file()
    return path.parent if beside else None


def _report(
    context: typer.Context,
    result: Annotated[
        list[Path],
        typer.Argument(help="Results of simulate, compare or peak (JSON), or the folder of one sweep."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="HTML page to write.", callback=named_file(".html", ".htm"))
    ],
    title: Annotated[str | None, typer.Option("--title", help="Heading of the page.")] = None,
) -> None:
    """Make one self-contained HTML page of results, or of a study."""
    from layerweaver.ir.extras import need_extra

    need_extra("plotly", "a report", "report", str(output))
    from layerweaver.ir import write_text

    session = session_of(context)
    folders = [folder for path in result if (folder := _study_folder(path)) is not None]
    if folders and len(result) > 1:
        raise typer.BadParameter(f"{folders[0]} is a folder: a page shows one study, or results")
    with session.progress("drawing"):
        if folders:
            from layerweaver.backend_sim.study.sweep.pages import study_page

            page = study_page(folders[0], title=title or "A study of NPUs")
        else:
            from layerweaver.backend_sim.report.page import build_report

            documents = [load_json(path) for path in result]
            names = [str(path) for path in result]
            page = build_report(documents, title=title or "Sharing an NPU", names=names)
        write_text(output, page)
    session.note(f"wrote {output}")


def _rerun(
    context: typer.Context,
    result: Annotated[
        Path,
        typer.Argument(
            help="A result of simulate, compare or peak (JSON, CSV, Parquet), of certify (JSON), or the "
            "folder of a sweep."
        ),
    ],
    output: OutputOption = None,
    point: Annotated[
        int | None,
        typer.Option("--point", min=0, help="Of a sweep, this point only; -o takes its whole result."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, max=MAX_WORKERS, help="Of a sweep, processes; default: one per core."
        ),
    ] = None,
    allow_code: CodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a result again, with the scenario, policies, options and seeds that it names."""
    from layerweaver.backend_sim.results.naming import run_names
    from layerweaver.backend_sim.results.told import told_by
    from layerweaver.backend_sim.scenario.provenance import named_files
    from layerweaver.backend_sim.study.repeat import RunOptions
    from layerweaver.backend_sim.study.rerun import differences, rerun, rerun_certificate, rerun_peak
    from layerweaver.backend_sim.study.simulate import comparison_of

    session, where = session_of(context), str(result)
    if (folder := _study_folder(result)) is not None:
        _rerun_study(session, folder, point, workers, output, allow_code=allow_code, as_json=as_json)
        return
    for name, given in (("--point", point), ("--workers", workers)):
        if given is not None:
            raise typer.BadParameter(f"{name} is of the folder of a sweep; {result} is none")
    if result.suffix in _TABLES:
        _rerun_table(context, result, output, allow_code=allow_code, as_json=as_json)
        return
    before = load_json(result)
    spare(context, [result, *named_files(before)])
    certified = "unofficial" in before
    if certified and output is not None and output.suffix != ".json":
        raise typer.BadParameter(f"{result} is of certify, and so is what it gives; name a .json file")
    with session.simulation_progress("running again") as (compiling, progress):
        options = RunOptions(progress=progress, compiling=compiling, allow_code=allow_code)
        after: Mapping[str, object]
        names = [where]
        parts: Sequence[Mapping[str, object]]
        tables: Iterable[RenderableType]
        if certified:
            certificate = rerun_certificate(before, options, where=where)
            after, parts, tables = certificate, [certificate], certify_tables(certificate)
        elif "results" in before:
            peak = rerun_peak(before, options, where=where)
            after, parts, tables = peak, [peak], chain([peak_table(peak)], peak_notes(peak))
        elif "runs" in before:
            both = comparison_of(rerun(before, options, where=where))
            after, parts, tables = both, both["runs"], comparison_tables(both)
            names = run_names(both["runs"])
        else:
            (run,) = rerun(before, options, where=where)
            after, parts, tables = run, [run], outcome_tables(run)
    if as_json or "results" not in after:  # a search says them below its table
        session.warn(told_by(names, [cast("list[str]", part.get("warnings", [])) for part in parts]))
    deliver(session, after, output, as_json, details=True)
    if not as_json:
        for item in tables:
            console().print(item)
    finish(parts)
    found = list(islice(differences(before, after), 5))
    _compare(session, result, f" in {', '.join(found)}" if found else "")


def _rerun_table(
    context: typer.Context, result: Path, output: Path | None, *, allow_code: bool, as_json: bool
) -> None:
    """The same for CSV and Parquet, which have the numbers and, in their last columns, how they were made."""
    from layerweaver.backend_sim.results.files import result_csv, result_parquet
    from layerweaver.backend_sim.results.parquet_rows import parquet_rows
    from layerweaver.backend_sim.results.table_origin import csv_origins, row_origins
    from layerweaver.backend_sim.scenario.provenance import named_files
    from layerweaver.backend_sim.study.repeat import RunOptions
    from layerweaver.backend_sim.study.rerun import rerun_table
    from layerweaver.ir import atomic_write

    session, where = session_of(context), str(result)
    if as_json or (output is not None and output.suffix != result.suffix):
        kind, name = _TABLES[result.suffix], f"name a {result.suffix} file to write"
        raise typer.BadParameter(f"{result} is {kind}, and so is what it gives; {name}")
    before: Sequence[object]
    after: Sequence[object]
    if result.suffix == ".csv":
        before = (text := load_text(result)).splitlines()
        origins = csv_origins(text, where)
    else:
        before = rows = parquet_rows(load_bytes(result), where)
        origins = row_origins(rows, where)
    spare(context, [result, *chain.from_iterable(map(named_files, origins))])
    with session.simulation_progress("running again") as (compiling, progress):
        options = RunOptions(progress=progress, compiling=compiling, allow_code=allow_code)
        document = rerun_table(origins, options, where=where)
    if result.suffix == ".csv":
        made = result_csv(document).encode()
        after, part = made.decode().splitlines(), "line"
    else:
        made = result_parquet(document)
        after, part = parquet_rows(made, where), "row"
    if output is not None:
        with atomic_write(output) as stream:
            stream.write(made)
        session.note(f"wrote {output}")
    pairs = enumerate(zip_longest(before, after), start=1)
    changed = [str(number) for number, (old, new) in pairs if old != new][:5]
    _compare(session, result, f" in {part} {', '.join(changed)}" if changed else "")


def _rerun_study(
    session: Session,
    folder: Path,
    point: int | None,
    workers: int | None,
    output: Path | None,
    *,
    allow_code: bool,
    as_json: bool,
) -> None:
    """The same for the points of a sweep, or one of them, which then has a whole result."""
    from layerweaver.backend_sim.study.sweep.again import rerun_point, rerun_study

    if point is None:
        if as_json or output is not None:
            raise typer.BadParameter(f"{folder} is a study: give --point for the result of one of its points")
        with session.progress("running again") as progress:
            lines = rerun_study(
                folder, workers=workers or os.cpu_count() or 1, allow_code=allow_code, progress=progress
            )
        shown = ", ".join(map(str, lines[:5]))
        _compare(session, folder / "points.csv", f" in line {shown}" if lines else "")
        return
    if workers is not None:
        raise typer.BadParameter("--workers changes nothing: --point runs one point")
    with session.progress("running again"):
        found = rerun_point(folder, point, allow_code=allow_code)
    if found.document is None and (as_json or output is not None):
        said = f": {found.error}" if found.error else ", its costs are in the table"
        raise typer.BadParameter(f"point {point} has no result of its own{said}")
    if found.document is not None:
        deliver(session, found.document, output, as_json)
    if as_json and found.document is not None:  # else they stand in the row
        session.warn(cast("list[str]", found.document.get("warnings", [])))
    if not as_json:
        tables: Iterable[RenderableType] = [f"{name}: {value}" for name, value in found.row.items()]
        if found.document is not None:
            search = cast("Peak", found.document)
            tables = (
                chain([peak_table(search)], peak_notes(search))
                if "results" in found.document
                else outcome_tables(cast("Run", found.document))
            )
        for item in tables:
            console().print(item)
    if found.apart is None:
        session.note(f"point {point} is not yet in {folder / 'points.csv'}")
        return
    _compare(session, folder / "points.csv", f" in {', '.join(found.apart[:5])}" if found.apart else "")


def _compare(session: Session, result: Path, apart: str) -> None:
    """Say whether the result came out as it was; exit with 1 if not."""
    session.note(f"differs from {result}{apart}" if apart else f"the same as {result}")
    if apart:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("report", epilog=epilog("report"))(_report)
    app.command("rerun", epilog=epilog("rerun"))(_rerun)
