"""What the commands that serve tenants share: options, policies as words, and handing over results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from layerweaver.cli.completion import complete_policies, complete_policy
from layerweaver.cli.outputs import named_file, note_output, spare, writes_files
from layerweaver.cli.session import Session, print_document
from layerweaver.ir.limits import MAX_SEEDS, MAX_WORKERS

if TYPE_CHECKING:
    from layerweaver.backend_sim.study.inputs import PolicyRef, ScenarioRef

__all__ = [
    "CodeOption",
    "DetailsOption",
    "ExampleOption",
    "OutputOption",
    "PoliciesOption",
    "PolicyOption",
    "RequestsOption",
    "ScenarioArgument",
    "SeedOption",
    "SeedsOption",
    "SkipOption",
    "WorkersOption",
    "deliver",
    "finish",
    "note_idle",
    "parse_policies",
    "parse_policy",
    "scenario_or_example",
    "sparing",
    "wants_details",
]

ScenarioArgument = Annotated[Path, typer.Argument(help="A scenario file (YAML).")]
ExampleOption = Annotated[
    str | None,
    typer.Option("--example", help="A built-in scenario instead: vision (default) or llm.", metavar="NAME"),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", help="Replace every tenant's seed by one derived from this (0 or more)."),
]
SeedsOption = Annotated[
    int, typer.Option("--seeds", min=1, max=MAX_SEEDS, help="Repetitions with derived seeds, for intervals.")
]
WorkersOption = Annotated[
    int,
    typer.Option("--workers", min=1, max=MAX_WORKERS, help="Processes; they change no byte of the result."),
]
SkipOption = Annotated[bool, typer.Option("--skip-bad-rows", help="Skip and count bad rows of traces.")]


def _result_file(context: typer.Context, option: typer.CallbackParam, path: Path | None) -> Path | None:
    if path is not None:
        from layerweaver.backend_sim.results.files import check_result_path

        check_result_path(path)
        note_output(context, option, path)
    return path


CodeOption = Annotated[
    bool,
    typer.Option("--allow-code", help="Run a policy that the scenario gives as a Python file."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write the result to this file (.json, .csv or .parquet).",
        callback=_result_file,
    ),
]
RequestsOption = Annotated[
    Path | None,
    typer.Option(
        "--requests",
        help="Write what became of every request (.csv), per policy.",
        metavar="<path>",
        callback=named_file(".csv"),
    ),
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
        help="A policy's name, or a Python file, which is run; options after colons "
        "(layerweaver+:margin_us=50); default: the scenario's.",
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


def scenario_or_example(scenario: Path | None, example: str | None) -> ScenarioRef:
    """The scenario file, or the built-in one that was named; None for the default.

    Raises:
        typer.BadParameter: If both are given.
        ScenarioError: If there is no such example.
    """
    if example is None:
        return scenario
    if scenario is not None:
        raise typer.BadParameter("give a scenario file or --example, not both")
    from layerweaver.backend_sim.scenario.reading import builtin_scenario

    return builtin_scenario(example)


def sparing(context: typer.Context, scenario: ScenarioRef) -> ScenarioRef:
    """A scenario that is read before the work, where files of it might be written over.

    Raises:
        OutputError: If an option writes the scenario, or a file that it names.
    """
    if not writes_files(context):
        return scenario
    from layerweaver.backend_sim.scenario.provenance import scenario_files
    from layerweaver.backend_sim.study.inputs import as_scenario

    checked = as_scenario(scenario)
    own = scenario if isinstance(scenario, (str, Path)) else None
    spare(context, [own, *(checked.path_of(text) for text in scenario_files(checked))])
    return checked


def parse_policy(text: str) -> PolicyRef:
    """Read ``NAME[:OPTION=VALUE...]``.

    Raises:
        typer.BadParameter: If it has another form.
    """
    from layerweaver.ir import PolicyError
    from layerweaver.scheduler.policies.words import read_policy_words

    try:
        return read_policy_words(text)
    except PolicyError as error:
        raise typer.BadParameter(error.what) from None


def parse_policies(text: str | None) -> list[PolicyRef] | None:
    """Read a comma list of :func:`parse_policy` words; None stays None."""
    if text is None:
        return None
    names = [name for name in text.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter("--policies names no policy; see 'layerweaver policies'")
    return [parse_policy(name) for name in names]


def wants_details(details: bool | None, output: Path | None, as_json: bool) -> bool:
    """A report is made of result files, so these have what it draws unless they shall not.

    Raises:
        typer.BadParameter: If details are asked for and nothing can hold them.
    """
    if details and output is None and not as_json:
        raise typer.BadParameter("--details are in no table; give -o FILE.json or --json")
    if details and output is not None and output.suffix in {".csv", ".parquet"}:
        raise typer.BadParameter(f"{output} cannot hold --details; give a .json file")
    return output is not None and output.suffix == ".json" if details is None else details


def _without_details(document: Mapping[str, Any]) -> dict[str, Any]:
    if "runs" in document:
        return {**document, "runs": [_without_details(run) for run in document["runs"]]}
    return {key: value for key, value in document.items() if key != "details"}


def deliver(
    session: Session,
    document: Mapping[str, Any],
    output: Path | None,
    as_json: bool,
    details: bool | None = None,
) -> None:
    """Write a result to its file and print it when JSON was asked for, small unless with ``--details``."""
    if output is not None:
        from layerweaver.backend_sim.results.files import save_result

        save_result(document, output)
        session.note(f"wrote {output}")
    if as_json:
        print_document(document if details else _without_details(document))


def note_idle(session: Session, workers: int, runs: int, what: str) -> None:
    """Say that further processes had nothing to do."""
    if workers > 1 and runs == 1:
        session.note(f"--workers {workers} changes nothing: there is one {what}")


def finish(documents: Sequence[Mapping[str, Any]]) -> None:
    """Leave with the exit code of an interruption if anything was interrupted."""
    if any(document.get("interrupted") for document in documents):
        raise typer.Exit(130)
