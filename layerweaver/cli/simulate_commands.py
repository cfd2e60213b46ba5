"""``simulate``, ``compare``, ``peak``, ``traffic``, ``certify`` and ``policies``."""

from __future__ import annotations

import csv
import sys
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from layerweaver.cli.completion import complete_policies, complete_policy
from layerweaver.cli.manual import epilog
from layerweaver.cli.render_results import (
    certify_table,
    comparison_tables,
    outcome_tables,
    peak_notes,
    peak_table,
    policies_table,
)
from layerweaver.cli.session import JsonOption, Session, console, print_document, session_of

if TYPE_CHECKING:
    from layerweaver.backend_sim.simulate import PolicyRef

__all__ = ["register"]

_CURVE = 8

ScenarioArgument = Annotated[Path, typer.Argument(help="A scenario file (YAML).")]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Replace every tenant's seed by one derived from this.")
]
SeedsOption = Annotated[
    int, typer.Option("--seeds", min=1, max=1000, help="Repetitions with derived seeds, for intervals.")
]
SkipOption = Annotated[bool, typer.Option("--skip-bad-rows", help="Skip and count bad rows of traces.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the result to this file (.json, .csv or .parquet)."),
]
DetailsOption = Annotated[
    bool | None,
    typer.Option(
        "--details/--no-details",
        help="Add what a report draws: distributions, series, a timeline window; "
        "by default to a .json file of --output.",
    ),
]


PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        autocompletion=complete_policy,
        help="A policy's name or file, options after colons (layerweaver+:margin_us=50); "
        "default: the scenario's.",
    ),
]
PoliciesOption = Annotated[
    str | None,
    typer.Option(
        "--policies",
        autocompletion=complete_policies,
        help="Policies, for example fcfs,edf,layerweaver+:margin_us=50.",
    ),
]


def _option_value(text: str) -> bool | int | float | str:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _policy(text: str) -> PolicyRef:
    """Read ``NAME[:OPTION=VALUE...]``."""
    name, *words = text.strip().split(":")
    if not words:
        return name
    options: dict[str, Any] = {}
    for word in words:
        option, equals, value = word.partition("=")
        if not (equals and option and value):
            raise typer.BadParameter(f"policy {text!r} is not of the form NAME[:OPTION=VALUE...]")
        options[option] = _option_value(value)
    return {"name": name, **options}


def _policies_of(text: str | None) -> list[PolicyRef] | None:
    if text is None:
        return None
    names = [name for name in text.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter("--policies names no policy; see 'layerweaver policies'")
    return [_policy(name) for name in names]


def _wants_details(details: bool | None, output: Path | None) -> bool:
    """A report is made of result files, so these have what it draws unless they shall not."""
    return output is not None and output.suffix == ".json" if details is None else details


def _without_details(document: dict[str, Any]) -> dict[str, Any]:
    if "runs" in document:
        return document | {"runs": [_without_details(run) for run in document["runs"]]}
    return {key: value for key, value in document.items() if key != "details"}


def _check_output(output: Path | None) -> None:
    """Complain about a result file before the work, not after it."""
    if output is not None:
        from layerweaver.backend_sim.results import check_result_path

        check_result_path(output)


def _deliver(
    session: Session,
    document: dict[str, Any],
    output: Path | None,
    as_json: bool,
    details: bool | None = None,
) -> None:
    """Write a result to its file and print it when JSON was asked for, small unless with ``--details``."""
    if output is not None:
        from layerweaver.backend_sim.results import save_result

        save_result(document, output)
        session.note(f"wrote {output}")
    if as_json:
        print_document(document if details else _without_details(document))


def _finish(documents: list[dict[str, Any]]) -> None:
    if any(document.get("interrupted") for document in documents):
        raise typer.Exit(130)


def _simulate(
    context: typer.Context,
    scenario: Annotated[
        Path | None, typer.Argument(help="A scenario file; default: the built-in one.")
    ] = None,
    policy: PolicyOption = None,
    seed: SeedOption = None,
    seeds: SeedsOption = 1,
    trace: Annotated[
        Path | None, typer.Option("--trace", help="Write a Perfetto trace (.json or .json.gz).")
    ] = None,
    trace_window: Annotated[
        str | None,
        typer.Option("--trace-window", help="Part to trace or log, for example 10ms:20ms.", metavar="A:B"),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option("--log", help="Write every decision and its reason (.csv).", metavar="<path>"),
    ] = None,
    details: DetailsOption = None,
    output: OutputOption = None,
    skip_bad_rows: SkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a scenario; without one, compare policies on the built-in example."""
    session = session_of(context)
    if trace_window is not None and trace is None and log is None:
        raise typer.BadParameter("--trace-window needs --trace or --log")
    if scenario is None and policy is None and trace is None and log is None:
        _run_comparison(session, None, None, seed, seeds, details, output, skip_bad_rows, as_json)
        return
    from layerweaver.backend_sim.detailed import simulate_in_detail

    _check_output(output)
    with session.simulation_progress("simulating") as (compiling, progress):
        document = simulate_in_detail(
            scenario,
            _policy(policy) if policy is not None else None,
            seed,
            seeds=seeds,
            skip_bad_rows=skip_bad_rows,
            trace=trace,
            trace_window=trace_window,
            log=log,
            details=_wants_details(details, output),
            announce=lambda size: session.note(f"writing {trace}, about {size:,} bytes"),
            progress=progress,
            compiling=compiling,
        )
    session.warn(document.get("warnings", []))
    _deliver(session, document, output, as_json, details)
    if not as_json:
        screen = console()
        for item in outcome_tables(document):
            screen.print(item)
    _finish([document])


def _run_comparison(
    session: Session,
    scenario: Path | None,
    policies: list[PolicyRef] | None,
    seed: int | None,
    seeds: int,
    details: bool | None,
    output: Path | None,
    skip_bad_rows: bool,
    as_json: bool,
) -> None:
    from layerweaver.backend_sim.detailed import compare_in_detail
    from layerweaver.backend_sim.sentence import verdict_sentence

    _check_output(output)
    with session.simulation_progress("simulating") as (compiling, progress):
        document = compare_in_detail(
            scenario,
            policies,
            seed,
            seeds=seeds,
            skip_bad_rows=skip_bad_rows,
            details=_wants_details(details, output),
            progress=progress,
            compiling=compiling,
        )
    runs = document["runs"]
    session.warn(list(dict.fromkeys(text for run in runs for text in run.get("warnings", []))))
    _deliver(session, document, output, as_json, details)
    if not as_json:
        screen = console()
        for item in comparison_tables(document):
            screen.print(item)
        screen.print(verdict_sentence(document))
    _finish(runs)


def _compare(
    context: typer.Context,
    scenario: Annotated[
        Path | None, typer.Argument(help="A scenario file; default: the built-in one.")
    ] = None,
    policies: PoliciesOption = None,
    seed: SeedOption = None,
    seeds: SeedsOption = 1,
    details: DetailsOption = None,
    output: OutputOption = None,
    skip_bad_rows: SkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a scenario under several policies with the same traffic."""
    names = _policies_of(policies)
    _run_comparison(
        session_of(context), scenario, names, seed, seeds, details, output, skip_bad_rows, as_json
    )


def _curve(asked: int | None, output: Path | None) -> int:
    """Loads that are run for curves: a report is made of result files."""
    return (_CURVE if _wants_details(None, output) else 0) if asked is None else asked


def _peak(
    context: typer.Context,
    scenario: ScenarioArgument,
    policies: PoliciesOption = None,
    queries: Annotated[
        int, typer.Option("--queries", min=1, help="Queries per trial, all tenants.")
    ] = 20_000,
    seeds: SeedsOption = 1,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Scale this tenant's rate only; default: all.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=256, help="Processes.")] = 1,
    curve: Annotated[
        int | None,
        typer.Option(
            "--curve",
            min=0,
            max=1000,
            help="Also run so many evenly spaced loads up to the bound, for the curves of a report; "
            "by default 8 with a .json file, else none.",
        ),
    ] = None,
    output: OutputOption = None,
    skip_bad_rows: SkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find the highest rate at which every tenant still meets its deadline."""
    from layerweaver.backend_sim.peak import peak

    _check_output(output)
    session = session_of(context)
    names = _policies_of(policies)
    with session.progress("searching") as progress:
        document = peak(
            scenario,
            names,
            queries=queries,
            seeds=seeds,
            tenant=tenant,
            jobs=jobs,
            curve=_curve(curve, output),
            skip_bad_rows=skip_bad_rows,
            progress=progress,
        )
    _deliver(session, document, output, as_json)
    if not as_json:
        screen = console()
        screen.print(peak_table(document))
        for note in peak_notes(document):
            screen.print(note)
    _finish([document])


def _traffic(
    scenario: ScenarioArgument,
    seed: SeedOption = None,
    skip_bad_rows: SkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print the arrivals as CSV: tenant,query,arrival_ns."""
    from layerweaver.backend_sim.simulate import traffic

    rows = traffic(scenario, seed, skip_bad_rows=skip_bad_rows)
    columns = ("tenant", "query", "arrival_ns")
    if as_json:
        print_document({"arrivals": [dict(zip(columns, row, strict=True)) for row in rows]})
        return
    first = list(islice(rows, 1))  # so that what is wrong from the start leaves no half-written table
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(chain(first, rows))


def _certify(
    context: typer.Context,
    scenario: ScenarioArgument,
    policy: PolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay the simulated completions through the official LoadGen and compare verdicts (unofficial)."""
    from layerweaver.backend_sim.certify.certify import certify

    with session_of(context).progress("certifying") as progress:
        document = certify(scenario, _policy(policy) if policy is not None else None, progress=progress)
    if as_json:
        print_document(document)
    else:
        console().print(certify_table(document))
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
        ("simulate", _simulate),
        ("compare", _compare),
        ("peak", _peak),
        ("traffic", _traffic),
        ("certify", _certify),
        ("policies", _policies),
    ):
        app.command(name, epilog=epilog(name))(command)
