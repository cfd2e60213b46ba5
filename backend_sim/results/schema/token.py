"""A language model in a result, with its metrics: each key's type, heading, form and meaning."""

from __future__ import annotations

from typing import Annotated

from pydantic import with_config
from typing_extensions import TypedDict

from layerweaver.backend_sim.results.schema.fields import LENIENT, Count, Share
from layerweaver.backend_sim.results.schema.metric import Form, Said, Shown
from layerweaver.ir.text import figure

__all__ = ["CacheShare", "Language", "Latency", "TokenDeadline", "limits_text"]

_T, _P, _F, _S = Shown.TERMINAL, Shown.PAGE, Shown.FRAME, Shown.SPREAD


@with_config(LENIENT)
class Latency(TypedDict):
    """Latencies of one tenant, or times of its tokens, in ms; None where nothing completed."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    max: float | None


@with_config(LENIENT)
class TokenDeadline(TypedDict):
    """Limits of a language model: to the first token, per further token, between two; None where none is."""

    ttft_ms: Annotated[
        float | None, Said("TTFT due ms", Form.NUMBER, _P | _F, "Time allowed to the first token.")
    ]
    tpot_ms: Annotated[
        float | None, Said("TPOT due ms", Form.NUMBER, _P | _F, "Mean time allowed per further token.")
    ]
    itl_ms: Annotated[
        float | None, Said("ITL due ms", Form.NUMBER, Shown.NOWHERE, "Time allowed between two tokens.")
    ]
    mode: str | None


@with_config(LENIENT)
class CacheShare(TypedDict):
    """Share of a language model's cache that was held, over time."""

    mean: Share
    max: Share


@with_config(LENIENT)
class Language(TypedDict):
    """A language model in a run: its tokens, their times and its cache."""

    tokens_out_per_s: Annotated[
        float,
        Said(
            "tokens/s",
            Form.NUMBER,
            _T | _P | _F | _S,
            "All tokens by the time until the query scheduled last is complete, as MLPerf counts: others may "
            "take longer, which `q/s` counts; offline by the longest latency.",
        ),
    ]
    ttft_ms: Annotated[
        Latency,
        Said("TTFT mean ms", Form.NUMBER, _F | _S, "Mean time from schedule to first token.", part="mean"),
        Said("TTFT p50 ms", Form.NUMBER, _T | _P | _F | _S, "Half of the requests were as fast.", part="p50"),
        Said("TTFT p99 ms", Form.NUMBER, _T | _P | _F | _S, "99% of the requests were as fast.", part="p99"),
    ]
    tpot_ms: Annotated[
        Latency,
        Said(
            "TPOT mean ms",
            Form.NUMBER,
            _F | _S,
            "Mean over requests of the time per token after the first; requests of one token have none.",
            part="mean",
        ),
        Said("TPOT p50 ms", Form.NUMBER, _T | _P | _F | _S, "Half of them were as fast.", part="p50"),
        Said("TPOT p99 ms", Form.NUMBER, _T | _P | _F | _S, "99% of them were as fast.", part="p99"),
    ]
    itl_ms: Annotated[
        Latency, Said("ITL p99 ms", Form.NUMBER, _P | _F | _S, "99% of the gaps between tokens.", part="p99")
    ]
    ttft_violation_rate: Annotated[
        Share, Said("TTFT late", Form.SHARE, _P | _F | _S, "Share of late first tokens.")
    ]
    tpot_violation_rate: Annotated[
        Share,
        Said(
            "TPOT late",
            Form.SHARE,
            _P | _F | _S,
            "Share of requests whose further tokens were late on the mean.",
        ),
    ]
    goodput_qps: Annotated[
        float, Said("good q/s", Form.NUMBER, _T | _P | _F | _S, "Those within both limits per second.")
    ]
    kv_occupancy: Annotated[
        CacheShare,
        Said(
            "KV used",
            Form.SHARE,
            _T | _P | _F | _S,
            "Share of the cache's blocks that requests held, over the whole run.",
            part="mean",
        ),
        Said("KV most", Form.SHARE, _P | _F, "The greatest such share.", part="max"),
    ]
    kv_blocks: Annotated[Count, Said("KV blocks", Form.COUNT, _F, "Blocks of the cache.")]
    preemptions: Annotated[
        Count,
        Said("preempted", Form.COUNT, _T | _P | _F | _S, "Times a request lost its blocks; warm-up too."),
    ]
    recomputed_tokens: Annotated[
        Count, Said("recomputed", Form.COUNT, _F, "Tokens therefore computed again; warm-up too.")
    ]
    iterations: Annotated[Count, Said("iterations", Form.COUNT, _P | _F, "Iterations; warm-up too.")]
    tokens_per_iteration: Annotated[
        float, Said("tokens each", Form.NUMBER, _P | _F, "Mean tokens that one of them computed.")
    ]
    tokens_in: Annotated[
        Count, Said("tokens in", Form.COUNT, _F, "Tokens of admitted prompts, each once; warm-up too.")
    ]
    tokens_out: Annotated[Count, Said("tokens out", Form.COUNT, _F, "Tokens emitted by measured requests.")]
    prefix_hit_rate: Share
    padding_share: Share


def limits_text(limits: TokenDeadline) -> list[str]:
    """The limits of a language model in a few words each; none of those that it has not."""
    named = (("TTFT", limits["ttft_ms"]), ("TPOT", limits["tpot_ms"]), ("ITL", limits["itl_ms"]))
    return [f"{name} {figure(limit_ms, 4)}" for name, limit_ms in named if limit_ms is not None]
