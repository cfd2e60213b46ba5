"""Results of simulations as terminal tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from layerweaver.cli.render import number, percent
from layerweaver.cli.render_tokens import token_tables
from layerweaver.cli.session import plain_terminal, table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["certify_table", "comparison_tables", "outcome_tables", "peak_table", "policies_table"]

Document = Mapping[str, Any]


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _tenant_cells(tenant: Document, span_ms: tuple[float, float] | None) -> tuple[RenderableType, ...]:
    from layerweaver.cli.sparkline import sparkline

    latency = tenant["latency_ms"]
    histogram = tenant.get("latency_histogram")
    shape = ""
    if histogram is not None and span_ms is not None:
        shape = sparkline(histogram, width=_SHAPE_WIDTH, ascii_only=plain_terminal(), span_ms=span_ms)
    return (
        f"{tenant['qps']:.4g}",
        _ms(latency["p50"]),
        _ms(latency["p99"]),
        shape,
        _ms(tenant.get("deadline_ms")),
        percent(tenant["violation_rate"]),
        _verdict(tenant["verdict"]),
    )


def _verdict(verdict: str | None) -> RenderableType:
    from rich.text import Text

    return Text(verdict or "-", style={"VALID": "green", "INVALID": "red"}.get(verdict or "", ""))


def _span_ms(tenants: Iterable[Document]) -> tuple[float, float] | None:
    """Latencies that the distributions of one tenant under all policies are drawn over."""
    from layerweaver.cli.sparkline import common_range

    return common_range(tenant["latency_histogram"] for tenant in tenants if "latency_histogram" in tenant)


_SHAPE_WIDTH = 10

_TENANT_COLUMNS = [
    ("q/s", "right"),
    ("p50\nms", "right"),
    ("p99\nms", "right"),
    ("latency\n(log)", "left"),
    ("due\nms", "right"),
    ("late", "right"),
    ("verdict", "left"),
]


def _system_rows(documents: Sequence[Document]) -> Table:
    columns = [
        ("policy", "left"),
        ("STP", "right"),
        ("ANTT", "right"),
        ("compute", "right"),
        ("DRAM", "right"),
    ]
    columns += [("rows run", "right"), ("rows/s", "right")]
    grid = table("system", columns)
    for document in documents:
        system = document["system"]
        speed = document.get("run", {}).get("layers_per_s")
        grid.add_row(
            document["policy"],
            f"{system['stp']:.3f}",
            f"{system['antt']:.2f}" if system["antt"] is not None else "-",
            percent(system["compute_utilization"]),
            percent(system["dram_utilization"]),
            number(document["layers_executed"]),
            number(float(speed)) if speed is not None else "-",
        )
    return grid


def _headline(document: Document) -> str:
    bound = document["system"].get("bound_qps")
    offered = sum(tenant["arrived"] for tenant in document["tenants"]) / max(document["simulated_s"], 1e-12)
    simulated_s = document["simulated_s"]
    length = f"{simulated_s:,.0f}" if simulated_s >= 100 else f"{simulated_s:.3g}"
    text = f"{document['npu']}, {length} s simulated"
    return f"{text}, offered {offered / bound:.0%} of the bound of {bound:.4g} q/s" if bound else text


def outcome_tables(document: Document) -> Iterator[RenderableType]:
    """One simulation."""
    grid = table(f"{document['policy']} on {_headline(document)}", [("tenant", "left"), *_TENANT_COLUMNS])
    for tenant in document["tenants"]:
        grid.add_row(tenant["name"], *_tenant_cells(tenant, _span_ms([tenant])))
    yield grid
    yield ""
    for tokens in token_tables([document]):
        yield tokens
        yield ""
    yield _system_rows([document])
    yield ""
    idle = ", ".join(
        f"{cause.replace('_', ' ')} {percent(share)}" for cause, share in document["system"]["idle"].items()
    )
    yield f"idle: {idle}"
    if (energy_j := document["system"].get("energy_j")) is not None:
        each = (
            f"{tenant['name']} {value:.4g} mJ"
            for tenant in document["tenants"]
            if (value := tenant["energy_per_inference_mj"]) is not None
        )
        yield f"energy: {energy_j:.4g} J; per inference: {', '.join(each) or '-'}"
    for tenant in document["tenants"]:
        if tenant["reasons"]:
            yield f"{tenant['name']}: {'; '.join(tenant['reasons'])}"


def comparison_tables(document: Document) -> Iterator[RenderableType]:
    """Several policies under the same traffic, tenant by tenant."""
    runs: Sequence[Document] = document["runs"]
    grid = table(_headline(runs[0]), [("tenant", "left"), ("policy", "left"), *_TENANT_COLUMNS])
    for index, tenant in enumerate(runs[0]["tenants"]):
        span_ms = _span_ms(run["tenants"][index] for run in runs)
        for position, run in enumerate(runs):
            grid.add_row(
                tenant["name"] if position == 0 else "",
                run["policy"],
                *_tenant_cells(run["tenants"][index], span_ms),
                end_section=position == len(runs) - 1,
            )
    yield grid
    yield ""
    for tokens in token_tables(runs):
        yield tokens
        yield ""
    yield _system_rows(runs)
    yield ""


def peak_table(document: Document) -> Table:
    """Peak rates with their brackets."""
    columns = [("policy", "left"), ("peak q/s", "right"), ("sd", "right"), ("of bound", "right")]
    columns += [("bracket q/s", "right"), ("trials", "right")]
    grid = table(f"peak rate; bound {document['bound_qps']:.4g} q/s", columns)
    for row in document["results"]:
        low, high = row["bracket_qps"]
        grid.add_row(
            row["policy"],
            _ms(row["peak_qps"]) if row["peak_qps"] is None else f"{row['peak_qps']:.4g}",
            "-" if row["peak_qps_sd"] is None else f"{row['peak_qps_sd']:.2g}",
            percent(row["share_of_bound"]),
            " .. ".join("-" if edge is None else f"{edge:.4g}" for edge in (low, high)),
            str(row["trials"]),
        )
    return grid


def peak_notes(document: Document) -> list[str]:
    """What a table of peak rates does not say: where passing is not monotone in the load, what is missing."""
    notes = [
        f"{row['policy']}: not monotone: a load below {row['peak_qps']:.4g} q/s failed too; "
        "trial_points of --json has every load tried"
        for row in document["results"]
        if not row["monotone"]
    ]
    if document.get("interrupted"):
        notes.append("interrupted: brackets are as wide as they were then, and later policies are missing")
    return notes


def certify_table(document: Document) -> Table:
    """Our verdicts beside LoadGen's."""
    columns = [("tenant", "left"), ("ours", "left"), ("LoadGen", "left"), ("p99 ns", "right")]
    columns += [("LoadGen p99 ns", "right"), ("agree", "left")]
    grid = table("replayed through LoadGen (unofficial)", columns)
    for row in document["tenants"]:
        grid.add_row(
            row["name"],
            row["verdict"],
            row["loadgen_verdict"],
            f"{row['p99_ns']:,}",
            f"{row['loadgen_p99_ns']:,}",
            "yes" if row["agree"] else "NO",
        )
    return grid


def policies_table(rows: Sequence[Document]) -> Table:
    """Policies with their options."""
    grid = table("policies", [("name", "left"), ("rule", "left"), ("options", "left")])
    for row in rows:
        options = ", ".join(f"{name}={option['default']}" for name, option in row["options"].items())
        grid.add_row(row["name"], row.get("summary", ""), options)
    return grid
