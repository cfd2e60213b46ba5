"""Result documents as the report reads them: checked once, at the edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from layerweaver.backend_sim.results.details_schema import Details
from layerweaver.ir import LayerweaverError

__all__ = ["Documents", "PeakDocument", "PeakRow", "ResultError", "Run", "read_documents"]


class ResultError(LayerweaverError):
    """A document that is not the result of ``simulate``, ``compare`` or ``peak``."""


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class Latency(_Lenient):
    """Latencies of one tenant in ms; None where nothing completed."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    max: float | None


class Tenant(_Lenient):
    """One tenant of a run."""

    name: str
    arrived: int = Field(ge=0)
    completed: int = Field(ge=0)
    dropped: int = Field(ge=0)
    qps: float
    latency_ms: Latency
    deadline_ms: float | None = None
    violation_rate: float | None
    verdict: str | None = None
    reasons: list[str] = []


class System(_Lenient):
    """The machine during a run; shares between 0 and 1."""

    stp: float | None = None
    antt: float | None = None
    fairness: float | None = None
    compute_utilization: float | None = None
    dram_utilization: float | None = None
    idle: dict[str, float | None] = {}
    bound_qps: float | None = None
    deadline_mode_share: float | None = None


class _Simulate(_Lenient):
    policy: str
    npu: str | dict[str, Any] | list[Any]
    simulated_s: float
    tenants: list[Tenant] = Field(min_length=1)
    system: System
    details: Details | None = None


class PeakRow(_Lenient):
    """Peak rate of one policy, in requests per second over all tenants."""

    policy: str
    peak_qps: float | None
    peak_qps_sd: float | None = None
    share_of_bound: float | None = None
    bracket_qps: list[float | None] | None = None
    trials: int | list[Any] = 0


class PeakDocument(_Lenient):
    """Result of a peak search."""

    bound_qps: float | None
    results: list[PeakRow] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One simulated run.

    Attributes:
        label: What distinguishes it: the policy, with a number when a policy occurs more than once.
        policy: The policy.
        tenants: Its tenants.
        system: Its machine.
        simulated_s: Length of simulated time.
        details: What :func:`~layerweaver.backend_sim.timeline.details.simulation_details` gave, or None.
        raw: The whole document.
    """

    label: str
    policy: str
    tenants: tuple[Tenant, ...]
    system: System
    simulated_s: float
    details: Details | None
    raw: Mapping[str, Any]

    @property
    def offered_qps(self) -> float:
        """Requests that arrived per second of simulated time, over all tenants."""
        given = self.raw.get("offered_qps")
        if isinstance(given, (int, float)) and given > 0:
            return float(given)
        arrived = sum(tenant.arrived for tenant in self.tenants)
        return arrived / self.simulated_s if self.simulated_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Documents:
    """All runs and peak searches of a report."""

    runs: tuple[Run, ...]
    peaks: tuple[PeakDocument, ...]


def _kind(document: Mapping[str, Any]) -> Literal["simulate", "compare", "peak"] | None:
    if "runs" in document:
        return "compare"
    if "results" in document and "bound_qps" in document:
        return "peak"
    return "simulate" if "tenants" in document and "system" in document else None


def _refuse(error: ValidationError, where: str) -> ResultError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return ResultError(
        f"key {place!r}: {first['msg']}", where=where, accepted="give an unchanged result document"
    )


def _simulations(
    documents: Iterable[Mapping[str, Any]], where: str
) -> list[tuple[_Simulate, Mapping[str, Any]]]:
    found = []
    for document in documents:
        try:
            found.append((_Simulate.model_validate(document), document))
        except ValidationError as error:
            raise _refuse(error, where) from None
    return found


def read_documents(documents: Iterable[Mapping[str, Any]], names: Sequence[str] = ()) -> Documents:
    """Check documents of ``simulate``, ``compare`` and ``peak`` and lay their runs side by side.

    Args:
        documents: Parsed JSON documents.
        names: What errors call them, such as their files; by default ``result 1`` and so on.

    Raises:
        ResultError: If one is of no known kind, lacks a key or has one of the wrong type.
    """
    simulations: list[tuple[_Simulate, Mapping[str, Any]]] = []
    peaks = []
    for number, document in enumerate(documents, start=1):
        where = names[number - 1] if number <= len(names) else f"result {number}"
        match _kind(document):
            case "simulate":
                simulations += _simulations([document], where)
            case "compare":
                runs = document["runs"]
                if not isinstance(runs, list) or not all(isinstance(run, Mapping) for run in runs):
                    raise ResultError("key 'runs' is not a list of runs", where=where)
                simulations += _simulations(runs, where)
            case "peak":
                try:
                    peaks.append(PeakDocument.model_validate(document))
                except ValidationError as error:
                    raise _refuse(error, where) from None
            case None:
                raise ResultError(
                    "is not a result",
                    where=where,
                    accepted="give documents that simulate, compare or peak printed with --json",
                )
    if not simulations and not peaks:
        raise ResultError("there is nothing to report", accepted="give at least one result with a run")
    return Documents(_label(simulations), tuple(peaks))


def _label(simulations: list[tuple[_Simulate, Mapping[str, Any]]]) -> tuple[Run, ...]:
    names = [found.policy for found, _ in simulations]
    seen: dict[str, int] = {}
    runs = []
    for found, raw in simulations:
        seen[found.policy] = seen.get(found.policy, 0) + 1
        repeated = names.count(found.policy) > 1
        label = f"{found.policy} #{seen[found.policy]}" if repeated else found.policy
        runs.append(
            Run(
                label=label,
                policy=found.policy,
                tenants=tuple(found.tenants),
                system=found.system,
                simulated_s=found.simulated_s,
                details=found.details,
                raw=raw,
            )
        )
    return tuple(runs)
