"""Scenario files: read, checked, and every complaint with file, line, field and what would be accepted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from layerweaver.backend_sim.scenario.llm_schema import TokenDeadline
from layerweaver.backend_sim.scenario.schema import ScenarioSpec
from layerweaver.backend_sim.scenario.without_effect import reads_trace, without_effect
from layerweaver.backend_sim.traffic.arrival import Length
from layerweaver.backend_sim.traffic.mlperf import mlperf_limits
from layerweaver.costmodel.npu.reading import INLINE_NPU
from layerweaver.ir import LayerweaverError, ScenarioError
from layerweaver.ir.yaml_source import YamlSource

__all__ = ["Scenario", "TokenLimits"]

_INLINE = (INLINE_NPU, "policy")
"""How errors begin that say where in a mapping they are, and not where that stands."""


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """Limits of a language model's tokens; None where there is none.

    Attributes:
        ttft_ns: Of the time from the scheduled time to the first token.
        tpot_ns: Of the mean time per further token.
        itl_ns: Of the time between two tokens.
        mode: ``mean``: tokens are due ``tpot`` each after the first; ``strict``: ``itl`` after each other.
    """

    ttft_ns: int | None
    tpot_ns: int | None
    itl_ns: int | None
    mode: str = "mean"

    @property
    def stated(self) -> bool:
        """Whether there is a limit that requests are judged by."""
        return self.ttft_ns is not None or self.tpot_ns is not None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario.

    Attributes:
        spec: Its keys.
        source: The document with its lines, for messages.
        folder: Folder that its paths are relative to.
        skip_bad_rows: Leave bad rows of traces out instead of stopping.
        allow_code: Whether a policy that the file gives as a Python file may run.
    """

    spec: ScenarioSpec
    source: YamlSource
    folder: Path
    skip_bad_rows: bool = False
    allow_code: bool = False

    def where(self, *path: str | int) -> str:
        """File, line and field of a key, for messages."""
        return self.source.where(path)

    def path_of(self, text: str) -> Path:
        """A path given in the file.

        Raises:
            ScenarioError: If it cannot be one.
        """
        refusal = ScenarioError(
            f"{text[:80]!r} is not a path",
            where=self.source.source,
            accepted="give the path of a file, relative to the scenario's folder",
        )
        if not text or "\0" in text:
            raise refusal
        try:
            path = self.folder / Path(text).expanduser()
            os.fsencode(path)
        except (RuntimeError, UnicodeEncodeError):  # a home that nobody has; text that no file can be named
            raise refusal from None
        return path

    @contextmanager
    def place(self, *path: str | int, file: str = "") -> Iterator[None]:
        """Errors that do not say where they are get the place of a key; of inline ones, too.

        Args:
            path: The key.
            file: What the key names, if that is what they are of.
        """
        try:
            yield
        except LayerweaverError as error:
            known = next((start for start in _INLINE if error.where.startswith(start)), "")
            inline = error.where.removeprefix(known)
            if inline and not known:
                raise
            where = f"{self.where(*path)}{inline}" + (f": {file}" if file else "")
            raise type(error)(error.what, where=where, accepted=error.accepted) from None

    def deadline_ns(self, index: int) -> int | None:
        """The deadline of a tenant, stated or MLPerf's."""
        tenant = self.spec.tenants[index]
        if tenant.is_llm:
            return None
        limit_ms = tenant.deadline_ms
        if limit_ms is None and tenant.mlperf_model is not None and tenant.arrival.bounded:
            limit_ms = mlperf_limits()[tenant.mlperf_model].server_latency_ms
        return None if limit_ms is None else round(limit_ms * 1e6)

    def token_limits(self, index: int) -> TokenLimits:
        """The limits of a language model's tokens, stated or MLPerf's."""
        tenant = self.spec.tenants[index]
        stated = tenant.deadline or TokenDeadline()
        limits = [stated.ttft_ms, stated.tpot_ms, stated.itl_ms]
        if tenant.deadline is None and tenant.mlperf_model is not None and tenant.arrival.bounded:
            known = mlperf_limits()[tenant.mlperf_model]
            limits = [known.server_ttft_ms, known.server_tpot_ms, None]
        ttft_ns, tpot_ns, itl_ns = (None if limit is None else round(limit * 1e6) for limit in limits)
        return TokenLimits(ttft_ns, tpot_ns, itl_ns, stated.mode)

    def percentile(self, index: int) -> float:
        """The share of requests that must keep the deadline (or whose latency is the result), in (0, 1)."""
        tenant = self.spec.tenants[index]
        if tenant.percentile is not None:
            return tenant.percentile / 100
        if tenant.arrival.usual_percentile is not None:
            return tenant.arrival.usual_percentile / 100
        if tenant.mlperf_model is not None:
            return mlperf_limits()[tenant.mlperf_model].percentile / 100
        return 0.99

    def length(self, index: int) -> Length:
        """How long a tenant's arrivals go on."""
        tenant = self.spec.tenants[index]
        return Length(self.spec.duration_s, self.spec.min_queries, tenant.mlperf_model)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was asked for and does not show in the numbers."""
        return tuple(
            f"tenant {tenant.name!r} replays arrival times only: its trace's tokens are ignored"
            for tenant in self.spec.tenants
            if not tenant.is_llm and getattr(tenant.arrival, "tokens", None) == "ignore"
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but probably not meant."""
        deadlines_ns = [self.deadline_ns(index) for index in range(len(self.spec.tenants))]
        found = list(without_effect(self.spec, deadlines_ns))
        if self.skip_bad_rows and not any(reads_trace(tenant) for tenant in self.spec.tenants):
            found.append("skipping bad rows changes nothing: no tenant reads a trace")
        return tuple(found)

    def of_seeds(self, seed: int | None, seeds: int = 1) -> tuple[str, ...]:
        """What a run's seeds do not do: nothing is drawn by them, or tenants share theirs."""
        drawn = [tenant for tenant in self.spec.tenants if tenant.arrival.draws]
        if not drawn and (seed is not None or seeds > 1):
            stated = "repeating" if seed is None else f"seed {seed}"
            return (f"{stated} changes nothing: no tenant's arrivals are drawn",)
        if seed is not None:  # every tenant's own is derived from it
            return ()
        seen: dict[tuple[str, int], str] = {}
        found = list[str]()
        for tenant in drawn:
            own = getattr(tenant.arrival, "seed", None)
            if own is None:
                continue
            first = seen.setdefault((tenant.arrival.kind, own % 2**32), tenant.name)
            if first != tenant.name:
                found.append(
                    f"tenants {first!r} and {tenant.name!r} share the seed {own}: "
                    "their arrivals are scaled copies of each other"
                )
        return tuple(found)

    @property
    def group_indices(self) -> tuple[tuple[int, ...], ...]:
        """The declared groups as tenant indices."""
        places = {tenant.name: index for index, tenant in enumerate(self.spec.tenants)}
        return tuple(tuple(places[name] for name in group) for group in self.spec.groups)

    def with_skipping(self, skip_bad_rows: bool) -> Scenario:
        """The same scenario with bad trace rows skipped or refused."""
        return replace(self, skip_bad_rows=skip_bad_rows)
