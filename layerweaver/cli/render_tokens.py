"""Language models in terminal tables: tokens per second, times to and between tokens, and the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from layerweaver.cli.render import percent
from layerweaver.cli.session import table

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["token_tables"]

_COLUMNS = [
    ("tokens/s", "right"),
    ("TTFT\np50 ms", "right"),
    ("\np99 ms", "right"),
    ("TPOT\np50 ms", "right"),
    ("\np99 ms", "right"),
    ("good\nq/s", "right"),
    ("KV\nused", "right"),
    ("pre-\nempted", "right"),
]


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def token_tables(runs: Sequence[Any], names: Sequence[str] = ()) -> Iterator[Table]:
    """One table of all language models of some runs, tenant by tenant; none without any.

    Args:
        runs: The runs.
        names: What they are called; by default by their policies.
    """
    several = len(runs) > 1
    heading = [("tenant", "left"), *([("policy", "left")] if several else []), *_COLUMNS]
    grid = table("tokens", heading)
    for index, tenant in enumerate(runs[0]["tenants"]):
        if "llm" not in tenant:
            continue
        for run, name in zip(runs, names or [run["policy"] for run in runs], strict=True):
            shown = run["tenants"][index]["llm"]
            first, rest = shown["ttft_ms"], shown["tpot_ms"]
            grid.add_row(
                tenant["name"] if run is runs[0] else "",
                *([name] if several else []),
                f"{shown['tokens_out_per_s']:,.4g}",
                _ms(first["p50"]),
                _ms(first["p99"]),
                _ms(rest["p50"]),
                _ms(rest["p99"]),
                f"{shown['goodput_qps']:.3g}",
                percent(shown["kv_occupancy"]["mean"]),
                f"{shown['preemptions']:,}",
            )
    if grid.row_count:
        yield grid
