"""Replaying recorded traces: every format, and every way a file can be wrong."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.study.traffic import traffic
from layerweaver.backend_sim.traffic.stream import Stopping, take_all
from layerweaver.backend_sim.traffic.trace_arrivals import TraceArrivals
from layerweaver.backend_sim.traffic.trace_file import TraceFile
from layerweaver.ir import TrafficError
from layerweaver.ir.csv_text import CsvWriter


def _read(
    path: Path,
    kind: str,
    *tenants: str,
    scale: float = 1.0,
    loop: bool = False,
    sort: bool = False,
    skip: bool = False,
    stop: Stopping | None = None,
) -> tuple[list[int], int]:
    stream = TraceArrivals(
        TraceFile(path, kind, skip_bad_rows=skip),
        tenants=frozenset(tenants) or None,
        time_scale=scale,
        loop=loop,
        sort=sort,
        stopping=stop or Stopping(),
    )
    return take_all(stream).tolist(), stream.skipped


FILES = {
    "csv": ("tenant,query,arrival_ns\na,0,5\nb,0,9\na,1,25\n", ("a",), [0, 20]),
    "csv-plain": ("timestamp,tenant\n1.5,a\n1.500000001,a\n2,b\n", ("a",), [0, 1]),
    "csv-dates": (
        "timestamp,tenant\n2024-02-28T23:59:59Z,a\n2024-02-29 00:00:00.5,a\n",
        ("a",),
        [0, 1_500_000_000],
    ),
    "azure-llm": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"
        "2023-11-16 18:15:50.9951690,396,109\n",
        (),
        [0, 4_314_579_000],
    ),
    "azure-functions": (
        "app,func,end_timestamp,duration\nx,f,10.5,1.0\nx,g,9.8,9.7\n",
        (),
        [0, 9_400_000_000],
    ),
    "csv-zones": (
        "timestamp,tenant\n2024-05-10 02:00:00+02:00,a\n2024-05-10 00:00:01+00,a\n"
        "2024-05-10T05:30:02.5+0530,a\n2024-05-09 23:00:03-01,a\n2024-05-10 00:00:04 UTC,a\n",
        ("a",),
        [0, 10**9, 2_500_000_000, 3 * 10**9, 4 * 10**9],
    ),
    "csv-s": ("timestamp,tenant\n1700000000,a\n1700000000.25,a\n", ("a",), [0, 250_000_000]),
    "csv-ms": ("timestamp,tenant\n1700000000000,a\n1700000000250.5,a\n", ("a",), [0, 250_500_000]),
    "csv-us": ("timestamp,tenant\n1700000000000000,a\n1700000000000250,a\n", ("a",), [0, 250_000]),
    "csv-ns": ("timestamp,tenant\n1700000000000000000,a\n1700000000000000250,a\n", ("a",), [0, 250]),
    "csv-own-ns": (
        "tenant,query,arrival_ns\na,0,1700000000000000000\na,1,1700000000000000007\n",
        ("a",),
        [0, 7],
    ),
    "csv-comments": (
        "# made by hand\ntimestamp,tenant\n0,a\n# then,it,rained\n# or\n1,a\n",
        ("a",),
        [0, 10**9],
    ),
    "burstgpt": ("Timestamp,Model,Request tokens\n5,ChatGPT,1\n7,GPT-4,2\n", ("GPT-4",), [2_000_000_000]),
    "mooncake": ('{"timestamp": 27, "input_length": 1}\n\n{"timestamp": 30}\n', (), [0, 3_000_000]),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format(tmp_path: Path, name: str) -> None:
    text, tenants, times = FILES[name]
    path = tmp_path / "trace"
    path.write_text(text)
    kind = "csv" if name.startswith("csv") else name
    assert _read(path, kind, *tenants) == (times, 0)


def test_scaling_looping_and_durations(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("tenant,query,arrival_ns\na,0,100\na,1,110\na,2,130\n")
    assert _read(path, "csv", scale=2.5)[0] == [0, 25, 75]
    looped = _read(path, "csv", loop=True, stop=Stopping(100))[0]
    assert looped == [0, 10, 30, 45, 55, 75, 90]
    assert _read(path, "csv", stop=Stopping(30))[0] == [0, 10]


BAD = {
    "header": ("a,b\n1,2\n", r"trace:1, column 'tenant': the column is missing"),
    "empty": ("", r"trace:1: the file has no header"),
    "rows": ("timestamp,tenant\n", r"no row for"),
    "short": ("timestamp,tenant\n1,a\n2\n", r"trace:3, column 'tenant'"),
    "text": ("timestamp,tenant\n1,a\nsoon,a\n", r"trace:3, column 'timestamp': 'soon'"),
    "infinite": ("timestamp,tenant\n1,a\ninf,a\n", r"trace:3, column 'timestamp'"),
    "huge": ("timestamp,tenant\n1,a\n1e300,a\n", r"trace:3, column 'timestamp'"),
    "minute": ("timestamp,tenant\n2023-11-16 00:61:00,a\n", r"trace:2, column 'timestamp'.*not a time"),
    "hour": ("timestamp,tenant\n2023-11-16 24:00:00,a\n", r"trace:2, column 'timestamp'.*not a time"),
    "second": ("timestamp,tenant\n2023-11-16 00:00:60,a\n", r"trace:2, column 'timestamp'.*not a time"),
    "zone": ("timestamp,tenant\n2023-11-16 00:00:00-99:99,a\n", r"trace:2, column 'timestamp'"),
    "zone minutes": ("timestamp,tenant\n2023-11-16 00:00:00+01:60,a\n", r"trace:2, column 'timestamp'"),
    "date": ("timestamp,tenant\n2023-13-40 00:00:00,a\n", r"trace:2, column 'timestamp'"),
    "order": ("timestamp,tenant\n2,a\n1,a\n", r"trace:3.*goes back in time by 1 s"),
    "long": ("timestamp,tenant\n1," + "x" * (1 << 20) + "\n", r"trace:2: the row is longer"),
    "tenant": ("timestamp,tenant\n1,b\n", r"no row for a; the file has b"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_name_file_line_and_column(tmp_path: Path, name: str) -> None:
    text, message = BAD[name]
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(TrafficError, match=message):
        _read(path, "csv", "a")


def test_bad_rows_are_skipped_and_counted_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(b"timestamp,tenant\n1,a\nsoon,a\n0.5,a\n3\n\xff\xff,a\n4,a\n")
    assert _read(path, "csv", "a", skip=True) == ([0, 3_000_000_000], 4)
    assert _read(path, "csv", "a", skip=True, sort=True) == ([0, 500_000_000, 3_500_000_000], 3)
    path.write_text("timestamp,tenant\n0,a,\n1,5,a\n2,a,b\n3,a\n")
    assert _read(path, "csv", "a", skip=True) == ([0, 3_000_000_000], 2)
    path.write_text('{"timestamp": 1}\n[]\n{"timestamp": true}\n' + "[" * 10_000 + '\n{"timestamp": 2}\n')
    assert _read(path, "mooncake", skip=True) == ([0, 1_000_000], 3)


def test_missing_file_and_a_loop_without_length(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match="cannot be read"):
        _read(tmp_path / "nothing.csv", "csv")
    path = tmp_path / "trace"
    path.write_text("timestamp,tenant\n1,a\n1,a\n")
    with pytest.raises(TrafficError, match="cannot be looped"):
        _read(path, "csv", loop=True, stop=Stopping(100))


def test_the_unit_of_numbers_since_1970_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("timestamp,tenant\n1700000000000,a\n1700000000001,a\n")
    with caplog.at_level("INFO", logger="layerweaver"):
        assert _read(path, "csv", "a")[0] == _read(path, "csv", "a")[0] == [0, 1_000_000]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: the numbers in column 'timestamp' are taken as milliseconds since 1970"
    ]


def test_packed_traces_are_read_by_their_name(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    text = b"timestamp,tenant\n1,a\n2,a\n"
    path.write_bytes(gzip.compress(text))
    assert _read(path, "csv", "a")[0] == [0, 10**9]
    for damaged in (text, gzip.compress(text)[:-9], gzip.compress(text)[:20] + bytes(30)):
        path.write_bytes(damaged)
        with pytest.raises(TrafficError, match="cannot be read"):
            _read(path, "csv", "a")
    path.write_bytes(gzip.compress(bytes(1 << 26)))
    with pytest.raises(TrafficError, match="longer than 1 MiB"):
        _read(path, "csv", "a")


def test_what_is_written_for_any_name_is_read_for_it(tmp_path: Path) -> None:
    names = [
        "#1 camera",
        'b, "two"',
        "=SUM(A1)",
        "'=x",
        "a\rb",
        "c\nd",
        " e ",
        "\u00fcn\u00efcode \U0001f3a5",
    ]
    path = tmp_path / "trace.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = CsvWriter(stream)
        writer.writerow(("tenant", "query", "arrival_ns"))
        writer.writerows(
            (name, query, 10 * query + place) for query in (0, 1) for place, name in enumerate(names)
        )
    for place, name in enumerate(names):
        assert _read(path, "csv", name)[0] == [place, 10 + place]


def test_a_replay_of_what_was_written_is_what_was_written(make_scenario: Any, tmp_path: Path) -> None:
    arrivals = [{"kind": "poisson", "qps": 40, "seed": 3}, {"kind": "gamma", "qps": 30, "cv": 3, "seed": 5}]
    rows = list(traffic(make_scenario(duration_s=0.5, tenants=[{"arrival": a} for a in arrivals])))
    file = tmp_path / "written.csv"
    file.write_text("tenant,query,arrival_ns\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    replay = {"arrival": {"kind": "trace", "file": str(file)}}
    assert list(traffic(make_scenario(duration_s=0.5, tenants=[replay, replay]))) == rows


@pytest.mark.parametrize(
    ("second", "accepted"), [("0,0", True), ("1,1", False), ("1,0", False), ("0,1", False)]
)
def test_tokens_are_left_aside_only_where_no_row_has_any(
    make_scenario: Any, tmp_path: Path, second: str, accepted: bool
) -> None:
    file = tmp_path / "azure.csv"
    file.write_text(
        f"TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00,0,0\n2024-05-10 00:00:01,{second}\n"
    )
    arrival = {"kind": "trace", "file": str(file), "format": "azure-llm"}
    scenario = make_scenario(duration_s=5, tenants=[{"arrival": arrival}, {}])
    if accepted:
        assert [row[2] for row in traffic(scenario) if row[0] == "vision"] == [0, 10**9]
    else:
        with pytest.raises(TrafficError, match=r"azure.csv:3: counts tokens.*tokens: ignore"):
            list(traffic(scenario))
