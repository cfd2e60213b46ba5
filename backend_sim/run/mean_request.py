"""What a language model's request of mean lengths costs: the stand-in for one, and the least it can cost."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from layerweaver.backend_sim.llm.cold import iteration_sums
from layerweaver.backend_sim.llm.decoder import VLLM
from layerweaver.backend_sim.llm.load import DecoderLoad, DecoderRules
from layerweaver.backend_sim.traffic.lengths import Pairs
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.spills import LatencyColumns
from layerweaver.costmodel.table import CostTable
from layerweaver.scheduler.iterations.costed import CostedRows
from layerweaver.scheduler.iterations.timings import Timings
from layerweaver.scheduler.offline import ModelProfile, build_offline

__all__ = ["least_work", "mean_load", "sizes_of", "stand_in"]


def mean_load(rules: DecoderRules, costs: Timings | CostedRows, lengths: Pairs) -> DecoderLoad:
    """A language model with a single request, of mean lengths."""
    means = (
        max(1, round(float(part.mean()))) if len(part) else 1 for part in (lengths.prompt, lengths.output)
    )
    return DecoderLoad(rules, costs, np.zeros(1, np.int64), *(np.array([mean]) for mean in means))


class Sizes(NamedTuple):
    """Sizes of a mean request and of the iterations that serve it.

    Attributes:
        prompt: Its tokens.
        output: Its tokens.
        context: Tokens cached when half of the output is there.
        chunk: Tokens of the prompt in one iteration at most.
        beside: Such chunks in one iteration at most.
        together: Such requests that decode in one iteration at most, as the cache holds.
    """

    prompt: int
    output: int
    context: int
    chunk: int
    beside: int
    together: int


def sizes_of(mean: DecoderLoad) -> Sizes:
    """The sizes of the single request of a language model."""
    rules, prompt, output = mean.rules, int(mean.prompt[0]), int(mean.output[0])
    context = prompt + output // 2
    held = rules.blocks // -(-context // rules.block)
    chunk = min(prompt, rules.budget, rules.long_prefill or prompt)
    beside = max(1, min(rules.max_num_seqs, rules.budget // chunk))
    together = max(1, min(rules.max_num_seqs, rules.budget, held))
    return Sizes(prompt, output, context, chunk, beside, together)


def stand_in(name: str, machine: MachineSpec, mean: DecoderLoad) -> ModelProfile:
    """The work of a mean request where so many decode together as the cache holds, row by row."""
    prompt, output, context, chunk, beside, together = sizes_of(mean)
    filling, decoding = iteration_sums(
        mean, machine, [(chunk, (prompt - chunk) // 2, 1, beside), (1, context, 1, together)]
    )
    share = prompt / (chunk * beside)
    compute, dram, data = (
        np.rint(filling[part] * share + decoding[part] * ((output - 1) / together)).astype(np.int64)
        for part in (0, 1, 5)
    )
    count = len(compute)
    names = ("iteration",) if isinstance(mean.costs, Timings) else mean.costs.layer_names
    # What is alive while decoding: a prompt takes more, for a moment, and spills.
    table = CostTable(
        name,
        1,
        machine,
        np.maximum(compute, int(count == 1)),
        dram,
        np.minimum(np.minimum(decoding[3], dram), machine.weight_buffer_bytes),
        decoding[2],
        np.arange(count, dtype=np.int64),
        names,
        latency=LatencyColumns.of_any_budget(dram - data) if (dram > data).any() else None,
    )
    return ModelProfile(name, table, build_offline(table))


def least_work(usual: ModelProfile, mean: DecoderLoad) -> ModelProfile:
    """What a mean request costs at least under any schedule, row by row, for bounds on rates (*ours*).

    A request of P prompt and O output tokens, its prompt in c chunks, is a member of ``c + O - 1`` iterations
    and brings ``P + O - 1`` tokens. With at most B tokens and m members in an iteration (m also of what the
    cache holds), its share is at least ``n = max((P + O - 1) / B, (c + O - 1) / m)`` iterations. What every
    iteration moves whoever is in it is paid n times, the rest once for each of its tokens and chunks. A token
    computes no less than in an iteration of ``(P + O - 1) / n`` tokens of prompts, the most that all
    iterations can have on average. Where prompts are served apart from tokens, ``n = P / B + (O - 1) / m``.

    Args:
        usual: The stand-in for such a request.
        mean: The language model with such a request.
    """
    rules, (prompt, output, context, chunk, _, together) = mean.rules, sizes_of(mean)
    chunks, tokens = -(-prompt // chunk), prompt + output - 1
    apart = rules.scheduling != VLLM
    iterations = max(tokens / rules.budget, (chunks + output - 1) / together)
    full = rules.budget if apart else max(1, int(tokens / iterations))
    if apart:
        iterations = prompt / rules.budget + (output - 1) / together
    beside = min(rules.max_num_seqs, -(-full // chunk))
    new, count = max(1, min(chunk, full // beside)), max(2, together)
    asked = [(1, context, 1, 1), (1, context, 1, count), (new, (prompt - new) // 2, 1, beside)]
    one, many, filling = iteration_sums(mean, usual.table.machine, asked)
    shared = np.maximum(0, one[1] - (many[1] - one[1]) / (count - 1))
    dram = shared * iterations + np.maximum(0, one[1] - shared) * (output - 1)
    dram += np.maximum(0, filling[1] - shared) / (beside * new) * prompt
    each = filling[0] / (beside * new)
    alone = many[0] / count
    compute = each * prompt + (alone if apart else np.minimum(each, alone)) * (output - 1)
    table = replace(
        usual.table,
        compute_cycles=np.floor(compute).astype(np.int64),
        dram_bytes=np.floor(dram).astype(np.int64),
        weight_bytes=np.zeros(len(dram), np.int64),
        spills=None,
        latency=None,
    )
    least = ModelProfile(usual.entry, table, build_offline(table))
    return min(least, usual, key=_busiest)


def _busiest(profile: ModelProfile) -> int:
    return max(int(profile.table.compute_cycles.sum()), int(profile.table.memory_cycles.sum()))
