"""What repetitions with other seeds say, as tables of text: means with intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerweaver.backend_sim.results.metrics import TOKEN_METRICS, system_metrics, tenant_metrics
from layerweaver.backend_sim.results.schema.metric import Metric, Shown, shown
from layerweaver.backend_sim.results.schema.run import Difference, Run

__all__ = ["SpreadTable", "spread_tables", "spread_text"]


@dataclass(frozen=True, slots=True)
class SpreadTable:
    """A table whose cells are text; the first columns name their row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def spread_text(metric: Metric, spread: Mapping[str, object]) -> str:
    """A mean with its 95% interval: ``2.9 ± 0.1``, or both ends where it stops at what is possible.

    Where not all seeds have a value, it says how many do.
    """
    mean, (low, high) = metric.mean(spread), metric.interval(spread)
    if mean is None or low is None or high is None:
        return "-"
    values = metric.values(spread)
    known = sum(value is not None for value in values)
    of = f" of {known} seeds" if known < len(values) else ""
    half = mean - low
    if abs(high - mean - half) <= 1e-9 * max(1.0, abs(mean)):
        return f"{metric.text(mean)} ± {metric.text(half)}{of}"
    return f"{metric.text(mean)} ({metric.text(low)} to {metric.text(high)}){of}"


def spread_tables(
    runs: Sequence[Run], names: Sequence[str], differences: Sequence[Difference] = ()
) -> Iterator[SpreadTable]:
    """Tables of runs with repetitions; none without.

    Args:
        runs: The runs.
        names: What they are called.
        differences: Of a comparison, every further policy less the first.
    """
    metrics = shown(tenant_metrics(), Shown.TERMINAL | Shown.SPREAD)
    of_system = shown(system_metrics(), Shown.TERMINAL | Shown.SPREAD)
    repeated = [  # of one seed, after Ctrl-C, there is no spread
        (name, run["confidence"])
        for name, run in zip(names, runs, strict=True)
        if "confidence" in run and run.get("seeds", 0) > 1
    ]
    if not repeated:
        return
    tenants = [tenant["name"] for tenant in runs[0]["tenants"]]
    seeds = max(run.get("seeds", 0) for run in runs)
    spreads = [(name, found["tenants"]) for name, found in repeated]

    def by_tenant(
        title: str, metrics: Sequence[Metric], places: Iterable[int], named: Sequence[tuple[str, Any]]
    ) -> SpreadTable:
        rows = [
            (tenants[place], name, *(spread_text(metric, found[place]) for metric in metrics))
            for place in places
            for name, found in named
        ]
        return SpreadTable(title, ("tenant", "policy", *(metric.heading for metric in metrics)), tuple(rows))

    def of_machine(title: str, named: Sequence[tuple[str, Any]]) -> SpreadTable:
        rows = [
            (name, *(spread_text(metric, found["system"]) for metric in of_system)) for name, found in named
        ]
        return SpreadTable(title, ("policy", *(metric.heading for metric in of_system)), tuple(rows))

    every = range(len(tenants))
    title = (
        f"Mean and 95% interval over {seeds} seeds (tables that say no means: the first, status the worst)"
    )
    yield by_tenant(title, metrics, every, spreads)
    yield of_machine(f"The machine over {seeds} seeds", repeated)
    language = [place for place, tenant in enumerate(runs[0]["tenants"]) if "llm" in tenant]
    of_tokens = shown(TOKEN_METRICS, Shown.TERMINAL | Shown.SPREAD)
    if language:
        yield by_tenant(f"Tokens over {seeds} seeds", of_tokens, language, spreads)
    if differences:
        first = differences[0]["against"]
        less = [(name, item) for (name, _), item in zip(repeated[1:], differences, strict=False)]
        of_tenants = [(name, item["tenants"]) for name, item in less]
        title = f"Less {first}, seed by seed, shares in points: where an interval leaves 0 out, they differ"
        yield by_tenant(title, metrics, every, of_tenants)
        yield of_machine(f"The machine less {first}, seed by seed", less)
        if language:
            yield by_tenant(f"Tokens less {first}, seed by seed", of_tokens, language, of_tenants)
