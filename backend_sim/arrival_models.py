"""The kinds of arrivals that a scenario file can ask for, with their keys."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from layerweaver.backend_sim.scenario_values import (
    Milliseconds,
    Number,
    PositiveCount,
    PositiveMilliseconds,
    PositiveSeconds,
    Rate,
    Seed,
    StrictModel,
    refusal,
)

__all__ = [
    "MAX_BATCH",
    "ArrivalSpec",
    "BurstsSpec",
    "ClosedLoopSpec",
    "GammaSpec",
    "MmppSpec",
    "MultiStreamSpec",
    "OfflineSpec",
    "PeriodicSpec",
    "PoissonSpec",
    "RampSpec",
    "SaturatedSpec",
    "SingleStreamSpec",
    "TraceSpec",
]

MAX_BATCH = 4096


def _positive(*rates: float) -> None:
    if max(rates) <= 0:
        raise refusal("the rate is 0; give a rate above 0 queries per second", "qps")


class PoissonSpec(StrictModel):
    """LoadGen-exact Poisson arrivals."""

    kind: Literal["poisson"]
    qps: Rate
    seed: Seed | None = None

    @model_validator(mode="after")
    def _some_rate(self) -> Self:
        _positive(self.qps)
        return self


class GammaSpec(StrictModel):
    """Gamma inter-arrival times with a coefficient of variation."""

    kind: Literal["gamma"]
    qps: Rate
    cv: Number = 1.0
    seed: Seed | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _positive(self.qps)
        if not 0.01 <= self.cv <= 100:
            raise refusal(
                f"a coefficient of variation of {self.cv:g} is not accepted; give 0.01 to 100", "cv"
            )
        return self


class MmppSpec(StrictModel):
    """Two-state Markov-modulated Poisson arrivals."""

    kind: Literal["mmpp"]
    qps: tuple[Rate, Rate]
    mean_s: tuple[PositiveSeconds, PositiveSeconds]
    seed: Seed | None = None

    @model_validator(mode="after")
    def _some_rate(self) -> Self:
        _positive(*self.qps)
        if min(self.mean_s) < 1e-6:
            raise refusal("a mean below one microsecond is not accepted", "mean_s")
        return self


class RampSpec(StrictModel):
    """A rate that goes from one value to another over the duration (or ``over_s``)."""

    kind: Literal["ramp"]
    qps: tuple[Rate, Rate]
    over_s: PositiveSeconds | None = None
    seed: Seed | None = None

    @model_validator(mode="after")
    def _some_rate(self) -> Self:
        _positive(*self.qps)
        return self


class BurstsSpec(StrictModel):
    """Poisson arrivals that begin every period with a burst."""

    kind: Literal["bursts"]
    qps: tuple[Rate, Rate]
    period_s: PositiveSeconds
    burst_s: PositiveSeconds
    seed: Seed | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _positive(*self.qps)
        if self.burst_s >= self.period_s:
            raise refusal("the burst fills the whole period; give burst_s below period_s", "burst_s")
        if self.period_s < 1e-6:
            raise refusal("a period below one microsecond is not accepted", "period_s")
        return self


class PeriodicSpec(StrictModel):
    """One request per period, with jitter."""

    kind: Literal["periodic"]
    period_ms: PositiveMilliseconds
    jitter_ms: Milliseconds = 0.0
    seed: Seed | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.jitter_ms > 1e6 * self.period_ms:
            raise refusal("the jitter exceeds a million periods", "jitter_ms")
        return self


class ClosedLoopSpec(StrictModel):
    """Clients that wait for their answer, think, and ask again."""

    kind: Literal["closed_loop"]
    concurrency: PositiveCount = 1
    think_ms: Milliseconds = 0.0
    queries: PositiveCount | None = None


class SaturatedSpec(StrictModel):
    """A request is always waiting."""

    kind: Literal["saturated"]
    queries: PositiveCount | None = None


class OfflineSpec(StrictModel):
    """All samples at once; without ``samples`` the least that MLPerf asks for at ``qps``."""

    kind: Literal["offline"]
    samples: PositiveCount | None = None
    qps: Rate | None = None


class SingleStreamSpec(StrictModel):
    """One query after the other."""

    kind: Literal["single_stream"]
    queries: PositiveCount | None = None


class MultiStreamSpec(StrictModel):
    """One query of several samples after the other."""

    kind: Literal["multi_stream"]
    queries: PositiveCount | None = None
    samples: Annotated[PositiveCount, Field(le=MAX_BATCH)] = 8


class TraceSpec(StrictModel):
    """A recorded trace; ``tenant`` names whose rows count, ``"*"`` takes all."""

    kind: Literal["trace"]
    file: str
    format: Literal["csv", "azure-llm", "azure-functions", "burstgpt", "mooncake"] = "csv"
    tenant: str | list[str] | None = None
    time_scale: Number = 1.0
    loop: bool = False
    sort: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 1e-6 <= self.time_scale <= 1e6:
            raise refusal(f"a factor of {self.time_scale:g} is not accepted; give 1e-6 to 1e6", "time_scale")
        return self


ArrivalSpec = Annotated[
    PoissonSpec
    | GammaSpec
    | MmppSpec
    | RampSpec
    | BurstsSpec
    | PeriodicSpec
    | ClosedLoopSpec
    | SaturatedSpec
    | OfflineSpec
    | SingleStreamSpec
    | MultiStreamSpec
    | TraceSpec,
    Field(discriminator="kind"),
]
