"""Regret: how far a policy is from the best of all, in scenarios that nobody tuned on.

Run with ``python benchmarks/regret.py --file regret.json`` (200 scenarios of seed 1, two processes, about ten
minutes). Every policy runs on the same arrivals; rivals that overlap requests run with late and with early
commitment. The file is read first and what it holds is not run again, so an interrupted table goes on where
it was; ``--again NAME`` runs a policy anew. Tune on some seeds, report on others.

``--hunt N`` climbs from the ``--climbs`` worst scenarios of ``--of`` to worse ones in N rounds
(``counterexamples.py``). ``--corpus FILE`` gets the worst of every climb; its counter-examples are run by the
tests.

A policy is *near* the best in a scenario if it loses at most a tenth, or half a point, more than the best of
all others. Regret is the difference to the best in points (percent of all requests, late or dropped).
The last column has the mean difference to a bound instead, to what no schedule of the same arrivals can save
(:mod:`layerweaver.scheduler.in_time`): near the best policy is one thing, near the best possible another.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from counterexamples import best_other, climb, keep
from mixes import OURS, entrants
from random_scenarios import NPUS, draw_scenario, profile_of
from regret_runs import Late, Results, regret_of


def near(late: float, least: float) -> bool:
    return late <= max(1.1 * least, least + 0.5)


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
    parser.add_argument("--climbs", type=int, default=8, help="how many of the worst scenarios")
    parser.add_argument("--hunt", type=int, default=0, help="rounds of climbing")
    parser.add_argument("--corpus", type=Path, help="a file of counter-examples, which is added to")
    args = parser.parse_args()
    started = time.monotonic()
    for npu in dict.fromkeys(NPUS):
        profile_of(npu)
    policies = entrants()
    if args.policies:
        policies = {name: policies[name] for name in args.policies}
    wanted = {f"{args.seed}/{index}": draw_scenario(args.seed, index) for index in range(args.scenarios)}
    try:
        results = Results(args.file, args.queries, args.jobs, args.again)
    except ValueError as error:
        parser.error(str(error))
    with results:
        results.run(wanted, policies, bounded=True)
        for line in table({key: results.late[key] for key in wanted}, results.least):
            print(line)
        keys = worst(results, wanted, args.of, args.climbs)
        if args.hunt:
            keys = climb(results, keys, policies, args.of, args.hunt)
    for key in keys:
        late = results.late[key]
        best = best_other(late, args.of)
        print(f"{key}: {args.of} {late[args.of]:.2f}, {best} {late[best]:.2f}: {results.drawn[key]}")
    if args.corpus is not None:
        keep(args.corpus, results, keys, policies, args.of)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
