"""What stands below the tables of results, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from layerweaver.backend_sim.results.options import options_of_runs
from layerweaver.backend_sim.results.spans import notes_beside_spans, span_notes
from layerweaver.backend_sim.results.told import of_seeds, told_by
from layerweaver.cli.rendering.tables import percent
from layerweaver.ir.text import figure
from layerweaver.ir.units import ENERGY_COUNTS

if TYPE_CHECKING:
    from layerweaver.backend_sim.results.certified import CertifiedTenant
    from layerweaver.backend_sim.results.schema.run import Run
    from layerweaver.backend_sim.results.schema.tenant import Tenant

__all__ = ["comparison_notes", "missing_queries", "run_notes"]


_MOST_REASONS = 20


def run_notes(run: Run) -> Iterator[str]:
    """Options, idle time, energy, what was dropped and what is missing; of seeds most is of the first."""
    first = of_seeds([run])
    yield from options_of_runs([run["policy"]], [run])
    idle = ", ".join(
        f"{cause.replace('_', ' ')} {percent(share)}"
        for cause, share in run["system"].get("idle", {}).items()
    )
    yield f"idle{first}: {idle}"
    if (energy_j := run["system"].get("energy_j")) is not None:
        each = ", ".join(
            f"{tenant['name']} {figure(value)} mJ"
            for tenant in run["tenants"]
            if (value := tenant.get("energy_per_inference_mj")) is not None
        )
        yield f"energy{first}: {figure(energy_j)} J; per inference: {each or '-'} ({ENERGY_COUNTS})"
    for tenant in run["tenants"]:
        sure = [
            f"{name} {figure(value, 4)} ms"
            for name, value in tenant.get("early_stopping_ms", {}).items()
            if value
        ]
        if sure:
            name, most = tenant["name"], ", ".join(sure)
            yield f"{name}{first}: with 99% confidence at most {most} (MLPerf's early stopping)"
    yield from _dropped([run["policy"]], [run])
    yield from _some(missing_queries(run["tenants"]))
    yield from span_notes([run["policy"]], [run])
    yield from notes_beside_spans(run)


def missing_queries(tenants: Iterable[Tenant | CertifiedTenant]) -> Iterator[str]:
    """Why a tenant is not valid, and what is missing."""
    for tenant in tenants:
        if reasons := tenant.get("reasons"):
            yield f"{tenant['name']}: {'; '.join(reasons)}"


def _dropped(names: Sequence[str], runs: Sequence[Run]) -> Iterator[str]:
    """How many requests were dropped, in one line; nothing where none was."""
    parts = [
        f"{name + ': ' if len(runs) > 1 else ''}{tenant['name']} {tenant['dropped']:,}"
        + (f" ({gone:,} timed out)" if (gone := tenant.get("timed_out")) else "")
        for name, run in zip(names, runs, strict=True)
        for tenant in run["tenants"]
        if tenant["dropped"]
    ]
    if parts:
        yield f"dropped{of_seeds(runs)}: {', '.join(parts)}"


def comparison_notes(names: Sequence[str], runs: Sequence[Run]) -> Iterator[str]:
    """Options, what was dropped, whose runs were too short under which policies, and what all runs note."""
    yield from options_of_runs(names, runs)
    yield from _dropped(names, runs)
    yield from _some(_too_short(names, runs))
    yield from span_notes(names, runs)
    yield from told_by(names, [notes_beside_spans(run) for run in runs])


def _some(lines: Iterable[str]) -> Iterator[str]:
    """As many lines as can be read, and how many more there are."""
    every = list(lines)
    yield from every[:_MOST_REASONS]
    if (more := len(every) - _MOST_REASONS) > 0:
        yield f"({more:,} more: reasons of every tenant in --json)"


def _too_short(names: Sequence[str], runs: Sequence[Run]) -> Iterator[str]:
    """What is missing of the tenants of whom nothing else is wrong, and under which policies."""
    for index, tenant in enumerate(runs[0]["tenants"]):
        short: dict[str, list[str]] = {}
        for name, run in zip(names, runs, strict=True):
            if run["tenants"][index].get("status") == "too_short":
                short.setdefault("; ".join(run["tenants"][index].get("reasons", ())), []).append(name)
        for reason, under in short.items():
            policies = "" if len(under) == len(runs) else f" under {', '.join(under)}"
            yield f"{tenant['name']}{policies}: {reason}"
