"""Certifying a simulation: LoadGen itself, in virtual time, judges the simulated completions (unofficially).

Every tenant's completions are replayed by the unmodified LoadGen in a process of its own, which makes its own
schedule from the seed; its percentiles must equal ours to the nanosecond, and its verdict ours. The result is
*unofficial*: it is not an MLPerf submission.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.outcome import is_done
from layerweaver.backend_sim.results.certified import Certificate, CertifiedTenant, CertifiedTokens
from layerweaver.backend_sim.results.latency import percentile_index
from layerweaver.backend_sim.results.of_policy import policy_notes
from layerweaver.backend_sim.results.tenant import LOADGEN_KINDS
from layerweaver.backend_sim.results.verdict import RunFacts, early_stopping_estimates, judge
from layerweaver.backend_sim.run.hopeless_deadlines import deadline_warnings
from layerweaver.backend_sim.run.run import Run, run_once
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest, tenant_seed
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.study.certify.replay import Answer, Request, Settings
from layerweaver.backend_sim.study.certify.tokens import check_tokens, token_replay
from layerweaver.backend_sim.study.certify.virtual_clock import virtual_clock
from layerweaver.backend_sim.study.inputs import PolicyRef, ScenarioRef, as_prepared, as_scenario, policy_of
from layerweaver.backend_sim.traffic.loops import MultiStreamSpec, SingleStreamSpec
from layerweaver.backend_sim.traffic.offline import OfflineSpec
from layerweaver.backend_sim.traffic.poisson import PoissonSpec
from layerweaver.backend_sim.traffic.source import Arrivals
from layerweaver.backend_sim.traffic.stream import take_all
from layerweaver.ir import LayerweaverError, ScenarioError
from layerweaver.ir.clock import seconds_to_ns_nearest
from layerweaver.ir.documents import given_seed
from layerweaver.ir.extras import need_extra
from layerweaver.ir.given import check_flags
from layerweaver.ir.text import counted

__all__ = ["certify"]

_TIMEOUT_S = 1800
_PERCENTILE = re.compile(r"^(\d+(?:\.\d+)?) percentile latency \(ns\)\s*: (\d+)", re.MULTILINE)
_ESTIMATE = re.compile(r"Early stopping (\d+(?:\.\d+)?)th percentile estimate: (\d+)")
_VERDICT = re.compile(r"^Result is : (VALID|INVALID)", re.MULTILINE)
_NS_PER_MS = 1_000_000


def certify(
    source: ScenarioRef = None,
    policy: PolicyRef | None = None,
    seed: int | None = None,
    *,
    progress: Callable[[float, str], None] | None = None,
    allow_code: bool = False,
) -> Certificate:
    """Simulate a scenario and let LoadGen judge it.

    Args:
        source: Path or keys of a scenario; None is the built-in one.
        policy: Policy; None is the scenario's.
        seed: Replaces all seeds by ones derived from it.
        progress: Told the share done and what is being done.
        allow_code: Run a policy that the scenario gives as a Python file.

    Returns:
        ``{"tenants": [{"name", "status", "verdict", "loadgen_verdict", "p99_ns", "loadgen_p99_ns", "agree",
        ...}]}``; ``reasons``, ``missing_queries`` and ``missing_s`` say what a tenant lacks.
        Language models have ``ttft_p99_ns``, ``tpot_p99_ns`` and LoadGen's beside them. Warm-up and cool-down
        are judged too, which ``warnings`` say. ``unofficial`` is always true. ``policy``, ``policy_options``,
        ``seed`` and ``scenario`` say how it was made, as in other results.

    Raises:
        OutputError: If LoadGen is missing.
        ScenarioError: If a compiler is missing, a tenant's arrivals are not LoadGen's, it has no
            deadline where one is needed, a request was dropped, or the scenario has a pool.
    """
    check_flags(ScenarioError, allow_code=allow_code)
    seed = given_seed(seed, ScenarioError)
    request = TrafficRequest(seed=seed)
    _check(as_scenario(source), request)
    need_extra("mlperf_loadgen", "certifying", "mlperf")
    with tempfile.TemporaryDirectory() as folder:
        clock = virtual_clock(Path(folder))
        prepared = as_prepared(source, allow_code=allow_code)
        chosen = policy_of(prepared, policy)
        names = [tenant.name for tenant in prepared.scenario.spec.tenants]
        tell = progress or _say_nothing
        tell(0.0, "simulating")
        run = run_once(prepared, chosen, request)
        if run.interrupted:
            raise KeyboardInterrupt
        tenants: list[CertifiedTenant] = []
        for index, name in enumerate(names):
            tell((1 + index) / (1 + len(names)), f"LoadGen replays {name}")
            tenants.append(_certified(run, index, request, clock))
    document: Certificate = {
        "policy": chosen.name,
        "policy_options": chosen.as_options(),
        "seed": seed,
        "scenario": prepared.record(chosen),
        "unofficial": True,
        "tenants": tenants,
    }
    spec = prepared.scenario.spec
    unused = [key for key in ("warmup_s", "cooldown_s") if getattr(spec, key)]
    said = [f"LoadGen judges all requests: {', '.join(unused)} not used"] if unused else []
    said += prepared.scenario.of_seeds(seed)
    if notes := [*prepared.notes, *run.said, *policy_notes(prepared, chosen)]:
        document["notes"] = notes
    if warnings := [*prepared.warnings, *deadline_warnings(prepared, chosen), *said]:
        document["warnings"] = warnings
    return document


def _say_nothing(share: float, text: str) -> None:
    """Nobody asked."""


def _check(scenario: Scenario, request: TrafficRequest) -> None:
    if sum(member.count for member in scenario.spec.pool or ()) > 1:
        raise ScenarioError(
            "a pool cannot be certified", where=scenario.where("pool"), accepted="give one npu"
        )
    duration_s = scenario.spec.duration_s
    if duration_s is not None and seconds_to_ns_nearest(duration_s) % _NS_PER_MS:
        raise ScenarioError(
            "LoadGen counts the duration in whole milliseconds", where=scenario.where("duration_s")
        )
    for index, tenant in enumerate(scenario.spec.tenants):
        place = scenario.where("tenants", index, "arrival")
        if tenant.arrival.kind not in LOADGEN_KINDS:
            raise ScenarioError(
                f"LoadGen has no {tenant.arrival.kind} arrivals",
                where=place,
                accepted=", ".join(LOADGEN_KINDS),
            )
        if tenant.is_llm:
            check_tokens(scenario, index, request)
        elif tenant.arrival.kind == "poisson" and scenario.deadline_ns(index) is None:
            raise ScenarioError(
                "LoadGen's Server scenario needs a latency limit", where=place, accepted="deadline_ms"
            )


def _certified(run: Run, index: int, request: TrafficRequest, clock: Path) -> CertifiedTenant:
    scenario = run.prepared.scenario
    tenant = scenario.spec.tenants[index]
    latency_ns = run.outcomes[0].tenants[index].latency_ns
    if not is_done(latency_ns).all():
        raise ScenarioError(
            f"drops {counted(int((~is_done(latency_ns)).sum()), 'request')}, which LoadGen does not know",
            where=scenario.where("tenants", index),
            accepted="leave queue out",
        )
    duration_ns = 0 if scenario.spec.duration_s is None else seconds_to_ns_nearest(scenario.spec.duration_s)
    facts = RunFacts(
        kind=tenant.arrival.kind,
        share=scenario.percentile(index),
        target_ns=scenario.deadline_ns(index),
        lasted_ns=run.lasted_ns(index),
        min_duration_ns=duration_ns,
        min_queries=scenario.spec.min_queries,
        dropped=0,
    )
    tokens = token_replay(run, index)
    judgement = judge(latency_ns, facts) if tokens is None else tokens.judged(facts)
    columns = {"latencies": latency_ns, "scheduled": _scheduled(run, index, request)}
    settings = _loadgen_settings(run, index, request)
    if tokens is not None:
        columns |= tokens.columns
        settings = {**settings, **tokens.settings}
    answer = _replay(settings, columns, clock)
    summary = answer["summary"]
    found = _VERDICT.search(summary)
    loadgen_verdict = found.group(1) if found else None
    whole = _compared(_PERCENTILE, latency_ns, summary)
    estimates = early_stopping_estimates(latency_ns, tenant.arrival.kind, facts.share)
    sure = {name: value for name, value in estimates.items() if value is not None}
    their_sure = {f"p{float(name):g}": int(value) for name, value in _ESTIMATE.findall(summary)}
    same = whole.same and sure == their_sure and answer["schedule_agrees"]
    more: CertifiedTokens = {}
    if tokens is not None:
        first, rest = (_compared(pattern, values_ns, summary) for pattern, values_ns in tokens.judged_times)
        # Offline, LoadGen says nothing of single tokens.
        told = tenant.arrival.kind == "offline" or (first.told and rest.told)
        same = same and first.same and rest.same and told
        more = {
            "ttft_p99_ns": first.p99_ns,
            "loadgen_ttft_p99_ns": first.loadgen_p99_ns,
            "tpot_p99_ns": rest.p99_ns,
            "loadgen_tpot_p99_ns": rest.loadgen_p99_ns,
        }
    return {
        "name": tenant.name,
        "status": judgement.status,
        "verdict": judgement.verdict,
        "loadgen_verdict": loadgen_verdict,
        "p99_ns": whole.p99_ns,
        "loadgen_p99_ns": whole.loadgen_p99_ns,
        **more,
        "agree": same and judgement.verdict == loadgen_verdict,
        "early_stopping_ns": sure,
        "loadgen_early_stopping_ns": their_sure,
        "queries": len(latency_ns),
        "reasons": judgement.reasons,
        "missing_queries": judgement.missing_queries,
        "missing_s": judgement.missing_s,
        "loadgen_summary": summary,
    }


class _Compared(NamedTuple):
    """Percentiles of ours and of LoadGen's: whether all that it told are the same, and the 99th."""

    told: bool
    same: bool
    p99_ns: int
    loadgen_p99_ns: int | None


def _compared(pattern: re.Pattern[str], values_ns: NDArray[np.int64], summary: str) -> _Compared:
    theirs = {float(name): int(value) for name, value in pattern.findall(summary)}
    ordered = np.sort(values_ns)
    ours = {name: int(ordered[percentile_index(len(ordered), name / 100)]) for name in (*theirs, 99.0)}
    same = all(ours[name] == value for name, value in theirs.items())
    return _Compared(bool(theirs), same, ours[99.0], theirs.get(99.0))


def _scheduled(run: Run, index: int, request: TrafficRequest) -> NDArray[np.int64]:
    own = run.outcomes[0].tenants[index].scheduled_ns
    if own is not None:
        return own
    source = run.prepared.sources(request)[index]
    assert isinstance(source, Arrivals)  # the engine keeps the times of all other sources
    return take_all(source)


def _loadgen_settings(run: Run, index: int, request: TrafficRequest) -> Settings:
    scenario = run.prepared.scenario
    spec, arrival = scenario.spec, scenario.spec.tenants[index].arrival
    latency_ns = run.outcomes[0].tenants[index].latency_ns
    count = len(latency_ns)
    made: Settings = {
        "kind": arrival.kind,
        "seed": tenant_seed(scenario, index, request),
        "share": scenario.percentile(index),
        "min_duration_ms": 0
        if spec.duration_s is None
        else seconds_to_ns_nearest(spec.duration_s) // _NS_PER_MS,
        "min_queries": spec.min_queries,
    }
    match arrival:
        case PoissonSpec():
            made["qps"] = arrival.qps
            made["target_ns"] = scenario.deadline_ns(index) or 0
        case OfflineSpec():
            made["qps"] = _offline_rate(made["min_duration_ms"], count)
            made["min_queries"] = count
        case SingleStreamSpec() | MultiStreamSpec():
            made["expected_ns"] = max(1, int(latency_ns.min(initial=10**6)))
            made["max_queries"] = 0
            if arrival.queries is not None:
                # LoadGen stops where the loop was told to, and finds fault with fewer than were asked for.
                made["max_queries"] = count
                made["min_queries"] = max(spec.min_queries, count)
            made["samples_per_query"] = getattr(arrival, "samples", 1)
    return made


def _offline_rate(min_duration_ms: int, samples: int) -> float:
    """A rate at which LoadGen issues just so many samples."""
    return max(1e-6, (samples - 0.5) / 1.1 / (min_duration_ms / 1e3)) if min_duration_ms else 1.0


def _replay(settings: Settings, columns: Mapping[str, NDArray[np.int64]], clock: Path) -> Answer:
    with tempfile.TemporaryDirectory(prefix="layerweaver-") as name:
        folder = Path(name)
        paths = {key: str(folder / f"{key}.npy") for key in columns}
        for key, path in paths.items():
            np.save(path, columns[key])
        answer = folder / "answer.json"
        request: Request = {
            "settings": settings,
            "files": paths,
            "clock": str(clock),
            "folder": str(folder),
            "answer": str(answer),
        }
        (folder / "request.json").write_text(json.dumps(request), "utf-8")
        command = [
            sys.executable,
            "-P",  # imports nothing from the present folder
            "-m",
            "layerweaver.backend_sim.study.certify.replay",
            str(folder / "request.json"),
        ]
        # The process has its C library from the start, so only a preloaded nanosleep() comes before it.
        environment = {**os.environ, "LD_PRELOAD": str(clock)}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise LayerweaverError(f"LoadGen took longer than {_TIMEOUT_S} s") from None
        if done.returncode or not answer.is_file():
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise LayerweaverError(f"LoadGen failed ({done.returncode}): {lines[-1][:300]}")
        result: Answer = json.loads(answer.read_text("utf-8"))
        return result
