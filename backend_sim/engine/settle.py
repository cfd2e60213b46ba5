"""From the engine's final state to its outcome."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.in_flight import Windows
from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.layout import LOG
from layerweaver.backend_sim.engine.outcome import ScheduleLog, SimulationOutcome, TenantOutcome
from layerweaver.backend_sim.engine.state import State
from layerweaver.backend_sim.llm.outcome import DecoderRun, decoder_run
from layerweaver.ir.units import ceil_div
from layerweaver.scheduler.machine.records import as_objects
from layerweaver.scheduler.policies.contract import Policy

__all__ = ["collect"]


def collect(
    given: SimulationInput,
    policy: Policy,
    windows: Windows,
    log: list[NDArray[np.void]] | None,
    interrupted: bool,
) -> SimulationOutcome:
    """Settle what is left in the windows and sum up."""
    windows.state = state = windows.state._replace(tenants=as_objects(windows.state.tenants))
    totals, machine = state.totals, state.visible.machine
    compute_busy, dram_scaled = _busy(given, state)
    dram_scaled -= int(totals.unmeasured_dram_cycles) * int(machine.rate) + int(totals.unmeasured_dram_rest)
    saving = int(totals.checkpoint_cycles - totals.unmeasured_checkpoint_cycles)
    end = int(machine.compute_end)
    measured_end = min(end, int(totals.measured_until))
    all_fetched = min(measured_end, max(int(machine.fetch_end), int(totals.measured_from)))
    idle = {
        "no_work": int(totals.compute_idle_no_work + totals.dma_idle_no_work) + measured_end - all_fetched,
        "waiting_for_memory": int(totals.compute_idle_memory),
        "buffer_full": int(totals.dma_idle_full),
        "inherent": int(totals.dma_idle_inherent),
        "held_by_policy": int(totals.dma_idle_held),
    }
    outcomes = []
    for index, tenant in enumerate(given.tenants):
        record = state.tenants[index]
        first, decoder = int(record.first_profile), None
        scheduled_ns: NDArray[np.int64] | None
        if record.decoder >= 0:
            decoder = decoder_run(state.llm, int(record.decoder), end)
            latency_ns, scheduled_ns = _latencies(decoder), decoder.scheduled_ns
        else:
            if not interrupted:
                record.front = record.arrived
            latency_ns, scheduled_ns = windows.finish(index)
        width = int(record.max_batch) + 1
        own = slice(first, first + len(tenant.profiles))
        by_measured = state.service_cycles[own, :width].sum(axis=0)
        outcomes.append(
            TenantOutcome(
                tenant.name,
                latency_ns,
                sum(requests * int(cycles) for requests, cycles in enumerate(by_measured)),
                state.batch_counts[own, :width].copy(),
                state.depth_counts[index],
                scheduled_ns,
                int(record.longest_wait_cycles),
                decoder,
            )
        )
    modes = policy.spec.modes
    return SimulationOutcome(
        tuple(outcomes),
        int(totals.layers),
        end,
        compute_busy - int(totals.unmeasured_compute_cycles),
        ceil_div(dram_scaled, int(machine.rate)) + saving,
        idle,
        dict(zip(modes, state.mode_counts.tolist(), strict=True)),
        interrupted,
        None if log is None else _schedule_log(given, log, modes),
        int(totals.pre_emptions),
        saving,
        tuple(int(tenant.late) for tenant in state.tenants),
    )


def _latencies(decoder: DecoderRun) -> NDArray[np.int64]:
    """From scheduled time to the last token; requests up to the oldest that is not done."""
    open_ones = np.flatnonzero(decoder.last_ns < 0)
    done = int(open_ones[0]) if len(open_ones) else len(decoder.last_ns)
    return decoder.last_ns[:done] - decoder.scheduled_ns[:done]


def _busy(given: SimulationInput, state: State) -> tuple[int, int]:
    """Compute cycles and scaled traffic of all rows scheduled, exact beyond 64 bits."""
    compute, dram, scale = 0, 0, given.machine.bandwidth_denominator
    for decoder in state.llm.decoders if state.llm else ():
        compute += int(decoder.compute_cycles)
        dram += int(decoder.dram_bytes) * scale
    for record, head, tenant in zip(state.tenants, state.visible.heads, given.tenants, strict=True):
        if tenant.decoder is not None:
            continue
        first = int(record.first_profile)
        for place, table in enumerate(profile.table for profile in tenant.profiles):
            batches = int(state.profiles[first + place].batches)
            compute += batches * sum(table.compute_cycles.tolist())
            dram += batches * sum(table.dram_bytes.tolist()) * scale
        if record.started:
            table = tenant.profiles[int(head.profile) - first].table
            compute -= sum(table.compute_cycles[int(head.row) :].tolist())
            dram -= sum(table.dram_bytes[int(head.row) :].tolist()) * scale
    return compute, dram


def _schedule_log(
    given: SimulationInput, pieces: list[NDArray[np.void]], modes: tuple[str, ...]
) -> ScheduleLog:
    entries = np.concatenate(pieces) if pieces else np.zeros(0, LOG)
    columns = {name: np.ascontiguousarray(entries[name]) for name in LOG.names or ()}
    for index, tenant in enumerate(given.tenants):
        for place, table in enumerate(profile.table for profile in tenant.profiles):
            if tenant.decoder is None and table.latency is not None:
                mine = np.flatnonzero((columns["tenant"] == index) & (columns["profile"] == place))
                columns["dram_bytes"][mine] -= table.waited_bytes_of_rows[columns["row"][mine]]
    return ScheduleLog(**columns, mode_names=modes)
