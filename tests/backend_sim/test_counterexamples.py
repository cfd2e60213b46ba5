"""Hunted scenarios where a rule of ours loses more than another policy: not more than when they were found.

``tests/data/regret/counterexamples.json`` is written by ``benchmarks/regret.py --hunt N --corpus FILE``,
which also measures anew what is in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.study.inputs import as_prepared
from layerweaver.backend_sim.study.simulate import simulate

CORPUS = Path(__file__).parents[1] / "data" / "regret" / "counterexamples.json"
EXAMPLES: list[dict[str, Any]] = json.loads(CORPUS.read_text(encoding="utf-8"))


def _lost_pct(prepared: Any, policy: dict[str, Any]) -> float:
    """Late and dropped requests in percent of all."""
    tenants: Any = simulate(prepared, policy)["tenants"]
    lost = sum(tenant["violation_rate"] * tenant["arrived"] for tenant in tenants)
    return float(100 * lost / sum(tenant["arrived"] for tenant in tenants))


def test_the_corpus_is_there() -> None:
    assert len(EXAMPLES) >= 8
    assert len({json.dumps(example["scenario"], sort_keys=True) for example in EXAMPLES}) == len(EXAMPLES)
    assert all(example["policy"] != example["rival"] for example in EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_regret_is_not_worse_than_recorded(example: dict[str, Any]) -> None:
    prepared = as_prepared(example["scenario"])
    regret = _lost_pct(prepared, example["policy"]) - _lost_pct(prepared, example["rival"])
    assert regret <= example["policy_lost_pct"] - example["rival_lost_pct"] + 1e-3
