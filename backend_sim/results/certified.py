"""What ``certify`` gives: our verdicts beside those of LoadGen, which replayed the completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict

from layerweaver.backend_sim.results.schema.metric import Value

__all__ = ["Certificate", "CertifiedTenant", "CertifiedTokens"]


class CertifiedTokens(TypedDict, total=False):
    """99th percentiles of a language model's times to the first and per further token."""

    ttft_p99_ns: int
    loadgen_ttft_p99_ns: int | None
    tpot_p99_ns: int
    loadgen_tpot_p99_ns: int | None


class CertifiedTenant(CertifiedTokens):
    """One tenant."""

    name: str
    status: str | None
    verdict: str | None
    loadgen_verdict: str | None
    p99_ns: int
    loadgen_p99_ns: int | None
    agree: bool
    early_stopping_ns: dict[str, int]
    loadgen_early_stopping_ns: dict[str, int]
    queries: int
    reasons: list[str]
    missing_queries: int | None
    missing_s: float | None
    loadgen_summary: str


class Certificate(TypedDict):
    """All tenants; this is no MLPerf submission."""

    policy: str
    policy_options: Mapping[str, Value]
    seed: int | None
    scenario: Mapping[str, object]
    unofficial: Literal[True]
    tenants: list[CertifiedTenant]
    notes: NotRequired[list[str]]
    warnings: NotRequired[list[str]]
