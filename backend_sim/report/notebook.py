"""Results for notebooks: documents that become data frames, tables and figures."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from layerweaver.backend_sim.report.markup import Cell, Table, number, table_markup
from layerweaver.backend_sim.results.files import of_one_type, option_cells
from layerweaver.backend_sim.results.metrics import TOKEN_METRICS, tenant_metrics
from layerweaver.backend_sim.results.reading import Documents, LabelledRun, ResultError, read_documents
from layerweaver.backend_sim.results.schema.metric import Shown, Value, shown
from layerweaver.ir import OutputError, write_text
from layerweaver.ir.given import PATHS, check_given
from layerweaver.ir.spelling import nearest

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["ComparisonResult", "PeakResult", "SimulationResult", "as_result", "data_frame"]


def data_frame(columns: Sequence[str], rows: Iterable[Sequence[Any]], library: str | None = None) -> Any:
    """Rows as a pandas or polars data frame, whichever is installed; pandas if both are.

    Args:
        columns: Their names.
        rows: Cells, in the order of the columns.
        library: ``"pandas"`` or ``"polars"`` to insist.

    Raises:
        OutputError: If neither is installed, or it is another library.
    """
    if library not in (None, "pandas", "polars"):
        raise OutputError(f"{str(library)[:60]!r} is no library of data frames", accepted="pandas or polars")
    for name in (library,) if library else ("pandas", "polars"):
        if importlib.util.find_spec(name) is not None:
            made = importlib.import_module(name)
            if name == "pandas":
                return made.DataFrame(rows, columns=list(columns))
            cells = zip(*rows, strict=True)
            return made.DataFrame(dict(zip(columns, map(of_one_type, cells), strict=False)), strict=False)
    raise OutputError(
        f"{library or 'neither pandas nor polars'} is not installed",
        accepted="pip install 'layerweaver[data]'",
    )


_IN_TEXT = {
    *("policy", "tenant", "qps", "p50_ms", "p99_ms", "deadline_ms", "violation_rate", "status"),
    *("peak_qps", "share_of_bound", "bound_qps"),
}
_MOST_LINES = 40
_ORIGIN = ("policy_options", "seed", "seeds", "rate_factor", "scenario", "search", "interrupted")


class _Result(Mapping[str, Any]):
    """A document that reads like the mapping it is."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.read: Documents = read_documents([document])

    def __getitem__(self, key: str) -> Any:
        return self.document[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.document)

    def __len__(self) -> int:
        return len(self.document)

    @abstractmethod
    def rows(self) -> list[dict[str, Value]]:
        """The table behind :meth:`to_dataframe`."""

    def to_dataframe(self, library: str | None = None) -> Any:
        """The result as a data frame; see :func:`data_frame`.

        Of pandas, ``attrs["origins"]`` has :attr:`origins`; polars' frames have no place for them.
        """
        columns, cells = self._table()
        frame = data_frame(columns, cells, library)
        if hasattr(frame, "attrs"):
            frame.attrs["origins"] = self.origins
        return frame

    def _table(self) -> tuple[tuple[str, ...], list[list[Cell]]]:
        """The columns of all rows, such as options that only some policies have, and the cells."""
        rows = self.rows()
        columns = tuple(dict.fromkeys(name for row in rows for name in row))
        return columns, [[row.get(name) for name in columns] for row in rows]

    @property
    def origins(self) -> dict[str, dict[str, Any]]:
        """How each run was made, by its name: scenario, options and seeds."""
        return {
            name: {key: made[key] for key in _ORIGIN if made.get(key) is not None}
            for name, made in self._made()
        }

    def _made(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What a document holds, by name."""
        for run in self.read.runs:
            yield run.label, cast("Mapping[str, Any]", run.document)
        for peak in self.read.peaks:
            yield "peak", cast("Mapping[str, Any]", peak)

    def __repr__(self) -> str:
        rows = self.rows()
        columns = [name for name in (rows[0] if rows else ()) if name in _IN_TEXT]
        lines = [columns, *([number(row[name]) for name in columns] for row in rows[:_MOST_LINES])]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
        ]
        more = [f"({len(rows) - _MOST_LINES:,} more)"] if len(rows) > _MOST_LINES else []
        return "\n".join([type(self).__name__, *(line.rstrip() for line in text), *more])

    def _repr_html_(self) -> str:
        columns, cells = self._table()
        return table_markup(Table(type(self).__name__, columns, cells))

    def to_html(self, title: str = "layerweaver report") -> str:
        """The whole report as one page."""
        from layerweaver.backend_sim.report.page import build_report  # noqa: PLC0415 - loads plotly

        return build_report([self.document], title=title)

    def save_html(self, path: Path | str, title: str = "layerweaver report") -> None:
        """Write the report."""
        check_given(path, PATHS, OutputError, "give the path of a file")
        write_text(Path(path), self.to_html(title))


def _tenant_rows(runs: tuple[LabelledRun, ...]) -> list[dict[str, Value]]:
    rows = []
    tokens = any("llm" in tenant for run in runs for tenant in run.tenants)
    metrics = (*tenant_metrics(), *(TOKEN_METRICS if tokens else ()))
    for run in runs:
        spreads, means = run.document.get("confidence"), run.document.get("means")
        for index, tenant in enumerate(run.tenants):
            options = option_cells(run.document)
            row: dict[str, Value] = {"policy": run.label, **options, "tenant": tenant["name"]}
            for metric in shown(metrics, Shown.FRAME):
                row[metric.column] = metric.of(tenant)
                if spreads and Shown.SPREAD in metric.shown:
                    spread = spreads["tenants"][index]
                    low, high = metric.interval(spread)
                    row[metric.column] = row[metric.column] if low is None else metric.mean(spread)
                    row |= {f"{metric.column}_low": low, f"{metric.column}_high": high}
                elif means and metric.key in means["tenants"][index]:
                    row[f"{metric.column}_mean"] = means["tenants"][index][metric.key]
            rows.append(row)
    return rows


def _needed(figure: go.Figure | None, what: str) -> go.Figure:
    if figure is None:
        raise ResultError(f"has nothing to draw {what} from", accepted="simulate with details")
    return figure


class ComparisonResult(_Result):
    """Runs of several policies: one row per policy and tenant."""

    def rows(self) -> list[dict[str, Value]]:
        """One row per policy and tenant."""
        return _tenant_rows(self.read.runs)

    @property
    def runs(self) -> list[SimulationResult]:
        """Every run by itself."""
        return [SimulationResult(run.document) for run in self.read.runs]

    def plot_latency(self, tenant: str) -> go.Figure:
        """Share of a tenant's requests slower than a latency, a line per policy."""
        from layerweaver.backend_sim.report.charts.latency import latency_figure  # noqa: PLC0415

        names = list(dict.fromkeys(str(one["name"]) for run in self.read.runs for one in run.tenants))
        if tenant not in names:
            raise ResultError(
                f"there is no tenant {str(tenant)[:60]!r}", accepted=nearest(str(tenant), names)
            )
        return _needed(latency_figure(self.read.runs, tenant), f"latencies of {tenant!r}")

    def plot_utilization(self) -> go.Figure:
        """Where the time of both engines went, a bar per policy."""
        from layerweaver.backend_sim.report.charts.machine import idle_figure  # noqa: PLC0415

        return idle_figure(self.read.runs)


class SimulationResult(ComparisonResult):
    """One run: one row per tenant."""

    def plot_timeline(self) -> go.Figure:
        """The window of the schedule that the details hold."""
        from layerweaver.backend_sim.report.charts.timeline import timeline_figure  # noqa: PLC0415

        return _needed(timeline_figure(self.read.runs[0]), "a timeline")

    def plot_activity(self) -> go.Figure:
        """What both engines did over time."""
        from layerweaver.backend_sim.report.charts.inside import activity_figure  # noqa: PLC0415

        return _needed(activity_figure(self.read.runs[0]), "utilization over time")

    def plot_requests(self) -> go.Figure:
        """Requests in the system over time, with lost deadlines."""
        from layerweaver.backend_sim.report.charts.inside import lateness_figure  # noqa: PLC0415

        return _needed(lateness_figure(self.read.runs[0]), "requests over time")


class PeakResult(_Result):
    """Peak rates: one row per policy."""

    def rows(self) -> list[dict[str, Value]]:
        """One row per policy."""
        return [
            {
                "policy": row["policy"],
                **option_cells(row),
                "peak_qps": row["peak_qps"],
                "peak_qps_sd": row.get("peak_qps_sd"),
                "peak_qps_low": row.get("peak_qps_low"),
                "peak_qps_high": row.get("peak_qps_high"),
                "share_of_bound": row.get("share_of_bound"),
                "status": row.get("status"),
                "bound_qps": peak["bound_qps"],
            }
            for peak in self.read.peaks
            for row in peak["results"]
        ]

    def plot_peak(self) -> go.Figure:
        """Peak rate of every policy beside the bound."""
        from layerweaver.backend_sim.report.charts.load import peak_figure  # noqa: PLC0415

        return peak_figure(self.read.peaks[0])


def as_result(document: Mapping[str, Any]) -> SimulationResult | ComparisonResult | PeakResult:
    """Wrap a document of ``simulate``, ``compare`` or ``peak``.

    Raises:
        ResultError: If it is none of these or damaged.
    """
    if not isinstance(document, Mapping):
        raise ResultError(
            f"is {type(document).__name__}, no result",
            where="document",
            accepted="give the mapping that simulate, compare or peak made",
        )
    if "runs" in document:
        return ComparisonResult(document)
    if "results" in document:
        return PeakResult(document)
    return SimulationResult(document)
