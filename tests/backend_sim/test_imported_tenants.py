"""What a scenario states about how a model file is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.ir import LayerweaverError

FRAMES = """<ir_version: 9, opset_import: ["" : 18]>
g (float[1, 8] x, int64[1] n, float[8, 5] w) => (float[] y) <int64[1] width = {8}> {
    shape = Concat<axis = 0>(n, width)
    frames = Expand(x, shape)
    y = MatMul(frames, w)
}"""


@pytest.fixture
def frames(tmp_path: Path) -> str:
    path = tmp_path / "frames.onnx"
    onnx.save(onnx.parser.parse_model(FRAMES), path)
    return str(path)


def test_a_model_that_lacks_work_runs_only_on_request(make_scenario: Any, frames: str) -> None:
    with pytest.raises(LayerweaverError, match=r"work is missing.*in a scenario: incomplete: true"):
        prepare(load_scenario(make_scenario(tenants=[{"model": frames}])))
    ready = prepare(load_scenario(make_scenario(tenants=[{"model": frames, "incomplete": True}])))
    assert any("--value n=N" in warning for warning in ready.warnings)


def test_stated_values_reach_the_model(make_scenario: Any, frames: str) -> None:
    def cycles(frames_stated: Any) -> int:
        stated = {"model": frames, "values": {"n": frames_stated}}
        ready = prepare(load_scenario(make_scenario(tenants=[stated, {"model": frames, "incomplete": True}])))
        return int(ready.npus[0].menus[0][0].table.compute_cycles.sum())

    assert cycles(4000) == cycles([4000]) > cycles(20)


@pytest.mark.parametrize(
    "keys",
    [
        {"dims": {"n": 2}},
        {"shapes": {"n": [2]}},
        {"values": {"n": 2}},
        {"trip_counts": {"n": 2}},
        {"state": {"past": "present"}},
        {"incomplete": True},
    ],
)
def test_tables_are_not_imported(make_scenario: Any, keys: dict[str, Any]) -> None:
    with pytest.raises(LayerweaverError, match=rf"tenants\[0\]\.{next(iter(keys))}: is for a model file"):
        load_scenario(make_scenario(tenants=[keys]))
