"""``reproduce``: published and measured figures, computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from layerweaver.cli.manual import epilog
from layerweaver.cli.outputs import picture_file
from layerweaver.cli.rendering.hpca21 import hpca21_tables
from layerweaver.cli.rendering.tables import fields_table, rows_table
from layerweaver.cli.session import JsonOption, console, print_document, session_of
from layerweaver.cli.strict import StrictTyper

__all__ = ["register"]


def _scalesim(context: typer.Context, as_json: JsonOption = False) -> None:
    """Cycles of SCALE-Sim 3.0.0 for ResNet-50 and BERT-base, layer by layer."""
    from layerweaver.backend_sim.study.reproduce.scalesim import reproduce_scalesim

    with session_of(context).progress("computing cycles"):
        document = reproduce_scalesim()
    if as_json:
        print_document(document)
    else:
        console().print(fields_table("SCALE-Sim", document))


def _tpu_matmul(
    context: typer.Context,
    csv: Annotated[Path, typer.Option("--csv", help="Measured products: columns m,n,k,time_us.")],
    fit: Annotated[bool, typer.Option("--fit", help="Fit on one half and report on the other.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Matrix products timed on a TPU, against the shipped tpu-v4-measured config."""
    from layerweaver.backend_sim.study.reproduce.tpu_matmul import reproduce_tpu_matmul

    with session_of(context).progress("fitting" if fit else "costing products"):
        document = reproduce_tpu_matmul(csv, fit=fit, seed=seed)
    if as_json:
        print_document(document)
    else:
        console().print(fields_table("TPU matrix products", document))


def _tpu_v6e(
    context: typer.Context,
    csv: Annotated[Path, typer.Option("--csv", help="attention.csv or layers.csv: times on one TPU v6e.")],
    fit: Annotated[bool, typer.Option("--fit", help="Fit on one half and report on the other, too.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Attention and weight rows of Llama-3.1-8B timed on a TPU v6e."""
    from layerweaver.backend_sim.study.reproduce.tpu_v6e import reproduce_tpu_v6e

    with session_of(context).progress("fitting" if fit else "reading times"):
        document = reproduce_tpu_v6e(csv, fit=fit, seed=seed)
    if as_json:
        print_document(document)
    else:
        document.pop("parameters", None)
        console().print(fields_table("TPU v6e, Llama-3.1-8B", document))


def _silicon(
    context: typer.Context,
    csv: Annotated[
        Path, typer.Option("--csv", help="Measured latencies: model,batch,dims,latency_ms[,metric].")
    ],
    npu: Annotated[
        str | None,
        typer.Option("--npu", help="Against this NPU; default: the one fitted to the file, else all."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Networks timed on real NPUs, against the shipped calibrated configs."""
    from layerweaver.backend_sim.study.reproduce.silicon import reproduce_silicon

    session = session_of(context)
    with session.progress("scoring") as progress:
        document, problems = reproduce_silicon(csv, npu=npu, tell=progress)
    session.warn(problems)
    if as_json:
        print_document(document)
    else:
        console().print(rows_table(f"NPUs against {csv.name}", document["npus"]))


def _onnxim(context: typer.Context, as_json: JsonOption = False) -> None:
    """Cycles of ONNXim for ResNet-18 and a BERT layer on four 128 x 128 cores."""
    from layerweaver.backend_sim.study.reproduce.onnxim import reproduce_onnxim

    with session_of(context).progress("costing networks"):
        document = reproduce_onnxim()
    if as_json:
        print_document(document)
        return
    console().print(rows_table("ONNXim", document["networks"]))
    console().print(f"mean absolute error per convolution: {document['layer_mape']:.1%}")


def _hpca21(
    context: typer.Context,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            help="Draw the figure as the paper does (.svg or .png).",
            callback=picture_file(".svg", ".png"),
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """STP gains of the Layerweaver paper (Fig. 14), pair by pair."""
    from layerweaver.backend_sim.study.reproduce.hpca21 import reproduce_hpca21

    session = session_of(context)
    with session.progress("simulating pairs") as progress:
        document = reproduce_hpca21(progress=progress)
    if plot is not None:
        from layerweaver.backend_sim.report.hpca21_figure import write_hpca21_figure

        write_hpca21_figure(document, plot)
        session.note(f"wrote {plot}")
    if as_json:
        print_document(document)
        return
    for grid in hpca21_tables(document):
        console().print(grid)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    reproduce = StrictTyper(help="Published and measured figures, computed again.", no_args_is_help=True)
    reproduce.command("scalesim", epilog=epilog("reproduce scalesim"))(_scalesim)
    reproduce.command("tpu-matmul", epilog=epilog("reproduce tpu-matmul"))(_tpu_matmul)
    reproduce.command("tpu-v6e", epilog=epilog("reproduce tpu-v6e"))(_tpu_v6e)
    reproduce.command("silicon", epilog=epilog("reproduce silicon"))(_silicon)
    reproduce.command("onnxim", epilog=epilog("reproduce onnxim"))(_onnxim)
    reproduce.command("hpca21", epilog=epilog("reproduce hpca21"))(_hpca21)
    app.add_typer(reproduce, name="reproduce")
