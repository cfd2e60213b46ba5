"""The keys of a scenario file, as pydantic models: the edge where untrusted input becomes data."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from layerweaver.backend_sim.scenario.llm_schema import LlmSpec, TimingsRef, TokenDeadline
from layerweaver.backend_sim.scenario.model_refs import CostsRef, ProfileRef
from layerweaver.backend_sim.traffic.kinds import ArrivalSpec
from layerweaver.backend_sim.traffic.lengths import LengthsSpec
from layerweaver.backend_sim.traffic.mlperf import mlperf_limits
from layerweaver.backend_sim.traffic.recorded import TraceSpec
from layerweaver.ir.documents import (
    Count,
    LongestRow,
    Milliseconds,
    Number,
    PositiveCount,
    PositiveMilliseconds,
    PositiveSeconds,
    Seconds,
    Seed,
    whole,
)
from layerweaver.ir.limits import MAX_BATCH, MAX_TENANTS
from layerweaver.ir.sections import Section, refusal
from layerweaver.ir.spelling import nearest

__all__ = [
    "ROUTERS",
    "BatchSpec",
    "DecisionSpec",
    "PoolMember",
    "ScenarioSpec",
    "TenantSpec",
]

ROUTERS = ("round_robin", "least_work", "balanced", "power_of_two")
_AUTO_MAX = 64
"""Largest batch that the scheduler may choose unless a scenario says otherwise."""
_MAX_NPUS = 256
_OF_IMPORT = ("dims", "shapes", "values", "trip_counts", "state", "incomplete", "longest_us")
"""Keys that say how a model file is read; tables and profiles have been through that."""
NOT_FOR_LLM = {
    "batch": "llm.max_num_seqs says how many requests share an iteration",
    **dict.fromkeys(
        ("shapes", "values", "trip_counts", "state", "incomplete", "longest_us"),
        "iterations bind batch, seq and past themselves",
    ),
    "overrides": "give model: {timings: FILE}",
    "deadline_ms": "give deadline: {ttft_ms: 2000, tpot_ms: 100}",
    "queue": "requests wait until they are admitted",
}


class BatchSpec(Section):
    """Dynamic batching; ``sizes`` are those compiled (default: powers of two, the preferred, the maximum).

    With ``auto`` the scheduler chooses when a batch starts and how many requests it takes.
    """

    auto: bool = False
    max: Annotated[int, whole(1, MAX_BATCH)] = _AUTO_MAX
    delay_ms: Milliseconds = 0.0
    preferred: list[PositiveCount] = Field(default_factory=list)
    sizes: list[PositiveCount] | None = None

    @model_validator(mode="before")
    @classmethod
    def _up_to_the_largest(cls, given: object) -> object:
        """Where the scheduler chooses among stated sizes, the largest of them is the maximum."""
        if not isinstance(given, dict) or given.get("auto") is not True or "max" in given:
            return given
        sizes = given.get("sizes")
        if not isinstance(sizes, list) or not sizes or not all(type(size) is int for size in sizes):
            return given
        return {**given, "max": min(max(1, *sizes), MAX_BATCH)}

    @model_validator(mode="after")
    def _within(self) -> Self:
        if not self.auto and "max" not in self.model_fields_set:
            raise refusal("max is missing; give the largest batch, or auto: true")
        for key in ("delay_ms", "preferred"):
            if self.auto and getattr(self, key):
                raise refusal("is for batches by rule; with auto: true the scheduler chooses", key)
        for key, values in (("preferred", self.preferred), ("sizes", self.sizes or [])):
            if values and max(values) > self.max:
                raise refusal(f"{max(values)} is above the maximum batch of {self.max}", key)
        if self.sizes is not None and self.max not in self.sizes:
            raise refusal(f"the maximum batch of {self.max} is not among the sizes", "sizes")
        return self

    def profile_sizes(self) -> tuple[int, ...]:
        """Batch sizes that need a profile, ascending."""
        if self.sizes is not None:
            return tuple(sorted(set(self.sizes)))
        doubled = (1 << power for power in range(self.max.bit_length()))
        return tuple(
            sorted({size for size in doubled if size <= self.max} | set(self.preferred) | {self.max})
        )


class QueueSpec(Section):
    """Admission: a bounded queue, early drops, and requests that give up waiting."""

    limit: PositiveCount | None = None
    drop_hopeless: bool = False
    timeout_ms: PositiveMilliseconds | None = None


class TenantSpec(Section):
    """One tenant."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    model: str | CostsRef | ProfileRef | TimingsRef
    dims: dict[str, PositiveCount] = Field(default_factory=dict)
    shapes: dict[str, list[PositiveCount]] = Field(default_factory=dict)
    values: dict[str, Number | list[Number]] = Field(default_factory=dict)
    trip_counts: dict[str, Count] = Field(default_factory=dict)
    state: dict[str, str] = Field(default_factory=dict)
    incomplete: bool = False
    batch: PositiveCount | BatchSpec = 1
    overrides: str | dict[str, str] | None = None
    longest_us: LongestRow | None = None
    deadline_ms: PositiveMilliseconds | None = None
    mlperf_model: str | None = None
    percentile: Number | None = None
    priority: Literal[1, 3, 9] = 1
    queue: QueueSpec = QueueSpec()
    llm: LlmSpec | None = None
    lengths: LengthsSpec | None = None
    deadline: TokenDeadline | None = None
    arrival: ArrivalSpec

    @field_validator("batch", mode="before")
    @classmethod
    def _batch(cls, value: Any) -> Any:
        if value == "auto":
            return BatchSpec(auto=True)
        if isinstance(value, str):
            raise refusal(f"{value[:20]!r} is not a batch; give a number, auto or {{max: ...}}")
        if isinstance(value, dict):
            return BatchSpec.model_validate(value)
        if isinstance(value, int) and not isinstance(value, bool) and value > MAX_BATCH:
            raise refusal(f"a batch of {value} is not accepted; give at most {MAX_BATCH}")
        return value

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.percentile is not None and not 1 <= self.percentile < 100:
            raise refusal(
                f"{self.percentile:g} is not a percentile; give percent from 1 to below 100, such as 99",
                "percentile",
            )
        if self.mlperf_model is not None and self.mlperf_model not in mlperf_limits():
            hint = nearest(self.mlperf_model[:60], list(mlperf_limits()))
            raise refusal(f"MLPerf has no model {self.mlperf_model[:60]!r}; {hint}", "mlperf_model")
        return self

    @property
    def is_llm(self) -> bool:
        """Whether the tenant is a language model: its requests share iterations."""
        return self.llm is not None or isinstance(self.model, TimingsRef)

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        """Refuse keys of language models on others, and the other way round."""
        if not self.is_llm:
            for key in ("lengths", "deadline"):
                if getattr(self, key) is not None:
                    raise refusal(f"{key} is for language models; give llm too, or leave it out", key)
            return self
        for key, instead in NOT_FOR_LLM.items():
            if key in self.model_fields_set:
                left = ", or leave llm out" if self.llm is not None else ""
                raise refusal(f"does not work with language models; {instead}{left}", key)
        if self.arrival.waits:
            raise refusal(
                f"arrivals of kind {self.arrival.kind} wait for requests to end, which is not built for "
                "language models; give arrivals by the clock, such as poisson or trace",
                "arrival",
            )
        if self.lengths is None and not isinstance(self.arrival, TraceSpec):
            raise refusal("a language model needs lengths; such as {prompt: 1024, output: 128}", "lengths")
        if self.lengths_from_trace and not isinstance(self.arrival, TraceSpec):
            raise refusal("lengths come from a trace, but the arrivals are none; give kind: trace", "lengths")
        return self

    @property
    def lengths_from_trace(self) -> bool:
        """Whether the trace of arrivals has the lengths too."""
        return self.is_llm and (self.lengths is None or self.lengths.source is not None)

    @model_validator(mode="after")
    def _overridable(self) -> Self:
        if self.overrides is None:
            return self
        if not isinstance(self.model, str):
            raise refusal("measured layers are for a model file or zoo:NAME, not for a table", "overrides")
        if self.longest_us is not None:
            raise refusal("measured layers are whole; give overrides or longest_us, not both", "longest_us")
        sizes = self.batch_sizes()
        if isinstance(self.overrides, str):
            if len(sizes) > 1:
                example = f"{{{sizes[0]}: measured.csv, ...}}"
                raise refusal(f"measured costs are of one batch size; give {example}", "overrides")
            return self
        for size in self.overrides:
            if size not in map(str, sizes):
                accepted = ", ".join(map(str, sizes))
                raise refusal(f"batch {size[:20]!r} is not compiled; batch sizes: {accepted}", "overrides")
        return self

    @model_validator(mode="after")
    def _importable(self) -> Self:
        if not isinstance(self.model, str):
            for key in _OF_IMPORT:
                if getattr(self, key):
                    raise refusal("is for a model file or zoo:NAME, which are imported here", key)
        return self

    @property
    def auto_batch(self) -> bool:
        """Whether the scheduler chooses batches."""
        return isinstance(self.batch, BatchSpec) and self.batch.auto

    @property
    def states_sizes(self) -> bool:
        """Whether batch sizes or the largest one are others than the scheduler has by default.

        Results state the defaults, too, so that it is no matter of which keys there are.
        """
        spec = self.batch
        return not (isinstance(spec, BatchSpec) and spec.auto and spec.max == _AUTO_MAX and not spec.sizes)

    def batch_sizes(self) -> tuple[int, ...]:
        """Batch sizes that need a profile; an ordinary number is the one size that runs.

        Tables of own costs say by themselves at which sizes batches run, unless ``sizes`` does.
        """
        if not isinstance(self.batch, BatchSpec):
            return (self.batch,)
        tabled = self.model.sizes if isinstance(self.model, CostsRef) else ()
        if not tabled or self.batch.sizes is not None:
            return self.batch.profile_sizes()
        within = {size for size in tabled if size <= self.batch.max}
        if not self.batch.auto or not within:
            within.add(self.batch.max)
        return tuple(sorted(within))

    def override_files(self) -> dict[int, str]:
        """Per batch size, the file of measured layers."""
        if self.overrides is None:
            return {}
        if isinstance(self.overrides, str):
            return {self.batch_sizes()[0]: self.overrides}
        return {int(size): file for size, file in self.overrides.items()}

    @field_validator("model", mode="before")
    @classmethod
    def _model(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if "timings" in value:
                return TimingsRef.model_validate(value)
            return (CostsRef if "costs" in value else ProfileRef).model_validate(value)
        if not isinstance(value, str) or not value.strip():
            raise refusal(
                "is no model; give zoo:NAME, a path, {profile: ...}, {costs: ...} or {timings: ...}"
            )
        return value


class PoolMember(Section):
    """NPUs of one kind in a pool."""

    npu: str | dict[str, Any]
    count: Annotated[int, whole(1, _MAX_NPUS)] = 1


class DecisionSpec(Section):
    """The core that decides, and how many instructions a decision has."""

    core_mhz: Annotated[Number, Field(ge=0.1, le=1e5)]
    instructions: Annotated[int, whole(1, 10**7)] | None = None


class ScenarioSpec(Section):
    """A whole scenario file."""

    npu: str | dict[str, Any] | None = None
    pool: Annotated[list[PoolMember], Field(min_length=1, max_length=_MAX_NPUS)] | None = None
    router: Literal["round_robin", "least_work", "balanced", "power_of_two"] = "round_robin"
    router_seed: Seed = 0
    policy: str | dict[str, Any] = "layerweaver+"
    policies: list[str | dict[str, Any]] = Field(default_factory=list)
    duration_s: PositiveSeconds | None = None
    min_queries: Count = 0
    warmup_s: Seconds = 0.0
    cooldown_s: Seconds = 0.0
    dispatch_ahead: Annotated[int, whole(0, 1000)] = 0
    decision_cycles: Annotated[int, whole(0, 10**6)] = 0
    decision: DecisionSpec | None = None
    groups: list[list[str]] = Field(default_factory=list)
    tenants: Annotated[list[TenantSpec], Field(max_length=MAX_TENANTS)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.tenants:
            raise refusal("there is no tenant; give at least one", "tenants")
        language = next((tenant.name for tenant in self.tenants if tenant.is_llm), None)
        if language is not None and self.pool is not None:
            raise refusal(
                f"tenant {language!r} is a language model, and these run on one NPU; give npu", "pool"
            )
        if language is not None and self.groups:
            raise refusal(
                f"tenant {language!r} is a language model, whose rows no schedule can fix; leave groups out",
                "groups",
            )
        named = any(isinstance(tenant.model, ProfileRef) for tenant in self.tenants)
        if (self.npu is None and self.pool is None and not named) or (self.npu and self.pool):
            raise refusal("give either npu or pool", "npu" if self.npu is not None else "")
        if self.pool and len(self.pool) > 1 and any(tenant.overrides for tenant in self.tenants):
            raise refusal("measured layers are in cycles of one NPU; give npu, or a pool of one kind", "pool")
        if self.decision is not None and "decision_cycles" in self.model_fields_set:
            raise refusal(
                "decision says how many cycles a decision takes; leave decision_cycles out", "decision"
            )
        if self.pool is None and "router" in self.model_fields_set:
            raise refusal("a router needs a pool of NPUs", "router")
        if self.pool and sum(member.count for member in self.pool) > _MAX_NPUS:
            raise refusal(f"a pool has at most {_MAX_NPUS} NPUs", "pool")
        if self.duration_s is not None and self.warmup_s >= self.duration_s:
            raise refusal(
                "the warm-up leaves nothing of the duration; give warmup_s below duration_s", "warmup_s"
            )
        if self.cooldown_s and (self.duration_s is None or self.min_queries):
            raise refusal(
                "a cool-down needs an end by the clock; give duration_s, no min_queries", "cooldown_s"
            )
        if self.cooldown_s and self.warmup_s + self.cooldown_s >= (self.duration_s or 0.0):
            raise refusal(
                "warm-up and cool-down leave nothing of the duration; give less than duration_s together",
                "cooldown_s",
            )
        return self
