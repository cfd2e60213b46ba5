"""Small scenarios on own costs: they need no importer and run in a blink."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from oracles.timed_chat import chat_scenario

Keys = dict[str, Any]
MakeScenario = Callable[..., Keys]


def _costs(path: Path, layers: int, cycles: int, traffic: int, seed: int) -> None:
    chance = random.Random(seed)
    shares = [chance.random() + 0.1 for _ in range(layers)]
    rows = ["layer,compute_cycles,dram_bytes,weight_bytes"]
    for place, share in enumerate(shares):
        part = share / sum(shares)
        rows.append(f"l{place},{int(cycles * part)},{int(traffic * part)},{int(traffic * part)}")
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture
def make_scenario(tmp_path: Path) -> MakeScenario:
    """Keys of a scenario with a compute-bound and a memory-bound tenant; changed by keyword arguments.

    ``tenants=[{...}, {...}]`` is merged over the two tenants; other keys replace those of the scenario.
    """
    _costs(tmp_path / "heavy.csv", 8, 400_000, 20_000_000, 1)
    _costs(tmp_path / "light.csv", 8, 60_000, 100_000_000, 2)

    def make(**changes: Any) -> Keys:
        tenants: list[Keys] = [
            {
                "name": "vision",
                "model": {"costs": str(tmp_path / "heavy.csv")},
                "deadline_ms": 15,
                "arrival": {"kind": "poisson", "qps": 400, "seed": 1},
            },
            {
                "name": "chat",
                "model": {"costs": str(tmp_path / "light.csv")},
                "deadline_ms": 130,
                "arrival": {"kind": "poisson", "qps": 400, "seed": 2},
            },
        ]
        for tenant, change in zip(tenants, changes.pop("tenants", ({}, {})), strict=False):
            tenant.update(change)
        keys = {"npu": "memory-centric", "policy": "fcfs", "duration_s": 2, "tenants": tenants, **changes}
        return {key: value for key, value in keys.items() if value is not None}

    return make


@pytest.fixture
def chat(tmp_path: Path) -> MakeScenario:
    """Keys of a scenario with a language model that is known by its times; see ``chat_scenario``."""
    return partial(chat_scenario, tmp_path / "timings.yaml")
