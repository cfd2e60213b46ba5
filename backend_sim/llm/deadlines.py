"""By when the iteration being prepared has to be done; a plain function that numba compiles."""

from __future__ import annotations

from layerweaver.backend_sim.llm.batching import is_finished
from layerweaver.backend_sim.llm.decoder import Decoder
from layerweaver.backend_sim.llm.state import LlmState
from layerweaver.ir.clock import ns_to_cycles_down
from layerweaver.scheduler.machine.view import NEVER

__all__ = ["deadline_of"]


def deadline_of(llm: LlmState, decoder: Decoder, standalone_cycles: int, clock_hz: int) -> int:
    """Cycle by which the planned iteration should be done: the least deadline of its members.

    A first token is due ``ttft`` after the request, and a prompt that needs r more iterations after this one
    as long before that as r of them take. Further tokens are due ``tpot`` each after the first, or ``itl``
    after the one before where every gap counts.
    """
    least = NEVER
    first = decoder.first_line
    for place in range(first, first + decoder.plan_running + decoder.plan_admitted):
        new = llm.new[place]
        request = llm.requests[llm.line[place]]
        if new == 0 or is_finished(request):
            continue
        due_ns = -1
        if request.generated == 0:
            if decoder.ttft_ns >= 0:
                due_ns = request.scheduled_ns + decoder.ttft_ns
        elif decoder.strict != 0:
            if decoder.itl_ns >= 0:
                due_ns = request.last_ns + decoder.itl_ns
        elif decoder.tpot_ns >= 0:
            due_ns = request.first_ns + request.generated * decoder.tpot_ns
        if due_ns < 0:
            continue
        left = request.prompt + request.generated - request.computed - new
        chunk = decoder.budget
        if decoder.long_prefill > 0:
            chunk = min(chunk, decoder.long_prefill)
        more = (left + chunk - 1) // chunk
        least = min(least, ns_to_cycles_down(due_ns, clock_hz) - more * standalone_cycles)
    return least
