"""Lengths of a language model's requests: traces, pairs and distributions, and what is refused of them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.study.simulate import simulate_with
from layerweaver.backend_sim.traffic.lengths import read_pairs
from layerweaver.backend_sim.traffic.sample_order import issued_samples
from layerweaver.backend_sim.traffic.trace_file import TraceFile
from layerweaver.ir import LayerweaverError

DATA = Path(__file__).parent.parent / "data"

Make = Callable[..., dict[str, Any]]

FORMATS = {
    "azure-llm": "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,10,2\n"
    "2024-05-10 00:00:01.01+00:00,20,3\n",
    "burstgpt": "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,"
    "Log Type\n"
    "5,1,2,ChatGPT,10,2,12,x\n6,1,2,GPT-4,20,3,23,x\n",
    "mooncake": '{"timestamp": 0, "input_length": 10, "output_length": 2, "hash_ids": [0]}\n'
    '{"timestamp": 1000, "input_length": 20, "output_length": 3, "hash_ids": [1]}\n',
    "csv": "tenant,arrival_ns,prompt,output\nchat,0,10,2\nchat,1000000000,20,3\n",
}


@pytest.mark.parametrize("name", FORMATS)
def test_lengths_come_from_traces(name: str, chat: Make, tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text(FORMATS[name])
    arrival = {"kind": "trace", "file": str(file), "format": name}
    served = simulate_with(chat(lengths=None, arrival=arrival))["tenants"][0]["llm"]
    assert (served["tokens_in"], served["tokens_out"]) == (30, 5)


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("llm", [{"kv": {"blocks": 2}}, {"kv": {"blocks": 9}, "max_model_len": 40}])
def test_a_request_that_is_too_long_is_named_by_its_row(
    llm: dict[str, Any], sort: bool, chat: Make, tmp_path: Path
) -> None:
    file = tmp_path / "trace.csv"
    last = ("chat,5,60,20", "chat,0,10,2") if sort else ("chat,0,10,2", "chat,5,60,20")
    file.write_text("\n".join(("tenant,arrival_ns,prompt,output", "other,0,1,1", *last)))
    arrival = {"kind": "trace", "file": str(file), "sort": sort}
    line = 3 if sort else 4
    with pytest.raises(LayerweaverError, match=rf"request 1 \(.*trace.csv:{line}\) (has|with) 60 tokens"):
        simulate_with(chat(lengths=None, arrival=arrival, llm=llm))


@pytest.mark.parametrize(
    ("count", "said"),
    [
        ("99999999", "'99999999' is too large; give 1 to 10,000,000"),
        ("9" * 20, "'9{20}' is too large"),
        ("0" * 20 + "1", None),
        ("10000000", None),
        ("10000001", "too large"),
        ("0", "'0' is not a number of tokens"),
        ("many", "'many' is not a number of tokens"),
        ("", "has no number of tokens"),
    ],
)
@pytest.mark.parametrize("pairs", [False, True])
def test_counts_of_files_are_refused_with_their_value(
    count: str, said: str | None, pairs: bool, tmp_path: Path
) -> None:
    file = tmp_path / "lengths.csv"
    file.write_text(f"timestamp,tenant,prompt,output\n0,chat,{count},3\n")
    trace = TraceFile(file, "csv", with_tokens=True)

    def prompt() -> int:
        return int(read_pairs(file).prompt[0]) if pairs else next(trace.rows()).prompt

    if said is None:
        assert prompt() == int(count)
        return
    with pytest.raises(LayerweaverError, match=rf"lengths.csv:2, column 'prompt': .*{said}"):
        prompt()


def test_a_column_of_lengths_that_appears_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lengths.csv"
    file.write_text("timestamp,tenant,prompt,prompt,output\n0,chat,5,9,3\n")
    for read in (lambda: read_pairs(file), lambda: next(TraceFile(file, "csv", with_tokens=True).rows())):
        with pytest.raises(LayerweaverError, match=r"csv:1, column 'prompt': the column appears twice"):
            read()


def test_counts_with_a_comma_in_them_are_refused(tmp_path: Path) -> None:
    """Of 1,234 only the 1 would be read, and 234 as the output."""
    file = tmp_path / "lengths.csv"
    file.write_text("prompt,output\n5,3\n1,234,100\n")
    with pytest.raises(LayerweaverError, match=r"csv:3: the row has 3 values for 2 columns; give commas"):
        read_pairs(file)


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_cells_that_are_not_divided_by_commas_are_told_so(tmp_path: Path, mark: str, name: str) -> None:
    file = tmp_path / "lengths.csv"
    file.write_text("timestamp,tenant,prompt,output\n0,chat,5,3\n".replace(",", mark))
    told = rf"csv:1: cells are divided by {name}; commas, and points in numbers"
    for read in (lambda: read_pairs(file), lambda: next(TraceFile(file, "csv").rows())):
        with pytest.raises(LayerweaverError, match=told):
            read()


def test_a_key_that_a_line_of_json_has_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    good = '{"timestamp": 5, "input_length": 2, "output_length": 3}\n'
    file.write_text(good + good.replace("{", '{"timestamp": 1, '))
    with pytest.raises(LayerweaverError, match=r"jsonl:2, column 'timestamp': the key appears twice; give"):
        list(TraceFile(file, "mooncake").rows())
    skipping = TraceFile(file, "mooncake", skip_bad_rows=True)
    assert [row.time_ns for row in skipping.rows()] == [5_000_000]
    assert skipping.skipped == 1


def test_capitals_of_columns_do_not_matter_unless_names_differ_in_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    for header, prompt in (
        ("timestamp,contexttokens,GENERATEDTOKENS,other", 7),
        ("TIMESTAMP,ContextTokens,GeneratedTokens,contexttokens", 7),
        ("TIMESTAMP,contexttokens,GeneratedTokens,CONTEXTTOKENS", None),
    ):
        file.write_text(f"{header}\n5,7,2,9\n")
        rows = TraceFile(file, "azure-llm", with_tokens=True).rows()
        if prompt is None:
            with pytest.raises(LayerweaverError, match="column 'ContextTokens': the column is missing"):
                next(rows)
        else:
            assert (row := next(rows)).prompt == prompt, header
            assert row.output == 2


def test_lengths_come_from_pairs_and_distributions(chat: Make, tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("prompt,output\n10,2\n20,3\n")
    pairs = simulate_with(chat(lengths={"file": str(file)}))["tenants"][0]["llm"]
    assert (pairs["tokens_in"], pairs["tokens_out"]) == (750, 125)
    issue = {"file": str(file), "order": "loadgen", "qsl_seed": 1, "sample_seed": 2}
    scenario = chat(lengths=issue)
    scenario["min_queries"] = 51
    served = simulate_with(scenario)["tenants"][0]
    assert (served["arrived"], served["llm"]["tokens_in"]) == (52, 26 * 30)
    drawn = {"prompt": {"lognormal": {"mean": 40, "cv": 0.5, "most": 200}}, "output": 4}
    scenario = chat(lengths=drawn)
    scenario["min_queries"] = 2000
    assert simulate_with(scenario)["tenants"][0]["llm"]["tokens_in"] == pytest.approx(80_000, rel=0.05)


def test_samples_come_in_the_order_of_loadgen() -> None:
    with (DATA / "loadgen_issued_index.csv").open() as stream:
        issued = [int(row["sample_index"]) for row in csv.DictReader(stream)]
    seeds = {"qsl_seed": 2085463073848966840, "sample_seed": 2747215439041700203}
    assert issued_samples(1000, 2000, min_query_count=100, **seeds).tolist() == issued


NAMED = {"columns": {"time": "timestamp", "prompt": "prompt", "output": "output"}}


@pytest.mark.parametrize("source", ["lengths", "file"])
@pytest.mark.parametrize("arrival", [{}, {"tokens": "ignore"}, {"sort": True}, NAMED])
@pytest.mark.parametrize("counted", [True, False])
def test_lengths_of_a_trace_that_others_replace_are_noted(
    source: str, arrival: dict[str, Any], counted: bool, chat: Make, tmp_path: Path
) -> None:
    rows = ("0,chat,5,6", "0.001,chat,7,8") if counted else ("0,chat,,", "0.001,chat,,", "0.002,other,9,9")
    if arrival == NAMED and not counted:
        rows = rows[:2]
    file, pairs = tmp_path / "trace.csv", tmp_path / "pairs.csv"
    file.write_text("\n".join(("timestamp,tenant,prompt,output", *rows)))
    pairs.write_text("prompt,output\n50,3\n")
    lengths = {"file": str(pairs)} if source == "file" else {"prompt": 50, "output": 3}
    replay = {"kind": "trace", "file": str(file), **arrival}
    scenario = chat(lengths=lengths, arrival=replay)
    del scenario["min_queries"]
    document = simulate_with(scenario)
    said = [note for note in document.get("notes", ()) if "its trace's tokens are ignored" in note]
    assert len(said) == counted
    assert document["tenants"][0]["llm"]["tokens_in"] == 100


def test_token_traces_are_not_replayed_on_fixed_costs(chat: Make, tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text(FORMATS["azure-llm"])
    arrival = {"kind": "trace", "file": str(file), "format": "azure-llm"}
    scenario = chat(model="zoo:ncf", llm=None, lengths=None, arrival=arrival)
    with pytest.raises(LayerweaverError, match="tokens: ignore"):
        simulate_with(scenario)
    scenario["tenants"][0]["arrival"]["tokens"] = "ignore"
    replayed = simulate_with(scenario)
    assert "arrival times only" in " ".join(replayed["notes"])
    assert "warnings" not in replayed
