"""Running a result again, from what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from layerweaver.backend_sim.results.certified import Certificate
from layerweaver.backend_sim.results.reading import ResultError, checked, read_documents
from layerweaver.backend_sim.results.schema.peak import Peak
from layerweaver.backend_sim.results.schema.run import MAX_RATE_FACTOR, Comparison, Run
from layerweaver.backend_sim.scenario.checks import check_rates
from layerweaver.backend_sim.scenario.provenance import (
    FOLDER,
    PLUGINS,
    SKIPPING,
    changed_files,
    start_of_paths,
    stated_keys,
)
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.study.certify.certify import certify
from layerweaver.backend_sim.study.inputs import own_policy
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import comparison_of, simulate_with
from layerweaver.ir.limits import MAX_QUERIES
from layerweaver.ir.plugin_hashes import PluginHash, changed_plugins

__all__ = ["differences", "rerun", "rerun_certificate", "rerun_peak", "rerun_table"]


@with_config(ConfigDict(extra="forbid", strict=True))
class _Search(TypedDict):
    """The key ``search`` of a result of ``peak``."""

    policies: Annotated[list[dict[str, object]], Field(min_length=1)]
    queries: int
    seeds: int
    tenant: str | None
    resolution: float
    curve: int


_RESULTS = "give a document that simulate, compare, peak or certify printed with --json"
_SEARCH: TypeAdapter[_Search] = TypeAdapter(_Search)
_PLUGINS: TypeAdapter[dict[str, PluginHash]] = TypeAdapter(
    Annotated[dict[Annotated[str, Field(pattern=r"^layerweaver\.")], PluginHash], Field(max_length=1000)]
)


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
    runs = read_documents([document], [where], _RESULTS).runs
    if not runs:
        raise ResultError("is no run", where=where, accepted="give a result of simulate or compare")
    return [_again(run.document, options or RunOptions(), where) for run in runs]


def rerun_peak(
    document: Mapping[str, Any], options: RunOptions | None = None, *, where: str = "result"
) -> Peak:
    """Search a peak again: same scenario, policies, options, seeds and settings.

    Args:
        document: A result of ``peak``, or ``scenario``, ``search`` and ``seed`` of one.
        options: Whether programs may run as policies, and how many processes; the rest is the result's.
        where: What errors call the result.

    Raises:
        ResultError: If the document does not say how it was made, or a file that it read has changed.
        LayerweaverError: If the scenario no longer runs.
    """
    asked, scenario = options or RunOptions(), _scenario(document, where)
    search = checked(document.get("search"), _SEARCH, where, "search")
    return peak(
        scenario,
        [own_policy(policy, asked.allow_code, scenario.path_of) for policy in search["policies"]],
        queries=search["queries"],
        seeds=search["seeds"],
        tenant=search["tenant"],
        seed=document.get("seed"),
        workers=asked.workers,
        resolution=search["resolution"],
        curve=search["curve"],
        skip_bad_rows=scenario.skip_bad_rows,
        allow_code=asked.allow_code,
    )


def rerun_certificate(
    document: Mapping[str, Any], options: RunOptions | None = None, *, where: str = "result"
) -> Certificate:
    """Certify again: same scenario, policy, options and seed, and LoadGen as it is installed.

    Args:
        document: What ``certify`` gave.
        options: Whether programs may run as policies, and who is told of progress; the rest is the result's.
        where: What errors call the result.

    Raises:
        ResultError: If the document does not say how it was made, or a file that it read has changed.
        LayerweaverError: If the scenario no longer runs, or LoadGen is missing.
    """
    asked, scenario = options or RunOptions(), _scenario(document, where)
    seed = document.get("seed")
    return certify(scenario, None, seed, progress=asked.compiling, allow_code=asked.allow_code)


def rerun_table(
    origins: Sequence[Mapping[str, Any]], options: RunOptions | None = None, *, where: str = "result"
) -> Peak | Comparison:
    """Run what a table holds again: the document whose CSV or Parquet is the same.

    Args:
        origins: How the table's results were made
            (:mod:`layerweaver.backend_sim.results.table_origin`).
        options: As for the others.
        where: What errors call the file.

    Raises:
        ResultError: If a file that was read has changed, or an origin is none.
        LayerweaverError: If the scenario no longer runs.
    """
    if "search" in origins[0]:
        return rerun_peak(origins[0], options, where=where)
    return comparison_of([_again(cast("Run", origin), options or RunOptions(), where) for origin in origins])


def _scenario(document: Mapping[str, Any], where: str) -> Scenario:
    """The scenario that a result names, if that ran to its end and its files are what they were."""
    if document.get("interrupted"):
        raise ResultError(
            "was interrupted, so no run gives it again",
            where=where,
            accepted="give a result that ran to its end; the same command makes one",
        )
    record = document.get("scenario")
    if not isinstance(record, Mapping):
        raise ResultError(
            "does not say how it was made", where=where, accepted="give a result that has the key 'scenario'"
        )
    plugins = checked(record.get(PLUGINS, {}), _PLUGINS, where, f"scenario.{PLUGINS}")
    folder, skipping = Path(str(record.get(FOLDER, ""))), bool(record.get(SKIPPING))
    if changed := [*changed_files(record), *changed_plugins(plugins)]:
        also = ", and install its plug-ins as they were" if plugins else ""
        raise ResultError(
            f"since this result was made: {', '.join(changed)}",
            where=where,
            accepted=f"give the files that it read; their paths start in {start_of_paths(folder)}{also}",
        )
    return load_scenario(stated_keys(record), folder=folder, skip_bad_rows=skipping)


def _again(run: Run, options: RunOptions, where: str) -> Run:
    scenario = _scenario(run, where)
    asked = replace(
        options,
        seed=run.get("seed"),
        seeds=run.get("seeds", 1),
        rate_factor=_rate_factor(run, scenario, where),
        skip_bad_rows=scenario.skip_bad_rows,
        details=run.get("details") is not None,
    )
    return simulate_with(scenario, None, asked)


def _rate_factor(run: Run, scenario: Scenario, where: str) -> float:
    """What a study's point multiplied the rates by, as far as it leaves an end in sight."""
    factor: object = run.get("rate_factor", 1.0)
    if factor == 1:
        return 1.0
    if not isinstance(factor, (int, float)) or not 0 < factor <= MAX_RATE_FACTOR:
        raise ResultError(f"rate_factor {str(factor)[:40]!r} is impossible", where=where)
    check_rates(scenario)
    for index, tenant in enumerate(scenario.spec.tenants):
        if factor * tenant.arrival.expected_queries(scenario.length(index)) > MAX_QUERIES:
            raise ResultError(
                f"rate_factor {factor:g} makes more than {MAX_QUERIES:,} queries of {tenant.name}",
                where=where,
            )
    return factor


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
