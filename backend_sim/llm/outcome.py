"""What the engine tells of a language model's requests after a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.llm.state import ITL_BUCKETS, LlmState
from layerweaver.scheduler.iterations.energy import KINDS, SUMS

__all__ = ["DecoderRun", "decoder_run"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class DecoderRun:
    """What became of a language model's requests in a run.

    Attributes:
        scheduled_ns: Shape (arrived,).
        first_ns: End of the iteration that emitted the first token; -1 for none.
        last_ns: The same of the last token; -1 for requests that are not done.
        prompt: Tokens of the prompt.
        tokens: Tokens emitted.
        preemptions: Times a request lost its blocks.
        counts: Counters, by the names of ``state.Decoder``.
        itl_counts: Times between two tokens, in the buckets of ``state.ITL_BITS``.
        sums: Sums over iterations that their energy is linear in, shape (windows, KINDS, SUMS).
    """

    scheduled_ns: IntArray
    first_ns: IntArray
    last_ns: IntArray
    prompt: IntArray
    tokens: IntArray
    preemptions: IntArray
    counts: dict[str, int]
    itl_counts: IntArray
    sums: IntArray


def decoder_run(llm: LlmState, number: int, end_cycles: int) -> DecoderRun:
    """What became of one language model's requests."""
    decoder = llm.decoders[number]
    first, arrived = int(decoder.first_request), int(decoder.arrived)
    mine = llm.requests[first : first + arrived]

    def column(name: str) -> IntArray:
        if isinstance(mine, list):
            return np.array([getattr(request, name) for request in mine], np.int64)
        return np.array(mine[name], np.int64)

    generated, output = column("generated"), column("output")
    last_ns = np.where(generated == output, column("last_ns"), -1)
    used = int(decoder.block_cycles) * 1024 + int(decoder.block_rest)
    used += int(decoder.blocks - decoder.free) * max(0, end_cycles - int(decoder.counted_until))
    counts = {name: int(getattr(decoder, name)) for name in _COUNTERS}
    bucket, first_sum, windows = int(decoder.first_bucket), int(decoder.first_sum), int(decoder.windows)
    return DecoderRun(
        scheduled_ns=column("scheduled_ns"),
        first_ns=column("first_ns"),
        last_ns=last_ns,
        prompt=column("prompt"),
        tokens=generated,
        preemptions=column("preemptions"),
        counts={**counts, "block_cycles": used},
        itl_counts=np.array(llm.itl_counts[bucket : bucket + ITL_BUCKETS]),
        sums=np.array(llm.sums[first_sum : first_sum + windows * KINDS * SUMS]).reshape(windows, KINDS, SUMS),
    )


_COUNTERS = (
    "blocks",
    "iterations",
    "tokens_in",
    "tokens_out",
    "tokens_computed",
    "preemptions",
    "recomputed",
    "most_used",
    "compute_cycles",
    "data_bytes",
    "itl_sum_ns",
    "itl_max_ns",
)
