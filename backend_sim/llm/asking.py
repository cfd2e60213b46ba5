"""Rows that a cost model prices, and rows cut into tiles; plain functions that numba compiles."""

from __future__ import annotations

from layerweaver.backend_sim.llm.batching import is_finished
from layerweaver.backend_sim.llm.decoder import Decoder
from layerweaver.backend_sim.llm.outside import ASKED
from layerweaver.backend_sim.llm.state import LlmState
from layerweaver.scheduler.machine.outside import call_out
from layerweaver.scheduler.machine.view import Machine

__all__ = ["ask_for_prices", "cut"]


def ask_for_prices(llm: LlmState, decoder: Decoder, machine: Machine) -> bool:
    """Have a cost model price every row of the planned iteration; return whether it did."""
    at, count, first = decoder.first_asked, 0, decoder.first_line
    for place in range(first, first + decoder.plan_running + decoder.plan_admitted):
        new = llm.new[place]
        request = llm.requests[llm.line[place]]
        if new == 0 or is_finished(request):
            continue
        count += 1
        member = at + ASKED * count
        llm.asked[member], llm.asked[member + 1] = new, request.computed
        emits = request.computed + new == request.prompt + request.generated
        llm.asked[member + 2] = 1 if emits else 0
    llm.asked[at], llm.asked[at + 1], llm.asked[at + 2] = count, decoder.activation_budget, decoder.block
    if call_out(decoder.pricer, decoder.asked_at, decoder.prices_at) != 0:
        return False
    for row in range(decoder.shapes):
        price = llm.prices[decoder.first_price + row]
        weights, cache, tiles = price[2], price[3], price[5]
        if cache > 0:
            tiles = max(tiles, (cache + decoder.tile_bytes - 1) // decoder.tile_bytes)
            weights += cache
        cut(llm, decoder, machine, row, (price[0], price[1], weights, price[4], tiles))
        llm.shapes[decoder.first_shape + row].data_bytes = price[6]
    return True


def cut(
    llm: LlmState, decoder: Decoder, machine: Machine, shape_index: int, costs: tuple[int, int, int, int, int]
) -> None:
    """Set a row's tiles, by its compute, traffic, what it keeps resident, live bytes and their number."""
    compute, traffic, weights, live, tiles = costs
    shape = llm.shapes[decoder.first_shape + shape_index]
    shape.tiles, shape.live_bytes = tiles, live
    shape.compute_cycles, shape.rest_cycles = compute // tiles, compute % tiles
    shape.dram_bytes, shape.rest_bytes = traffic // tiles, traffic % tiles
    shape.weight_bytes, shape.rest_weights = weights // tiles, weights % tiles
    shape.fetch_cycles = shape.longest_fetch_cycles = _fetch_cycles(shape.dram_bytes, machine)
    if shape.rest_bytes > 0:
        shape.longest_fetch_cycles = _fetch_cycles(shape.dram_bytes + 1, machine)


def _fetch_cycles(dram_bytes: int, machine: Machine) -> int:
    return (dram_bytes * machine.scale + machine.rate - 1) // machine.rate
