"""Names are text: no markup, no escape sequence and no mark that turns the writing reaches a terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from onnx import TensorProto, helper

from layerweaver.__main__ import main
from layerweaver.ir.text import one_line, printable, printable_json

NAMES = [
    "[/]",
    "[link=https://x.test]here[/link]",
    "[red]r",
    ":smile:",
    "\x1b[31mred",
    "a\u202eb",
    "\x9b2J",
    "\\[",
]
SPELT = ["\\x1b[31mred", "a\\u202eb", "\\x9b2J"]


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "costs.csv").write_text("layer,compute_cycles,dram_bytes,weight_bytes\nl,1000,0,0\n")
    arrival = {"kind": "poisson", "qps": 2000, "seed": 1}
    tenants = [{"name": name, "model": {"costs": "costs.csv"}, "arrival": arrival} for name in NAMES]
    path = tmp_path / "names.yaml"
    path.write_text(yaml.safe_dump({"npu": "memory-centric", "duration_s": 0.005, "tenants": tenants}))
    return path


def _harmless(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize("columns", ["200", "40"])
def test_tables_show_names_as_they_are(
    scenario: Path, columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["simulate", str(scenario), "--policy", "fcfs"]) == 0
    out, err = capsys.readouterr()
    assert _harmless(out)
    assert _harmless(err)
    shown = "".join(out.split())
    for name in [*NAMES[:4], *SPELT, NAMES[-1]]:
        assert "".join(name.split()) in shown


def test_json_escapes_what_a_terminal_would_obey_and_stays_the_same(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", str(scenario), "--policy", "fcfs", "--json"]) == 0
    out = capsys.readouterr().out
    assert _harmless(out)
    assert [tenant["name"] for tenant in json.loads(out)["tenants"]] == NAMES


def test_data_is_exact_in_a_pipe_and_harmless_on_a_terminal(
    scenario: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["traffic", str(scenario)]) == 0
    assert "\x1b[31mred" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["traffic", str(scenario)]) == 0
    assert _harmless(capsys.readouterr().out)


def test_layers_and_warnings_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = helper.make_tensor_value_info
    node = helper.make_node("[/]\x1b[2J", ["x"], ["y"], name="[/]\x1b[31m", domain="a.b")
    graph = helper.make_graph(
        [node], "[/]", [value("x", TensorProto.FLOAT, [2, 3])], [value("y", TensorProto.FLOAT, [2, 3])]
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    main(["inspect", str(path)])
    out, err = capsys.readouterr()
    assert _harmless(out)
    assert _harmless(err)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "text", ["plain \u00fc", "a\x1bb", "a\u2066b", "\ud800", "\U0001f3a5", "\u200d\U000e0041"]
)
def test_spelling_out(text: str) -> None:
    assert _harmless(printable(text))
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text
    assert "\n" not in one_line(f"a\n{text}\rb")
