"""Layerweaver: ONNX models in, schedule profiles and multi-tenant NPU simulations out.

The four jobs, in order of data. *Import* an ONNX file or a zoo model into a layer graph:

>>> import layerweaver as lw
>>> graph = lw.import_model("zoo:resnet50")
>>> f"{graph.macs:,} MACs, {graph.parameters:,} parameters"
'4,089,184,256 MACs, 25,557,032 parameters'

*Cost* its layers on an NPU (a shipped name, a YAML file or a mapping):

>>> npu = lw.load_npu("memory-centric")
>>> costed = lw.cost_graph(graph, npu)
>>> bool(costed.table.compute_cycles.sum() > costed.table.memory_cycles.sum())
True

*Schedule*: compile models into a schedule profile, which is one self-contained file:

>>> profile = lw.compile_models(["vision=zoo:resnet50", "text=zoo:bert-base"], npu)
>>> [(entry.entry, entry.offline.kind.value) for entry in profile.entries]
[('vision', 'compute-intensive'), ('text', 'compute-intensive')]

*Serve* tenants under traffic, with one policy or several:

>>> scenario = {
...     "npu": "memory-centric",
...     "duration_s": 1,
...     "tenants": [
...         {
...             "name": "vision",
...             "model": "zoo:resnet50",
...             "deadline_ms": 15,
...             "arrival": {"kind": "poisson", "qps": 500, "seed": 1},
...         },
...         {
...             "name": "chat",
...             "model": "zoo:bert-base",
...             "dims": {"tokens": 16},
...             "deadline_ms": 130,
...             "arrival": {"kind": "poisson", "qps": 400, "seed": 2},
...         },
...     ],
... }
>>> document = lw.compare(scenario, ["fcfs", "layerweaver+"])
>>> fcfs, woven = (run["tenants"][0]["latency_ms"]["p99"] for run in document["runs"])
>>> woven < fcfs
True

Every function mirrors a command: :func:`inspect_model`, :func:`compile_models`, :func:`save_profile`,
:func:`load_profile`, :func:`simulate`, :func:`compare`, :func:`peak`, :func:`sweep`, :func:`traffic`,
:func:`certify`, :func:`load_npu`, :func:`check_npu`, :func:`load_policy`. Wrong input raises
:class:`LayerweaverError`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from layerweaver.backend_sim.report.page import build_report
    from layerweaver.backend_sim.study.certify.certify import certify
    from layerweaver.backend_sim.study.peak.peak import peak
    from layerweaver.backend_sim.study.simulate import compare, simulate
    from layerweaver.backend_sim.study.sweep.sweep import sweep
    from layerweaver.backend_sim.study.traffic import traffic
    from layerweaver.costmodel import NpuConfig, check_npu, cost_graph, load_npu
    from layerweaver.ir.errors import LayerweaverError
    from layerweaver.ir.graph import LayerGraph
    from layerweaver.scheduler.compile.compiler import compile_models
    from layerweaver.scheduler.compile.inspection import inspect_model
    from layerweaver.scheduler.compile.sources import load_graph as import_model
    from layerweaver.scheduler.policies import load_policy
    from layerweaver.scheduler.profile.file import load_profile, save_profile
    from layerweaver.scheduler.profile.profile import Profile

__all__ = [
    "LayerGraph",
    "LayerweaverError",
    "NpuConfig",
    "Profile",
    "build_report",
    "certify",
    "check_npu",
    "compare",
    "compile_models",
    "cost_graph",
    "import_model",
    "inspect_model",
    "load_npu",
    "load_policy",
    "load_profile",
    "peak",
    "save_profile",
    "simulate",
    "sweep",
    "traffic",
]

_HOMES = {
    "LayerGraph": "ir.graph",
    "LayerweaverError": "ir.errors",
    "NpuConfig": "costmodel",
    "Profile": "scheduler.profile.profile",
    "build_report": "backend_sim.report.page",
    "certify": "backend_sim.study.certify.certify",
    "check_npu": "costmodel",
    "compare": "backend_sim.study.simulate",
    "compile_models": "scheduler.compile.compiler",
    "cost_graph": "costmodel",
    "import_model": "scheduler.compile.sources",
    "inspect_model": "scheduler.compile.inspection",
    "load_npu": "costmodel",
    "load_policy": "scheduler.policies",
    "load_profile": "scheduler.profile.file",
    "peak": "backend_sim.study.peak.peak",
    "save_profile": "scheduler.profile.file",
    "simulate": "backend_sim.study.simulate",
    "sweep": "backend_sim.study.sweep.sweep",
    "traffic": "backend_sim.study.traffic",
}
"""Where the public names live; they load on first use, so that ``import layerweaver`` costs nothing."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'layerweaver' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - so that importing the package costs nothing

    module = import_module(f"layerweaver.{home}")
    value = getattr(module, "load_graph" if name == "import_model" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
