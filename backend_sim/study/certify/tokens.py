"""Certifying a language model: LoadGen is told of every first token, and of every answer with its length."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.results.tokens import decoder_of
from layerweaver.backend_sim.results.verdict import Judgement, RunFacts, judge_tokens
from layerweaver.backend_sim.run.run import Run
from layerweaver.backend_sim.run.token_requests import token_requests
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.study.certify.replay import TokenSettings
from layerweaver.backend_sim.traffic.lengths import read_pairs
from layerweaver.backend_sim.traffic.sample_order import issued_samples
from layerweaver.ir import ScenarioError

__all__ = ["TokenReplay", "check_tokens", "token_replay"]

IntArray = NDArray[np.int64]

_FIRST = re.compile(r"^(\d+(?:\.\d+)?) percentile first token latency \(ns\)\s*: (\d+)", re.MULTILINE)
_REST = re.compile(r"^(\d+(?:\.\d+)?) percentile time to output token \(ns\)\s*: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class TokenReplay:
    """What LoadGen is told of a language model, and what it is judged by.

    Attributes:
        columns: Arrays of the replay, by name.
        settings: Its settings beside those of any tenant.
        tpot_ns: Mean time per further token of every request.
        limits_ns: Limits of the time to the first token and of the time per further token.
    """

    columns: Mapping[str, IntArray]
    settings: TokenSettings
    tpot_ns: IntArray
    limits_ns: tuple[int | None, int | None]

    @property
    def judged_times(self) -> tuple[tuple[re.Pattern[str], IntArray], ...]:
        """Times to the first and per further token, each with how LoadGen's summary says its percentiles."""
        return (_FIRST, self.columns["first"]), (_REST, self.tpot_ns)

    def judged(self, facts: RunFacts) -> Judgement:
        """Our verdict."""
        return judge_tokens(self.columns["first"], self.tpot_ns, self.limits_ns, facts)


def check_tokens(scenario: Scenario, index: int, request: TrafficRequest) -> None:
    """Refuse a language model that LoadGen cannot judge.

    Raises:
        ScenarioError: If a limit is missing, or a request has a single token, of which LoadGen knows no time
            per token.
    """
    tenant, limits = scenario.spec.tenants[index], scenario.token_limits(index)
    if tenant.arrival.kind == "poisson" and None in (limits.ttft_ns, limits.tpot_ns):
        raise ScenarioError(
            "LoadGen's Server scenario needs limits of both times",
            where=scenario.where("tenants", index),
            accepted="deadline: {ttft_ms: ..., tpot_ms: ...}, or mlperf_model",
        )
    output = token_requests(scenario, index, request).lengths.output
    if len(output) and int(output.min()) < 2:
        raise ScenarioError(
            f"request {int(np.argmin(output))} has one token of output, which has no time per token",
            where=scenario.where("tenants", index),
            accepted="outputs of 2 tokens or more",
        )


def token_replay(run: Run, index: int) -> TokenReplay | None:
    """What LoadGen is told of a tenant's tokens; None if it is no language model."""
    decoder = decoder_of(run, index)
    if decoder is None:
        return None
    scenario = run.prepared.scenario
    limits, tokens = scenario.token_limits(index), decoder.tokens
    columns = {"first": decoder.first_ns - decoder.scheduled_ns, "tokens": tokens}
    settings: TokenSettings = {"ttft_ns": limits.ttft_ns or 0, "tpot_ns": limits.tpot_ns or 0}
    lengths = scenario.spec.tenants[index].lengths
    if lengths is not None and lengths.file is not None and lengths.order == "loadgen":
        assert lengths.qsl_seed is not None
        assert lengths.sample_seed is not None
        samples = len(read_pairs(scenario.path_of(lengths.file)).prompt)
        settings["data_set"] = samples
        settings["qsl_seed"], settings["sample_seed"] = lengths.qsl_seed, lengths.sample_seed
        columns["order"] = issued_samples(
            samples,
            len(tokens),
            min_query_count=scenario.spec.min_queries,
            qsl_seed=lengths.qsl_seed,
            sample_seed=lengths.sample_seed,
        )
    return TokenReplay(
        columns,
        settings,
        (decoder.last_ns - decoder.first_ns) // (tokens - 1),
        (limits.ttft_ns, limits.tpot_ns),
    )
