"""State of the language models among the tenants: requests, rows of an iteration, and all arrays.

A *slot* is the number of a request in the flat array of all requests, by tenant and then by order of arrival.
Requests that were admitted and are not done stand in a tenant's *line*, in order of arrival: the first
``running`` of them run, those behind were preempted and wait. Whoever was never admitted waits behind the
line, in order of arrival, and needs no entry. Preemption takes from the tail of the running ones and
admission from the front of the waiting ones, so both only move the border.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from layerweaver.scheduler.machine.records import record_type

__all__ = [
    "ITL_BITS",
    "ITL_BUCKETS",
    "KNOWN",
    "REQUEST",
    "SEEN_FETCHES",
    "SHAPE",
    "WAYS",
    "LlmState",
    "Request",
    "Shape",
]

ITL_BITS = 11
"""Leading bits of a time between two tokens that its bucket keeps."""

ITL_BUCKETS = 64 << ITL_BITS

KNOWN = 6
"""Numbers that rows without a look at the cache depend on: the costs in use, the sequences that emit, most
new tokens of one member, members, new tokens of all and the sum of their squares."""

WAYS = 6
"""Ways in which arrays share products: by folds, channels or rows, then the same with operands swapped."""

SEEN_FETCHES = 256
"""Room for the fetches in flight at the beginning of a block, two numbers for each."""


class Request(Protocol):
    """One request. Every field is int64.

    Attributes:
        scheduled_ns: Scheduled time.
        prompt: Tokens of the prompt.
        output: Tokens that it will have generated when it is done; only the end of an iteration looks at it.
        generated: Tokens emitted, or computed by an iteration whose rows are all scheduled.
        computed: Tokens whose keys and values are cached or will be by what is scheduled.
        held: Blocks of the cache.
        preemptions: Times it lost its blocks.
        admitted: 1 once it was admitted.
        first_ns: End of the iteration that emitted its first token; -1 before.
        last_ns: End of the iteration that emitted its last token so far; -1 before.
        done: Cycle of its last token; meaningful once ``generated`` equals ``output``.
    """

    scheduled_ns: int
    prompt: int
    output: int
    generated: int
    computed: int
    held: int
    preemptions: int
    admitted: int
    first_ns: int
    last_ns: int
    done: int


class Shape(Protocol):
    """Costs of one distinct row in the iteration being prepared; rows that cost the same share it.

    Attributes:
        compute_cycles: Compute of one tile.
        rest_cycles: Last tiles, which have one cycle more.
        dram_bytes: Traffic of one tile.
        rest_bytes: Last tiles, which have one byte more.
        weight_bytes: What one tile keeps resident.
        rest_weights: Last tiles, which keep one byte more.
        live_bytes: Activations alive.
        data_bytes: What of the traffic of all tiles is data and not the DRAM's latency.
        tiles: Rows that it is cut into.
        fetch_cycles: Cycles of fetching a tile.
        longest_fetch_cycles: Cycles of fetching the last one.
    """

    compute_cycles: int
    rest_cycles: int
    dram_bytes: int
    rest_bytes: int
    weight_bytes: int
    rest_weights: int
    live_bytes: int
    data_bytes: int
    tiles: int
    fetch_cycles: int
    longest_fetch_cycles: int


REQUEST, SHAPE = (record_type(fields) for fields in (Request, Shape))


class LlmState(NamedTuple):
    """All language models of a run, flat over them.

    Attributes:
        decoders: Shape (language models,).
        requests: Shape (requests,).
        line: Slots of the requests in the lines, ``max_num_seqs`` places for each model.
        new: Tokens that the iteration being prepared computes of the request at that place.
        member_new: Tokens that each member computes, one behind the other, from ``first_line`` on.
        member_cached: Tokens that each member has computed before, likewise.
        shapes: Shape (distinct rows,).
        row_shape: Distinct row of every row, counted within its model.
        after_compute: Compute cycles of all rows after this one.
        after_cycles: Cold two-timeline makespan of all rows after this one.
        seen_fetches: Fetches at the beginning of a block, for :mod:`~layerweaver.backend_sim.engine.blocks`.
        windows: Windows of each model's rows, 0 for none first.
        features: Values of the polynomials' terms and cached tokens read, for each model and window.
        sums: These terms and the sequences that emit, summed over iterations by model, window and kind.
        by: What a row's cycles grow with, shape (costs,), as the arrays that follow
            (:class:`~layerweaver.scheduler.iterations.costs.IterationCosts`).
        window: Place of a row's window among those of its model.
        table: First entry in ``cycles``; of attention, in ``works``.
        cycles: Tabulated cycles.
        works: Folds times cycles of the attention of one new token, by cached tokens, ``WAYS`` for each; 0 as
            long as nobody asked.
        attention: Extents of products of two activations.
        weight_bytes: Weights.
        weight_traffic: Channel bytes of fetching them.
        weight_requests: Transfers of them.
        weight_chunks: Pieces of them.
        held: Weights that a product holds.
        ranges: First terms.
        terms: Scale and coefficients.
        rates: Tables and coefficients of timings.
        itl_counts: Times between two tokens, counted in buckets.
        shared: Work, longest fold and longest stream for each way in which arrays share the products of
            attention, while a row is priced.
        steady: 1 for rows that cost the same whatever is cached, shape (costs,).
        known: What the last priced iteration of each model had of what such rows depend on.
        asked: What a pricer is given, from each model's ``first_asked`` on: its activation budget, the tokens
            of a block, and new tokens, cached tokens and whether it emits of every member.
        prices: What it answers, row by row, as in
            :data:`~layerweaver.scheduler.iterations.pricer.PRICES`.
    """

    decoders: Any
    requests: Any
    line: NDArray[np.int64]
    new: NDArray[np.int64]
    member_new: NDArray[np.int64]
    member_cached: NDArray[np.int64]
    shapes: Any
    row_shape: NDArray[np.int64]
    after_compute: NDArray[np.int64]
    after_cycles: NDArray[np.int64]
    seen_fetches: NDArray[np.int64]
    windows: NDArray[np.int64]
    features: NDArray[np.int64]
    sums: NDArray[np.int64]
    by: NDArray[np.int64]
    window: NDArray[np.int64]
    table: NDArray[np.int64]
    cycles: NDArray[np.int64]
    works: NDArray[np.int64]
    attention: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    weight_traffic: NDArray[np.int64]
    weight_requests: NDArray[np.int64]
    weight_chunks: NDArray[np.int64]
    held: NDArray[np.int64]
    ranges: NDArray[np.int64]
    terms: NDArray[np.int64]
    rates: NDArray[np.float64]
    itl_counts: NDArray[np.int64]
    shared: NDArray[np.int64]
    steady: NDArray[np.int64]
    known: NDArray[np.int64]
    asked: NDArray[np.int64]
    prices: NDArray[np.int64]
