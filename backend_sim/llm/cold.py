"""How long a request takes whose iterations have the machine to themselves, each from a cold start."""

from __future__ import annotations

from dataclasses import replace
from types import FunctionType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.llm.iteration import cold_cycles, count_members, price
from layerweaver.backend_sim.llm.load import DecoderLoad, build_llm
from layerweaver.backend_sim.llm.outside import raise_failure
from layerweaver.backend_sim.llm.state import LlmState
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.scheduler.machine.jit import compile_bound, hand_over
from layerweaver.scheduler.machine.rest import machine_at_rest
from layerweaver.scheduler.machine.view import Machine

__all__ = ["cold_request_cycles", "iteration_sums"]

IntArray = NDArray[np.int64]


def _iteration(  # noqa: PLR0917 - compiled code is called by position
    llm: LlmState, machine: Machine, tokens: int, computed: int, emits: int, count: int
) -> int:
    """Cold makespan of an iteration of ``count`` equal members; leaves its sums in the machine's fields."""
    decoder = llm.decoders[0]
    decoder.plan_running, decoder.plan_admitted = count, 0
    for place in range(count):
        request = llm.requests[place]
        request.computed, request.prompt, request.generated = computed, computed, 1
        if tokens > 1 or emits == 0 or computed == 0:
            request.prompt, request.generated = computed + tokens + 1 - emits, 0
        request.output = 1_000_000_000
        llm.line[place] = place
        llm.new[place] = tokens
    count_members(llm, decoder)
    _, machine.compute_end, machine.fetch_end, _ = price(llm, decoder, machine)
    row = decoder.first_row
    shape = llm.shapes[decoder.first_shape + llm.row_shape[row]]
    return cold_cycles(shape, shape.tiles, llm.after_compute[row], llm.after_cycles[row])


def _requests(  # noqa: PLR0917 - compiled code is called by position
    llm: LlmState, machine: Machine, prompt: IntArray, output: IntArray, decode: IntArray, cycles: IntArray
) -> None:
    """Fill in the cycles of every request; ``decode`` is room for prefix sums over contexts."""
    decoder = llm.decoders[0]
    chunk = decoder.budget
    if decoder.long_prefill > 0:
        chunk = min(chunk, decoder.long_prefill)
    decode[0] = 0
    for context in range(1, len(decode)):
        decode[context] = decode[context - 1] + _iteration(llm, machine, 1, context, 1, 1)
    for index in range(len(prompt)):
        total = decode[prompt[index] + output[index] - 2] - decode[prompt[index] - 1]
        if output[index] == 1:
            total = 0
        # The host prepares the first iteration before its request comes, and the others as with ``sync``.
        total += (output[index] - 1) * decoder.gap_cycles
        computed = 0
        while computed < prompt[index]:
            tokens = min(chunk, prompt[index] - computed)
            emits = 1 if computed + tokens == prompt[index] else 0
            if computed > 0:
                total += decoder.gap_cycles
            total += _iteration(llm, machine, tokens, computed, emits, 1)
            computed += tokens
        cycles[index] = total


def _sums(llm: LlmState, machine: Machine, asked: IntArray, found: IntArray) -> None:
    """Compute, traffic, live, resident bytes, longest tile, data: per row, for each of ``asked``."""
    decoder = llm.decoders[0]
    for index in range(len(asked)):
        _iteration(llm, machine, asked[index, 0], asked[index, 1], asked[index, 2], asked[index, 3])
        for row in range(decoder.rows):
            shape = llm.shapes[llm.row_shape[row]]
            found[index, 0, row] = shape.tiles * shape.compute_cycles + shape.rest_cycles
            found[index, 1, row] = shape.tiles * shape.dram_bytes + shape.rest_bytes
            found[index, 2, row] = shape.live_bytes
            found[index, 3, row] = shape.weight_bytes + min(1, shape.rest_weights)
            found[index, 4, row] = shape.compute_cycles + min(1, shape.rest_cycles)
            found[index, 5, row] = shape.data_bytes


def _scratch(load: DecoderLoad, members: int) -> LlmState:
    """State of the language model alone with room for some members."""
    one = np.ones(members, np.int64)
    rules = replace(load.rules, max_num_seqs=max(members, load.rules.max_num_seqs))
    return build_llm([DecoderLoad(rules, load.costs, 0 * one, one, one)])


def cold_request_cycles(
    load: DecoderLoad, machine: MachineSpec, prompt: IntArray, output: IntArray
) -> IntArray:
    """Cycles of every request's own iterations, alone on the machine, shape (requests,).

    Each begins when the one before is done and the host's overhead has passed, whatever the boundary: how
    much of an iteration is hidden behind the one before depends on the policy. No fetch waits for room.
    """
    cycles = np.zeros(len(prompt), np.int64)
    if len(prompt):
        longest = int((prompt + output).max())
        run = compile_bound(cast(FunctionType, _requests), {}, "cold")
        decode = np.zeros(longest, np.int64)
        run(hand_over(_scratch(load, 1)), machine_at_rest(machine), prompt, output, decode, cycles)
        raise_failure(load.costs)
    return cycles


def iteration_sums(
    load: DecoderLoad, machine: MachineSpec, asked: list[tuple[int, int, int, int]]
) -> IntArray:
    """What iterations of equal members cost, row by row.

    Args:
        load: The language model.
        machine: The machine.
        asked: Per iteration, each member's new tokens, its cached tokens, whether (0 or 1) it emits, and the
            number of members.

    Returns:
        Shape (iterations, 6, rows): compute cycles, traffic, live activations, what a tile keeps resident,
        the compute cycles of its longest tile, and what of the traffic is data and not the DRAM's latency.
    """
    members = max(count for *_, count in asked)
    scratch = _scratch(load, members)
    found = np.zeros((len(asked), 6, len(scratch.row_shape)), np.int64)
    run = compile_bound(cast(FunctionType, _sums), {}, "sums")
    run(hand_over(scratch), machine_at_rest(machine), np.array(asked, np.int64), found)
    raise_failure(load.costs)
    return found
