"""Accuracy of the cost model against SCALE-Sim, ONNXim and, given a CSV, a Cloud TPU.

Run with ``python benchmarks/reproduce_costs.py [measured.csv]`` (columns m,n,k,time_us).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from layerweaver.backend_sim.study.reproduce.onnxim import reproduce_onnxim
from layerweaver.backend_sim.study.reproduce.scalesim import reproduce_scalesim
from layerweaver.backend_sim.study.reproduce.tpu_matmul import reproduce_tpu_matmul


def main(arguments: list[str]) -> None:
    start = time.perf_counter()
    print("SCALE-Sim:", reproduce_scalesim())
    onnxim = reproduce_onnxim()
    for network in onnxim["networks"]:
        print(f"ONNXim {network['name']}: {network['cycles']} cycles, {network['error']:+.1%}")
    print(f"ONNXim, per convolution of ResNet-18: {onnxim['layer_mape']:.1%}")
    for name in arguments:
        print(f"TPU, {name}:", reproduce_tpu_matmul(Path(name), fit=True))
    print(f"{time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
