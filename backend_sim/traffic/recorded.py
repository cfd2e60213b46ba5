"""Recorded traces as arrivals: the keys of a scenario."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import model_validator

from layerweaver.backend_sim.traffic.arrival import Arrival, Asked, Length
from layerweaver.backend_sim.traffic.stream import Stopping
from layerweaver.backend_sim.traffic.trace_arrivals import TraceArrivals
from layerweaver.backend_sim.traffic.trace_columns import TraceColumns
from layerweaver.backend_sim.traffic.trace_file import TraceFile
from layerweaver.backend_sim.traffic.trace_formats import FORMATS
from layerweaver.ir.documents import Number, PositiveMilliseconds
from layerweaver.ir.sections import refusal

__all__ = ["TraceSpec"]

_MAX_SPREAD_MS = 86_400_000
_OF_NOBODY = ("azure-llm", "mooncake")


class TraceSpec(Arrival):
    """A recorded trace; ``tenant`` names whose rows count, ``"*"`` takes all."""

    kind: Literal["trace"]
    file: str
    format: Literal["csv", "parquet", "azure-llm", "azure-functions", "burstgpt", "mooncake"] = "csv"
    columns: TraceColumns | None = None
    tenant: str | list[str] | None = None
    time_scale: Number = 1.0
    loop: bool = False
    sort: bool = False
    spread_ms: PositiveMilliseconds | None = None
    tokens: Literal["ignore"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_ending(cls, data: Any) -> Any:
        """A file that ends in .parquet is one unless the scenario says otherwise."""
        if isinstance(data, dict) and "format" not in data and str(data.get("file")).endswith(".parquet"):
            return {**data, "format": "parquet"}
        return data

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.columns is not None and self.format not in ("csv", "parquet"):
            raise refusal(f"the columns of {self.format} are known; name them of csv or parquet", "columns")
        if self.tenant not in (None, "*"):
            if self.columns is not None and self.columns.tenant is None:
                raise refusal("the columns say of no row whose it is; give columns: {tenant: ...}", "tenant")
            if self.format in _OF_NOBODY:
                raise refusal(f"rows of {self.format} say of no request whose it is; leave it out", "tenant")
        if self.spread_ms is not None and self.spread_ms > _MAX_SPREAD_MS:
            raise refusal(f"a spread of {self.spread_ms:g} ms is not accepted; give up to a day", "spread_ms")
        if not 1e-6 <= self.time_scale <= 1e6:
            raise refusal(f"a factor of {self.time_scale:g} is not accepted; give 1e-6 to 1e6", "time_scale")
        return self

    @property
    def draws(self) -> bool:
        """Where times are spread, that is by chance."""
        return self.spread_ms is not None

    @property
    def counts_tokens(self) -> bool | None:
        """Whether every request of the format has a number of tokens; None where some files have one."""
        if self.columns is not None:
            return bool(self.columns.tokens)
        return None if self.format in ("csv", "parquet") else bool(FORMATS[self.format].tokens)

    def endless(self, length: Length) -> bool:
        """Only a looped trace needs an end."""
        return self.loop and super().endless(length)

    def changes(self, duration_s: float | None) -> bool:  # noqa: ARG002
        """Its mean rate is that of all its rows."""
        return True

    def lasts(self) -> bool:
        """A trace ends with its last row."""
        return self.loop

    def source(self, asked: Asked) -> TraceArrivals:
        """The tenant's rows."""
        if self.tenant == "*":
            wanted = None
        elif self.tenant is not None:
            wanted = frozenset([self.tenant] if isinstance(self.tenant, str) else self.tenant)
        else:
            own = FORMATS[self.format].own_tenant if self.columns is None else self.columns.tenant
            wanted = frozenset([asked.tenant]) if own else None
        most = asked.max_queries
        if self.loop and asked.duration_ns is None and most is None:
            most = asked.min_queries
        met = self.counts_tokens is not False and not asked.with_tokens
        uncounted = asked.fixed_costs and met and self.tokens is None
        return TraceArrivals(
            TraceFile(
                asked.path_of(self.file),
                self.format,
                skip_bad_rows=asked.skip_bad_rows,
                with_tokens=asked.with_tokens,
                tokens_if_any=uncounted or (met and not asked.fixed_costs),
                tenants=wanted,
                columns=self.columns,
            ),
            tenants=wanted,
            uncounted=uncounted,
            time_scale=self.time_scale / asked.factor,
            loop=self.loop,
            sort=self.sort,
            spread_ns=0 if self.spread_ms is None else round(self.spread_ms * 1e6),
            seed=asked.seed,
            stopping=Stopping(
                asked.duration_ns,
                asked.min_queries,
                most,
                past_the_end=self.format == "csv" and not self.loop,
                place=asked.place,
            ),
        )
