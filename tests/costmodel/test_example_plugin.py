"""The example package of ``examples/`` is installed into a folder of its own and used from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "layerweaver-example-npu"
BUILDS_WHEELS_SINCE = 77
PROGRAM = """
import json
from layerweaver.costmodel import check_npu, cost_graph, load_npu, npu_names, npu_rows
from layerweaver.costmodel.npu.reading import npu_files
from layerweaver.ir import Layer, LayerGraph, LayerKind, MatrixWork, TensorSpec, VectorCategory, VectorWork
x, y, z = (TensorSpec(name, 128 * 128) for name in "xyz")
product = Layer("y", LayerKind.MATRIX, ("MatMul",), (), (x,), (y,), MatrixWork(1, 128, 128, 128))
softmax = Layer(
    "z", LayerKind.VECTOR, ("Softmax",), (), (y,), (z,),
    vector=(VectorWork("Softmax", VectorCategory.SOFTMAX, 64),),
)
costed = cost_graph(LayerGraph("g", (product, softmax), inputs=(x,), outputs=(z,)), load_npu("example-outer"))
print(json.dumps({
    "listed": "example-outer" in npu_names() and any(row["name"] == "example-outer" for row in npu_rows()),
    "problems": check_npu(str(npu_files()["example-outer"])),
    "cycles": costed.table.compute_cycles.tolist(),
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    int(metadata.version("setuptools").split(".")[0]) < BUILDS_WHEELS_SINCE,
    reason="builds offline with the setuptools of the `test` extra",
)
def test_the_example_package_adds_its_npu(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(EXAMPLE, source)
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--no-index", "--target", str(target), str(source)], check=True, timeout=300)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(target), str(ROOT)])}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    # Four output blocks of 128 cycles; a softmax of 64 elements on 64 lanes takes 7, and the host 200.
    assert json.loads(run.stdout) == {"listed": True, "problems": [], "cycles": [512, 207]}
