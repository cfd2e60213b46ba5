"""Result documents as reports and notebooks read them: checked once, at the edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from layerweaver.backend_sim.results.mixes import peak_labels
from layerweaver.backend_sim.results.naming import run_names
from layerweaver.backend_sim.results.offered import at_once_count
from layerweaver.backend_sim.results.schema.details import Details
from layerweaver.backend_sim.results.schema.peak import Peak
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.results.schema.system import System
from layerweaver.backend_sim.results.schema.tenant import Tenant
from layerweaver.ir import LayerweaverError
from layerweaver.ir.given import given_list

__all__ = ["Documents", "LabelledRun", "ResultError", "checked", "read_documents"]

_LARGEST = 1e30

T = TypeVar("T")


class ResultError(LayerweaverError):
    """A document that is not the result of ``simulate``, ``compare`` or ``peak``."""


@dataclass(frozen=True, slots=True)
class LabelledRun:
    """One run and its name.

    Attributes:
        label: What distinguishes it from the others.
        document: The whole document.
    """

    label: str
    document: Run

    @property
    def policy(self) -> str:
        """Name of its policy."""
        return self.document["policy"]

    @property
    def tenants(self) -> list[Tenant]:
        """Its tenants."""
        return self.document["tenants"]

    @property
    def system(self) -> System:
        """Its machine."""
        return self.document["system"]

    @property
    def details(self) -> Details | None:
        """What :func:`~layerweaver.backend_sim.timeline.details.simulation_details` gave, or None."""
        return self.document.get("details")

    @property
    def offered_qps(self) -> float | None:
        """Requests offered per second over all tenants; None where some come all at once, which is no rate.

        Of older results those that arrived are divided by the simulated time.
        """
        if at_once_count(self.document):
            return None
        given = self.system.get("offered_qps")
        if given:
            return given
        arrived = sum(tenant["arrived"] for tenant in self.tenants)
        seconds = self.system.get("offered_s") or self.document["simulated_s"]
        return arrived / seconds if seconds > 0 else 0.0


@dataclass(frozen=True)
class Documents:
    """All runs and peak searches of a report.

    Attributes:
        runs: The runs.
        peaks: The searches.
        files: Where they come from, runs first.
    """

    runs: tuple[LabelledRun, ...]
    peaks: tuple[Peak, ...]
    files: tuple[str, ...] = ()

    @cached_property
    def peak_labels(self) -> list[str]:
        """What each search is called beside the others and the runs; empty for a lone one."""
        return peak_labels([run.document.get("scenario") for run in self.runs], self.peaks, self.files)


_RUN: TypeAdapter[Run] = TypeAdapter(Run)
_RESULTS = "give documents that simulate, compare or peak printed with --json"
_PEAK: TypeAdapter[Peak] = TypeAdapter(Peak)


def checked(document: object, kind: TypeAdapter[T], where: str, at: str = "") -> T:
    """A document as its type.

    Args:
        document: What was read.
        kind: The type.
        where: What errors call the file.
        at: The key that the document stands at.

    Raises:
        ResultError: With the place of the first value that is impossible or of another type.
    """
    above = (at,) if at else ()
    _check_values(document, above, where)
    try:
        return kind.validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (*above, *first["loc"]))
        raise ResultError(
            f"key {place!r}: {first['msg']}", where=where, accepted="give an unchanged result document"
        ) from None


_NEVER_NEGATIVE = (
    *("_ms", "_s", "qps", "_share", "_rate"),
    *("arrived", "completed", "dropped", "timed_out", "counts"),
)
_MOST_DEEP = 64
_LONGEST_TEXT, _LONGEST_OF_SCENARIO = 4096, 1 << 20


def _are_usual(values: Sequence[object]) -> bool:
    """Whether all are numbers that anything but a deadline may be; series have a hundred thousand."""
    return set(map(type, values)) <= {int, float} and all(
        0 <= value < _LARGEST  # type: ignore[operator]  # numbers, by their types
        for value in values
    )


def _check_values(value: object, place: tuple[str, ...], where: str) -> None:
    """Refuse values that nothing can be drawn of: endless or impossible ones, and halves of characters."""
    key = next((part for part in reversed(place) if not part.isdecimal()), "")
    if isinstance(value, Mapping):
        items = [(str(name), inner) for name, inner in value.items()]
    elif isinstance(value, list):
        items = (
            []
            if key != "deadline_ms" and _are_usual(value)
            else [(str(number), inner) for number, inner in enumerate(value)]
        )
    else:
        items = []
    wrong = len(place) > _MOST_DEEP
    if isinstance(value, str):
        longest = _LONGEST_TEXT if "scenario" not in place else _LONGEST_OF_SCENARIO
        if len(value) > longest:
            raise ResultError(
                f"key {'.'.join(place)[-80:]!r}: a text of {len(value)} characters",
                where=where,
                accepted=f"at most {longest}",
            )
        wrong = not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        negative = value < 0 and key.endswith(_NEVER_NEGATIVE)
        wrong = negative or not abs(value) < _LARGEST or (value == 0 and key == "deadline_ms")
    if wrong:
        raise ResultError(
            f"key {'.'.join(place)[-80:]!r}: {repr(value)[:40]} is impossible",
            where=where,
            accepted="give an unchanged result document",
        )
    for name, inner in items:
        _check_values(inner, (*place, name), where)


def read_documents(
    documents: Iterable[Mapping[str, object]], names: Sequence[str] = (), accepted: str = _RESULTS
) -> Documents:
    """Check documents of ``simulate``, ``compare`` and ``peak`` and lay their runs side by side.

    Args:
        documents: Parsed JSON documents.
        names: What errors call them, such as their files; by default ``result 1`` and so on.
        accepted: What errors ask for instead of what is no such document.

    Raises:
        ResultError: If one is of no known kind, lacks a key or has one of the wrong type.
    """
    runs: list[tuple[Run, str]] = []
    peaks: list[tuple[Peak, str]] = []
    given = given_list("documents", documents, ResultError, "give a list of documents")
    for number, document in enumerate(given, start=1):
        where = names[number - 1] if number <= len(names) else f"result {number}"
        if not isinstance(document, Mapping):
            raise ResultError("is not a result", where=where, accepted=accepted)
        if "runs" in document:
            several = document["runs"]
            if not isinstance(several, list):
                raise ResultError("key 'runs' is not a list of runs", where=where)
            runs += [(checked(run, _RUN, where), where) for run in several]
        elif "results" in document and "bound_qps" in document:
            peaks.append((checked(document, _PEAK, where), where))
        elif "tenants" in document and "system" in document:
            runs.append((checked(document, _RUN, where), where))
        else:
            what = "is of certify" if "unofficial" in document else "is not a result"
            raise ResultError(what, where=where, accepted=accepted)
    if not runs and not peaks:
        raise ResultError("there is nothing to report", accepted="give at least one result with a run")
    labels = run_names([run for run, _ in runs], [where for _, where in runs])
    return Documents(
        tuple(LabelledRun(label, run) for label, (run, _) in zip(labels, runs, strict=True)),
        tuple(peak for peak, _ in peaks),
        tuple(where for _, where in (*runs, *peaks)),
    )
