"""The least work of a language model's request under any schedule, for bounds on rates (*ours*)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from layerweaver.backend_sim.llm.cold import iteration_sums
from layerweaver.backend_sim.llm.decoder import VLLM
from layerweaver.backend_sim.llm.load import DecoderLoad
from layerweaver.backend_sim.run.decoders import DecoderModel, mean_request
from layerweaver.scheduler.offline import ModelProfile, build_offline

__all__ = ["least_work"]


def least_work(model: DecoderModel) -> ModelProfile:
    """What a mean request costs at least, row by row.

    A request of P prompt and O output tokens, its prompt in c chunks, is a member of ``c + O - 1`` iterations
    and brings ``P + O - 1`` tokens. With at most B tokens and m members in an iteration (m also of what the
    cache holds), its share is at least ``n = max((P + O - 1) / B, (c + O - 1) / m)`` iterations. What every
    iteration moves whoever is in it is paid n times, the rest once for each of its tokens and chunks. A token
    computes no less than in an iteration of ``(P + O - 1) / n`` tokens of prompts, the most that all
    iterations can have on average. Where prompts are served apart from tokens, ``n = P / B + (O - 1) / m``.
    """
    rules = model.rules
    mean = DecoderLoad(rules, model.costs, *mean_request(model.first_requests))
    prompt, output = int(mean.prompt[0]), int(mean.output[0])
    blocks = -(-(prompt + output // 2) // rules.block)
    together = max(1, min(rules.max_num_seqs, rules.budget, rules.blocks // blocks))
    chunk = min(prompt, rules.budget, rules.long_prefill or prompt)
    chunks, tokens = -(-prompt // chunk), prompt + output - 1
    apart = rules.scheduling != VLLM
    iterations = max(tokens / rules.budget, (chunks + output - 1) / together)
    full = rules.budget if apart else max(1, int(tokens / iterations))
    if apart:
        iterations = prompt / rules.budget + (output - 1) / together
    beside = min(rules.max_num_seqs, -(-full // chunk))
    new, context, count = max(1, min(chunk, full // beside)), prompt + output // 2, max(2, together)
    asked = [(1, context, 1, 1), (1, context, 1, count), (new, (prompt - new) // 2, 1, beside)]
    one, many, filling = iteration_sums(mean, model.machine, asked)
    shared = np.maximum(0, one[1] - (many[1] - one[1]) / (count - 1))
    dram = shared * iterations + np.maximum(0, one[1] - shared) * (output - 1)
    dram += np.maximum(0, filling[1] - shared) / (beside * new) * prompt
    each = filling[0] / (beside * new)
    alone = many[0] / count
    compute = each * prompt + (alone if apart else np.minimum(each, alone)) * (output - 1)
    table = replace(
        model.stand_in.table,
        compute_cycles=np.floor(compute).astype(np.int64),
        dram_bytes=np.floor(dram).astype(np.int64),
        weight_bytes=np.zeros(len(dram), np.int64),
        spills=None,
    )
    least = ModelProfile(model.stand_in.entry, table, build_offline(table))
    return min(least, model.stand_in, key=_busiest)


def _busiest(profile: ModelProfile) -> int:
    return max(int(profile.table.compute_cycles.sum()), int(profile.table.memory_cycles.sum()))
