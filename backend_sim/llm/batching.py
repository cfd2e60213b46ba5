"""The iteration loop: who takes part in the next iteration, freezing it, and what its end brings.

The rules are vLLM's (v1): every request wants the tokens it has not computed, running ones are served first
and in order, who finds no block preempts the tail of the running ones, waiting ones are admitted in order
only where nothing was preempted. Plain functions that numba compiles.

:func:`plan` changes nothing but the plan; it may be repeated until :func:`freeze` carries it out when the
first row is scheduled. :func:`emit` follows when the last row is scheduled and its end is known. A request
that then proves finished stays in the line until that end: the next iteration may be planned before it, as if
the request went on, and freezes without it.
"""

from __future__ import annotations

from layerweaver.backend_sim.llm.decoder import PREFILL_FIRST, VLLM, Decoder
from layerweaver.backend_sim.llm.state import ITL_BITS, LlmState, Request
from layerweaver.ir.clock import cycles_to_ns_up
from layerweaver.scheduler.iterations.energy import KINDS, SUMS
from layerweaver.scheduler.iterations.rows import FEATURES, SEEN

__all__ = ["emit", "freeze", "is_decoding", "is_finished", "kind_of", "plan", "waiting"]

_EVERY, _PROMPTS, _TOKENS = range(3)
_BLOCK_CYCLES = 1024


def is_finished(request: Request) -> bool:
    """Whether the last token is out, or will be at the end of what is scheduled."""
    return request.generated == request.output


def is_decoding(request: Request, tokens: int) -> bool:
    """Whether a request that computes so many tokens next is behind its prompt and computes just one."""
    return tokens == 1 and request.computed >= request.prompt


def kind_of(decoder: Decoder) -> int:
    """Kind of the planned iteration (``IterationRows.kinds``): one new token of each, one member."""
    return (decoder.tokens == decoder.members) + 2 * (decoder.members == 1)


def waiting(decoder: Decoder) -> int:
    """Requests that arrived and do not run."""
    return decoder.arrived - decoder.fresh + decoder.line - decoder.running


def plan(llm: LlmState, decoder: Decoder, now: int) -> None:
    """Plan the next iteration as of a cycle at which the one before it has all its rows scheduled.

    Sets the ``plan_`` fields of the decoder and, place by place of its line, ``new``.
    """
    _remove_finished(llm, decoder, now)
    decoder.plan_running = decoder.running
    decoder.plan_admitted = 0
    decoder.plan_free = decoder.free
    for place in range(decoder.first_line, decoder.first_line + decoder.max_num_seqs):
        llm.new[place] = 0
    if decoder.scheduling == VLLM:
        left = _serve(llm, decoder, decoder.budget, _EVERY)
        if decoder.plan_running == decoder.running:
            _admit(llm, decoder, left)
        return
    if decoder.scheduling == PREFILL_FIRST:
        left = _serve(llm, decoder, decoder.budget, _PROMPTS)
        if decoder.plan_running == decoder.running:
            left = _admit(llm, decoder, left)
    else:
        if decoder.running == 0:
            _admit_whole(llm, decoder)
        left = _serve(llm, decoder, decoder.budget, _PROMPTS)
    if left == decoder.budget:
        _serve(llm, decoder, decoder.max_num_seqs, _TOKENS)


def _blocks_of(decoder: Decoder, tokens: int) -> int:
    return (tokens + decoder.block - 1) // decoder.block


def _serve(llm: LlmState, decoder: Decoder, budget: int, which: int) -> int:
    """Give the running requests what they want, in order; return what is left of the budget."""
    first, place = decoder.first_line, decoder.first_line
    while place < first + decoder.plan_running + decoder.plan_admitted and budget > 0:
        request = llm.requests[llm.line[place]]
        wanted = request.prompt + request.generated - request.computed
        prompt_left = wanted > 1 or request.computed < request.prompt
        if (which == _PROMPTS and not prompt_left) or (which == _TOKENS and prompt_left):
            place += 1
            continue
        if decoder.long_prefill > 0:
            wanted = min(wanted, decoder.long_prefill)
        tokens = min(wanted, budget)
        blocks = _blocks_of(decoder, request.computed + tokens) - request.held
        while blocks > decoder.plan_free:
            decoder.plan_running -= 1
            decoder.plan_free += llm.requests[llm.line[first + decoder.plan_running]].held
            if first + decoder.plan_running == place:
                return budget
        decoder.plan_free -= blocks
        llm.new[place] = tokens
        budget -= tokens
        place += 1
    return budget


def _candidate(llm: LlmState, decoder: Decoder, place: int) -> int:
    """Slot of the request that waits at a place of the line, put there if it is fresh; -1 for none."""
    behind = place - decoder.first_line - decoder.line
    if behind >= 0:
        number = decoder.fresh + behind
        if number >= decoder.arrived:
            return -1
        llm.line[place] = decoder.first_request + number
    return llm.line[place]  # type: ignore[no-any-return]


def _admit(llm: LlmState, decoder: Decoder, budget: int) -> int:
    """Admit waiting requests, in order, up to the first that does not fit; return what is left."""
    running = decoder.plan_running
    while budget > 0 and running < decoder.max_num_seqs:
        place = decoder.first_line + running
        slot = _candidate(llm, decoder, place)
        if slot < 0:
            break
        request = llm.requests[slot]
        whole = request.prompt + request.generated
        tokens = min(whole, budget)
        if decoder.long_prefill > 0:
            tokens = min(tokens, decoder.long_prefill)
        blocks = _blocks_of(decoder, tokens)
        needed = _blocks_of(decoder, whole) if decoder.reserve_full else blocks
        # With nothing running, blocks kept free would be kept for nobody.
        if running > 0:
            needed += decoder.watermark
        if needed > decoder.plan_free:
            break
        decoder.plan_free -= blocks
        llm.new[place] = tokens
        budget -= tokens
        running += 1
    decoder.plan_admitted = running - decoder.plan_running
    return budget


def _admit_whole(llm: LlmState, decoder: Decoder) -> None:
    """Admit waiting requests whose whole sequences fit together, as a batch that nothing joins later."""
    reserved = 0
    while decoder.plan_admitted < decoder.max_num_seqs:
        slot = _candidate(llm, decoder, decoder.first_line + decoder.plan_admitted)
        if slot < 0:
            return
        request = llm.requests[slot]
        reserved += _blocks_of(decoder, request.prompt + request.output - 1)
        if reserved > decoder.blocks - (decoder.watermark if decoder.plan_admitted > 0 else 0):
            return
        decoder.plan_admitted += 1


def _remove_finished(llm: LlmState, decoder: Decoder, now: int) -> None:
    """Take requests that are done by now out of the line and free their blocks."""
    first, kept, running = decoder.first_line, 0, 0
    for position in range(decoder.line):
        slot = llm.line[first + position]
        request = llm.requests[slot]
        if is_finished(request) and request.done <= now:
            _count_blocks(decoder, request.done)
            decoder.free += request.held
            request.held = 0
            continue
        llm.line[first + kept] = slot
        kept += 1
        if position < decoder.running:
            running += 1
    decoder.line, decoder.running = kept, running


def _count_blocks(decoder: Decoder, now: int) -> None:
    """Sum up used blocks over time, up to a cycle."""
    if now > decoder.counted_until:
        decoder.block_rest += (decoder.blocks - decoder.free) * (now - decoder.counted_until)
        decoder.block_cycles += decoder.block_rest // _BLOCK_CYCLES
        decoder.block_rest %= _BLOCK_CYCLES
        decoder.counted_until = now


def freeze(llm: LlmState, decoder: Decoder, now: int) -> None:
    """Carry the plan out: preempt, admit, allocate; who proves finished takes no part."""
    _count_blocks(decoder, now)
    first = decoder.first_line
    for place in range(first + decoder.plan_running, first + decoder.running):
        request = llm.requests[llm.line[place]]
        decoder.free += request.held
        request.held = 0
        if not is_finished(request):
            decoder.recomputed += request.computed
            request.computed = 0
            request.preemptions += 1
            decoder.preemptions += 1
    decoder.running = decoder.plan_running + decoder.plan_admitted
    if decoder.running > decoder.line:
        decoder.fresh += decoder.running - decoder.line
        decoder.line = decoder.running
    for place in range(first, first + decoder.running):
        request = llm.requests[llm.line[place]]
        if request.admitted == 0:
            request.admitted = 1
            decoder.tokens_in += request.prompt
        tokens = llm.new[place]
        if tokens == 0:
            continue
        blocks = _blocks_of(decoder, request.computed + tokens) - request.held
        request.held += blocks
        decoder.free -= blocks
        if is_finished(request):
            llm.new[place] = 0
        else:
            request.computed += tokens
            decoder.tokens_computed += tokens
    decoder.most_used = max(decoder.most_used, decoder.blocks - decoder.free)
    decoder.iterations += 1
    decoder.data_bytes += decoder.plan_data_bytes
    for window in range(decoder.windows):
        at = decoder.first_sum + SUMS * (KINDS * window + kind_of(decoder))
        for place in range(FEATURES):
            llm.sums[at + place] += llm.features[decoder.first_feature + SEEN * window + place]
        llm.sums[at + FEATURES] += decoder.sequences


def emit(llm: LlmState, decoder: Decoder, done: int, clock_hz: int) -> int:
    """The iteration's last row is scheduled and ends at ``done``: stamp tokens; return who is finished."""
    done_ns = cycles_to_ns_up(done, clock_hz)
    finished = 0
    for place in range(decoder.first_line, decoder.first_line + decoder.running):
        if llm.new[place] == 0:
            continue
        request = llm.requests[llm.line[place]]
        if request.computed < request.prompt + request.generated:
            continue
        if request.generated == 0:
            request.first_ns = done_ns
        else:
            _count_gap(llm, decoder, done_ns - request.last_ns)
        request.generated += 1
        request.last_ns = done_ns
        decoder.tokens_out += 1
        if is_finished(request):
            request.done = done
            finished += 1
    decoder.completed += finished
    decoder.flight_done = done
    return finished


def _count_gap(llm: LlmState, decoder: Decoder, gap_ns: int) -> None:
    """Count a time between two tokens in the bucket of its leading bits."""
    decoder.itl_sum_ns += gap_ns
    decoder.itl_max_ns = max(decoder.itl_max_ns, gap_ns)
    shift, rest = 0, gap_ns >> (ITL_BITS + 1)
    while rest > 0:
        rest >>= 1
        shift += 1
    llm.itl_counts[decoder.first_bucket + (shift << ITL_BITS) + (gap_ns >> shift)] += 1
