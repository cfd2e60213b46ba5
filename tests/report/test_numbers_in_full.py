"""No figure below a million is shown as a power of ten: not by its size, and not by being rounded up."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import layerweaver
from layerweaver.backend_sim.report import markup
from layerweaver.backend_sim.results.naming import run_names
from layerweaver.backend_sim.results.schema.metric import Form, Metric, Shown
from layerweaver.backend_sim.results.schema.token import limits_text
from layerweaver.backend_sim.results.searches import rate
from layerweaver.cli.rendering.notes import run_notes
from layerweaver.cli.rendering.tables import npus_table, number, rows_table

POWER = re.compile(r"\de[+-]?\d")
LARGE = (99.97, 999.5, 999.96, 9999.6, 9_999.97, 12_345.6, 99_999.7, 999_999.0)


def _metric(form: Form) -> Callable[[float], str]:
    return lambda value: Metric("key", "title", form, Shown.NOWHERE, "").text(value)


def _cells(grid: Any) -> str:
    return " ".join(str(cell) for column in grid.columns for cell in column.cells)


def _npu(value: float) -> str:
    keys = ("peak_tops", "dram_gb_s", "dram_reached_gb_s", "ridge_ops_per_byte")
    return _cells(
        npus_table([{"name": "n", "evidence": "", "held_out_mape": None, **dict.fromkeys(keys, value)}])
    )


def _named(value: float) -> str:
    runs: Any = [{"policy": "edf", "system": {"offered_qps": each}} for each in (value, 2 * value)]
    return " ".join(run_names(runs))


def _noted(value: float) -> str:
    tenant = {
        "name": "t",
        "energy_per_inference_mj": value,
        "early_stopping_ms": {"p99": value},
        "dropped": 0,
    }
    run: Any = {"policy": "edf", "system": {"energy_j": value}, "tenants": [tenant]}
    return " ".join(run_notes(run))


SHOWN: dict[str, Callable[[float], str]] = {
    **{f"metric {form.name}": _metric(form) for form in (Form.NUMBER, Form.RATIO)},
    "rate": rate,
    "count": number,
    "page": markup.number,
    "rows": lambda value: _cells(rows_table("", [{"key": value, "mape": value / 100}])),
    "npus": _npu,
    "limits": lambda value: " ".join(
        limits_text({"mode": "strict", "ttft_ms": value, "tpot_ms": None, "itl_ms": None})
    ),
    "names": _named,
    "notes": _noted,
}


@pytest.mark.parametrize("value", LARGE)
@pytest.mark.parametrize("place", SHOWN)
def test_large_figures_are_written_out(place: str, value: float) -> None:
    shown = SHOWN[place](value)
    assert re.search(r"\d", shown)
    assert not POWER.search(shown)


def test_hovering_writes_figures_out_too() -> None:
    """Formats of the page's charts: r has the digits of g, and no powers of ten."""
    folder = Path(layerweaver.__file__).parent / "backend_sim" / "report"
    sources = [*folder.rglob("*.py"), *folder.rglob("*.js")]
    assert len(sources) > 10
    assert [path.name for path in sources if re.search(r"%\{[^}]*:[^}]*g\}", path.read_text("utf-8"))] == []
