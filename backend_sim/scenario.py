"""Scenario files: read, checked, and every complaint with file, line, field and what would be accepted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from layerweaver.backend_sim.groups import check_groups
from layerweaver.backend_sim.mlperf_limits import mlperf_limits
from layerweaver.backend_sim.scenario_models import ScenarioSpec, TenantSpec
from layerweaver.backend_sim.scenario_rates import check_rates
from layerweaver.costmodel.load import INLINE_NPU
from layerweaver.ir import LayerweaverError, ScenarioError
from layerweaver.ir.yaml_source import YamlSource, nearest, parse_yaml, read_yaml

__all__ = ["Scenario", "builtin_scenario", "load_scenario"]

BUILTIN = "resnet-bert.yaml"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario.

    Attributes:
        spec: Its keys.
        source: The document with its lines, for messages.
        folder: Folder that its paths are relative to.
        skip_bad_rows: Leave bad rows of traces out instead of stopping.
    """

    spec: ScenarioSpec
    source: YamlSource
    folder: Path
    skip_bad_rows: bool = False

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
    def place(self, *path: str | int) -> Iterator[None]:
        """Errors that do not say where they are get the place of a key; those of an inline mapping too."""
        try:
            yield
        except LayerweaverError as error:
            inline = error.where.removeprefix(INLINE_NPU)
            if inline and inline == error.where:
                raise
            where = f"{self.where(*path)}{inline}"
            raise type(error)(error.what, where=where, accepted=error.accepted) from None

    def deadline_ns(self, index: int) -> int | None:
        """The deadline of a tenant, stated or MLPerf's."""
        tenant = self.spec.tenants[index]
        limit_ms = tenant.deadline_ms
        if limit_ms is None and tenant.mlperf_model is not None and _has_latency_limit(tenant):
            limit_ms = mlperf_limits()[tenant.mlperf_model].server_latency_ms
        return None if limit_ms is None else round(limit_ms * 1e6)

    def percentile(self, index: int) -> float:
        """The share of requests that must keep the deadline (or whose latency is the result), in (0, 1)."""
        tenant = self.spec.tenants[index]
        if tenant.percentile is not None:
            return tenant.percentile / 100
        if tenant.arrival.kind == "single_stream":
            return 0.9
        if tenant.mlperf_model is not None:
            return mlperf_limits()[tenant.mlperf_model].percentile / 100
        return 0.99

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but probably not meant."""
        seen: dict[int, str] = {}
        found = []
        for tenant in self.spec.tenants:
            seed = getattr(tenant.arrival, "seed", None)
            if seed is None:
                continue
            if seed % 2**32 in seen:
                found.append(
                    f"tenants {seen[seed % 2**32]!r} and {tenant.name!r} share the seed {seed}: "
                    "their arrivals are scaled copies of each other"
                )
            seen.setdefault(seed % 2**32, tenant.name)
        return tuple(found)

    @property
    def group_indices(self) -> tuple[tuple[int, ...], ...]:
        """The declared groups as tenant indices."""
        places = {tenant.name: index for index, tenant in enumerate(self.spec.tenants)}
        return tuple(tuple(places[name] for name in group) for group in self.spec.groups)

    def with_skipping(self, skip_bad_rows: bool) -> Scenario:
        """The same scenario with bad trace rows skipped or refused."""
        return replace(self, skip_bad_rows=skip_bad_rows)


def _has_latency_limit(tenant: TenantSpec) -> bool:
    return tenant.arrival.kind not in ("offline", "single_stream", "multi_stream")


def load_scenario(source: str | Path | Mapping[str, Any], *, skip_bad_rows: bool = False) -> Scenario:
    """Read a scenario.

    Args:
        source: Path of a YAML file, or the same keys as a mapping (paths are then relative to the present
            folder).
        skip_bad_rows: Leave bad rows of traces out, and count them, instead of stopping.

    Raises:
        ScenarioError: If the file or a key is wrong; the message has file, line, field and what is accepted.
    """
    if isinstance(source, Mapping):
        document, folder = YamlSource(dict(source), "scenario", {}), Path()
    else:
        path = Path(source)
        document, folder = read_yaml(path, ScenarioError), path.parent
    return _checked(document, folder, skip_bad_rows)


def builtin_scenario() -> Scenario:
    """The scenario that comes with the package: ResNet-50 and two BERTs on the memory-centric NPU."""
    data = files("layerweaver.backend_sim.scenario_files").joinpath(BUILTIN).read_bytes()
    return _checked(parse_yaml(data, BUILTIN, ScenarioError), Path(), False)


def _checked(document: YamlSource, folder: Path, skip_bad_rows: bool) -> Scenario:
    if not isinstance(document.value, Mapping):
        raise ScenarioError(
            "is not a mapping", where=document.source, accepted="give npu, policy, tenants, ..."
        )
    try:
        spec = ScenarioSpec.model_validate(document.value)
    except ValidationError as error:
        raise _first_error(error, document) from None
    scenario = Scenario(spec, document, folder, skip_bad_rows)
    _check_names(scenario)
    _check_limits(scenario)
    check_rates(scenario.spec, scenario.where)
    return scenario


def _first_error(error: ValidationError, document: YamlSource) -> ScenarioError:
    item = error.errors(include_url=False)[0]
    context = item.get("ctx", {})
    path: list[str | int] = list(item["loc"])
    kind = item["type"]
    if context.get("key"):
        path.append(str(context["key"]))
    message, field = item["msg"], ""
    if kind == "missing":
        message = f"the key {str(path[-1])!r} is missing"
    elif kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
        path.append("kind")
        message = f"unknown kind {str(context['tag'])[:40]!r}; {nearest(str(context['tag']), tags)}"
    elif kind == "union_tag_not_found":
        message = "the key 'kind' is missing; such as {kind: poisson, qps: 300, seed: 1}"
    elif kind == "literal_error":
        message = f"{str(item['input'])[:40]!r} is not accepted; give {context['expected']}"
    elif kind not in ("value", "unknown_key", "not_a_mapping"):
        message = f"{message[0].lower()}{message[1:]}, not {str(item['input'])[:40]!r}"
    what, _, accepted = message.partition("; ")
    return ScenarioError(what, where=document.where(path) + field, accepted=accepted)


def _check_names(scenario: Scenario) -> None:
    names: dict[str, int] = {}
    for index, tenant in enumerate(scenario.spec.tenants):
        if tenant.name in names:
            raise ScenarioError(
                f"two tenants are called {tenant.name!r}",
                where=scenario.where("tenants", index, "name"),
                accepted="give every tenant its own name",
            )
        names[tenant.name] = index
    check_groups(scenario.spec.groups, list(names), scenario.where)


def _check_limits(scenario: Scenario) -> None:
    for index, tenant in enumerate(scenario.spec.tenants):
        if tenant.mlperf_model is None or tenant.deadline_ms is not None or not _has_latency_limit(tenant):
            continue
        if mlperf_limits()[tenant.mlperf_model].server_latency_ms is None:
            raise ScenarioError(
                f"MLPerf has no single latency limit for {tenant.mlperf_model} in the Server scenario",
                where=scenario.where("tenants", index, "mlperf_model"),
                accepted="state deadline_ms",
            )
