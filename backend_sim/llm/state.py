"""State of the language models among the tenants: settings, requests, and the iteration being prepared.

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
    "DECODER",
    "ITL_BITS",
    "ITL_BUCKETS",
    "PREFILL_FIRST",
    "REQUEST",
    "ROWS",
    "SEEN_FETCHES",
    "SHAPE",
    "STATIC",
    "TIMINGS",
    "VLLM",
    "Decoder",
    "LlmState",
    "Request",
    "Shape",
]

VLLM, PREFILL_FIRST, STATIC = range(3)
"""Ways to put an iteration together."""

TIMINGS, ROWS = range(2)
"""Sources of costs: a table of times, or the rows of a graph."""

ITL_BITS = 11
"""Leading bits of a time between two tokens that its bucket keeps."""

ITL_BUCKETS = 64 << ITL_BITS

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
    tiles: int
    fetch_cycles: int
    longest_fetch_cycles: int


class Decoder(Protocol):
    """One language model: settings, the iteration being prepared or run, and counters.

    Attributes:
        first_request: Slot of its first request.
        requests: Number of its requests.
        first_line: Start of its part of the arrays ``line`` and ``new``.
        first_shape: Its first distinct row.
        shapes: Number of distinct rows.
        first_row: Its first row.
        first_cost: Its first distinct row among the costs: for any members, then for one new token each.
        first_feature: Start of its part of ``features``.
        rows: Rows of an iteration, before large ones are cut into tiles.
        first_repeated: First of the rows that repeat a block, counted within the iteration; never 0.
        block_rows: Rows of the block.
        blocks_end: Row after the last block; ``first_repeated`` where nothing is repeated.
        summed: 1 if ``after_compute`` and ``after_cycles`` hold for the rows of the blocks too.
        costs: TIMINGS or ROWS.
        works: Cached tokens up to which ``LlmState.works`` has the attention of one new token.
        first_sum: Start of its part of ``sums``.
        first_rate: Start of its part of ``rates``.
        first_bucket: Start of its part of ``itl_counts``.
        most_tokens: Tokens up to which costs are tabulated.
        most_sequences: Sequences up to which costs are tabulated.
        scheduling: VLLM, PREFILL_FIRST or STATIC.
        max_num_seqs: Requests running at most.
        budget: Tokens of an iteration at most.
        long_prefill: Tokens of one request in an iteration at most; 0 for no limit.
        block: Tokens of a block.
        blocks: Blocks of the cache.
        watermark: Blocks that admission leaves free.
        reserve_full: 1 if admission asks for room for the whole present sequence.
        sync: 1 if an iteration is prepared only when the one before it is done.
        overhead_cycles: Cycles that every iteration takes besides its rows.
        gap_cycles: Cycles between what an iteration waits for and its preparation.
        ttft_ns: Limit of the time to the first token; -1 for none.
        tpot_ns: Limit of the mean time per further token; -1 for none.
        itl_ns: Limit of the time between two tokens; -1 for none.
        strict: 1 if the next token's deadline counts from the one before it.
        arrived: Requests that arrived.
        fresh: Requests that were admitted at least once.
        line: Requests in the line.
        running: Those of them that run.
        free: Free blocks, by what is scheduled.
        plan_running: Requests that go on running in the iteration being prepared.
        plan_admitted: Requests that it admits.
        plan_free: Blocks that it leaves free.
        tokens: Tokens that it computes.
        sequences: Requests that emit a token in it.
        members: Requests in it.
        decoding: Members that compute one token behind their prompt.
        context: Sum over those of the tokens they attend to.
        table_row: Row of the iteration that is scheduled next.
        tile: Tile of it that is scheduled next.
        may_begin: Cycle from which the next iteration may be prepared.
        flight_done: Cycle at which the iteration scheduled last ends.
        counted_until: Cycle up to which ``block_cycles`` counts.
        block_cycles: Used blocks times cycles, in units of 1024.
        block_rest: What is left of the last unit.
        iterations: Iterations begun.
        tokens_in: Tokens of admitted prompts, each once.
        tokens_out: Tokens emitted.
        tokens_computed: Tokens computed.
        preemptions: Times a request lost its blocks.
        recomputed: Tokens whose keys and values were thrown away.
        most_used: Most blocks used.
        completed: Requests completed.
        rows_of_array: Of the matrix unit; this and what follows is the NPU's
            (``scheduler.iterations.costs``).
        columns_of_array: See there.
        arrays: See there.
        pixels: See there.
        swap_cycles: See there.
        flow: See there.
        double_buffered: See there.
        pack: See there.
        by_folds: See there.
        by_channels: See there.
        by_rows: See there.
        swap_operands: See there.
        lanes: See there.
        lane_denominator: See there.
        fixed_cycles: See there.
        burst_bytes: See there.
        request_bytes: See there.
        operand_bits: See there.
        resting: See there.
        piece_bytes: See there.
        whole_bytes: See there.
        buffer_bytes: See there.
        activation_budget: Activations that may stay on chip; -1 for all.
        tile_bytes: Traffic of the cache that is fetched as one row.
        whole_blocks: Cached tokens of the members, by whole blocks.
        compute_cycles: Compute of all rows scheduled.
        dram_bytes: Traffic of all rows scheduled.
        itl_sum_ns: Sum of the times between two tokens.
        itl_max_ns: The longest.
    """

    first_request: int
    requests: int
    first_line: int
    first_shape: int
    shapes: int
    first_row: int
    first_cost: int
    first_feature: int
    rows: int
    first_repeated: int
    block_rows: int
    blocks_end: int
    summed: int
    costs: int
    works: int
    first_sum: int
    first_rate: int
    first_bucket: int
    most_tokens: int
    most_sequences: int
    scheduling: int
    max_num_seqs: int
    budget: int
    long_prefill: int
    block: int
    blocks: int
    watermark: int
    reserve_full: int
    sync: int
    overhead_cycles: int
    gap_cycles: int
    ttft_ns: int
    tpot_ns: int
    itl_ns: int
    strict: int
    arrived: int
    fresh: int
    line: int
    running: int
    free: int
    plan_running: int
    plan_admitted: int
    plan_free: int
    tokens: int
    sequences: int
    members: int
    decoding: int
    context: int
    table_row: int
    tile: int
    may_begin: int
    flight_done: int
    counted_until: int
    block_cycles: int
    block_rest: int
    iterations: int
    tokens_in: int
    tokens_out: int
    tokens_computed: int
    preemptions: int
    recomputed: int
    most_used: int
    completed: int
    rows_of_array: int
    columns_of_array: int
    arrays: int
    pixels: int
    swap_cycles: int
    flow: int
    double_buffered: int
    pack: int
    by_folds: int
    by_channels: int
    by_rows: int
    swap_operands: int
    lanes: int
    lane_denominator: int
    fixed_cycles: int
    burst_bytes: int
    request_bytes: int
    operand_bits: int
    resting: int
    piece_bytes: int
    whole_bytes: int
    buffer_bytes: int
    activation_budget: int
    tile_bytes: int
    whole_blocks: int
    compute_cycles: int
    dram_bytes: int
    itl_sum_ns: int
    itl_max_ns: int


REQUEST, SHAPE, DECODER = (record_type(fields) for fields in (Request, Shape, Decoder))


class LlmState(NamedTuple):
    """All language models of a run, flat over them.

    Attributes:
        decoders: Shape (language models,).
        requests: Shape (requests,).
        line: Slots of the requests in the lines, ``max_num_seqs`` places for each model.
        new: Tokens that the iteration being prepared computes of the request at that place.
        shapes: Shape (distinct rows,).
        row_shape: Distinct row of every row, counted within its model.
        after_compute: Compute cycles of all rows after this one.
        after_cycles: Cold two-timeline makespan of all rows after this one.
        seen_fetches: Fetches at the beginning of a block, for :mod:`~layerweaver.backend_sim.engine.blocks`.
        features: Values of the polynomials' terms, for each model.
        sums: These and the sequences that emit, summed over the iterations of any members, then over those of
            one new token each, for each model.
        by: What a row's cycles grow with, shape (costs,), as the arrays that follow
            (:class:`~layerweaver.scheduler.iterations.costs.IterationCosts`).
        table: First entry in ``cycles``; of attention, in ``works``.
        cycles: Tabulated cycles.
        works: Folds times cycles of the attention of one new token, by cached tokens, six ways for each; 0 as
            long as nobody asked.
        attention: Extents of products of two activations.
        weight_bytes: Weights.
        weight_traffic: Channel bytes of fetching them.
        weight_chunks: Pieces of them.
        held: Weights that a product holds.
        ranges: First terms.
        terms: Scale and coefficients.
        rates: Tables and coefficients of timings.
        itl_counts: Times between two tokens, counted in buckets.
    """

    decoders: Any
    requests: Any
    line: NDArray[np.int64]
    new: NDArray[np.int64]
    shapes: Any
    row_shape: NDArray[np.int64]
    after_compute: NDArray[np.int64]
    after_cycles: NDArray[np.int64]
    seen_fetches: NDArray[np.int64]
    features: NDArray[np.int64]
    sums: NDArray[np.int64]
    by: NDArray[np.int64]
    table: NDArray[np.int64]
    cycles: NDArray[np.int64]
    works: NDArray[np.int64]
    attention: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    weight_traffic: NDArray[np.int64]
    weight_chunks: NDArray[np.int64]
    held: NDArray[np.int64]
    ranges: NDArray[np.int64]
    terms: NDArray[np.int64]
    rates: NDArray[np.float64]
    itl_counts: NDArray[np.int64]
