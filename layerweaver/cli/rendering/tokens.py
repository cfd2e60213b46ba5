"""Language models in terminal tables: tokens per second, times to and between tokens, and the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from layerweaver.cli.session import table

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["token_tables"]


def token_tables(runs: Sequence[Any], names: Sequence[str] = ()) -> Iterator[Table]:
    """One table of all language models of some runs, tenant by tenant; none without any.

    Args:
        runs: The runs.
        names: What they are called; by default by their policies.
    """
    from layerweaver.backend_sim.results.metrics import TOKEN_METRICS
    from layerweaver.backend_sim.results.schema.metric import Shown, shown

    several, metrics = len(runs) > 1, shown(TOKEN_METRICS, Shown.TERMINAL)
    # Headings stand in two lines, so that eight columns fit a narrow terminal.
    columns = [("\n".join(metric.heading.split(" ", 1)), "right") for metric in metrics]
    heading = [("tenant", "left"), *([("policy", "left")] if several else []), *columns]
    grid = table("tokens", heading)
    for index, tenant in enumerate(runs[0]["tenants"]):
        if "llm" not in tenant:
            continue
        for run, name in zip(runs, names or [run["policy"] for run in runs], strict=True):
            grid.add_row(
                tenant["name"] if run is runs[0] else "",
                *([name] if several else []),
                *(metric.text(metric.of(run["tenants"][index])) for metric in metrics),
            )
    if grid.row_count:
        yield grid
