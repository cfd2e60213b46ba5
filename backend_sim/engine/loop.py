"""The engine: many tenants on one NPU, row by row, under a policy.

The machine is that of LW III-C (see :mod:`layerweaver.scheduler.machine.timelines`). A decision is taken
when the DMA becomes free (``dispatch_ahead`` rows earlier, ``decision_cycles`` later), seeing only what has
arrived by
then; with nothing in flight the machine waits for the next arrival or batch timer. The order of simultaneous
events is given in :mod:`layerweaver.backend_sim.engine.queues`. Time is integer cycles; scheduled times and
latencies are integer nanoseconds, rounded up to cycles on arrival and back up to ns on completion.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine import kernel as engine_kernel
from layerweaver.backend_sim.engine.decoding import WITHOUT_DECODERS
from layerweaver.backend_sim.engine.guarded import guarded, is_of_others
from layerweaver.backend_sim.engine.in_flight import Windows
from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.layout import build_state
from layerweaver.backend_sim.engine.outcome import SimulationOutcome
from layerweaver.backend_sim.engine.settle import collect
from layerweaver.backend_sim.engine.state import State
from layerweaver.backend_sim.llm.outside import raise_failure
from layerweaver.ir import PolicyError
from layerweaver.scheduler.machine.jit import (
    bind,
    compile_bound,
    hand_over,
    has_cache,
    mentions,
    values_in,
)
from layerweaver.scheduler.machine.records import as_objects, records
from layerweaver.scheduler.machine.timelines import WITHOUT_ROOM
from layerweaver.scheduler.machine.view import FETCH, Memory
from layerweaver.scheduler.policies.contract import Policy

__all__ = ["Progress", "ProgressCallback", "is_compiled", "run"]

LOGGER = logging.getLogger("layerweaver")
DECISIONS_PER_SLICE = 1_000_000
LOG_ENTRIES = 8192


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come; given to the callback about once per million rows.

    Attributes:
        now_cycles: Cycle of the last decision.
        layers_executed: Rows scheduled.
        arrived: Requests arrived, per tenant.
        completed: Requests completed, per tenant.
        late: Those after their deadline, per tenant.
        dropped: Requests dropped, per tenant.
        share: Share of the whole job that is done, where the caller knows it; the engine does not.
    """

    now_cycles: int
    layers_executed: int
    arrived: tuple[int, ...]
    completed: tuple[int, ...]
    late: tuple[int, ...]
    dropped: tuple[int, ...]
    share: float | None = None


ProgressCallback = Callable[[Progress], bool | None]
"""Returns True to stop the run (its outcome says ``interrupted``)."""


def run(
    given: SimulationInput,
    policy: Policy,
    *,
    record_cycles: tuple[int, int] | None = None,
    compiled: bool = True,
    progress: ProgressCallback | None = None,
    decisions_per_slice: int = DECISIONS_PER_SLICE,
) -> SimulationOutcome:
    """Simulate until every source has ended and everything has drained.

    Args:
        given: Machine and tenants. Open-loop sources are consumed.
        policy: A configured policy (:func:`layerweaver.scheduler.policies.load_policy`).
        record_cycles: Decisions at cycles ``from <= t < to`` go into the schedule log.
        compiled: Whether numba compiles the loop (cached on disk, per policy); the result is the same.
        progress: Called between slices; may stop the run.
        decisions_per_slice: Decisions between two calls of ``progress`` and two chances for Ctrl-C.

    Raises:
        ScenarioError: If the input is out of range.
        TrafficError: If a source's times go back.
        PolicyError: If the policy does not compile, fails, or chooses a tenant that has nothing to do.
    """
    state = build_state(given, policy, record_cycles, LOG_ENTRIES if record_cycles else 0, compiled)
    windows = Windows(given, state)
    decoder = next((tenant.name for tenant in given.tenants if tenant.decoder is not None), None)
    if decoder is not None and policy.spec.prepare is not None:
        raise PolicyError(
            f"decides by tables of fixed rows, and tenant {decoder} is a language model",
            where=policy.name,
            accepted="a policy without tables, such as layerweaver+",
        )
    if compiled and not is_compiled(policy, decoding=decoder is not None):
        LOGGER.info("compiling the engine for policy %s (once; cached on disk)", policy.name)
    advance = _loop(policy, compiled, decoder is not None)
    options: Any = policy.record(given.machine.clock_hz)
    options = options[0] if compiled else as_objects(options)[0]
    memory = policy.memory([tenant.profiles for tenant in given.tenants], given.groups, compiled=compiled)
    pieces: list[NDArray[np.void]] = []
    shown, interrupted, reported = None, False, 0
    try:
        while True:
            # The loop also returns to have its windows refilled, which is no reason to report any later.
            due = max(1, decisions_per_slice - (int(windows.state.totals.layers) - reported))
            if windows.state is not state or shown is None:
                state = windows.state
                shown = hand_over(state) if compiled else state
            code = guarded(advance, (shown, options, memory, due), policy, compiled)
            for tenant in given.tenants:
                if tenant.decoder is not None:
                    raise_failure(tenant.decoder.costs)
            if code == engine_kernel.FINISHED:
                break
            if code == engine_kernel.REFILL:
                windows.refill()
            elif code == engine_kernel.LOG_FULL:
                pieces.append(state.log[: state.totals.recorded].copy())
                state.totals.recorded = 0
            elif code == engine_kernel.GROW:
                windows.state = _grow(state, compiled)
            elif code == engine_kernel.BAD_CHOICE:
                raise PolicyError(
                    "chose a tenant that has no request",
                    where=policy.name,
                    accepted="choose one of view.ready",
                )
            elif code == engine_kernel.STUCK:
                machine = state.visible.machine
                name = given.tenants[int(state.visible.ready[0])].name
                raise PolicyError(
                    f"holds for ever: tenant {name} has a request at cycle {machine.now}",
                    where=policy.name,
                    accepted="hold until a later cycle that comes (machine.hold_until), or choose",
                )
            elif code == engine_kernel.BAD_MODE:
                raise PolicyError(
                    f"set mode {state.visible.machine.mode}",
                    where=policy.name,
                    accepted=f"its modes are 0 to {len(policy.spec.modes) - 1}",
                )
            else:
                reported = int(state.totals.layers)
                if progress is not None and progress(_progress(state)):
                    interrupted = True
                    break
    except KeyboardInterrupt:
        interrupted = True
    state = windows.state
    pieces.append(state.log[: state.totals.recorded].copy())
    return collect(given, policy, windows, pieces if record_cycles else None, interrupted)


def _progress(state: State) -> Progress:
    tenants = state.tenants
    return Progress(
        int(state.visible.machine.now),
        int(state.totals.layers),
        tuple(int(tenant.number + tenant.arrived) for tenant in tenants),
        tuple(int(tenant.completed) for tenant in tenants),
        tuple(int(tenant.late) for tenant in tenants),
        tuple(int(tenant.dropped) for tenant in tenants),
    )


Loop: TypeAlias = Callable[[State, Any, Memory, int], int]

_ADVANCE = cast(FunctionType, engine_kernel.advance)


def _loop(policy: Policy, compiled: bool, decoding: bool) -> Loop:
    choose = cast(FunctionType, policy.spec.choose)
    if not compiled:
        return bind(_ADVANCE, {"choose": choose})
    values = values_in(choose) if is_of_others(choose) else ""
    return _compiled_loop(choose, policy.name, decoding, values)


def is_compiled(policy: Policy, *, decoding: bool) -> bool:
    """Whether a compiled run of the policy need not compile anything first."""
    loop = _loop(policy, True, decoding)
    return has_cache(loop) or bool(getattr(loop, "signatures", True))


@functools.lru_cache(maxsize=64)
def _compiled_loop(choose: FunctionType, name: str, decoding: bool, values: str) -> Loop:  # noqa: ARG001
    """The loop of a policy; without language models it leaves out what only they need.

    ``values`` are what the policy's code names: another loop is compiled where they have changed.
    """
    room = {} if mentions(choose, "room_scaled") else WITHOUT_ROOM
    common = {} if decoding else WITHOUT_DECODERS
    return compile_bound(
        _ADVANCE, {"choose": choose, **room}, name, common, apart_from_python=is_of_others(choose)
    )


def _grow(state: State, compiled: bool) -> State:
    """Double the ring of fetches."""
    old: Any = state.visible.fetches
    machine = state.visible.machine
    capacity = 2 * len(old)
    ring = records(FETCH, capacity, compiled=compiled)
    for position in range(int(machine.window_first), int(machine.window_last)):
        ring[position % capacity].window = old[position % len(old)].window
    for position in range(int(machine.first), int(machine.last)):
        new, entry = ring[position % capacity], old[position % len(old)]
        new.before_scaled, new.done, new.key = entry.before_scaled, entry.done, entry.key
    machine.mask = capacity - 1
    return state._replace(visible=state.visible._replace(fetches=ring))
