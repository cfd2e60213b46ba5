"""The iteration loop of a lone language model, step by step over plain objects, on a chip of given times.

Written from the rules alone, without lines, slots or plans that can be repeated: requests move between two
lists, and every decision is carried out as it is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

__all__ = ["NaiveRequest", "NaiveRules", "serve"]


@dataclass(eq=False)
class NaiveRequest:
    """One request; cycles are None until they are known."""

    arrival: int
    prompt: int
    output: int
    emitted: int = 0
    computed: int = 0
    blocks: int = 0
    preemptions: int = 0
    stamps: list[int] = field(default_factory=list)

    @property
    def sequence(self) -> int:
        return self.prompt + self.emitted

    @property
    def ends(self) -> bool:
        return self.emitted == self.output


@dataclass(frozen=True)
class NaiveRules:
    """Settings, called as in a scenario."""

    blocks: int
    block: int
    max_num_seqs: int
    budget: int
    scheduling: str = "vllm-v1"
    long_prefill: int = 0
    watermark: int = 0
    reserve_full: bool = True
    sync: bool = True


Cost = Callable[[list[tuple[int, int, bool, bool]]], int]
"""Cycles of an iteration from (new tokens, computed before, decoding, emits) of every member."""


class _Server:
    def __init__(self, rules: NaiveRules, cost: Cost, requests: list[NaiveRequest]) -> None:
        self.rules, self.cost = rules, cost
        self.coming = sorted(requests, key=lambda request: request.arrival)
        self.waiting: list[NaiveRequest] = []
        self.running: list[NaiveRequest] = []
        self.iterations = 0

    def free(self) -> int:
        everyone = self.waiting + self.running
        return self.rules.blocks - sum(request.blocks for request in everyone)

    def needs(self, tokens: int) -> int:
        return ceil(tokens / self.rules.block)

    def capped(self, wanted: int, budget: int) -> int:
        if self.rules.long_prefill:
            wanted = min(wanted, self.rules.long_prefill)
        return min(wanted, budget)

    def step(self, now: int) -> list[tuple[NaiveRequest, int]]:
        """Decide and carry out one iteration; members with their tokens."""
        for line in (self.waiting, self.running):
            line[:] = [request for request in line if not (request.ends and request.stamps[-1] <= now)]
        while self.coming and self.coming[0].arrival <= now:
            self.waiting.append(self.coming.pop(0))
        if self.rules.scheduling == "vllm-v1":
            taken, preempted = self.serve(self.rules.budget, lambda _: True)
            return taken if preempted else taken + self.admit(self.left(taken))
        if self.rules.scheduling == "prefill-first":
            taken, preempted = self.serve(self.rules.budget, self.has_prompt)
            if not preempted:
                taken = taken + self.admit(self.left(taken))
        else:
            if not self.running:
                self.admit_whole()
            taken, _ = self.serve(self.rules.budget, self.has_prompt)
        if not taken:
            taken, _ = self.serve(len(self.running), lambda request: not self.has_prompt(request))
        return taken

    def left(self, taken: list[tuple[NaiveRequest, int]]) -> int:
        return self.rules.budget - sum(tokens for _, tokens in taken)

    def has_prompt(self, request: NaiveRequest) -> bool:
        return request.sequence - request.computed > 1 or request.computed < request.prompt

    def serve(
        self, budget: int, counts: Callable[[NaiveRequest], bool]
    ) -> tuple[list[tuple[NaiveRequest, int]], bool]:
        taken: list[tuple[NaiveRequest, int]] = []
        preempted = False
        for request in list(self.running):
            if budget == 0:
                break
            if request not in self.running or not counts(request):
                continue
            tokens = self.capped(request.sequence - request.computed, budget)
            while self.needs(request.computed + tokens) - request.blocks > self.free():
                victim = self.running.pop()
                victim.blocks = 0
                if not victim.ends:
                    victim.computed = 0
                    victim.preemptions += 1
                self.waiting.insert(0, victim)
                preempted = True
                if victim is request:
                    break
            if request not in self.running:
                break
            request.blocks = self.needs(request.computed + tokens)
            taken.append((request, tokens))
            budget -= tokens
        return taken, preempted

    def admit(self, budget: int) -> list[tuple[NaiveRequest, int]]:
        taken: list[tuple[NaiveRequest, int]] = []
        while self.waiting and budget and len(self.running) < self.rules.max_num_seqs:
            request = self.waiting[0]
            tokens = self.capped(request.sequence, budget)
            wanted = self.needs(request.sequence if self.rules.reserve_full else tokens)
            if wanted + (self.rules.watermark if self.running else 0) > self.free():
                break
            self.running.append(self.waiting.pop(0))
            request.blocks = self.needs(tokens)
            taken.append((request, tokens))
            budget -= tokens
        return taken

    def admit_whole(self) -> None:
        room = self.rules.blocks
        while self.waiting and len(self.running) < self.rules.max_num_seqs:
            request = self.waiting[0]
            room -= self.needs(request.prompt + request.output - 1)
            if room < (self.rules.watermark if self.running else 0):
                return
            self.running.append(self.waiting.pop(0))

    def everything(self) -> tuple[list[NaiveRequest], list[NaiveRequest], list[tuple[int, int, int]]]:
        requests = self.waiting + self.running
        facts = [(request.computed, request.blocks, request.preemptions) for request in requests]
        return list(self.waiting), list(self.running), facts

    def restore(
        self, before: tuple[list[NaiveRequest], list[NaiveRequest], list[tuple[int, int, int]]]
    ) -> None:
        arrived = [r for r in self.waiting + self.running if r not in before[0] + before[1]]
        for request in arrived:
            request.computed, request.blocks = 0, 0
        self.waiting, self.running = before[0] + sorted(arrived, key=lambda r: r.arrival), before[1]
        for request, facts in zip(before[0] + before[1], before[2], strict=True):
            request.computed, request.blocks, request.preemptions = facts

    def run(self) -> None:
        now, busy_until, begun = 0, 0, 0
        while self.coming or self.waiting or self.running:
            now = max(now, busy_until if self.rules.sync else begun)
            before = self.everything()
            taken = [(request, tokens) for request, tokens in self.step(now) if not request.ends]
            held = sum(request.blocks for request in self.waiting + self.running)
            assert 0 <= held <= self.rules.blocks
            if not taken:
                # Nobody takes part, so nothing is carried out: the next event decides anew.
                self.restore(before)
                later = [self.coming[0].arrival] if self.coming else []
                later += [busy_until] if busy_until > now else []
                if not later:
                    assert all(request.ends for request in self.waiting + self.running)
                    return
                now = min(later)
                continue
            facts = []
            for request, tokens in taken:
                decoding = tokens == 1 and request.computed >= request.prompt
                emits = request.computed + tokens == request.sequence
                facts.append((tokens, request.computed, decoding, emits))
            begun = max(now, busy_until)
            busy_until = begun + self.cost(facts)
            self.iterations += 1
            for (request, tokens), (_, _, _, emits) in zip(taken, facts, strict=True):
                request.computed += tokens
                if emits:
                    request.emitted += 1
                    request.stamps.append(busy_until)


def serve(rules: NaiveRules, cost: Cost, requests: list[NaiveRequest]) -> int:
    """Serve all requests; their stamps and preemptions are filled in. Returns the number of iterations."""
    server = _Server(rules, cost, requests)
    server.run()
    return server.iterations
