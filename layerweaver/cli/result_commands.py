"""``report``: results as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from layerweaver.cli.manual import epilog
from layerweaver.cli.model_commands import load_json
from layerweaver.cli.outputs import output_file
from layerweaver.cli.session import session_of

__all__ = ["register"]


def _report(
    context: typer.Context,
    result: Annotated[list[Path], typer.Argument(help="Results of simulate, compare or peak (JSON).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML page to write.", callback=output_file)],
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "Sharing an NPU",
) -> None:
    """Make one self-contained HTML page of results."""
    from layerweaver.ir.extras import need_extra

    need_extra("plotly", "a report", "report", str(output))
    from layerweaver.backend_sim.report.page import build_report
    from layerweaver.ir import write_text

    session = session_of(context)
    with session.progress("drawing"):
        documents = [load_json(path) for path in result]
        write_text(output, build_report(documents, title=title, names=[str(path) for path in result]))
    session.note(f"wrote {output}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report", epilog=epilog("report"))(_report)
