"""Language models in reports, tables and data frames."""

from __future__ import annotations

import csv
import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from oracles.timed_chat import chat_scenario
from rich.table import Table

from layerweaver.backend_sim.report.notebook import SimulationResult
from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.results.files import result_csv
from layerweaver.backend_sim.results.spreads import spread_tables
from layerweaver.backend_sim.study.repeat import RunOptions
from layerweaver.backend_sim.study.simulate import compare, simulate_with
from layerweaver.cli.rendering.results import outcome_tables

TIMINGS = {
    "clock_mhz": 1000,
    "token_cycles": {"tokens": [1, 100], "cycles": [1000, 2000]},
    "sequence_cycles": {"sequences": [1, 2], "cycles": [40, 42]},
}
CARD = {
    "name": "card",
    "clock_mhz": 1000,
    "array": {"rows": 128, "columns": 128},
    "dram": {"bandwidth_gb_s": 1008},
    "sram": {"weights_mb": 10},
    "fits_activations": True,
}


@pytest.fixture(name="document", scope="module")
def _document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    file: Path = tmp_path_factory.mktemp("tokens") / "timings.yaml"
    file.write_text(yaml.safe_dump(TIMINGS))
    chat = {
        "name": "chat",
        "model": {"timings": str(file)},
        "llm": {"kv": {"blocks": 100}},
        "lengths": {"prompt": 50, "output": 5},
        "deadline": {"ttft_ms": 0.002, "tpot_ms": 0.0011},
        "arrival": {"kind": "poisson", "qps": 150_000, "seed": 1},
    }
    scenario = {"npu": CARD, "min_queries": 200, "tenants": [chat]}
    return simulate_with(scenario, "fcfs", RunOptions(seeds=3, details=True))


def test_details_add_up(document: Any) -> None:
    (tokens,) = document["details"]["tokens"]
    assert sum(tokens["ttft"]["counts"]) == sum(tokens["tpot"]["counts"]) == 200
    edges, rates = tokens["over_time"]["edges_ms"], tokens["over_time"]["tokens_per_s"]
    steps = [second - first for first, second in pairwise(edges)]
    made = sum(rate * step / 1e3 for rate, step in zip(rates, steps, strict=True))
    assert made == pytest.approx(1000)
    assert 0 < max(tokens["over_time"]["cache_share"]) <= document["tenants"][0]["llm"]["kv_occupancy"]["max"]
    assert len(tokens["iterations"]["members"]) == document["tenants"][0]["llm"]["iterations"]
    # Every prompt fits one iteration, so a request is a member once for every token of its output.
    assert sum(tokens["iterations"]["members"]) == 1000


@pytest.mark.parametrize(
    "arrival", [{"kind": "poisson", "qps": 50, "seed": 1}, {"kind": "offline", "samples": 4}]
)
def test_a_model_that_takes_no_time_has_a_result_and_a_page(tmp_path: Path, arrival: dict[str, Any]) -> None:
    file = tmp_path / "timings.yaml"
    nothing = {
        "token_cycles": {"tokens": [1], "cycles": [0]},
        "sequence_cycles": {"sequences": [1], "cycles": [0]},
    }
    file.write_text(yaml.safe_dump({"clock_mhz": 1000, **nothing}))
    chat = {
        "name": "chat",
        "model": {"timings": str(file)},
        "llm": {"kv": {"blocks": 100}},
        "lengths": {"prompt": 10, "output": 5},
        "arrival": arrival,
    }
    options = RunOptions(details=True, trace=tmp_path / "t.json", log=tmp_path / "log.csv")
    document = simulate_with({"npu": CARD, "min_queries": 4, "tenants": [chat]}, "fcfs", options)
    json.dumps(document, allow_nan=False)
    assert document["tenants"][0]["completed"] == 4
    assert document["tenants"][0]["latency_ms"]["max"] == 0
    assert "Tokens of chat over time" in build_report([document])


def test_the_page_draws_them(document: Any) -> None:
    page = build_report([document])
    for text in ("Time to first token of chat", "Time per output token of chat", "Tokens of chat over time"):
        assert text in page
    assert "Language models" in page
    assert "Tokens over 3 seeds" in page


def test_tables_over_seeds_have_the_differences_of_tokens(tmp_path: Path) -> None:
    some = {
        "clock_mhz": 1000,
        "token_cycles": {"tokens": [1, 8], "cycles": [900, 980]},
        "sequence_cycles": {"sequences": [1], "cycles": [40]},
    }
    arrival = {"kind": "poisson", "qps": 50, "seed": 1}
    lengths = {"prompt": 10, "output": 5}
    scenario = chat_scenario(tmp_path / "timings.yaml", some, lengths=lengths, arrival=arrival)
    document: Any = compare(scenario | {"min_queries": 20}, ["fcfs", "edf"], seeds=2)
    *_, tokens = spread_tables(document["runs"], ["fcfs", "edf"], document["differences"])
    assert tokens.title == "Tokens less fcfs, seed by seed"
    assert [row[:2] for row in tokens.rows] == [("chat", "edf")]


def test_files_and_frames_have_them(document: Any) -> None:
    (row,) = csv.DictReader(io.StringIO(result_csv(document)))
    assert float(row["llm.tokens_out_per_s_low"]) < float(row["llm.tokens_out_per_s"])
    assert float(row["llm.ttft_ms.p99"]) > float(row["llm.ttft_ms.p50"]) > 0
    (framed,) = SimulationResult(document).rows()
    assert framed["ttft_p99_ms"] == float(row["llm.ttft_ms.p99"])
    assert {"tokens_out_per_s", "tpot_p50_ms_high", "kv_occupancy_mean", "preemptions"} <= set(framed)


def test_the_limits_of_its_tokens_stand_where_deadlines_stand(document: Any) -> None:
    page = build_report([document])
    assert "TTFT 0.002, TPOT 0.0011" in page
    grid = next(iter(outcome_tables(document)))
    assert isinstance(grid, Table)
    due = next(column for column in grid.columns if "due" in str(column.header))
    assert list(due.cells) == ["TTFT 0.002\nTPOT 0.0011"]
    (row,) = csv.DictReader(io.StringIO(result_csv(document)))
    assert (row["deadline.ttft_ms"], row["deadline.tpot_ms"]) == ("0.002", "0.0011")
