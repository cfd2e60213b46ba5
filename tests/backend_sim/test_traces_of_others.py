"""Traces as other systems write them: named columns, Parquet, coarse clocks; several tenants in one loop."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.backend_sim.study.traffic import traffic
from layerweaver.backend_sim.traffic.spreading import spread_ticks
from layerweaver.backend_sim.traffic.stream import Stopping, take_all
from layerweaver.backend_sim.traffic.trace_arrivals import TraceArrivals
from layerweaver.backend_sim.traffic.trace_columns import TraceColumns
from layerweaver.backend_sim.traffic.trace_file import TraceFile
from layerweaver.ir import LayerweaverError

COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\na,10,10,10\n"


def _scenario(folder: Path, *tenants: dict[str, Any], **keys: Any) -> dict[str, Any]:
    (folder / "costs.csv").write_text(COSTS)
    return {
        "npu": "memory-centric",
        "duration_s": 100,
        "tenants": [
            {
                "name": name,
                "model": {"costs": str(folder / "costs.csv")},
                "arrival": {
                    "kind": "trace",
                    **{key: value for key, value in arrival.items() if key != "name"},
                },
            }
            for place, arrival in enumerate(tenants)
            for name in [arrival.get("name", f"t{place}")]
        ],
        **keys,
    }


def _times(keys: dict[str, Any], seed: int | None = None) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for tenant, _, time_ns in traffic(keys, seed):
        found.setdefault(tenant, []).append(time_ns)
    return found


def test_columns_of_a_csv_may_have_any_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "layerweaver")
    path = tmp_path / "log.csv"
    path.write_text("who,ts,in,out\na,0.5,3,4\nb,0.75,3,4\na,2,3,4\n")
    everybody = {"file": str(path), "columns": {"time": "ts"}}
    by_name = {"file": str(path), "columns": {"time": "ts", "tenant": "who"}, "name": "a"}
    milli = {"file": str(path), "columns": {"time": "ts", "unit": "ms"}}
    assert _times(_scenario(tmp_path, everybody, by_name, milli)) == {
        "t0": [0, 250_000_000, 1_500_000_000],
        "a": [0, 1_500_000_000],
        "t2": [0, 250_000, 1_500_000],
    }
    assert "column 'ts' are taken as seconds" in caplog.text


def test_named_tokens_are_the_lengths_of_a_language_model_and_nothing_of_another(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("ts,in,out\n0,3,4\n1,5,6\n")
    arrival = {"file": str(path), "columns": {"time": "ts", "prompt": "in", "output": "out"}}
    with pytest.raises(LayerweaverError, match="counts tokens"):
        _times(_scenario(tmp_path, arrival))
    columns = TraceColumns(time="ts", prompt="in", output="out")
    stream = TraceArrivals(
        TraceFile(path, "csv", with_tokens=True, columns=columns),
        tenants=None,
        time_scale=1,
        loop=False,
        sort=False,
        stopping=Stopping(),
    )
    lengths = stream.lengths(len(take_all(stream)))
    assert (lengths.prompt.tolist(), lengths.output.tolist()) == ([3, 5], [4, 6])
    ignored = _scenario(tmp_path, {**arrival, "tokens": "ignore"})
    assert _times(ignored) == {"t0": [0, 10**9]}
    scenario = load_scenario(ignored)
    assert (len(scenario.notes), scenario.warnings) == (1, ())
    assert "tokens are ignored" in scenario.notes[0]
    document = simulate(ignored, compiled=False)
    assert document["notes"] == [*scenario.notes, "all requests end after 1 of duration_s 100"]
    assert not any("ignored" in line for line in document.get("warnings", []))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("azure-llm", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,37,4\n"),
        ("burstgpt", "Timestamp,Model,Request tokens,Response tokens,Total tokens\n5,ChatGPT,7,2,9\n"),
        ("mooncake", '{"timestamp": 0, "input_length": 6758, "output_length": 500}\n'),
        ("csv", "timestamp,tenant,prompt,output\n0,t0,10,5\n1,t0,10,5\n"),
        ("csv", "timestamp,tenant,prompt\n0,t0,10\n1,t0,20\n"),
        ("csv", "timestamp,tenant,output\n0,t0,10\n"),
    ],
)
def test_tokens_on_fixed_costs_are_refused_even_if_all_are_equal(
    tmp_path: Path, kind: str, text: str
) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(LayerweaverError, match=r"counts tokens .* tokens: ignore"):
        _times(_scenario(tmp_path, {"file": str(path), "format": kind}))
    assert _times(_scenario(tmp_path, {"file": str(path), "format": kind, "tokens": "ignore"}))


def test_rows_without_tokens_fit_fixed_costs(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("ts,in,out\n0,,\n1,0,0\n")
    arrival = {"file": str(path), "columns": {"time": "ts", "prompt": "in", "output": "out"}}
    assert _times(_scenario(tmp_path, arrival)) == {"t0": [0, 10**9]}


MIXED = "tenant,arrival_ns,prompt,output\nchat,0,20,3\nt1,5,,\nchat,7,33,4\nt1,9{}\n"


def test_one_file_of_language_models_and_others(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_text(MIXED.format(""))
    assert _times(_scenario(tmp_path, {"file": str(path), "name": "t1"})) == {"t1": [5, 9]}
    stream = TraceArrivals(
        TraceFile(path, "csv", with_tokens=True, tenants=frozenset(["chat"])),
        tenants=frozenset(["chat"]),
        time_scale=1,
        loop=False,
        sort=False,
        stopping=Stopping(),
    )
    lengths = stream.lengths(len(take_all(stream)))
    assert (lengths.prompt.tolist(), lengths.output.tolist()) == ([20, 33], [3, 4])
    path.write_text(MIXED.format(",7,8"))
    with pytest.raises(LayerweaverError, match=r"mixed.csv:5: counts tokens .15."):
        _times(_scenario(tmp_path, {"file": str(path), "name": "t1"}))
    ignored = {"file": str(path), "name": "t1", "tokens": "ignore"}
    assert _times(_scenario(tmp_path, ignored)) == {"t1": [5, 9]}


MOMENT = datetime.datetime(2023, 11, 16, 18, 15, 46, 680590, tzinfo=datetime.UTC)


@pytest.mark.parametrize("zone", [None, "UTC", "+02:00"])
def test_parquet_is_read_by_its_ending(tmp_path: Path, zone: str | None) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    moments = [MOMENT + datetime.timedelta(microseconds=shift) for shift in (0, 1, 2_000_000)]
    table = pyarrow.table(
        {
            "when": pyarrow.array(moments, pyarrow.timestamp("us", tz=zone)),
            "whole": [5, 6, 8],
            "real": [0.5, 0.75, 1.0],
            "who": pyarrow.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    path = tmp_path / "trace.parquet"
    parquet.write_table(table, path)
    keys = _scenario(
        tmp_path,
        {"file": str(path), "columns": {"time": "when"}, "name": "x"},
        {"file": str(path), "columns": {"time": "whole", "unit": "us"}, "name": "y"},
        {"file": str(path), "columns": {"time": "real", "tenant": "who"}, "name": "a"},
    )
    assert _times(keys) == {"x": [0, 1_000, 2 * 10**9], "y": [0, 1_000, 3_000], "a": [0, 500_000_000]}
    document = simulate(keys, compiled=False)
    assert document["tenants"][0]["completed"] == 3
    recorded: Any = document["scenario"]
    assert len(recorded["files"][str(path)]) == 64
    assert recorded["tenants"][0]["arrival"]["format"] == "parquet"


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        (None, None, "the column is missing; tenant,arrival_ns or timestamp,tenant"),
        (None, {"time": "when"}, "the column is missing; the file has ts, n"),
        (b"PAR1 no", {"time": "ts"}, "cannot be read"),
        (b"", {"time": "ts"}, "cannot be read"),
    ],
)
def test_a_parquet_file_that_is_wrong_is_one_line(
    tmp_path: Path, content: bytes | None, columns: dict[str, str] | None, message: str
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "trace.parquet"
    parquet.write_table(pyarrow.table({"ts": [1, None], "n": [1, 2]}), path)
    if content is not None:
        path.write_bytes(content)
    arrival = {"file": str(path)} | ({} if columns is None else {"columns": columns})
    with pytest.raises(LayerweaverError) as refusal:
        _times(_scenario(tmp_path, arrival))
    for part in message.split("; "):
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["csv", "azure-llm", "mooncake"])
def test_a_parquet_file_of_another_format_says_which_it_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "trace.parquet"
    path.write_bytes(b"PAR1\x15\x04\t;\tPAR1")
    with pytest.raises(LayerweaverError, match=r"trace.parquet: is a Parquet file; give format: parquet$"):
        _times(_scenario(tmp_path, {"file": str(path), "format": kind}))


def test_what_parquet_lacks_is_a_bad_row(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "trace.parquet"
    parquet.write_table(pyarrow.table({"ts": [1, None, 3]}), path)
    keys = _scenario(tmp_path, {"file": str(path), "columns": {"time": "ts"}})
    with pytest.raises(LayerweaverError, match=r"trace.parquet:2, column 'ts'"):
        _times(keys)
    assert list(traffic(keys, skip_bad_rows=True)) == [("t0", 0, 0), ("t0", 1, 2 * 10**9)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"time": "ts"}, "format": "burstgpt"}, "name them of csv or parquet"),
        ({"columns": {"prompt": "in"}}, "the key 'time' is missing"),
        ({"columns": {"time": "ts", "prompt": "in"}}, "give both columns or none"),
        ({"columns": {"time": "ts", "unit": "minutes"}}, "'minutes' is not accepted"),
        ({"spread_ms": 1e9}, "give up to a day"),
        ({"spread_ms": 0}, "spread_ms"),
        (
            {"columns": {"time": "ts"}, "tenant": "a"},
            "say of no row whose it is; give columns: {tenant: ...}",
        ),
        ({"format": "azure-llm", "tenant": ["a"]}, "rows of azure-llm say of no request whose it is"),
    ],
)
def test_impossible_keys_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(LayerweaverError, match=message):
        load_scenario(_scenario(tmp_path, {"file": "x.csv", **change}))


def test_tenants_that_loop_one_trace_stay_in_phase(tmp_path: Path) -> None:
    # Four rows over 9 s: the mean gap is 3 s, so all begin again after 12 s, whoever's rows end where.
    path = tmp_path / "log.csv"
    path.write_text("timestamp,tenant\n0,a\n2,b\n3,a\n9,b\n")
    a, b = ({"file": str(path), "loop": True, "name": name} for name in "ab")
    for more in ({}, {"sort": True}):
        found = _times(_scenario(tmp_path, a | more, b | more, duration_s=30))
        assert found["a"] == [s * 10**9 for s in (0, 3, 12, 15, 24, 27)]
        assert found["b"] == [s * 10**9 for s in (2, 9, 14, 21, 26)]


def test_ties_of_a_coarse_clock_are_spread_on_request_and_alike_every_time(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("timestamp,tenant\n" + "7,t0\n" * 400 + "8,t0\n" * 400)
    plain, spread = {"file": str(path)}, {"file": str(path), "spread_ms": 1000}
    assert set(_times(_scenario(tmp_path, plain))["t0"]) == {0, 10**9}
    first = _times(_scenario(tmp_path, spread))["t0"]
    assert first == sorted(first)
    assert len(set(first)) > 790
    assert all(time_ns < 10**9 for time_ns in first[:400])
    assert all(10**9 <= time_ns < 2 * 10**9 for time_ns in first[400:])
    assert abs(np.mean(first) - 10**9) < 5e7
    assert _times(_scenario(tmp_path, spread))["t0"] == first
    assert _times(_scenario(tmp_path, spread), seed=5)["t0"] != first
    looped = _times(_scenario(tmp_path, {**spread, "loop": True}, duration_s=5))["t0"]
    assert looped == sorted(looped)
    assert [
        sum(second * 10**9 <= time_ns < (second + 1) * 10**9 for time_ns in looped) for second in range(5)
    ] == ([400] * 5)
    document = simulate(_scenario(tmp_path, spread), seed=5, compiled=False)
    assert not any("changes nothing" in line for line in document.get("warnings", []))


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 80))
def test_spread_times_keep_their_order_and_stay_within_their_tick(times: list[int], tick: int) -> None:
    times.sort()
    spread = list(spread_ticks(iter(times), tick, np.random.Generator(np.random.PCG64(1))))
    assert spread == sorted(spread)
    assert len(spread) == len(times)
    for before, after in zip(times, spread, strict=True):
        following = min((time for time in times if time > before), default=before + tick)
        assert before <= after < min(before + tick, following)


@pytest.mark.parametrize("column", ["text", "days", "lasting", "twice"])
def test_parquet_values_that_python_has_no_room_for_are_refused_in_one_line(
    tmp_path: Path, column: str
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    length_2 = pyarrow.py_buffer(bytes([0, 0, 0, 0, 2, 0, 0, 0]))
    values = {
        "text": pyarrow.Array.from_buffers(
            pyarrow.string(), 1, [None, length_2, pyarrow.py_buffer(b"\xff\xfe")]
        ),
        "days": pyarrow.array([2**31 - 1], pyarrow.int32()).view(pyarrow.date32()),
        "lasting": pyarrow.array([2**62]).view(pyarrow.duration("s")),
        "twice": pyarrow.array([1]),
    }[column]
    path = tmp_path / "log.parquet"
    names = ["timestamp", "tenant", "timestamp" if column == "twice" else "more"]
    columns = [values, pyarrow.array(["t0"]), pyarrow.array([1])]
    parquet.write_table(pyarrow.Table.from_arrays(columns, names), path)
    said = r"log.parquet: cannot be read \(.*\); give a Parquet file"
    if column == "twice":
        said = "log.parquet, column 'timestamp': the column appears twice"
    with pytest.raises(LayerweaverError, match=said):
        _times(_scenario(tmp_path, {"file": str(path)}))


@pytest.mark.parametrize("coded", [True, False])
def test_a_small_parquet_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, coded: bool) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "log.parquet"
    count, text = (16_384, "x" * 100_000) if coded else (300, "x" * 1_000_000)
    names = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * count, pyarrow.int32()), [text])
    table = pyarrow.Table.from_arrays([pyarrow.array(range(count)), names], ["timestamp", "tenant"])
    parquet.write_table(table, path, compression="zstd", store_schema=False, use_dictionary=coded)
    assert path.stat().st_size < 1 << 17
    with pytest.raises(
        LayerweaverError, match=r"'tenant': (holds a text of 100,000|unpacks to more than 256)"
    ):
        _times(_scenario(tmp_path, {"file": str(path)}))


def test_parquet_columns_of_lists_are_no_cells(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "log.parquet"
    columns = [pyarrow.array([[1, 2]]), pyarrow.array(["t0"])]
    parquet.write_table(pyarrow.Table.from_arrays(columns, ["timestamp", "tenant"]), path)
    with pytest.raises(LayerweaverError, match=r"'timestamp': holds list<.*>; give numbers"):
        _times(_scenario(tmp_path, {"file": str(path)}))


def test_dates_are_no_numbers_of_a_unit(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("ts\n2025-01-01 00:00:00Z\n")
    keys = _scenario(tmp_path, {"file": str(tmp_path / "log.csv"), "columns": {"time": "ts", "unit": "ms"}})
    with pytest.raises(LayerweaverError, match=r"'2025-01-01 00:00:00Z' is not a number; give a number"):
        _times(keys)
