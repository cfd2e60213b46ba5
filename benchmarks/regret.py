"""Regret: how far a policy is from the best of all, in scenarios that nobody tuned on.

Run with ``python benchmarks/regret.py --file regret.json`` (200 scenarios of seed 1, two processes, about ten
minutes). Every policy runs on the same arrivals; rivals that overlap requests run with late and with early
commitment. The file is read first and what it holds is not run again, so an interrupted table goes on where
it was; ``--again NAME`` runs a policy anew. Tune on some seeds, report on others.

``--hunt N`` climbs from the worst scenarios of the file to worse ones for ``--of`` in N rounds: each round
changes one thing in the worst known scenarios and keeps what makes the regret larger. ``--corpus FILE`` gets
the counter-examples, which the tests run.

A policy is *near* the best in a scenario if it loses at most a tenth, or half a point, more than the best of
all others. Regret is the difference to the best in points (percent of all requests, late or dropped).
The last column has the mean difference to a bound instead, to what no schedule of the same arrivals can save
(:mod:`layerweaver.scheduler.in_time`): near the best policy is one thing, near the best possible another.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mixes import every_policy
from random_scenarios import NPUS, Drawn, draw_scenario, late_by_policy, least_late_pct, mutated, profile_of

from layerweaver.ir import atomic_write
from layerweaver.scheduler.policies.registry import load_spec

OURS = "slackweave+"
Late = dict[str, float]
"""Lost requests in percent, by label of the policy."""


def entrants() -> dict[str, dict[str, Any]]:
    """Every shipped policy by its label; those that overlap requests with late and with early commitment."""
    found: dict[str, dict[str, Any]] = {}
    for name in every_policy():
        found[name] = {"name": name}
        spec = load_spec(name)
        if spec.overlap and name != OURS:
            other = "early" if spec.commit == "late" else "late"
            found[f"{name}, {other}"] = {"name": name, "commit": other}
    return found


Job = tuple[str, Drawn, dict[str, dict[str, Any]], int, bool]
"""Key, scenario, policies, queries, and whether the bound is asked for."""


def run_one(job: Job) -> tuple[str, Late, float | None]:
    """All asked policies on one scenario, and what every schedule loses."""
    key, drawn, policies, queries, bounded = job
    late = dict(zip(policies, late_by_policy(drawn, list(policies.values()), queries), strict=True))
    return key, late, least_late_pct(drawn, queries) if bounded else None


class Results:
    """Lost requests by scenario and policy, kept in a file as they come."""

    def __init__(self, path: Path | None, again: Iterable[str] = ()) -> None:
        self.path = path
        self.late: dict[str, Late] = {}
        self.least: dict[str, float] = {}
        self.drawn: dict[str, Drawn] = {}
        if path is not None and path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            self.drawn = stored["scenarios"]
            self.least = stored.get("least_pct", {})
            self.late = {
                key: {name: value for name, value in late.items() if name not in set(again)}
                for key, late in stored["late_pct"].items()
            }

    def run(
        self, wanted: Mapping[str, Drawn], policies: dict[str, dict[str, Any]], queries: int, jobs: int
    ) -> None:
        """Run what is missing, and keep it."""
        todo = []
        for key, drawn in wanted.items():
            self.drawn[key] = drawn
            missing = {
                name: policy for name, policy in policies.items() if name not in self.late.get(key, {})
            }
            if missing or key not in self.least:
                todo.append((key, drawn, missing, queries, key not in self.least))
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            # Every policy is compiled once, by one process, before all of them want all.
            fresh = {name: policies[name] for name in {name for job in todo for name in job[2]}}
            small = draw_scenario(0, 0)
            list(
                pool.map(
                    run_one, [(name, small, {name: policy}, 10, False) for name, policy in fresh.items()]
                )
            )
            written = time.monotonic()
            for done in as_completed([pool.submit(run_one, job) for job in todo]):
                key, late, least = done.result()
                self.late.setdefault(key, {}).update(late)
                if least is not None:
                    self.least[key] = least
                if time.monotonic() - written > 5:
                    self.write()
                    written = time.monotonic()
        self.write()

    def write(self) -> None:
        """Keep everything so far."""
        if self.path is not None:
            document = {"scenarios": self.drawn, "late_pct": self.late, "least_pct": self.least}
            with atomic_write(self.path) as stream:
                stream.write((json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


def near(late: float, least: float) -> bool:
    return late <= max(1.1 * least, least + 0.5)


def regret_of(late: Late, policy: str) -> float:
    """Points above the best of all others; below 0 if it is the best."""
    return late[policy] - min(value for name, value in late.items() if name != policy)


def table(scenarios: Mapping[str, Late], bounds: Mapping[str, float]) -> Iterator[str]:
    """Markdown: per policy in how many scenarios it is near the best, mean, worst regret, worse than fcfs.

    The last column is the mean distance from what every schedule loses.
    """
    names = list(next(iter(scenarios.values())))
    headings = (
        "near the best",
        "mean late %",
        "mean regret",
        "worst regret",
        "worse than fcfs",
        "above the bound",
    )
    yield f"| of {len(scenarios)} scenarios | {' | '.join(headings)} |"
    yield "|---|---|---|---|---|---|---|"
    floor = statistics.fmean(bounds[key] for key in scenarios)
    rows = []
    for name in names:
        least = {k: min(v for other, v in late.items() if other != name) for k, late in scenarios.items()}
        regrets = [max(0.0, late[name] - least[key]) for key, late in scenarios.items()]
        count = sum(near(late[name], least[key]) for key, late in scenarios.items())
        worse = sum(late[name] > late["fcfs"] + 1 for late in scenarios.values())
        mean = statistics.fmean(late[name] for late in scenarios.values())
        rows.append(
            (
                mean,
                f"| {name} | {count} | {mean:.1f} | {statistics.fmean(regrets):.2f} "
                f"| {max(regrets):.1f} | {worse} | {mean - floor:.1f} |",
            )
        )
    yield from (row for _, row in sorted(rows))
    best = statistics.fmean(min(v for n, v in late.items() if n != OURS) for late in scenarios.values())
    yield f"| best of the others in each | | {best:.1f} | | | | {best - floor:.1f} |"
    yield f"| the bound: no schedule loses less | | {floor:.1f} | | | | |"


def worst(results: Results, keys: Iterable[str], policy: str, count: int) -> list[str]:
    """The scenarios in which a policy is farthest from the best."""
    return sorted(keys, key=lambda key: -regret_of(results.late[key], policy))[:count]


def hunt(results: Results, policies: dict[str, dict[str, Any]], args: argparse.Namespace) -> list[str]:
    """Climb from the worst scenarios to worse ones; returns their keys."""
    rng = random.Random(args.seed)
    known = list(results.late)
    for step in range(args.hunt):
        tried = {}
        for key in worst(results, known, args.of, 4):
            for child in range(3):
                tried[f"{key.split('~')[0]}~{args.seed}.{step}.{child}"] = mutated(results.drawn[key], rng)
        results.run(tried, policies, args.queries, args.jobs)
        known += list(tried)
        first = worst(results, known, args.of, 1)[0]
        print(f"round {step}: {regret_of(results.late[first], args.of):.2f} points in {first}", flush=True)
    return worst(results, known, args.of, 10)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenarios", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--queries", type=int, default=6_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--file", type=Path, help="what was run, read first and kept up to date")
    parser.add_argument("--again", nargs="*", default=[], help="policies to run anew")
    parser.add_argument("--policies", nargs="*", help="only these")
    parser.add_argument("--of", default=OURS, help="whose worst scenarios are shown and hunted")
    parser.add_argument("--hunt", type=int, default=0, help="rounds of climbing")
    parser.add_argument("--corpus", type=Path, help="where the worst scenarios of a hunt go")
    args = parser.parse_args()
    started = time.monotonic()
    for npu in dict.fromkeys(NPUS):
        profile_of(npu)
    policies = entrants()
    if args.policies:
        policies = {name: policies[name] for name in args.policies}
    results = Results(args.file, args.again)
    wanted = {f"{args.seed}/{index}": draw_scenario(args.seed, index) for index in range(args.scenarios)}
    results.run(wanted, policies, args.queries, args.jobs)
    for line in table({key: results.late[key] for key in wanted}, results.least):
        print(line)
    keys = hunt(results, policies, args) if args.hunt else worst(results, wanted, args.of, 5)
    for key in keys:
        late = results.late[key]
        best = min((name for name in late if name != args.of), key=lambda name: (late[name], name))
        print(f"{key}: {args.of} {late[args.of]:.2f}, {best} {late[best]:.2f}: {results.drawn[key]}")
    if args.corpus is not None:
        examples = [
            {"scenario": results.drawn[key], "regret": round(regret_of(results.late[key], args.of), 2)}
            for key in keys
        ]
        with atomic_write(args.corpus) as stream:
            stream.write((json.dumps(examples, indent=1) + "\n").encode())
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
