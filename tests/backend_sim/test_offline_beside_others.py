"""An offline tenant lasts as long as its own queries take, whoever is served beside it."""

from __future__ import annotations

from typing import Any

import pytest

from layerweaver.backend_sim.study.simulate import simulate


def test_an_offline_tenant_is_as_short_as_its_own_queries(make_scenario: Any) -> None:
    """It took a tenth of the duration that LoadGen asks of it, and was VALID as long as others went on."""
    offline = {"arrival": {"kind": "offline", "samples": 3}, "deadline_ms": None}
    run: Any = simulate(make_scenario(duration_s=1, tenants=[offline, {}]), "fcfs")
    first, _ = run["tenants"]
    assert run["simulated_s"] >= 1
    assert (first["status"], first["verdict"]) == ("too_short", "INVALID")
    (reason,) = first["reasons"]
    assert reason.endswith(" s of 1 s; give more queries")
    assert float(reason.split()[2]) == pytest.approx(first["latency_ms"]["max"] / 1e3, rel=1e-5)
