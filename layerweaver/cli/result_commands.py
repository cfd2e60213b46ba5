"""``report`` and ``rerun``: results as one page, and once more."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from layerweaver.cli.manual import epilog
from layerweaver.cli.model_commands import load_json
from layerweaver.cli.outputs import output_file
from layerweaver.cli.render_results import comparison_tables, outcome_tables
from layerweaver.cli.serving import CodeOption, OutputOption, deliver, finish
from layerweaver.cli.session import JsonOption, console, session_of

__all__ = ["register"]


def _report(
    context: typer.Context,
    result: Annotated[
        list[Path],
        typer.Argument(help="Results of simulate, compare or peak (JSON), or the folder of one sweep."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML page to write.", callback=output_file)],
    title: Annotated[str | None, typer.Option("--title", help="Heading of the page.")] = None,
) -> None:
    """Make one self-contained HTML page of results, or of a study."""
    from layerweaver.ir.extras import need_extra

    need_extra("plotly", "a report", "report", str(output))
    from layerweaver.ir import write_text

    session = session_of(context)
    folders = [path for path in result if path.is_dir()]
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
    result: Annotated[Path, typer.Argument(help="A result of simulate or compare (JSON).")],
    output: OutputOption = None,
    allow_code: CodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a result again, with the scenario, policies, options and seeds that it names."""
    from layerweaver.backend_sim.study.repeat import RunOptions
    from layerweaver.backend_sim.study.rerun import differences, rerun
    from layerweaver.backend_sim.study.simulate import comparison_of

    session = session_of(context)
    before = load_json(result)
    with session.simulation_progress("simulating") as (compiling, progress):
        options = RunOptions(progress=progress, compiling=compiling, allow_code=allow_code)
        runs = rerun(before, options, where=str(result))
    after = comparison_of(runs) if "runs" in before else runs[0]
    deliver(session, after, output, as_json, details=True)
    if not as_json:
        screen = console()
        for item in comparison_tables(comparison_of(runs)) if "runs" in before else outcome_tables(runs[0]):
            screen.print(item)
    finish(runs)
    if found := list(islice(differences(before, after), 5)):
        session.note(f"differs from {result} in {', '.join(found)}")
        raise typer.Exit(1)
    session.note(f"the same as {result}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("report", epilog=epilog("report"))(_report)
    app.command("rerun", epilog=epilog("rerun"))(_rerun)
