"""``simulate`` and ``compare``: serve tenants under traffic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layerweaver.backend_sim.results.told import told_by
from layerweaver.cli.manual import epilog
from layerweaver.cli.outputs import named_file
from layerweaver.cli.rendering.results import comparison_tables, outcome_tables
from layerweaver.cli.serving import (
    CodeOption,
    DetailsOption,
    ExampleOption,
    OutputOption,
    PoliciesOption,
    PolicyOption,
    RequestsOption,
    SeedOption,
    SeedsOption,
    SkipOption,
    WorkersOption,
    deliver,
    finish,
    note_idle,
    parse_policies,
    parse_policy,
    scenario_or_example,
    sparing,
    wants_details,
)
from layerweaver.cli.session import JsonOption, Session, console, session_of

if TYPE_CHECKING:
    from layerweaver.backend_sim.study.inputs import PolicyRef, ScenarioRef
    from layerweaver.backend_sim.study.repeat import RunOptions

__all__ = ["register"]


def _simulate(
    context: typer.Context,
    scenario: Annotated[Path | None, typer.Argument(help="A scenario file; default: a built-in one.")] = None,
    example: ExampleOption = None,
    policy: PolicyOption = None,
    seed: SeedOption = None,
    seeds: SeedsOption = 1,
    workers: WorkersOption = 1,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace",
            help="Write a Perfetto trace (.json or .json.gz).",
            callback=named_file(".json", ".json.gz"),
        ),
    ] = None,
    trace_window: Annotated[
        str | None,
        typer.Option("--trace-window", help="Part to trace or log, for example 10ms:20ms.", metavar="A:B"),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            help="Write every decision and its reason (.csv).",
            metavar="<path>",
            callback=named_file(".csv"),
        ),
    ] = None,
    requests: RequestsOption = None,
    details: DetailsOption = None,
    output: OutputOption = None,
    skip_bad_rows: SkipOption = False,
    allow_code: CodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a scenario; without one, compare policies on a built-in example."""
    session = session_of(context)
    if trace_window is not None and trace is None and log is None:
        raise typer.BadParameter("--trace-window needs --trace or --log")
    chosen = sparing(context, scenario_or_example(scenario, example))
    from layerweaver.backend_sim.study.repeat import RunOptions
    from layerweaver.backend_sim.study.simulate import simulate_with

    options = RunOptions(
        seed=seed,
        seeds=seeds,
        workers=workers,
        skip_bad_rows=skip_bad_rows,
        allow_code=allow_code,
        trace=trace,
        trace_window=trace_window,
        log=log,
        requests=requests,
        details=wants_details(details, output, as_json),
        announce=lambda size: session.note(f"writing {trace}, about {size:,} bytes"),
        wrote=lambda path: session.note(f"wrote {path}"),
    )
    if scenario is None and policy is None and trace is None and log is None:
        _run_comparison(session, chosen, None, options, output, as_json, details)
        return
    with session.simulation_progress("simulating") as (compiling, progress):
        document = simulate_with(
            chosen,
            parse_policy(policy) if policy is not None else None,
            replace(options, progress=progress, compiling=compiling),
        )
    session.warn(document.get("warnings", []))
    note_idle(session, workers, seeds, "run")
    deliver(session, document, output, as_json, details)
    if not as_json:
        screen = console()
        for item in outcome_tables(document):
            screen.print(item)
    finish([document])


def _run_comparison(
    session: Session,
    scenario: ScenarioRef,
    policies: list[PolicyRef] | None,
    options: RunOptions,
    output: Path | None,
    as_json: bool,
    details: bool | None,
) -> None:
    from layerweaver.backend_sim.results.naming import run_names
    from layerweaver.backend_sim.study.simulate import compare_with

    with session.simulation_progress("simulating") as (compiling, progress):
        document = compare_with(scenario, policies, replace(options, progress=progress, compiling=compiling))
    runs = document["runs"]
    session.warn(told_by(run_names(runs), [run.get("warnings", []) for run in runs]))
    if not any(run.get("interrupted") for run in runs):
        note_idle(session, options.workers, len(runs) * options.seeds, "run")
    deliver(session, document, output, as_json, details)
    if not as_json:
        screen = console()
        for item in comparison_tables(document):
            screen.print(item)
    finish(runs)


def _compare(
    context: typer.Context,
    scenario: Annotated[Path | None, typer.Argument(help="A scenario file; default: a built-in one.")] = None,
    example: ExampleOption = None,
    policies: PoliciesOption = None,
    seed: SeedOption = None,
    seeds: SeedsOption = 1,
    workers: WorkersOption = 1,
    requests: RequestsOption = None,
    details: DetailsOption = None,
    output: OutputOption = None,
    skip_bad_rows: SkipOption = False,
    allow_code: CodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a scenario under several policies with the same traffic."""
    session = session_of(context)
    names = parse_policies(policies)
    from layerweaver.backend_sim.study.repeat import RunOptions

    options = RunOptions(
        seed=seed,
        seeds=seeds,
        workers=workers,
        skip_bad_rows=skip_bad_rows,
        allow_code=allow_code,
        requests=requests,
        details=wants_details(details, output, as_json),
        wrote=lambda path: session.note(f"wrote {path}"),
    )
    chosen = sparing(context, scenario_or_example(scenario, example))
    _run_comparison(session, chosen, names, options, output, as_json, details)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (
        ("simulate", _simulate),
        ("compare", _compare),
    ):
        app.command(name, epilog=epilog(name))(command)
