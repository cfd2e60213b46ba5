"""One language model of a run, as compiled code sees it: settings, the iteration being prepared, counters."""

from __future__ import annotations

from typing import Protocol

from layerweaver.scheduler.machine.records import record_type

__all__ = ["DECODER", "PREFILL_FIRST", "PRICED", "ROWS", "STATIC", "TIMINGS", "VLLM", "Decoder"]

VLLM, PREFILL_FIRST, STATIC = range(3)
"""Ways to put an iteration together."""

TIMINGS, ROWS, PRICED = range(3)
"""Sources of costs: a table of times, rows of a graph that compiled code prices, and rows of a graph that a
cost model prices."""


class Decoder(Protocol):
    """One language model: settings, the iteration being prepared or run, and counters.

    Attributes:
        first_request: Slot of its first request.
        requests: Number of its requests.
        first_line: Start of its part of the arrays ``line`` and ``new``.
        first_shape: Its first distinct row.
        shapes: Number of distinct rows.
        first_row: Its first row.
        first_cost: Its first distinct row among the costs.
        kinds: Kinds of iterations by which these lie there (``IterationRows.kinds``).
        first_window: Start of its part of ``windows``.
        windows: Number of its windows.
        first_feature: Start of its part of ``features``.
        rows: Rows of an iteration, before large ones are cut into tiles.
        first_repeated: First of the rows that repeat a block, counted within the iteration; never 0.
        block_rows: Rows of the block.
        blocks_end: Row after the last block; ``first_repeated`` where nothing is repeated.
        summed: 1 if ``after_compute`` and ``after_cycles`` hold for rows behind the first block too.
        costs: TIMINGS, ROWS or PRICED.
        pricer: Address of what prices its rows, 0 unless PRICED; so are the fields that follow.
        first_asked: Start of its part of ``asked``.
        asked_at: Address of that.
        first_price: Start of its part of ``prices``.
        prices_at: Address of that.
        works: Cached tokens up to which ``LlmState.works`` has the attention of one new token.
        first_sum: Start of its part of ``sums``.
        first_known: Start of its part of ``known``.
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
        plan_data_bytes: What its rows move, without the DRAM's latency.
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
        compute_cycles: Compute of all rows scheduled.
        dram_bytes: Traffic of all rows scheduled.
        data_bytes: What the iterations begun move, without the DRAM's latency.
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
    kinds: int
    first_window: int
    windows: int
    first_feature: int
    rows: int
    first_repeated: int
    block_rows: int
    blocks_end: int
    summed: int
    costs: int
    pricer: int
    first_asked: int
    asked_at: int
    first_price: int
    prices_at: int
    works: int
    first_sum: int
    first_known: int
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
    plan_data_bytes: int
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
    compute_cycles: int
    dram_bytes: int
    data_bytes: int
    itl_sum_ns: int
    itl_max_ns: int


DECODER = record_type(Decoder)
