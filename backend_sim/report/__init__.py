"""Reports: one self-contained page, figures, sparklines and model pictures from result documents.

Everything is imported on first use, because plotly and matplotlib (the extra ``report``) are large.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layerweaver.backend_sim.report.collect import collect_details, record_traces
    from layerweaver.backend_sim.report.documents import ResultError, read_documents
    from layerweaver.backend_sim.report.graph_picture import write_graph_picture
    from layerweaver.backend_sim.report.page import build_report
    from layerweaver.backend_sim.report.results import (
        ComparisonResult,
        PeakResult,
        SimulationResult,
        as_result,
    )
    from layerweaver.backend_sim.report.roofline import roofline_figure, write_figure
    from layerweaver.backend_sim.report.sparklines import sparkline

__all__ = [
    "ComparisonResult",
    "PeakResult",
    "ResultError",
    "SimulationResult",
    "as_result",
    "build_report",
    "collect_details",
    "read_documents",
    "record_traces",
    "roofline_figure",
    "sparkline",
    "write_figure",
    "write_graph_picture",
]

_HOME = {
    "ComparisonResult": "results",
    "PeakResult": "results",
    "ResultError": "documents",
    "SimulationResult": "results",
    "as_result": "results",
    "build_report": "page",
    "collect_details": "collect",
    "read_documents": "documents",
    "record_traces": "collect",
    "roofline_figure": "roofline",
    "sparkline": "sparklines",
    "write_figure": "roofline",
    "write_graph_picture": "graph_picture",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
