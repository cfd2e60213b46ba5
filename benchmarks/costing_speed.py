"""Speed of costing: BERT-large on one NPU, and ResNet-50 on 1,000 NPUs.

Run with ``python benchmarks/costing_speed.py``; it prints milliseconds (best of several runs).
"""

from __future__ import annotations

import time

from layerweaver.costmodel import NpuConfig, cost_graph, load_npu
from layerweaver.scheduler.compile.sources import load_graph

REPEATS = 5


def _configs(count: int) -> list[NpuConfig]:
    base = load_npu("memory-centric")
    return [
        base.model_copy(
            update={
                "name": f"sweep-{index}",
                "peak_tops": None,
                "array": base.array.model_copy(update={"rows": 32 + index % 256, "columns": 32 + index // 4}),
            }
        )
        for index in range(count)
    ]


def main() -> None:
    npu = load_npu("memory-centric")
    graph = load_graph("zoo:bert-large")
    cost_graph(graph, npu)
    best = min(_timed(lambda: cost_graph(graph, npu)) for _ in range(REPEATS))
    print(f"bert-large, {len(graph)} layers, one NPU: {best * 1e3:.2f} ms")
    resnet = load_graph("zoo:resnet50")
    configs = _configs(1000)
    best = min(_timed(lambda: [cost_graph(resnet, config) for config in configs]) for _ in range(2))
    print(f"resnet50, {len(resnet)} layers, {len(configs)} NPUs: {best:.2f} s")


def _timed(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
