"""The metrics of language models, each once; see :mod:`~layerweaver.backend_sim.results.metrics`."""

from __future__ import annotations

from layerweaver.backend_sim.results.metric import Form, Metric, Shown

__all__ = ["TOKEN_METRICS"]

_T, _P, _F, _S = Shown.TERMINAL, Shown.PAGE, Shown.FRAME, Shown.SPREAD

TOKEN_METRICS = (
    Metric(
        "llm.tokens_out_per_s",
        "tokens/s",
        Form.NUMBER,
        _T | _P | _F | _S,
        "Tokens emitted by the completion of the last query; offline by the longest latency.",
    ),
    Metric(
        "llm.ttft_ms.mean", "TTFT mean ms", Form.NUMBER, _F | _S, "Mean time from schedule to first token."
    ),
    Metric(
        "llm.ttft_ms.p50", "TTFT p50 ms", Form.NUMBER, _T | _P | _F | _S, "Half of the requests were as fast."
    ),
    Metric(
        "llm.ttft_ms.p99", "TTFT p99 ms", Form.NUMBER, _T | _P | _F | _S, "99% of the requests were as fast."
    ),
    Metric(
        "llm.tpot_ms.mean",
        "TPOT mean ms",
        Form.NUMBER,
        _F | _S,
        "Mean over requests of the time per token after the first; requests of one token have none.",
    ),
    Metric(
        "llm.tpot_ms.p50",
        "TPOT p50 ms",
        Form.NUMBER,
        _T | _P | _F | _S,
        "Half of them were as fast.",
    ),
    Metric(
        "llm.tpot_ms.p99",
        "TPOT p99 ms",
        Form.NUMBER,
        _T | _P | _F | _S,
        "99% of them were as fast.",
    ),
    Metric("llm.itl_ms.p99", "ITL p99 ms", Form.NUMBER, _P | _F | _S, "99% of the gaps between tokens."),
    Metric("llm.ttft_violation_rate", "TTFT late", Form.SHARE, _P | _F | _S, "Share of late first tokens."),
    Metric(
        "llm.tpot_violation_rate",
        "TPOT late",
        Form.SHARE,
        _P | _F | _S,
        "Share of requests whose further tokens were late on the mean.",
    ),
    Metric(
        "llm.goodput_qps",
        "good q/s",
        Form.NUMBER,
        _T | _P | _F | _S,
        "Those within both limits per second.",
    ),
    Metric(
        "llm.kv_occupancy.mean",
        "KV used",
        Form.SHARE,
        _T | _P | _F | _S,
        "Share of the cache's blocks that requests held, over the whole run.",
    ),
    Metric("llm.kv_occupancy.max", "KV most", Form.SHARE, _P | _F, "The greatest such share."),
    Metric("llm.kv_blocks", "KV blocks", Form.COUNT, _F, "Blocks of the cache."),
    Metric("llm.preemptions", "preempted", Form.COUNT, _T | _P | _F | _S, "Times a request lost its blocks."),
    Metric("llm.recomputed_tokens", "recomputed", Form.COUNT, _F, "Tokens therefore computed again."),
    Metric("llm.iterations", "iterations", Form.COUNT, _P | _F, "Iterations."),
    Metric("llm.tokens_per_iteration", "tokens each", Form.NUMBER, _P | _F, "Mean tokens that one computed."),
    Metric("llm.tokens_in", "tokens in", Form.COUNT, _F, "Tokens of admitted prompts, each once."),
    Metric("llm.tokens_out", "tokens out", Form.COUNT, _F, "Tokens emitted."),
)
"""Metrics of a tenant that is a language model; others lack them."""
