"""Running a result again, from what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from layerweaver.backend_sim.results.reading import ResultError, read_documents
from layerweaver.backend_sim.results.schema import Run
from layerweaver.backend_sim.scenario.provenance import FOLDER, SKIPPING, changed_files, stated_keys
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import simulate_with

__all__ = ["differences", "rerun"]


def rerun(
    document: Mapping[str, object], options: RunOptions | None = None, *, where: str = "result"
) -> list[Run]:
    """Run a result of ``simulate`` or ``compare`` again: same scenario, policies, options and seeds.

    Args:
        document: The result. Paths in it are relative to the present folder, as they were when it was made.
        options: Who is told of progress; the rest is the result's.
        where: What errors call the result.

    Returns:
        Its runs; outside of the key ``run`` their bytes are the same, on every machine.

    Raises:
        ResultError: If the document does not say how it was made, or a file that it read has changed.
        LayerweaverError: If the scenario no longer runs.
    """
    runs = read_documents([document], [where]).runs
    if not runs:
        raise ResultError("is no run", where=where, accepted="give a result of simulate or compare")
    return [_again(run.document, options or RunOptions(), where) for run in runs]


def _again(run: Run, options: RunOptions, where: str) -> Run:
    record = run.get("scenario")
    if record is None:
        raise ResultError(
            "does not say how it was made", where=where, accepted="give a result that has the key 'scenario'"
        )
    if changed := changed_files(record):
        raise ResultError(
            f"{', '.join(changed)} changed since this result was made, or cannot be read any more",
            where=where,
            accepted=f"give the files that it read, in {record[FOLDER]}",
        )
    scenario = load_scenario(stated_keys(record), folder=Path(str(record[FOLDER])))
    asked = replace(
        options,
        seed=run.get("seed"),
        seeds=run.get("seeds", 1),
        skip_bad_rows=bool(record.get(SKIPPING)),
        details=run.get("details") is not None,
    )
    return simulate_with(scenario, None, asked)


def differences(before: object, after: object, place: str = "") -> Iterator[str]:
    """Where two documents differ outside of ``run``, as dotted places."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            if key != "run":
                yield from differences(
                    before.get(key), after.get(key), f"{place}.{key}" if place else str(key)
                )
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, two) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, two, f"{place}.{number}")
    elif before != after:
        yield place
