"""What an iteration of unequal members costs on one weight-stationary array, by the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from layerweaver.scheduler.iterations.rows import IterationRow, Term

__all__ = ["Member", "NaiveArray", "row_cost"]


@dataclass(frozen=True)
class Member:
    """A sequence: new tokens, cached tokens, and whether it emits one."""

    new: int
    past: int
    emits: bool


@dataclass(frozen=True)
class NaiveArray:
    """A double-buffered array, a vector unit of one cycle an operand, and DRAM with bursts and a latency."""

    rows: int
    columns: int
    lanes: int
    burst_bytes: int
    waited_bytes: int


def row_cost(
    row: IterationRow, members: Sequence[Member], array: NaiveArray, block: int
) -> tuple[int, int, int]:
    """Cycles of a row, bytes that its transfers take as time, and those that move: 16 bits, without spills.

    Args:
        row: The row, its weights fetched once.
        members: Who takes part.
        array: The NPU.
        block: Tokens of a block of the cache, which is read by whole blocks.
    """
    far = row.window or 10**9

    def looks_at(member: Member) -> int:
        return min(member.new + member.past, far) - member.new

    def by_blocks(member: Member) -> int:
        return block * len({token // block for token in range(max(0, member.past - far + 1), member.past)})

    longest = (max(member.new for member in members), max(looks_at(member) for member in members))
    counted = [member for member in members if member.emits or row.by == "attention"]

    def count(term: Term, *, whole: bool = False) -> int:
        one = term.coefficients
        q, p = longest
        total = one[0] + one[1] * q + one[2] * p + one[3] * q * p + one[4] * q * q + one[5] * len(counted)
        for member in members:
            q, p = member.new, looks_at(member)
            total += one[6] * q + one[8] * q * p + one[9] * q * q
            total += one[7] * (by_blocks(member) if whole else p)
        return total

    load, edge = array.rows, array.rows + array.columns - 2
    products: list[tuple[int, int]] = []  # folds and the length of what streams past each
    if row.by == "attention":
        assert row.attention is not None
        for member in members:
            m, n, k = (
                extent[0] + extent[1] * member.new + extent[2] * looks_at(member)
                for extent in (row.attention.m, row.attention.n, row.attention.k)
            )
            products.append((row.attention.groups * ceil(k / array.rows) * ceil(n / array.columns), m))
    elif row.by:
        streams = {"tokens": sum(member.new for member in members), "sequences": len(counted), "nothing": 1}
        folds = row.groups * ceil(row.k / array.rows) * ceil(row.n / array.columns)
        products.append((folds, row.m * streams[row.by]))
    cycles = 0
    if products and max(stream for _, stream in products) > 0:
        most = max(stream for _, stream in products)
        cycles = load + sum(folds * max(stream, load) for folds, stream in products)
        cycles += edge + most - max(most, load)
    vector = sum(count(term) for term in row.vector)
    compute = max(cycles * max(1, row.steps), ceil(vector / array.lanes))
    sizes = [2 * elements for elements, _ in row.weights]
    sizes += [2 * count(term) for term in (*row.gathers, *row.writes)]
    sizes += [2 * count(term, whole=True) for term in row.reads]
    bursts = [ceil(size / array.burst_bytes) for size in sizes if size > 0]
    data = array.burst_bytes * sum(bursts)
    return compute, data + array.waited_bytes * len(bursts), data
