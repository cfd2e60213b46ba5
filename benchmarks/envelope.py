"""The envelope: late requests under mixed deadlines and overload, every policy, the winner of every cell.

Run with ``python benchmarks/envelope.py`` (about five minutes with ``--jobs 2``) or ``--quick`` (one seed,
6,000 queries, about a minute). Prints the tables of ``docs/policies-compared.md``; ``--json FILE`` keeps
every number.

A policy is on the envelope of a cell if it has at most a tenth, or 0.2 points, more late requests than the
best of all others. slackweave+ was tuned on random scenarios (``regret.py``), on none of these mixes. In the
scenarios of one tenant's overload, the load of all is 0.6 before that tenant's rate is multiplied.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from comparison import LOADS, MIXED
from mixes import every_policy, paper_models, scenario

from layerweaver.backend_sim.study.inputs import as_prepared
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies.registry import load_spec

OURS = "slackweave+"
DEADLINE_AWARE = ("edf", "llf", "dysta", "sdrm3", "planaria")
Tenants = tuple[tuple[str, int], ...]
LOOKED_AT: tuple[tuple[str, Tenants], ...] = (
    ("IC 3, BL 10", (("IC", 3), ("BL", 10))),
    ("RX 30, BB 3", (("RX", 30), ("BB", 3))),
    ("RN 10, IC 30, BB 3, BL 10", (("RN", 10), ("IC", 30), ("BB", 3), ("BL", 10))),
    ("MN 3, BB 10", (("MN", 3), ("BB", 10))),
)
HELD_OUT: tuple[tuple[str, Tenants], ...] = (
    ("IC 30, BB 3", (("IC", 30), ("BB", 3))),
    ("RX 3, BL 30", (("RX", 3), ("BL", 30))),
    ("RN 3, IC 10, MN 30, BB 30", (("RN", 3), ("IC", 10), ("MN", 30), ("BB", 30))),
)
OVERLOADED: tuple[tuple[str, Tenants, int, float], ...] = (
    ("RN 10, BB 30, RN x 3", (("RN", 10), ("BB", 30)), 0, 3.0),
    ("RN 10, BB 30, BB x 3", (("RN", 10), ("BB", 30)), 1, 3.0),
    ("MN 30, BL 10, MN x 3", (("MN", 30), ("BL", 10)), 0, 3.0),
    ("RN 3, MN 10, BB 30, BL 30, MN x 5", (("RN", 3), ("MN", 10), ("BB", 30), ("BL", 30)), 1, 5.0),
)
VARIANTS: tuple[Mapping[str, Any], ...] = tuple(
    {"name": name, "commit": "early"}
    for name in every_policy()
    if load_spec(name).overlap and load_spec(name).commit == "late" and name != OURS
)
"""Rivals as they were compared before: with early commitment."""
Cell = tuple[str, Tenants, float, int, float]
"""Label, tenants, load, and the tenant whose rate is multiplied by the last."""
Found = dict[tuple[str, float, str], tuple[float, float]]
"""By mix, load and policy: late requests in percent of all, and STP."""


def cells() -> dict[str, list[Cell]]:
    """The cells of every table."""
    tables = {"tuned on": MIXED, "looked at": LOOKED_AT, "held out": HELD_OUT}
    found: dict[str, list[Cell]] = {
        name: [(label, tenants, load, 0, 1.0) for (label, tenants), load in itertools.product(mixes, LOADS)]
        for name, mixes in tables.items()
    }
    found["one tenant overloads"] = [
        (label, tenants, 0.6, index, times) for label, tenants, index, times in OVERLOADED
    ]
    return found


def label_of(policy: str | Mapping[str, Any]) -> str:
    return policy if isinstance(policy, str) else " ".join(str(value) for value in policy.values())


@functools.cache
def model_of(name: str) -> ModelProfile:
    return paper_models([name])[name]


def run_cell(job: tuple[Cell, int, int]) -> Found:
    """All policies on one cell with one seed."""
    (label, tenants, load, index, times), seed, queries = job
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        factors = [factor for _, factor in tenants]
        given = scenario([model_of(name) for name, _ in tenants], factors, load, Path(folder))
        given["tenants"][index]["arrival"]["qps"] *= times
        given["duration_s"] = queries / sum(tenant["arrival"]["qps"] for tenant in given["tenants"])
        prepared = as_prepared(given)
        for policy in (*every_policy(), *VARIANTS):
            result = simulate(prepared, policy, seed)
            arrived = sum(tenant["arrived"] for tenant in result["tenants"])
            late = sum(tenant["violation_rate"] * tenant["arrived"] for tenant in result["tenants"])
            found[label, load, label_of(policy)] = 100 * late / arrived, result["system"]["stp"]
    return found


def average(runs: Sequence[Found]) -> Found:
    """Means over the seeds."""
    return {
        key: (statistics.fmean(run[key][0] for run in runs), statistics.fmean(run[key][1] for run in runs))
        for key in runs[0]
    }


def on_envelope(late: float, least: float) -> bool:
    return late <= max(1.1 * least, least + 0.2)


def by_cell(found: Found) -> Iterator[tuple[str, float, dict[str, float]]]:
    for mix, load in dict.fromkeys((mix, load) for mix, load, _ in found):
        yield (
            mix,
            load,
            {policy: late for (m, x, policy), (late, _) in found.items() if (m, x) == (mix, load)},
        )


def envelope_table(found: Found) -> Iterator[str]:
    """Markdown: the best of the others in every cell, some policies, and slackweave+ beside it."""
    shown = ("llf", "sjf", "layerweaver", "layerweaver+", OURS)
    yield f"| mix | load | best of the others | {' | '.join(shown)} | over the best |"
    yield f"|{'---|' * (len(shown) + 4)}"
    for mix, load, late in by_cell(found):
        others = {policy: value for policy, value in late.items() if policy != OURS}
        best = min(others, key=lambda policy: (others[policy], policy))
        ours, least = late[OURS], others[best]
        over = (
            "no"
            if ours <= least
            else f"{ours - least:.2f} ({100 * (ours / least - 1):.0f}%)"
            if least
            else ""
        )
        if not on_envelope(ours, least):
            over = f"**{over}**"
        values = " | ".join(f"{late[policy]:.2f}" for policy in shown)
        yield f"| {mix} | {load} | {best} {least:.2f} | {values} | {over} |"


def tally(found: Found) -> Iterator[str]:
    """In how many cells each policy is on the envelope, all policies counted; the best first."""
    counts: dict[str, int] = {}
    total = 0
    for _, _, late in by_cell(found):
        total += 1
        for policy, value in late.items():
            least = min(other for name, other in late.items() if name != OURS or policy == OURS)
            counts[policy] = counts.get(policy, 0) + on_envelope(value, least)
    ranked = sorted(counts, key=lambda policy: (-counts[policy], policy))
    yield f"Of {total} cells: " + ", ".join(f"{policy} {counts[policy]}" for policy in ranked)


def deadlines_table(found: Found) -> Iterator[str]:
    """Markdown: what the deadline guard of layerweaver+ buys and costs."""
    yield "| mix | load | layerweaver | layerweaver+ | its STP | best deadline-aware rival | slackweave+ |"
    yield "|---|---|---|---|---|---|---|"
    for mix, load, late in by_cell(found):
        rival = min(DEADLINE_AWARE, key=lambda policy: late[policy])
        stp = found[mix, load, "layerweaver+"][1] / found[mix, load, "layerweaver"][1]
        weaving = f"{late['layerweaver']:.2f} | {late['layerweaver+']:.2f} | {100 * (stp - 1):+.2f}%"
        yield f"| {mix} | {load} | {weaving} | {rival} {late[rival]:.2f} | {late[OURS]:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    seeds = args.seeds or (1 if args.quick else 3)
    queries = args.queries or (6_000 if args.quick else 20_000)
    started = time.monotonic()
    everything: Found = {}
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for name, wanted in cells().items():
            jobs = [(cell, 1 + seed, queries) for cell in wanted for seed in range(seeds)]
            runs = list(pool.map(run_cell, jobs))
            table: Found = {}
            for first in range(0, len(runs), seeds):
                table |= average(runs[first : first + seeds])
            print(f"\n### Late requests in percent: {name}\n", flush=True)
            for line in itertools.chain(envelope_table(table), [""], tally(table)):
                print(line, flush=True)
            everything |= table
    print("\n### What deadlines buy\n")
    for line in deadlines_table(everything):
        print(line)
    print(f"\n{time.monotonic() - started:.0f} s")
    if args.json is not None:
        rows = [
            {"mix": mix, "load": load, "policy": policy, "late_pct": round(late, 4), "stp": round(stp, 5)}
            for (mix, load, policy), (late, stp) in everything.items()
        ]
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
