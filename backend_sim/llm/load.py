"""What the engine is given of a language model: rules, costs and requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.llm.blocks import repeated_blocks
from layerweaver.backend_sim.llm.countable import countable
from layerweaver.backend_sim.llm.decoder import DECODER, PRICED, ROWS, TIMINGS, VLLM
from layerweaver.backend_sim.llm.outside import ASKED, outside_of
from layerweaver.backend_sim.llm.state import ITL_BUCKETS, KNOWN, REQUEST, SEEN_FETCHES, SHAPE, WAYS, LlmState
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.iterations.costed import CostedRows, IterationCosts, PricedCosts
from layerweaver.scheduler.iterations.costs import RANGES
from layerweaver.scheduler.iterations.energy import KINDS, SUMS
from layerweaver.scheduler.iterations.pricer import PRICES
from layerweaver.scheduler.iterations.rows import BY, FEATURES, SEEN
from layerweaver.scheduler.iterations.timings import Timings
from layerweaver.scheduler.machine.records import as_objects, records

__all__ = ["DecoderLoad", "DecoderRules", "build_llm"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DecoderRules:
    """How iterations are put together and by when tokens are due; times in ns, see ``state.Decoder``.

    Attributes:
        blocks: Blocks of the cache.
        block: Tokens of a block.
        scheduling: VLLM, PREFILL_FIRST or STATIC.
        max_num_seqs: Requests running at most.
        budget: Tokens of an iteration at most.
        long_prefill: Tokens of one request in an iteration at most; 0 for no limit.
        watermark: Blocks that admission leaves free.
        reserve_full: Whether admission asks for room for the whole present sequence.
        sync: Whether an iteration is prepared only when the one before it is done.
        overhead_cycles: Cycles that the host takes for every iteration.
        ttft_ns: Limit of the time to the first token.
        tpot_ns: Limit of the mean time per further token.
        itl_ns: Limit of the time between two tokens.
        strict: Whether the next token's deadline counts from the one before it.
        activation_budget: Activations that may stay on chip, in bytes; None for all.
        tile_bytes: Traffic of the cache that is fetched as one row.
    """

    blocks: int
    block: int = 16
    scheduling: int = VLLM
    max_num_seqs: int = 256
    budget: int = 2048
    long_prefill: int = 0
    watermark: int = 0
    reserve_full: bool = True
    sync: bool = False
    overhead_cycles: int = 0
    ttft_ns: int | None = None
    tpot_ns: int | None = None
    itl_ns: int | None = None
    strict: bool = False
    activation_budget: int | None = None
    tile_bytes: int = 2**40


@dataclass(frozen=True, slots=True, eq=False)
class DecoderLoad:
    """A language model's rules, costs and requests.

    Attributes:
        rules: How its iterations are put together.
        costs: What they cost.
        scheduled_ns: Shape (requests,), ascending.
        prompt: Tokens of each prompt, at least 1.
        output: Tokens that each request generates, at least 1.
    """

    rules: DecoderRules
    costs: Timings | CostedRows
    scheduled_ns: IntArray
    prompt: IntArray
    output: IntArray

    @property
    def distinct(self) -> int:
        """Distinct rows of an iteration."""
        return 1 if isinstance(self.costs, Timings) else self.costs.distinct

    def check(self, where: str, named: Callable[[int], str] = "request {}".format) -> None:
        """Refuse a request that the cache can never hold, and iterations that nothing can count.

        Args:
            where: Place of the tenant.
            named: Says which request has a number.

        Raises:
            ScenarioError: Naming the request.
        """
        longest = self.prompt + self.output - 1
        room = self.rules.blocks * self.rules.block
        if len(longest) and int(longest.max()) > room:
            row = int(np.argmax(longest > room))
            raise ScenarioError(
                f"{named(row)} with {int(self.prompt[row])} tokens of prompt and {int(self.output[row])} of "
                f"output needs room for {int(longest[row])}, and the cache holds {room}",
                where=where,
                accepted="shorten it, or give more blocks or a larger dram.capacity_gb",
            )
        self.check_countable(where)

    def check_countable(self, where: str) -> None:
        """Refuse iterations that cost more than is counted.

        Raises:
            ScenarioError: With the sizes.
        """
        if not len(self.prompt):
            return
        members, longest = self.rules.max_num_seqs, int((self.prompt + self.output).max())
        tokens = min(max(self.rules.budget, members), members * longest)
        cached = min(self.rules.blocks * self.rules.block, members * longest)
        if not countable(self.costs, members=members, tokens=tokens, longest=longest, cached=cached):
            raise ScenarioError(
                f"iterations of {tokens:,} tokens, {longest:,} of one request, cost more than is counted",
                where=where,
                accepted="a smaller llm.max_batched_tokens, shorter requests or a smaller model",
            )


def build_llm(loads: Sequence[DecoderLoad], *, compiled: bool = True) -> LlmState:
    """Lay out the state of all language models of a run, nothing arrived yet.

    Args:
        loads: One per language model.
        compiled: Whether compiled code works on it, or plain code.
    """
    decoders = records(DECODER, len(loads))
    requests = records(REQUEST, sum(len(load.prompt) for load in loads))
    shapes = records(SHAPE, sum(load.distinct for load in loads))
    parts: dict[str, list[Any]] = {name: [np.zeros(shape, kind)] for name, (shape, kind) in _EMPTY.items()}
    line, first, shape, row, windows = 0, 0, 0, 0, list[int]()
    for number, load in enumerate(loads):
        record = decoders[number]
        record.first_request, record.requests = first, len(load.prompt)
        record.first_line, record.first_bucket = line, number * ITL_BUCKETS
        own = (0,) if isinstance(load.costs, Timings) else load.costs.windows
        record.first_window, record.windows = len(windows), len(own)
        record.first_feature, record.first_sum = len(windows) * SEEN, len(windows) * KINDS * SUMS
        windows += own
        record.first_known = number * KNOWN
        record.first_shape, record.shapes = shape, load.distinct
        record.first_row = row
        _fill_rules(record, load.rules)
        rows = _parts(record, load, parts)
        parts["row_shape"].append(rows)
        record.rows = len(rows)
        record.first_repeated, record.block_rows, record.blocks_end = repeated_blocks(rows)
        part = requests[first : first + len(load.prompt)]
        part["scheduled_ns"], part["prompt"], part["output"] = load.scheduled_ns, load.prompt, load.output
        part["first_ns"] = part["last_ns"] = -1
        first, line = first + len(load.prompt), line + load.rules.max_num_seqs
        shape, row = shape + load.distinct, row + len(rows)
    asked, prices = _rooms(decoders, loads)
    return LlmState(
        decoders=decoders if compiled else as_objects(decoders),
        requests=requests if compiled else as_objects(requests),
        line=np.zeros(line, np.int64),
        new=np.zeros(line, np.int64),
        member_new=np.zeros(line, np.int64),
        member_cached=np.zeros(line, np.int64),
        shared=np.zeros(3 * WAYS, np.int64),
        shapes=shapes if compiled else as_objects(shapes),
        after_compute=np.zeros(row, np.int64),
        after_cycles=np.zeros(row, np.int64),
        seen_fetches=np.zeros(SEEN_FETCHES, np.int64),
        windows=np.array(windows, np.int64),
        features=np.zeros(len(windows) * SEEN, np.int64),
        sums=np.zeros(len(windows) * KINDS * SUMS, np.int64),
        itl_counts=np.zeros(len(loads) * ITL_BUCKETS, np.int64),
        known=np.full(len(loads) * KNOWN, -1, np.int64),
        asked=asked,
        prices=prices,
        **{name: np.concatenate(found) for name, found in parts.items()},
    )


def _rooms(decoders: Any, loads: Sequence[DecoderLoad]) -> tuple[IntArray, IntArray]:
    """Room for what is asked of pricers, and for what they answer."""
    wanted = [isinstance(load.costs, PricedCosts) for load in loads]
    sizes = [
        (ASKED * (1 + load.rules.max_num_seqs), load.distinct) if priced else (0, 0)
        for load, priced in zip(loads, wanted, strict=True)
    ]
    asked = np.zeros(sum(size for size, _ in sizes), np.int64)
    prices = np.zeros((sum(rows for _, rows in sizes), len(PRICES)), np.int64)
    first_asked, first_price = 0, 0
    for record, (size, rows) in zip(decoders, sizes, strict=True):
        record.first_asked, record.first_price = first_asked, first_price
        record.asked_at = asked.ctypes.data + first_asked * asked.itemsize
        record.prices_at = prices.ctypes.data + first_price * prices.strides[0]
        first_asked, first_price = first_asked + size, first_price + rows
    return asked, prices


_COLUMNS = ("by", "window", "weight_bytes", "weight_traffic", "weight_requests", "weight_chunks", "held")
_EMPTY: dict[str, tuple[tuple[int, ...], type]] = {
    **dict.fromkeys((*_COLUMNS, "row_shape", "table", "cycles", "works", "steady"), ((0,), np.int64)),
    "attention": ((0, 11), np.int64),
    "ranges": ((0, len(RANGES) + 1), np.int64),
    "terms": ((0, 1 + FEATURES), np.int64),
    "rates": ((0,), np.float64),
}


def _fill_rules(record: Any, rules: DecoderRules) -> None:
    record.scheduling, record.max_num_seqs = rules.scheduling, rules.max_num_seqs
    record.budget, record.long_prefill = rules.budget, rules.long_prefill
    record.block, record.blocks, record.free = rules.block, rules.blocks, rules.blocks
    record.watermark, record.reserve_full = rules.watermark, int(rules.reserve_full)
    record.sync, record.strict = int(rules.sync), int(rules.strict)
    for name in ("ttft_ns", "tpot_ns", "itl_ns"):
        limit = getattr(rules, name)
        setattr(record, name, -1 if limit is None else limit)
    record.most_tokens = max(rules.budget, rules.max_num_seqs)
    record.most_sequences = rules.max_num_seqs
    record.activation_budget = -1 if rules.activation_budget is None else rules.activation_budget
    record.tile_bytes = rules.tile_bytes


def _parts(record: Any, load: DecoderLoad, parts: dict[str, list[Any]]) -> IntArray:
    """Append what is known of the costs; the rows of an iteration."""
    if isinstance(load.costs, Timings):
        return _timed_parts(record, load, parts)
    record.gap_cycles = load.rules.overhead_cycles
    if isinstance(load.costs, PricedCosts):
        record.costs, record.pricer = PRICED, outside_of(load.costs).address
    else:
        _row_parts(record, load, parts)
    return load.costs.row_index


def _timed_parts(record: Any, load: DecoderLoad, parts: dict[str, list[Any]]) -> IntArray:
    """Append the tables of times; the single row of their iterations."""
    costs = load.costs
    assert isinstance(costs, Timings)
    record.costs, record.overhead_cycles = TIMINGS, load.rules.overhead_cycles
    record.first_rate = sum(len(part) for part in parts["rates"])
    parts["rates"] += [
        np.array(costs.coefficients),
        costs.by_tokens(int(record.most_tokens)),
        costs.by_sequences(int(record.most_sequences)),
    ]
    return np.zeros(1, np.int64)


def _row_parts(record: Any, load: DecoderLoad, parts: dict[str, list[Any]]) -> None:
    """Append the tables of rows."""
    costs = load.costs
    assert isinstance(costs, IterationCosts)
    record.costs = ROWS
    record.first_cost, record.kinds = sum(len(part) for part in parts["by"]), len(costs.by) // costs.distinct
    for name, value in costs.settings.items():
        setattr(record, name, value)
    for name in (*_COLUMNS, "attention"):
        parts[name].append(getattr(costs, name))
    attends = np.array([BY[by] == "attention" for by in costs.by])
    parts["steady"].append((~attends & ~_looks_at_cache(costs)).astype(np.int64))
    record.works = 0 if (costs.attention < 0).any() else _tabled(load)
    works = sum(len(part) for part in parts["works"]) + np.cumsum(attends) * int(record.works) * WAYS
    parts["works"].append(np.zeros(int(attends.sum()) * int(record.works) * WAYS, np.int64))
    cycles = sum(len(part) for part in parts["cycles"])
    parts["table"].append(np.where(attends, works - int(record.works) * WAYS, costs.table + cycles))
    parts["cycles"].append(costs.cycles)
    parts["ranges"].append(costs.ranges + sum(len(part) for part in parts["terms"]))
    parts["terms"].append(costs.terms)


_OF_CACHED = [1 + place for place in (2, 3, 7, 8)]
"""Coefficients of a term that are of cached tokens, behind its scale."""


def _looks_at_cache(costs: IterationCosts) -> NDArray[np.bool_]:
    """Whether any term of a row grows with what is cached."""
    grows: NDArray[np.bool_] = (costs.terms[:, _OF_CACHED] != 0).max(axis=1, initial=False)
    ranges = zip(costs.ranges[:, 0].tolist(), costs.ranges[:, -1].tolist(), strict=True)
    return np.array([grows[first:end].any() for first, end in ranges], np.bool_)


def _tabled(load: DecoderLoad) -> int:
    """Cached tokens up to which attention is remembered: a table of at most some megabytes."""
    longest = int((load.prompt + load.output).max()) if len(load.prompt) else 0
    return min(longest, _MOST_TABLED)


_MOST_TABLED = 1 << 15
