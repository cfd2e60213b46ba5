"""``peak``, ``traffic``, ``certify`` and ``policies``: what studies need beside simulations."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer

from layerweaver.backend_sim.results.searches import peak_notes
from layerweaver.cli.manual import epilog
from layerweaver.cli.rendering.results import certify_tables, peak_table, policies_table
from layerweaver.cli.serving import (
    CodeOption,
    OutputOption,
    PoliciesOption,
    PolicyOption,
    ScenarioArgument,
    SeedOption,
    SeedsOption,
    SkipOption,
    deliver,
    finish,
    note_idle,
    parse_policies,
    parse_policy,
    sparing,
    wants_details,
)
from layerweaver.cli.session import JsonOption, console, data_stream, print_document, session_of
from layerweaver.ir.csv_text import CsvWriter
from layerweaver.ir.limits import MAX_CURVE, MAX_QUERIES, MAX_WORKERS

__all__ = ["register"]

_CURVE = 8


def _curve(asked: int | None, output: Path | None, as_json: bool) -> int:
    """Loads that are run for curves: a report is made of result files."""
    if asked and output is None and not as_json:
        raise typer.BadParameter("--curve is in no table; give -o FILE.json or --json")
    return (_CURVE if wants_details(None, output, as_json) else 0) if asked is None else asked


def _peak(
    context: typer.Context,
    scenario: ScenarioArgument,
    policies: PoliciesOption = None,
    queries: Annotated[
        int, typer.Option("--queries", min=1, max=MAX_QUERIES, help="Queries per trial, all tenants.")
    ] = 20_000,
    seed: SeedOption = None,
    seeds: SeedsOption = 1,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Scale this tenant's rate only; default: all.")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", "--jobs", min=1, max=MAX_WORKERS, help="Processes.")
    ] = 1,
    curve: Annotated[
        int | None,
        typer.Option(
            "--curve",
            min=0,
            max=MAX_CURVE,
            help="Also run so many evenly spaced loads up to the bound, for the curves of a report; "
            "by default 8 with a .json file, else none.",
        ),
    ] = None,
    output: OutputOption = None,
    skip_bad_rows: SkipOption = False,
    allow_code: CodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find the highest rate at which every tenant still meets its deadline: MLPerf's Server metric."""
    from layerweaver.backend_sim.study.peak.peak import peak

    session = session_of(context)
    names = parse_policies(policies)
    with session.progress("searching") as progress:
        document = peak(
            sparing(context, scenario),
            names,
            queries=queries,
            seeds=seeds,
            seed=seed,
            tenant=tenant,
            workers=workers,
            curve=_curve(curve, output, as_json),
            skip_bad_rows=skip_bad_rows,
            allow_code=allow_code,
            progress=progress,
        )
    if not document.get("interrupted"):
        note_idle(session, workers, len(document["results"]) * seeds, "search")
    deliver(session, document, output, as_json)
    if as_json:  # else they stand below the table
        session.warn(document.get("warnings", []))
    else:
        screen = console()
        screen.print(peak_table(document))
        for note in peak_notes(document):
            screen.print(note)
    finish([document])


def _traffic(
    scenario: ScenarioArgument,
    seed: SeedOption = None,
    skip_bad_rows: SkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print the arrivals as CSV: tenant,query,arrival_ns."""
    from layerweaver.backend_sim.study.traffic import traffic

    rows = traffic(scenario, seed, skip_bad_rows=skip_bad_rows)
    columns = ("tenant", "query", "arrival_ns")
    if as_json:
        print_document({"arrivals": [dict(zip(columns, row, strict=True)) for row in rows]})
        return
    first = list(islice(rows, 1))  # so that what is wrong from the start leaves no half-written table
    writer = CsvWriter(data_stream())
    writer.writerow(columns)
    writer.writerows(chain(first, rows))


def _certify(
    context: typer.Context,
    scenario: ScenarioArgument,
    policy: PolicyOption = None,
    seed: SeedOption = None,
    allow_code: CodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Replay the simulated completions through the official LoadGen and compare verdicts (unofficial)."""
    from layerweaver.backend_sim.study.certify.certify import certify

    session = session_of(context)
    with session.progress("certifying") as progress:
        document = certify(
            scenario,
            parse_policy(policy) if policy is not None else None,
            seed,
            progress=progress,
            allow_code=allow_code,
        )
    session.warn(document.get("warnings", []))
    if as_json:
        print_document(document)
    else:
        screen = console()
        for item in certify_tables(document):
            screen.print(item)
    if not all(item["agree"] for item in document["tenants"]):
        raise typer.Exit(1)


def _policies(as_json: JsonOption = False) -> None:
    """List the policies with their options."""
    from layerweaver.scheduler.policies import policy_rows

    rows = policy_rows()
    if as_json:
        print_document({"policies": rows})
    else:
        console().print(policies_table(rows))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (
        ("peak", _peak),
        ("traffic", _traffic),
        ("certify", _certify),
        ("policies", _policies),
    ):
        app.command(name, epilog=epilog(name))(command)
