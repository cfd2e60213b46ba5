"""Climbing from the scenarios where a policy is farthest from the best to worse ones, and keeping those.

A climb begins at one scenario. Each round changes one number of the worst one found so far in several ways
and goes on from the way that raises the regret most, if one does. No scenario is tried twice. What is tried
in a round follows from the climb's first scenario, the round and the results so far, so an interrupted hunt
goes on where it was if its results were kept.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from random_scenarios import DEADLINES, Drawn, lost_pct, portable_keys
from regret_runs import Late, Results, regret_of

from layerweaver.ir import atomic_write

__all__ = ["climb", "keep"]

WAYS = 3
"""Scenarios tried per climb and round."""
LOADS = (0.4, 1.5)
"""Least and largest load of all tenants, as in the distribution."""
CHANGES = ("load", "loads", "deadline", "batch", "delay", "queue", "drop", "cv")


def altered(drawn: Drawn, rng: random.Random) -> Drawn:
    """A scenario with one number changed; the same one if the number that was chosen has no other value."""
    tenants = [dict(tenant) for tenant in drawn["tenants"]]
    tenant = rng.choice(tenants)
    what = rng.choice(CHANGES)
    if what == "load":
        tenant["load"] = round(tenant["load"] * rng.uniform(0.6, 1.6), 4)
    elif what == "loads":
        factor = rng.uniform(0.8, 1.25)
        for each in tenants:
            each["load"] = round(each["load"] * factor, 4)
    elif what == "deadline":
        tenant["deadline"] = rng.choice(DEADLINES)
    elif what == "batch" and (most := rng.choice((1, 4, 8, 16))) == 1:
        tenant.pop("batch", None)
    elif what == "batch":
        tenant["batch"] = [most, tenant.get("batch", (1, 1.0))[1]]
    elif what == "delay" and "batch" in tenant:
        tenant["batch"] = [tenant["batch"][0], round(rng.uniform(0, 2), 3)]
    elif what == "queue" and (limit := rng.choice((0, 5, 20, 100))) == 0:
        tenant.pop("queue", None)
    elif what == "queue":
        tenant["queue"] = [limit, tenant.get("queue", (0, False))[1]]
    elif what == "drop" and "queue" in tenant:
        tenant["queue"] = [tenant["queue"][0], not tenant["queue"][1]]
    elif what == "cv" and (cv := rng.choice((1, 2, 4))) == 1:
        tenant.pop("cv", None)
    elif what == "cv":
        tenant["cv"] = cv
    return {"npu": drawn["npu"], "tenants": tenants}


def _unseen(drawn: Drawn, rng: random.Random, seen: set[str]) -> Drawn:
    """A scenario one number away that was not tried yet, within the loads of the distribution."""
    while True:
        found = altered(drawn, rng)
        total = sum(tenant["load"] for tenant in found["tenants"])
        text = json.dumps(found, sort_keys=True)
        if text not in seen and LOADS[0] <= total <= LOADS[1]:
            seen.add(text)
            return found


def climb(
    results: Results, first: Sequence[str], policies: Mapping[str, dict[str, Any]], of: str, rounds: int
) -> list[str]:
    """Climb from several scenarios.

    Args:
        results: Has every scenario of ``first``; gets all that is tried.
        first: Keys of the scenarios to begin with.
        policies: Everyone who runs.
        of: Label of the policy whose regret is to rise.
        rounds: Steps of every climb.

    Returns:
        The key of the worst scenario of every climb.
    """
    worst = {key: key for key in first}
    seen = {json.dumps(results.drawn[key], sort_keys=True) for key in first}
    for step in range(rounds):
        tried = {
            f"{root}~{step}.{way}": _unseen(results.drawn[key], random.Random(f"{root}~{step}.{way}"), seen)
            for root, key in worst.items()
            for way in range(WAYS)
        }
        results.run(tried, policies, bounded=False)
        regrets = {key: regret_of(results.late[key], of) for key in (*tried, *worst.values())}
        for key in tried:
            root = key.split("~")[0]
            if regrets[key] > regrets[worst[root]]:
                worst[root] = key
        shown = ", ".join(f"{root} {regrets[key]:.2f}" for root, key in worst.items())
        print(f"round {step}: {shown}", flush=True)
    return list(worst.values())


def best_other(late: Late, of: str) -> str:
    """The policy that loses least of all others."""
    return min((name for name in late if name != of), key=lambda name: (late[name], name))


def keep(path: Path, results: Results, keys: Sequence[str], policies: Mapping[str, Any], of: str) -> None:
    """Add counter-examples to a file of them; those that are there are measured anew."""
    examples = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    known = [example["scenario"] for example in examples]
    for key in keys:
        scenario = portable_keys(results.drawn[key], results.queries)
        if regret_of(results.late[key], of) > 0 and scenario not in known:
            rival = policies[best_other(results.late[key], of)]
            examples.append({"scenario": scenario, "policy": policies[of], "rival": rival})
    for example in examples:
        pair = lost_pct(example["scenario"], (example["policy"], example["rival"]))
        example["policy_lost_pct"], example["rival_lost_pct"] = pair
    with atomic_write(path) as stream:
        stream.write((json.dumps(examples, indent=1) + "\n").encode())
