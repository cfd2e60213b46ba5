"""Rows of CSV that quotes or commas make as long as their file are refused while they are read."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.backend_sim.results.table_origin import csv_origins
from layerweaver.backend_sim.traffic.lengths import read_pairs
from layerweaver.backend_sim.traffic.trace_file import TraceFile
from layerweaver.costmodel import load_cost_csv
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ConfigError, TrafficError

MACHINE = MachineSpec("unit", 10**9, 16, 1, 1 << 20)


@pytest.mark.parametrize("row", ['"\n",', "a,"], ids=["quotes over lines", "one line"])
def test_a_row_ends_within_a_mebibyte(tmp_path: Path, row: str) -> None:
    path = tmp_path / "rows.csv"
    for read, head, kind in (
        (lambda: list(TraceFile(path, "csv").rows()), "tenant,arrival_ns\n", TrafficError),
        (lambda: read_pairs(path), "prompt,output\n", TrafficError),
        (
            lambda: load_cost_csv(path, MACHINE),
            "layer,compute_cycles,dram_bytes,weight_bytes\n",
            ConfigError,
        ),
    ):
        path.write_text(head + row * 3_000_000)
        tracemalloc.start()
        with pytest.raises(kind, match="the row is longer than 1 MiB"):
            read()
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
        tracemalloc.stop()


def test_rows_that_end_are_read_however_many(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    with gzip.open(path, "wt") as stream:
        stream.write("tenant,arrival_ns,note\n" + f'a,5,"{"x" * 999}\n"\n' * 3000)
    assert sum(1 for _ in TraceFile(path, "csv").rows()) == 3000


def test_lengths_from_a_device_that_never_ends() -> None:
    with pytest.raises(TrafficError, match="the row is longer than 1 MiB"):
        read_pairs(Path("/dev/zero"))


def test_origins_of_a_csv_hold_no_more_than_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'policy,scenario\na,"{""tenants"": [1, 2]}"\n' + "b,\n" * 5 + 'c,"{""tenants"": [1, 2]}"\n'
    assert len(csv_origins(text, "r.csv")) == 2
    monkeypatch.setattr("layerweaver.backend_sim.results.table_origin.MAX_VALUES", 5)
    with pytest.raises(ResultError, match=r"r\.csv:8: its origins hold more than 5 values"):
        csv_origins(text, "r.csv")
    monkeypatch.setattr("layerweaver.backend_sim.results.table_origin._MOST_LINES", 7)
    with pytest.raises(ResultError, match="has more than 7 lines"):
        csv_origins(text, "r.csv")
