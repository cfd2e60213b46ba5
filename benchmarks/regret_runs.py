"""Every policy on many scenarios, the same arrivals for all, kept in a file as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

from random_scenarios import Drawn, draw_scenario, least_late_pct, lost_pct, scenario_keys

from layerweaver.ir import atomic_write

Late = dict[str, float]
"""Lost requests in percent, by label of the policy."""


Job = tuple[str, Drawn, dict[str, dict[str, Any]], int, bool]
"""Key, scenario, policies, queries, and whether the bound is asked for."""


def run_one(job: Job) -> tuple[str, Late, float | None]:
    """All asked policies on one scenario, and what every schedule loses."""
    key, drawn, policies, queries, bounded = job
    lost = lost_pct(scenario_keys(drawn, queries), policies.values())
    return key, dict(zip(policies, lost, strict=True)), least_late_pct(drawn, queries) if bounded else None


class Results:
    """Lost requests by scenario and policy, kept in a file as they come.

    Args:
        path: The file, read first; None keeps nothing.
        queries: Requests per scenario; those of the file must be as many.
        jobs: Processes.
        again: Policies whose figures in the file do not count.

    Raises:
        ValueError: If the file has another number of queries.
    """

    def __init__(self, path: Path | None, queries: int, jobs: int, again: Iterable[str] = ()) -> None:
        self.path = path
        self.queries = queries
        self.late: dict[str, Late] = {}
        self.least: dict[str, float] = {}
        self.drawn: dict[str, Drawn] = {}
        if path is not None and path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["queries"] != queries:
                raise ValueError(f"{path} was made with --queries {stored['queries']}, not {queries}")
            self.drawn = stored["scenarios"]
            self.least = stored["least_pct"]
            self.late = {
                key: {name: value for name, value in late.items() if name not in set(again)}
                for key, late in stored["late_pct"].items()
            }
        self._pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
        self._compiled: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(
        self, wanted: Mapping[str, Drawn], policies: Mapping[str, dict[str, Any]], *, bounded: bool
    ) -> None:
        """Run what is missing, and keep it; figures of another scenario of that key are forgotten."""
        todo: list[Job] = []
        for key, drawn in wanted.items():
            if self.drawn.get(key) != drawn:
                self.drawn[key] = drawn
                self.late.pop(key, None)
                self.least.pop(key, None)
            known = self.late.setdefault(key, {})
            missing = {name: policy for name, policy in policies.items() if name not in known}
            unbounded = bounded and key not in self.least
            if missing or unbounded:
                todo.append((key, drawn, missing, self.queries, unbounded))
        self._compile({name: policies[name] for job in todo for name in job[2]})
        written = time.monotonic()
        for done in as_completed([self._pool.submit(run_one, job) for job in todo]):
            key, late, least = done.result()
            self.late[key].update(late)
            if least is not None:
                self.least[key] = least
            if time.monotonic() - written > 5:
                self.write()
                written = time.monotonic()
        self.write()

    def _compile(self, policies: Mapping[str, dict[str, Any]]) -> None:
        """Let one process compile each policy before all of them want all."""
        small = draw_scenario(0, 0)
        fresh = [
            (name, small, {name: policy}, 10, False)
            for name, policy in policies.items()
            if name not in self._compiled
        ]
        list(self._pool.map(run_one, fresh))
        self._compiled.update(policies)

    def write(self) -> None:
        """Keep everything so far."""
        if self.path is not None:
            document = {
                "queries": self.queries,
                "scenarios": self.drawn,
                "late_pct": self.late,
                "least_pct": self.least,
            }
            with atomic_write(self.path) as stream:
                stream.write((json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


def regret_of(late: Late, policy: str) -> float:
    """Points above the best of all others; below 0 if it is the best."""
    return late[policy] - min(value for name, value in late.items() if name != policy)
