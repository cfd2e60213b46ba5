"""Random scenarios that nobody tuned on, and what a policy loses in them.

A scenario has 2, 2, 3, 4 or 6 tenants of nine zoo models; loads of .4 to 1.5 standalone times in all, shared
at random; deadlines of 2, 3, 5, 10 or 30 standalone times; 30% batch up to 4, 8 or 16 with a delay of 0 to 2
standalone times; 25% have queues of 5, 20 or 100, half of which drop the hopeless; 30% arrive as gamma with a
coefficient of variation of 2 or 4, the others are Poisson; the NPU is memory-centric (twice as often),
compute-centric or tpu-v5e. Everything is drawn from one seed; a drawn scenario is plain data, so it can be
stored, changed a little and run again.
"""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.study.inputs import as_prepared
from layerweaver.backend_sim.study.least_late import least_late
from layerweaver.costmodel import load_npu
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.profile.file import load_profile, save_profile
from layerweaver.scheduler.profile.profile import Profile

__all__ = ["Drawn", "draw_scenario", "least_late_pct", "lost_pct", "portable_keys", "scenario_keys"]

Drawn = dict[str, Any]
"""``npu`` and ``tenants``; each with ``model``, ``load`` and ``deadline`` (standalone times), ``seed``, and
maybe ``batch`` (most, and delay in standalone times), ``queue`` (limit, and whether the hopeless are dropped)
and ``cv``."""

MODELS: dict[str, tuple[str, dict[str, int]]] = {
    "RN": ("zoo:resnet50", {}),
    "MN": ("zoo:mobilenetv2", {}),
    "IC": ("zoo:inception-v3", {}),
    "RX": ("zoo:resnext50", {}),
    "NCF": ("zoo:ncf", {}),
    "BB16": ("zoo:bert-base", {"tokens": 16}),
    "BB128": ("zoo:bert-base", {"tokens": 128}),
    "BL16": ("zoo:bert-large", {"tokens": 16}),
    "GPT": ("zoo:gpt2-decode", {"past": 512}),
}
NPUS = ("memory-centric", "memory-centric", "compute-centric", "tpu-v5e")
SIZES = (1, 2, 4, 8, 16)
DEADLINES = (2, 3, 5, 10, 30)


def draw_scenario(seed: int, index: int) -> Drawn:
    """The scenario of that number; scenarios do not depend on one another."""
    rng = random.Random(f"{seed}/{index}")
    shares = [rng.expovariate(1) + 0.05 for _ in range(rng.choice((2, 2, 3, 4, 6)))]
    total = rng.uniform(0.4, 1.5)
    return {
        "npu": rng.choice(NPUS),
        "tenants": [_tenant(rng, total * share / sum(shares)) for share in shares],
    }


def _tenant(rng: random.Random, load: float) -> dict[str, Any]:
    tenant: dict[str, Any] = {
        "model": rng.choice(list(MODELS)),
        "load": round(load, 4),
        "deadline": rng.choice(DEADLINES),
        "seed": rng.randrange(1, 10**6),
    }
    if rng.random() < 0.3:
        tenant["batch"] = [rng.choice((4, 8, 16)), round(rng.uniform(0, 2), 3)]
    if rng.random() < 0.25:
        tenant["queue"] = [rng.choice((5, 20, 100)), rng.random() < 0.5]
    if rng.random() < 0.3:
        tenant["cv"] = rng.choice((2, 4))
    return tenant


def _profile_path(npu: str) -> Path:
    return Path(tempfile.gettempdir()) / f"layerweaver-regret-{npu}.lwp"


@functools.cache
def profile_of(npu: str) -> Profile:
    """All models at all batch sizes on one NPU; compiled once, then read from the temporary folder."""
    path = _profile_path(npu)
    if not path.exists():
        requests = [ModelRequest(name, source, SIZES, dims) for name, (source, dims) in MODELS.items()]
        save_profile(compile_models(requests, load_npu(npu)), path)
    return load_profile(path)


def scenario_keys(drawn: Drawn, queries: int) -> dict[str, Any]:
    """The scenario as a file would state it, with about so many requests in all."""
    profile = profile_of(drawn["npu"])
    tenants = []
    for number, tenant in enumerate(drawn["tenants"]):
        alone_ms = 1e3 * profile.find(tenant["model"], 1).standalone_cycles / profile.machine.clock_hz
        arrival: dict[str, Any] = {"kind": "poisson", "qps": 1e3 * tenant["load"] / alone_ms}
        if "cv" in tenant:
            arrival |= {"kind": "gamma", "cv": tenant["cv"]}
        keys: dict[str, Any] = {
            "name": f"{tenant['model']}-{number}",
            "model": {"profile": str(_profile_path(drawn["npu"])), "entry": tenant["model"]},
            "deadline_ms": tenant["deadline"] * alone_ms,
            "arrival": arrival | {"seed": tenant["seed"]},
        }
        if "batch" in tenant:
            keys["batch"] = {"max": tenant["batch"][0], "delay_ms": tenant["batch"][1] * alone_ms}
        if "queue" in tenant:
            keys["queue"] = {"limit": tenant["queue"][0], "drop_hopeless": tenant["queue"][1]}
        tenants.append(keys)
    rates = [tenant["arrival"]["qps"] for tenant in tenants]
    seconds = max(queries / sum(rates), 1.001 / min(rates))
    return {"npu": drawn["npu"], "duration_s": seconds, "tenants": tenants}


def portable_keys(drawn: Drawn, queries: int) -> dict[str, Any]:
    """The same scenario with models of the zoo, which a file can state for any machine."""
    given = scenario_keys(drawn, queries)
    for keys, tenant in zip(given["tenants"], drawn["tenants"], strict=True):
        keys["model"], dims = MODELS[tenant["model"]]
        if dims:
            keys["dims"] = dims
    return given


def lost_pct(scenario: Mapping[str, Any], policies: Iterable[Mapping[str, Any]]) -> list[float]:
    """Percent of all requests that are late or dropped, policy by policy, on the same arrivals."""
    prepared = as_prepared(dict(scenario))
    limits = [prepared.scenario.deadline_ns(index) for index in range(len(scenario["tenants"]))]
    found = []
    for policy in policies:
        (outcome,) = run_once(prepared, load_policy(dict(policy)), TrafficRequest()).outcomes
        times = [tenant.latency_ns for tenant in outcome.tenants]
        lost = sum(int(np.sum((t < 0) | (t > limit))) for t, limit in zip(times, limits, strict=True))
        found.append(round(100 * lost / max(1, sum(len(t) for t in times)), 4))
    return found


def least_late_pct(drawn: Drawn, queries: int) -> float:
    """Percent of all requests that every schedule loses."""
    return round(100 * least_late(scenario_keys(drawn, queries)).late_share, 4)
