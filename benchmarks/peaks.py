"""Peak rates of many mixes and policies in one pool of processes, kept in a file as they come.

Run with ``python benchmarks/peaks.py table --json FILE`` (every policy, those that overlap requests with late
and with early commitment, 20,000 queries, three seeds) or ``targets`` (the policies that carry targets,
100,000 queries, five seeds). The file is read first, and what it holds is not run again, so an interrupted
table goes on where it was; ``--policies`` runs only some, ``--again`` some anew. ``--markdown`` prints the
tables of a file and runs nothing.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mixes import FACTORS, FOURS, PAIRS, RIVALS, entrants, paper_models, scenario

from layerweaver.backend_sim.study.peak.peak import search_one
from layerweaver.backend_sim.study.peak.plan import PeakPlan, plan_peak

WEAVING = ("layerweaver", "layerweaver+", "slackweave+")
TARGETED = ("layerweaver+", "slackweave+", *RIVALS)
Job = tuple[str, int, str, int, int, float]
Row = dict[str, Any]


@functools.cache
def _plan(mix: str, factor: int, queries: int, resolution: float) -> PeakPlan:
    models = list(_models(mix).values())
    with tempfile.TemporaryDirectory() as folder:
        given = scenario(models, [factor] * len(models), 0.5, Path(folder))
        return plan_peak(given, queries=queries, resolution=resolution)


@functools.cache
def _models(mix: str) -> Mapping[str, Any]:
    return paper_models(mix.split("+"))


def _share(job: Job) -> tuple[float, bool]:
    """Peak of one mix under one policy with one seed, as a share of the bound; whether it is sharp."""
    mix, factor, policy, replica, queries, resolution = job
    found = search_one(_plan(mix, factor, queries, resolution), entrants()[policy], replica)
    return found.low, found.monotone


def peak_rows(
    cells: Sequence[tuple[str, int]],
    policies: Sequence[str],
    *,
    queries: int,
    seeds: int,
    resolution: float,
    jobs: int,
) -> Iterator[Row]:
    """One row per cell and policy: mean and standard deviation over the seeds, shares of the bound."""
    keys = [(mix, factor, policy) for (mix, factor), policy in itertools.product(cells, policies)]
    todo: list[Job] = [(*key, replica, queries, resolution) for key in keys for replica in range(seeds)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        found = pool.map(_share, todo)
        for mix, factor, policy in keys:
            searches = list(itertools.islice(found, seeds))
            shares = [share for share, _ in searches]
            yield {
                "table": "peak",
                "mix": mix,
                "factor": factor,
                "policy": policy,
                "queries": queries,
                "share_of_bound": round(statistics.fmean(shares), 5),
                "sd": round(statistics.stdev(shares), 5) if seeds > 1 else None,
                "shares": [round(share, 5) for share in shares],
                "monotone": all(sharp for _, sharp in searches),
            }


def _cells(rows: Sequence[Row]) -> dict[tuple[str, int], dict[str, Row]]:
    cells: dict[tuple[str, int], dict[str, Row]] = {}
    for row in rows:
        if row["table"] == "peak":
            cells.setdefault((row["mix"], row["factor"]), {})[row["policy"]] = row
    return cells


def targets(rows: Sequence[Row]) -> Iterator[str]:
    """The targets against the rows, cell by cell where one fails; deviations are over the seeds."""
    cells = _cells(rows)
    logs, errors = [], []
    for (_, factor), found in cells.items():
        rivals = [row for name, row in found.items() if name.split(",")[0] in RIVALS]
        ours = found.get("layerweaver+")
        best = max(rivals, key=lambda row: row["share_of_bound"], default=None)
        if factor in (10, 30) and ours and best and best["share_of_bound"] > 0:
            ratios = [a / b for a, b in zip(ours["shares"], best["shares"], strict=True) if b > 0]
            logs.append(statistics.fmean(map(math.log, ratios)))
            errors.append(statistics.stdev(map(math.log, ratios)) if len(ratios) > 1 else 0.0)
    if logs:
        mean, deviation = math.exp(statistics.fmean(logs)), math.hypot(*errors) / len(errors)
        low = math.exp(min(logs))
        yield (
            f"layerweaver+ over the best of {', '.join(RIVALS)}, geometric mean of {len(logs)} cells"
            f" at 10 and 30: {mean:.3f} +- {mean * deviation:.3f} (least cell {low:.3f}); target 1.2"
        )
    for factor, goal in ((10, 0.75), (30, 0.90)):
        for policy in ("layerweaver+", "slackweave+"):
            for mix in PAIRS:
                row = cells.get((mix, factor), {}).get(policy)
                if row is not None and "RX" not in mix:
                    yield _verdict(f"{policy} {mix} at {factor}", row["share_of_bound"], row["sd"], goal)
    for (mix, factor), found in cells.items():
        if {"slackweave+", "layerweaver+"} <= set(found) and found["layerweaver+"]["share_of_bound"] > 0:
            pairs = zip(found["slackweave+"]["shares"], found["layerweaver+"]["shares"], strict=True)
            ratios = [a / b for a, b in pairs if b > 0]
            spread = statistics.stdev(ratios) if len(ratios) > 1 else 0.0
            goal = 1.0 if mix in FOURS else 0.99
            label = f"slackweave+ over layerweaver+ {mix} at {factor}"
            yield _verdict(label, statistics.fmean(ratios), spread, goal)


def _verdict(label: str, value: float, spread: float | None, goal: float) -> str:
    spread = spread or 0.0
    says = "holds" if value >= goal else "within one deviation" if value + spread >= goal else "FAILS"
    return f"{label}: {value:.4f} +- {spread:.4f}, target {goal}: {says}"


def _best(found: Mapping[str, Row], names: Iterable[str]) -> str:
    """The highest share of the given policies, and whose it is."""
    name = max(names, key=lambda name: (found[name]["share_of_bound"], name))
    return f"{found[name]['share_of_bound']:.3f} ({name})"


def markdown(rows: Sequence[Row]) -> str:
    """Per deadline, the best that does not weave, with early and with late commitment, and those that do."""
    lines = ["| mix, deadline | fcfs | time-slice | best without weaving, early | the same, late |"]
    lines[0] += " layerweaver, early | late | layerweaver+, early | late | slackweave+ |"
    lines.append("|---" * 10 + "|")
    for (mix, factor), found in _cells(rows).items():
        others = [name for name in found if name.split(",")[0] not in WEAVING]
        late = [name for name in others if entrants()[name].get("commit", "late") == "late"]
        shown = [
            f"{found['fcfs']['share_of_bound']:.3f}",
            f"{found['time-slice']['share_of_bound']:.3f}",
            _best(found, (name for name in others if name not in late)),
            _best(found, late),
        ]
        for name in (
            "layerweaver",
            "layerweaver, late",
            "layerweaver+, early",
            "layerweaver+",
            "slackweave+",
        ):
            shown.append(f"{found[name]['share_of_bound']:.3f}" if name in found else "")
        lines.append(f"| {mix}, {factor} | {' | '.join(shown)} |")
    return "\n".join([*lines, ""])


def leads(rows: Sequence[Row]) -> Iterator[str]:
    """Geometric means, over the cells at 10 and 30, of layerweaver+ over rivals; and slackweave+ over it."""
    cells = [found for (_, factor), found in _cells(rows).items() if factor in (10, 30)]
    rivals = {label for label in entrants() if label.split(",")[0] not in WEAVING}
    late = {label for label in rivals if entrants()[label].get("commit", "late") == "late"}
    pairs = (
        ("all early", ["layerweaver+, early"], [["llf, early"], rivals - late]),
        ("all late", ["layerweaver+"], [["llf"], late]),
        ("each its better", ["layerweaver+", "layerweaver+, early"], [["llf", "llf, early"], rivals]),
    )
    for what, ours, others in pairs:
        for names, label in zip(others, ("llf", "the best without weaving"), strict=True):
            ratios = [_share_of(found, ours) / _share_of(found, names) for found in cells]
            yield f"layerweaver+ over {label}, {what}: {_spread(ratios)}"
    yield "slackweave+ over layerweaver+: " + _spread(
        [_share_of(found, ["slackweave+"]) / _share_of(found, ["layerweaver+"]) for found in cells]
    )
    for factor in FACTORS:
        every = [found for (_, given), found in _cells(rows).items() if given == factor]
        ratios = [
            _share_of(found, ["slackweave+"]) / _share_of(found, set(found) - {"slackweave+"})
            for found in every
        ]
        yield f"slackweave+ over the best of all others at {factor}: {_spread(ratios)}"


def _share_of(found: Mapping[str, Row], names: Iterable[str]) -> float:
    return max(found[name]["share_of_bound"] for name in names)


def _spread(ratios: Sequence[float]) -> str:
    mean = math.exp(statistics.fmean(map(math.log, ratios)))
    return f"{mean:.3f} (from {min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("table", "targets"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--resolution", type=float, default=0.005)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--policies", nargs="*", help="only these")
    parser.add_argument("--again", nargs="*", default=[], help="policies whose rows of the file do not count")
    parser.add_argument("--markdown", action="store_true", help="print the tables of the file, run nothing")
    args = parser.parse_args()
    rows: list[Row] = json.loads(args.json.read_text(encoding="utf-8")) if args.json.exists() else []
    rows = [row for row in rows if row["policy"] not in args.again]
    if not args.markdown:
        full = args.what == "table"
        policies = args.policies or [name for name in entrants() if full or name.split(",")[0] in TARGETED]
        cells = list(itertools.product((*PAIRS, *FOURS), FACTORS if full else FACTORS[1:]))
        if not full:
            cells = [*cells, *((mix, 3) for mix in FOURS)]
        known = {(row["mix"], row["factor"], row["policy"]) for row in rows}
        started = time.monotonic()
        for policy, wanted in itertools.groupby(
            ((policy, cell) for policy in policies for cell in cells if (*cell, policy) not in known),
            key=lambda item: item[0],
        ):
            for row in peak_rows(
                [cell for _, cell in wanted],
                [policy],
                queries=args.queries or (20_000 if full else 100_000),
                seeds=args.seeds or (3 if full else 5),
                resolution=args.resolution,
                jobs=args.jobs,
            ):
                rows.append(row)
                args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            print(f"{policy}: {time.monotonic() - started:.0f} s", flush=True)
    if args.what == "table" and set(entrants()) <= {row["policy"] for row in rows}:
        print(markdown(rows))
        print("\n".join(leads(rows)))
    print("\n".join(targets(rows)))


if __name__ == "__main__":
    main()
