"""Costs from CSV files: whole models and single measured layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from layerweaver.costmodel import NpuConfig, cost_graph, load_cost_csv, override_costs
from layerweaver.ir import ConfigError, LayerGraph

HEADER = "layer,compute_cycles,dram_bytes,weight_bytes\n"
MakeNpu = Callable[..., NpuConfig]
GraphOf = Callable[..., LayerGraph]


def write(folder: Path, text: str) -> Path:
    file = folder / "costs.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_model_from_csv(npu: MakeNpu, tmp_path: Path) -> None:
    table = load_cost_csv(write(tmp_path, HEADER + "a,10,400,100\nb,25,2600000,2500001\n"), npu().machine())
    assert (table.model, table.rows, table.layer_names) == ("costs", 1 + 6, ("a", "b"))
    assert table.compute_cycles.tolist() == [10, 4, 4, 4, 4, 4, 5]
    assert int(table.weight_bytes.max()) <= 1_000_000
    assert int(table.dram_bytes.sum()) == 2_600_400
    assert table.with_activation_budget(1) is table


def test_columns_may_come_in_any_order(npu: MakeNpu, tmp_path: Path) -> None:
    text = "dram_bytes,layer,weight_bytes,compute_cycles\n8,a,4,2\n"
    table = load_cost_csv(write(tmp_path, text), npu().machine(), model="m", batch=4)
    assert (table.model, table.batch) == ("m", 4)
    assert (table.compute_cycles[0], table.dram_bytes[0], table.weight_bytes[0]) == (2, 8, 4)


def test_comments_empty_lines_and_further_columns_are_left_out(npu: MakeNpu, tmp_path: Path) -> None:
    text = "# measured\n\n" + HEADER.strip() + ",note\na,1,2,1,warm\n# b,1,2,1,cold\n,,,,\nc,3,4,0,\n"
    table = load_cost_csv(write(tmp_path, text), npu().machine())
    assert (table.layer_names, table.compute_cycles.tolist()) == (("a", "c"), [1, 3])


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("", "", "no layers"),
        (HEADER, "", "no layers"),
        ("layer,compute_cycles,dram_bytes\n", ":1", "weight_bytes"),
        (HEADER.replace("layer", "name"), ":1", "'layer' is missing"),
        (HEADER.strip() + ",layer\n", ":1", "twice"),
        (HEADER + "a,1,2,1\nb,1,2,1\na,1,2,1\n", ":4", "'a' appears twice"),
        (HEADER + "a,1,2\n", ":2", "columns"),
        (HEADER + "a,1,2,1\nb,x,2,1\n", ":3: compute_cycles", "'x'"),
        (HEADER + "a,-1,2,1\n", ":2: compute_cycles", "whole number"),
        (HEADER + "a,1.5,2,1\n", ":2: compute_cycles", "whole number"),
        (HEADER + "a,nan,2,1\n", ":2: compute_cycles", "whole number"),
        (HEADER + f"a,{10**25},2,1\n", ":2: compute_cycles", "whole number"),
        (HEADER + "a,1,2,3\n", ":2", "exceeds dram_bytes"),
        (HEADER + ",1,2,1\n", ":2: layer", "no name"),
    ],
)
def test_mistakes_name_line_and_column(
    npu: MakeNpu, tmp_path: Path, text: str, where: str, words: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_cost_csv(file, npu().machine())
    assert str(caught.value).startswith(f"{file}{where}")
    assert words in str(caught.value)


def test_binary_and_missing_files(npu: MakeNpu, tmp_path: Path) -> None:
    binary = tmp_path / "x.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81" * 50)
    for file in (binary, tmp_path / "absent.csv", tmp_path):
        with pytest.raises(ConfigError):
            load_cost_csv(file, npu().machine())


def test_measured_layers_replace_modelled_ones(npu: MakeNpu, chain: GraphOf, tmp_path: Path) -> None:
    costed = cost_graph(chain(), npu())
    table = override_costs(costed, write(tmp_path, HEADER + "l1,77,9000,8000\n"))
    assert table.compute_cycles.tolist() == [
        costed.table.compute_cycles[0],
        77,
        costed.table.compute_cycles[2],
    ]
    assert (table.dram_bytes[1], table.weight_bytes[1]) == (9000, 8000)
    tight = table.with_activation_budget(1)
    assert tight.dram_bytes[1] == 9000
    assert tight.dram_bytes[0] > table.dram_bytes[0]


@pytest.mark.parametrize("layer", [0, -1])
def test_a_replaced_layer_keeps_what_is_charged_after_the_last(
    npu: MakeNpu, chain: GraphOf, tmp_path: Path, layer: int
) -> None:
    charged = npu(inference_overhead_us=50)
    tables = [
        override_costs(cost_graph(chain(), config), write(tmp_path, f"{HEADER}l{layer % 3},77,0,0\n"))
        for config in (npu(), charged)
    ]
    more = tables[1].compute_cycles - tables[0].compute_cycles
    assert more.tolist() == [0, 0, charged.inference_overhead_cycles]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("l9,1,1,1\n", "no layer"),
        ("l1,1,1,1\nl1,1,1,1\n", "twice"),
        ("l1,1,9000000,9000000\n", "weight buffer"),
    ],
)
def test_wrong_overrides_are_refused(
    npu: MakeNpu, chain: GraphOf, tmp_path: Path, lines: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        override_costs(cost_graph(chain(), npu()), write(tmp_path, HEADER + lines))
