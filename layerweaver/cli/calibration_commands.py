"""``npu score`` and ``npu calibrate``: configs against measured latencies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from layerweaver.cli.completion import complete_npu
from layerweaver.cli.manual import epilog
from layerweaver.cli.outputs import named_file, spare
from layerweaver.cli.rendering.tables import number, percent
from layerweaver.cli.session import JsonOption, console, print_document, session_of, table
from layerweaver.cli.strict import StrictTyper
from layerweaver.ir.text import counted, figure

__all__ = ["register"]

NpuArgument = Annotated[
    str, typer.Argument(help="Shipped name or YAML file.", autocompletion=complete_npu, metavar="NPU")
]
MeasuredOption = Annotated[
    Path | None,
    typer.Option(
        "--measured",
        help="CSV of latencies, per image: model,batch,dims,latency_ms[,layer,metric,sd_ms,weight].",
        metavar="CSV",
    ),
]
ThroughputOption = Annotated[
    bool, typer.Option("--throughput", help="Take inverse throughputs (ms per image) as latencies.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", help="Whose layers a CSV without a column model has: a file or zoo:NAME.", metavar="MODEL"
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", help="Draw predicted over measured latency (.svg).", callback=named_file(".svg")),
]


def _score(
    context: typer.Context,
    npu: NpuArgument,
    measured: MeasuredOption = None,
    throughput: ThroughputOption = False,
    model: ModelOption = None,
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold an NPU config against latencies measured on the chip."""
    from layerweaver.costmodel import change_note, load_npu
    from layerweaver.scheduler.compile.measured import score_npu

    if measured is None:
        raise typer.BadParameter("give the measured latencies: --measured FILE.csv")
    session, config = session_of(context), load_npu(npu)
    with session.progress("scoring") as progress:
        document, problems = score_npu(config, measured, throughput=throughput, model=model, tell=progress)
    session.warn([*problems, *filter(None, [change_note(config)])])
    _draw(context, document, plot)
    if as_json:
        print_document({**document, "unreadable": problems})
    else:
        _print_scores(f"{document['npu']} against {measured.name}", document)


def _calibrate(
    context: typer.Context,
    npu: NpuArgument,
    measured: MeasuredOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Fitted config to write.", callback=named_file(".yaml", ".yml")),
    ] = None,
    free: Annotated[
        str | None,
        typer.Option(
            "--free", help="Parameters to free, with commas; default: the usual ones.", metavar="A,B"
        ),
    ] = None,
    sibling: Annotated[
        str | None,
        typer.Option(
            "--sibling",
            help="Chip of the same make that was measured, too: priors come from its fit.",
            autocompletion=complete_npu,
            metavar="NPU",
        ),
    ] = None,
    sibling_measured: Annotated[
        Path | None, typer.Option("--sibling-measured", help="Its own latencies.", metavar="CSV")
    ] = None,
    throughput: ThroughputOption = False,
    model: ModelOption = None,
    plot: PlotOption = None,
    suggest: Annotated[
        int | None,
        typer.Option("--suggest", help="Say which so many of the --models to measure.", min=1, max=1000),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", help="Candidates for --suggest: files and zoo:NAME.")
    ] = None,
    more: Annotated[
        list[str] | None, typer.Argument(help="Further candidates.", metavar="[MODEL]...")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit an NPU config to measured latencies, or say what to measure next."""
    from layerweaver.costmodel import load_npu
    from layerweaver.costmodel.calibration.parameters import free_parameters
    from layerweaver.scheduler.compile.measured import calibrate_npu, suggest_networks

    session = session_of(context)
    candidates = [*(models or ()), *(more or ())]
    if suggest is not None:
        if not candidates:
            raise typer.BadParameter("--suggest chooses among candidates: --models A.onnx B.onnx ...")
        given = (measured, output, model, free, plot, sibling, sibling_measured)
        if throughput or any(value is not None for value in given):
            raise typer.BadParameter(
                "--suggest fits nothing: leave out --measured, --model, --free, --sibling, "
                "--sibling-measured, --throughput, --plot and -o"
            )
        with session.progress("reading") as progress:
            document, problems = suggest_networks(load_npu(npu), candidates, suggest, tell=progress)
        session.warn(problems)
        if len(document["suggested"]) < suggest:
            session.note(
                f"--suggest {suggest}: there are only {counted(document['candidates'], 'candidate')}"
            )
        if as_json:
            print_document({**document, "unreadable": problems})
        else:
            _print_suggested(document)
        return
    if candidates:
        raise typer.BadParameter("--models is for --suggest; measured models are named in the CSV")
    if measured is None:
        raise typer.BadParameter("give the measured latencies: --measured FILE.csv")
    if (sibling is None) != (sibling_measured is None):
        raise typer.BadParameter(
            "a sibling is a config and its latencies: --sibling NPU --sibling-measured CSV"
        )
    spare(context, (npu, sibling, measured, sibling_measured))
    with session.progress("calibrating") as progress:
        found, problems = calibrate_npu(
            load_npu(npu),
            measured,
            free=free_parameters(free),
            sibling=None
            if sibling is None or sibling_measured is None
            else (load_npu(sibling), sibling_measured),
            throughput=throughput,
            model=model,
            tell=progress,
        )
    session.warn(problems)
    if output is not None:
        from layerweaver.costmodel import npu_yaml
        from layerweaver.ir import write_text

        write_text(output, npu_yaml(found.config))
        session.note(f"wrote {output}")
    _draw(context, found.document, plot)
    if as_json:
        print_document({**found.document, "unreadable": problems})
    else:
        _print_calibration(found.document)


def _draw(context: typer.Context, document: dict[str, Any], plot: Path | None) -> None:
    if plot is None:
        return
    from layerweaver.costmodel.calibration.plot import scatter_svg
    from layerweaver.ir import write_text

    write_text(plot, scatter_svg(document))
    session_of(context).note(f"wrote {plot}")


def _print_scores(title: str, document: dict[str, Any]) -> None:
    bound = any(row["dims"] for row in document["rows"])
    grid = table(
        f"{title}, ms per image",
        [
            *(("model", "left"), ("batch", "right")),
            *([("dims", "left")] if bound else []),
            *(("measured", "right"), ("predicted", "right"), ("off", "right")),
        ],
    )
    for row in document["rows"]:
        off = row["predicted_ms"] / row["measured_ms"] - 1
        dims = ", ".join(f"{name}={size}" for name, size in row["dims"].items())
        grid.add_row(
            *(row["model"], str(row["batch"])),
            *([dims] if bound else []),
            *(figure(row["measured_ms"], 4), figure(row["predicted_ms"], 4), f"{off:+.1%}"),
        )
    console().print(grid)
    rank = document["rank_correlation"]
    console().print(
        f"{counted(document['count'], 'measurement')}: {percent(document['mape'])} off on average, "
        f"{percent(document['median_ape'])} at the median, {percent(document['p90_ape'])} at the 90th "
        "percentile; "
        f"bias {document['bias']:+.1%}, rank correlation {'-' if rank is None else f'{rank:.2f}'}"
    )


def _print_calibration(document: dict[str, Any]) -> None:
    _print_scores(f"{document['npu']}, calibrated", document)
    grid = table(
        "parameters",
        [
            ("name", "left"),
            ("in the file", "right"),
            ("fitted", "right"),
            ("sd", "right"),
            ("identified", "left"),
        ],
    )
    for row in document["parameters"]:
        told = "yes" if row["identified"] else "no: its prior"
        start = "-" if row["start"] is None else f"{row['start']:g}"
        grid.add_row(row["name"], start, f"{row['fitted']:g}", f"{row['sd']:g}", told)
    console().print(grid)
    for name, value in document["choices"].items():
        stated = "not stated, which is its default" if value is None else json.dumps(value)
        console().print(f"chosen: {name}: {stated}")
    others = ", ".join(f"{name} {percent(error)}" for name, error in document["baselines"].items())
    console().print(f"held out: {percent(document['cross_validated']['mape'])}; baselines: {others}")
    console().print(document["verdict"])


def _print_suggested(document: dict[str, Any]) -> None:
    grid = table("to measure next", [("model", "left"), ("predicted ms", "right"), ("gain", "right")])
    for row in document["suggested"]:
        grid.add_row(row["model"], figure(row["predicted_ms"], 4), number(row["gain"]))
    console().print(grid)


def register(npu: StrictTyper) -> None:
    """Add the commands to the group ``npu``."""
    npu.command("score", epilog=epilog("npu score"))(_score)
    npu.command("calibrate", epilog=epilog("npu calibrate"))(_calibrate)
