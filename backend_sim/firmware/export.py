"""``export``: a scenario's tables, its policy and its machine as C, with a program that replays arrivals."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad
from layerweaver.backend_sim.firmware.assemble import Assembly
from layerweaver.backend_sim.firmware.columns import BATCH, ROW, Column
from layerweaver.backend_sim.firmware.cores import need_tools
from layerweaver.backend_sim.firmware.facts import Facts
from layerweaver.backend_sim.firmware.measure import MOST_DECISIONS, Cost, Replay, measure
from layerweaver.backend_sim.firmware.spans import SIZES
from layerweaver.backend_sim.run.decision_time import decision_cycles
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.study.inputs import PolicyRef, ScenarioRef, as_prepared, policy_of
from layerweaver.backend_sim.study.traffic import traffic
from layerweaver.backend_sim.traffic.source import Arrivals
from layerweaver.ir import OutputError, ScenarioError
from layerweaver.ir.csv_text import CsvWriter
from layerweaver.ir.files import check_writable, write_text
from layerweaver.ir.text import counted
from layerweaver.scheduler.policies.contract import Policy

__all__ = [
    "MOST_TABLE_BYTES",
    "Exported",
    "costs_of",
    "export",
    "export_document",
    "translated",
]

MOST_TABLE_BYTES = 1 << 20
"""Bytes of tables up to which a scenario is exported unless more are allowed."""

_LONGEST_RING = 1 << 12


@dataclass(frozen=True, slots=True)
class Exported:
    """An export in memory.

    Attributes:
        policy: The policy.
        texts: Every file's text, by name.
        table_bytes: Bytes of all tables.
        state_bytes: Bytes of the scheduler's state on a core of 32 bits.
        tenants: Number of tenants.
        scenario: The scenario as results state it.
        costs: What decisions cost on small cores, if that was measured.
    """

    policy: Policy
    texts: dict[str, str]
    table_bytes: int
    state_bytes: int
    tenants: int
    scenario: dict[str, object]
    costs: tuple[Cost, ...] = ()


def export(
    source: ScenarioRef,
    policy: PolicyRef | Policy | None,
    folder: Path,
    *,
    most_bytes: int = MOST_TABLE_BYTES,
    measured: bool = False,
    allow_code: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Exported:
    """Write a scenario's tables, its policy and a program that replays arrivals into a folder.

    Args:
        source: The scenario.
        policy: The policy; None takes the scenario's.
        folder: Where to write; it is made if it is not there.
        most_bytes: Bytes that the tables may have.
        measured: Whether to count the instructions of decisions on small cores.
        allow_code: Whether a policy that the scenario gives as a Python file may run.
        progress: Told the share of models compiled.

    Raises:
        LayerweaverError: If the scenario or the policy cannot be exported; then nothing is written.
    """
    if measured:
        need_tools("--measure")
    prepared = as_prepared(source, allow_code=allow_code, progress=progress)
    exported = translated(prepared, policy_of(prepared, policy), most_bytes=most_bytes)
    if measured:
        if progress is not None:
            progress(-1.0, "counting instructions")
        exported = replace(exported, costs=tuple(costs_of(prepared, exported)))
    _write(exported, folder)
    return exported


def costs_of(prepared: PreparedScenario, exported: Exported) -> list[Cost]:
    """What decisions cost on small cores, over the beginning of the scenario's run.

    Raises:
        OutputError: If the extra that measures is missing.
    """
    tenants = prepared.scenario.spec.tenants
    index_of = {tenant.name: index for index, tenant in enumerate(tenants)}
    arrivals = sorted((at_ns, index_of[name], number) for name, number, at_ns in traffic(prepared))
    replay = Replay(
        prepared.machines[0][0].clock_hz,
        arrivals[:MOST_DECISIONS],
        [prepared.scenario.deadline_ns(index) for index in range(len(tenants))],
        exported.state_bytes,
    )
    return measure(exported.texts, replay)


def export_document(exported: Exported) -> dict[str, object]:
    """What an export consists of, as JSON."""
    return {
        "policy": exported.policy.name,
        "policy_options": exported.policy.as_options(),
        "scenario": exported.scenario,
        "files": list(exported.texts),
        "code_bytes": exported.costs[0].code_bytes if exported.costs else None,
        "table_bytes": exported.table_bytes,
        "state_bytes": exported.state_bytes,
        "instructions": [cost.document(exported.tenants) for cost in exported.costs] or None,
    }


def translated(prepared: PreparedScenario, policy: Policy, *, most_bytes: int = MOST_TABLE_BYTES) -> Exported:
    """Translate a scenario and a policy.

    Args:
        prepared: The scenario.
        policy: The policy; everything that it calls is translated.
        most_bytes: Bytes that the tables may have.

    Raises:
        ScenarioError: If the scenario has something that is not exported, or its tables are too large.
        PolicyError: If the policy cannot be translated: file, line and reason.
    """
    given = _given(prepared, policy)
    facts = Facts(given, policy, _ring(given))
    origin = prepared.scenario.source.source
    origin = _in_comment(Path(origin).name)
    assembly = Assembly(facts, policy, origin)
    sched = {name: assembly.fill(name) for name in ("lw_sched.h", "lw_sched.c")}
    tables = list(assembly.tables())
    size = sum(_bytes(column) for column in tables)
    if size > most_bytes:
        raise ScenarioError(
            f"its tables have {size:,} bytes",
            where=prepared.scenario.source.source,
            accepted=f"at most {most_bytes:,}; --max-bytes {size} allows them",
        )
    declared = "\n".join(f"extern {_declaration(column)};" for column in tables)
    models = _models(given)
    header = assembly.fill("lw_tables.h", BYTES=f"{size:,}", TABLES=declared + "\n", MODELS=models)
    body = "\n".join(_definition(column) for column in tables)
    replay = assembly.fill("lw_replay.c", NAMES=_names(given.tenants), DEADLINES=_deadlines(given.tenants))
    texts = {
        "lw_tables.h": header,
        "lw_tables.c": f'/* Written by layerweaver export. */\n#include "lw_tables.h"\n\n{body}',
        **sched,
        "lw_replay.c": replay,
        "Makefile": assembly.fill("Makefile"),
        "README.md": assembly.fill("README.md", BYTES=f"{size:,}", POLICY_OPTIONS=_options(policy)),
    }
    return Exported(policy, texts, size, assembly.state_bytes, facts.tenants, prepared.record(policy))


def _write(exported: Exported, folder: Path) -> None:
    """Write the files of an export into a folder, which is made if it is not there.

    Raises:
        OutputError: If the folder or a file in it cannot be written; then none is.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot be made: {error.strerror}", where=str(folder), accepted="name a folder"
        ) from error
    for name in exported.texts:
        check_writable(folder / name)
    for name, text in exported.texts.items():
        write_text(folder / name, text)


def _in_comment(text: str) -> str:
    """A text that neither ends the comment it stands in nor begins one."""
    return text.replace("*/", "* /").replace("/*", "/ *")


def _given(prepared: PreparedScenario, policy: Policy) -> SimulationInput:
    """What the engine would be given; what is not exported is refused."""
    scenario, spec = prepared.scenario, prepared.scenario.spec
    if len(prepared.machines) > 1:
        raise ScenarioError(
            f"a pool of {counted(len(prepared.machines), 'NPU')} is not exported",
            where=scenario.where("pool"),
            accepted="one NPU: export each of them by itself",
        )
    machine, menus = prepared.machines[0]
    loads = []
    for index, tenant in enumerate(spec.tenants):
        place = scenario.where("tenants", index)
        if tenant.is_llm:
            raise ScenarioError(
                "a language model is not exported", where=place, accepted="models of fixed rows"
            )
        load = prepared.tenant_load(index, menus, None)
        batching = load.batching
        if batching.auto:
            raise ScenarioError(
                "batches that the scheduler chooses are not exported",
                where=scenario.where("tenants", index, "batch"),
                accepted="batch: N, or {max: N} with delay_ms and preferred",
            )
        loads.append(load)
    for index, source in enumerate(prepared.sources(TrafficRequest())):
        if not isinstance(source, Arrivals):
            raise ScenarioError(
                f"arrivals of kind {spec.tenants[index].arrival.kind} wait for the NPU, and are not exported",
                where=scenario.where("tenants", index, "arrival"),
                accepted="arrivals by the clock, such as poisson or trace",
            )
    return SimulationInput(
        machine,
        tuple(loads),
        dispatch_ahead=spec.dispatch_ahead,
        decision_cycles=decision_cycles(scenario, policy, machine.clock_hz),
        groups=scenario.group_indices,
    )


def _ring(given: SimulationInput) -> int:
    """Rows with weights that can be in flight: as many as fit the buffer, cut as finely as any model is."""
    buffer = given.machine.weight_buffer_bytes
    most, all_rows = 0, 1
    for tenant in given.tenants:
        for profile in tenant.profiles:
            weights = profile.table.weight_bytes
            rows, total = int((weights > 0).sum()), int(weights.sum())
            all_rows += rows
            if total:
                most = max(most, -(-rows * buffer // total))
    needed = min(_LONGEST_RING, most + all_rows + 1)
    return 1 << max(2, (needed - 1).bit_length())


def _bytes(column: Column) -> int:
    return len(column.values) * SIZES[column.type]


def _declaration(column: Column) -> str:
    return f"const {column.type} lw_{column.name}[{len(column.values)}]"


def _definition(column: Column) -> str:
    """An array with what it is, and its size."""
    of = {ROW: "of every row of every (model, batch)", BATCH: "of every (model, batch)"}.get(column.of, "")
    what = f"{column.unit}, {of}" if of else column.unit
    wide = column.type == "int64_t"
    numbers = [f"INT64_C({value})" if wide else str(value) for value in column.values.tolist()]
    if column.type == "uint32_t":
        numbers = [f"{number}u" for number in numbers]
    lines, line = [], "   "
    for number in numbers:
        if len(line) + len(number) > 108:
            lines.append(line)
            line = "   "
        line += f" {number},"
    lines.append(line)
    return "\n".join(
        [f"/* {what}; {_bytes(column)} bytes */", f"{_declaration(column)} = {{", *lines, "};", ""]
    )


def _models(given: SimulationInput) -> str:
    """Which profile is which (model, batch), as comments."""
    lines, number = [], 0
    for index, tenant in enumerate(given.tenants):
        for profile in tenant.profiles:
            name = _in_comment(json.dumps(tenant.name))
            lines.append(f"/* profile {number}: tenant {index} {name}, batch {profile.table.batch} */")
            number += 1
    return "\n".join(lines)


def _names(tenants: Sequence[TenantLoad]) -> str:
    """Names as cells of CSV, as C texts."""
    cells = []
    for tenant in tenants:
        written = io.StringIO()
        CsvWriter(written).writerow([tenant.name])
        cells.append(_c_text(written.getvalue()[:-1]))
    return ", ".join(cells)


def _c_text(text: str) -> str:
    escaped = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{"".join(escaped)}"'


def _deadlines(tenants: Sequence[TenantLoad]) -> str:
    return ", ".join(
        "-1" if tenant.deadline_ns is None else f"INT64_C({tenant.deadline_ns})" for tenant in tenants
    )


def _options(policy: Policy) -> str:
    options = ", ".join(f"{name}: {value}" for name, value in policy.as_options().items())
    return options or "none"
