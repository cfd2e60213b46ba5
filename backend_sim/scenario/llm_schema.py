"""The keys of a scenario file that only language models have."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from layerweaver.ir.documents import (
    Count,
    Number,
    PositiveCount,
    PositiveMilliseconds,
    whole,
)
from layerweaver.ir.sections import Section, refusal

__all__ = ["KvSpec", "LlmSpec", "TimingsRef", "TokenDeadline"]


class TimingsRef(Section):
    """A chip known only by its times."""

    timings: str


class KvSpec(Section):
    """The cache of keys and values, in blocks."""

    block: Annotated[int, whole(1, 1_000_000)] = 16
    blocks: PositiveCount | None = None
    watermark: Number = 0.0
    dtype_bytes: Number = 2
    reserve_full: bool = True
    prefix_cache: bool = False
    tile_mb: Number | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 0 <= self.watermark < 1:
            raise refusal(
                f"a watermark of {self.watermark:g} is not accepted; give 0 to below 1", "watermark"
            )
        if self.dtype_bytes not in (0.5, 1, 2, 4):
            raise refusal(f"{self.dtype_bytes:g} bytes are not accepted; give 0.5, 1, 2 or 4", "dtype_bytes")
        if self.tile_mb is not None and not 1e-3 <= self.tile_mb <= 1e6:
            raise refusal(f"tiles of {self.tile_mb:g} MB are not accepted; give 0.001 to 1e6", "tile_mb")
        if self.prefix_cache:
            raise refusal("a prefix cache is not built yet; give false", "prefix_cache")
        return self


class Buckets(Section):
    """Sizes that shapes are padded to."""

    tokens: list[PositiveCount] = Field(default_factory=list)
    context: list[PositiveCount] = Field(default_factory=list)


class TensorParallel(Section):
    """Several chips that share a model."""

    chips: PositiveCount = 1
    link_gb_s: Number = 100
    latency_us: Number = 2


class LlmSpec(Section):
    """How a language model's requests share iterations."""

    max_num_seqs: Annotated[int, whole(1, 100_000)] = 256
    max_batched_tokens: Annotated[int, whole(1, 1_000_000)] = 2048
    max_model_len: PositiveCount | None = None
    scheduling: Literal["vllm-v1", "prefill-first", "static"] = "vllm-v1"
    long_prefill_threshold: Count = 0
    kv: KvSpec = KvSpec()
    preemption: Literal["recompute"] = "recompute"
    boundary: Literal["async", "sync"] = "async"
    step_overhead_us: Number = 0.0
    buckets: Buckets = Buckets()
    tensor_parallel: TensorParallel = TensorParallel()

    @model_validator(mode="before")
    @classmethod
    def _built(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("preemption") == "swap":
            raise refusal("swapping the cache out is not built yet; give recompute", "preemption")
        return data

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 0 <= self.step_overhead_us <= 1e9:
            raise refusal(
                f"an overhead of {self.step_overhead_us:g} us is not accepted; give 0 to 1e9",
                "step_overhead_us",
            )
        if self.buckets.tokens or self.buckets.context:
            raise refusal("padding to buckets is not built yet; give empty lists", "buckets")
        if self.tensor_parallel.chips != 1:
            raise refusal("several chips for one model are not built yet; give chips: 1", "tensor_parallel")
        return self


class TokenDeadline(Section):
    """Limits of the time to the first token and of the time per further token."""

    ttft_ms: PositiveMilliseconds | None = None
    tpot_ms: PositiveMilliseconds | None = None
    itl_ms: PositiveMilliseconds | None = None
    mode: Literal["mean", "strict"] = "mean"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.mode == "strict" and self.itl_ms is None:
            raise refusal("mode strict counts from the token before; give itl_ms", "itl_ms")
        if self.itl_ms is not None and self.ttft_ms is None and self.tpot_ms is None:
            raise refusal(
                "only guides policies, and the verdict is of ttft_ms and tpot_ms; give one of them too",
                "itl_ms",
            )
        return self
