"""Language models of a scenario on one NPU: rules, costs and what they refuse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layerweaver.backend_sim.llm.decoder import PREFILL_FIRST, STATIC, VLLM
from layerweaver.backend_sim.llm.load import DecoderLoad, DecoderRules
from layerweaver.backend_sim.run.mean_request import mean_load, stand_in
from layerweaver.backend_sim.run.token_requests import TokenRequests, token_requests
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.scenario.llm_schema import LlmSpec, TimingsRef
from layerweaver.backend_sim.scenario.model_refs import ProfileRef
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.traffic.lengths import Pairs
from layerweaver.costmodel import NpuConfig
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ConfigError, ScenarioError
from layerweaver.ir.clock import ns_to_cycles_up
from layerweaver.scheduler.compile.decoder_inputs import NoDecoderError
from layerweaver.scheduler.compile.iterations import iteration_rows
from layerweaver.scheduler.iterations.costed import CostedRows
from layerweaver.scheduler.iterations.costs import iteration_costs
from layerweaver.scheduler.iterations.rows import IterationRows
from layerweaver.scheduler.iterations.timings import Timings, load_timings
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.profile.profile import Profile

__all__ = ["DecoderModel", "decoder_model"]

_WAYS = {"vllm-v1": VLLM, "prefill-first": PREFILL_FIRST, "static": STATIC}


@dataclass(frozen=True, slots=True, eq=False)
class DecoderModel:
    """A language model on one NPU.

    Attributes:
        machine: The NPU.
        rules: How iterations are put together.
        costs: What they cost.
        first_requests: The requests of a run with nothing replaced.
        stand_in: One row with a mean request's work where the cache is as full as it can be.
        most_len: Longest sequence that is accepted; None for what the cache holds.
        where: Place of the tenant, for messages.
    """

    machine: MachineSpec
    rules: DecoderRules
    costs: Timings | CostedRows
    first_requests: TokenRequests
    stand_in: ModelProfile
    most_len: int | None
    where: str

    @property
    def mean(self) -> DecoderLoad:
        """It with a single request, of mean lengths."""
        return mean_load(self.rules, self.costs, self.first_requests.lengths)

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be assumed of the model."""
        if isinstance(self.costs, Timings):
            return ()
        if not self.costs.ends or not _longer(self.first_requests.lengths, self.costs.longest):
            return self.costs.notes
        ends = f"its graph takes contexts of {self.costs.longest} tokens at most"
        return (*self.costs.notes, f"{ends}; longer ones are counted as if it went on")

    def load(self, requests: TokenRequests) -> DecoderLoad:
        """What the engine is given.

        Raises:
            ScenarioError: If a request is longer than the model or the cache can hold.
        """
        prompt, output = requests.lengths.prompt, requests.lengths.output
        known = 0 if isinstance(self.costs, Timings) or self.costs.ends else self.costs.longest
        if known and _longer(requests.lengths, known):
            row = int(np.argmax(prompt + output - 1 > known))
            raise ScenarioError(
                f"{requests.named(row)} has {int(prompt[row])} tokens of prompt and {int(output[row])} of "
                f"output, and this decoder's counts hold for contexts of {known} tokens at most",
                where=self.where,
                accepted="shorten it",
            )
        if self.most_len is not None and len(prompt) and int((prompt + output).max()) > self.most_len:
            row = int(np.argmax(prompt + output > self.most_len))
            raise ScenarioError(
                f"{requests.named(row)} has {int(prompt[row])} tokens of prompt and {int(output[row])} of "
                f"output, more than max_model_len, {self.most_len}",
                where=self.where,
                accepted="shorten it or raise llm.max_model_len",
            )
        load = DecoderLoad(self.rules, self.costs, requests.scheduled_ns, prompt, output)
        load.check(self.where, requests.named)
        return load


def _rules(scenario: Scenario, index: int, spec: LlmSpec, machine: MachineSpec, blocks: int) -> DecoderRules:
    limits = scenario.token_limits(index)
    return DecoderRules(
        blocks=blocks,
        block=spec.kv.block,
        scheduling=_WAYS[spec.scheduling],
        max_num_seqs=spec.max_num_seqs,
        budget=spec.max_batched_tokens,
        long_prefill=spec.long_prefill_threshold,
        watermark=int(np.ceil(spec.kv.watermark * blocks)),
        reserve_full=spec.kv.reserve_full,
        sync=spec.boundary == "sync",
        overhead_cycles=ns_to_cycles_up(round(spec.step_overhead_us * 1e3), machine.clock_hz),
        ttft_ns=limits.ttft_ns,
        tpot_ns=limits.tpot_ns,
        itl_ns=limits.itl_ns,
        strict=limits.mode == "strict",
    )


def decoder_model(
    scenario: Scenario, index: int, machine: MachineSpec, config: NpuConfig | None, profile: Profile | None
) -> DecoderModel:
    """One language model of the scenario on its NPU, its cache without limit as yet (:func:`with_room`).

    Args:
        scenario: The scenario.
        index: The tenant.
        machine: The NPU.
        config: Its config, where it is known.
        profile: The schedule profile that the tenant names, if it names one.

    Raises:
        LayerweaverError: If its costs, its cache or its requests cannot be had.
    """
    tenant = scenario.spec.tenants[index]
    spec = tenant.llm or LlmSpec()
    costs = _costs(scenario, index, spec, machine, config, profile)
    requests = token_requests(scenario, index, TrafficRequest())
    where = scenario.where("tenants", index)
    rules = _rules(scenario, index, spec, machine, spec.kv.blocks or _ANY_BLOCKS)
    mean = mean_load(rules, costs, requests.lengths)
    mean.check_countable(where)
    return DecoderModel(
        machine, mean.rules, costs, requests, stand_in(tenant.name, machine, mean), spec.max_model_len, where
    )


def _longer(lengths: Pairs, tokens: int) -> bool:
    """Whether any request's context grows beyond so many tokens."""
    return bool((lengths.prompt + lengths.output - 1 > tokens).any())


_ANY_BLOCKS = 1 << 20


def _costs(  # noqa: PLR0917
    scenario: Scenario,
    index: int,
    spec: LlmSpec,
    machine: MachineSpec,
    config: NpuConfig | None,
    profile: Profile | None,
) -> Timings | CostedRows:
    """What a language model's iterations cost: given times, or rows of its graph."""
    tenant = scenario.spec.tenants[index]
    ref = tenant.model
    if isinstance(ref, TimingsRef):
        costs = load_timings(scenario.path_of(ref.timings))
        if costs.clock_hz != machine.clock_hz:
            raise ConfigError(
                f"times are cycles of {costs.clock_hz / 1e6:g} MHz, and {machine.name} runs at "
                f"{machine.clock_hz / 1e6:g} MHz",
                where=ref.timings,
                accepted="state them in cycles of the scenario's NPU",
            )
        if spec.kv.blocks is None:
            raise ScenarioError(
                "the room for the cache is unknown: a model of times has no weights",
                where=scenario.where("tenants", index, "llm"),
                accepted="give kv: {blocks: ...}",
            )
        return costs
    if config is None:
        raise ScenarioError(
            "has a language model to cost but no NPU", where=scenario.source.source, accepted="give npu"
        )
    return iteration_costs(
        _rows(scenario, index, profile),
        config,
        tokens=max(spec.max_batched_tokens, spec.max_num_seqs),
        sequences=spec.max_num_seqs,
        cache_bits=round(spec.kv.dtype_bytes * 8),
    )


def _rows(scenario: Scenario, index: int, profile: Profile | None) -> IterationRows:
    """Rows of a language model: as compiled, or of its graph."""
    tenant = scenario.spec.tenants[index]
    ref, where = tenant.model, scenario.where("tenants", index, "model")
    if isinstance(ref, ProfileRef) and profile is not None:
        entries = [decoder.entry for decoder in profile.decoders]
        if ref.entry is None and len(entries) != 1:
            raise ScenarioError(
                f"{ref.profile} has {len(entries) or 'no'} language models",
                where=where,
                accepted=f"entry: {', '.join(entries)}" if entries else "compile one with --llm NAME",
            )
        with scenario.place("tenants", index, "model", file=ref.profile):
            return profile.decoder(ref.entry or entries[0]).rows
    if not isinstance(ref, str):
        raise ScenarioError(
            "a language model is no table of fixed rows",
            where=where,
            accepted="zoo:NAME, a path, {profile: FILE.lwp} or {timings: FILE.yaml}",
        )
    try:
        return iteration_rows(ref if ref.startswith("zoo:") else str(scenario.path_of(ref)), tenant.dims)
    except NoDecoderError as error:
        raise ScenarioError(
            f"the model of tenant {tenant.name!r} is no language model: {error.where}: {error.what}",
            where=scenario.where("tenants", index, "llm"),
            accepted=f"{error.accepted}; or leave llm out",
        ) from None
