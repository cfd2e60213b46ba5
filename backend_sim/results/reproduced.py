"""What ``reproduce`` gives: documents of figures that were published or measured, computed again."""

from __future__ import annotations

from typing import NotRequired, TypedDict

__all__ = [
    "GainErrors",
    "Hpca21",
    "Onnxim",
    "OnnximNetwork",
    "PairGain",
    "Silicon",
    "SiliconNpu",
    "TpuProducts",
    "TpuTokens",
]


class PairGain(TypedDict):
    """One pair of the Layerweaver paper's Fig. 14 under one policy; gains in percent of STP 1."""

    scenario: str
    costs: str
    policy: str
    pair: str
    stp_gain_pct: float
    paper_pct: float | None
    bound_pct: float
    compute_utilization: float
    dram_utilization: float
    antt: float


class GainErrors(TypedDict):
    """How far the pairs of one scenario are off on average, in points."""

    scenario: str
    costs: str
    policy: str
    mean_abs_error_pct: float
    mean_abs_error_core_pct: float


class Hpca21(TypedDict):
    """What ``reproduce hpca21`` gives."""

    rows: list[PairGain]
    groups: list[GainErrors]


class OnnximNetwork(TypedDict):
    """Cycles of one network; the error is a signed fraction."""

    name: str
    cycles: int
    onnxim_cycles: int
    error: float


class Onnxim(TypedDict):
    """What ``reproduce onnxim`` gives."""

    networks: list[OnnximNetwork]
    layer_mape: float


class SiliconNpu(TypedDict):
    """One NPU config against a file of measurements; errors are fractions."""

    npu: str
    count: int
    mape: float
    median_ape: float
    bias: float
    rank_correlation: float | None
    covered: float | None
    fitted: bool


class Silicon(SiliconNpu):
    """What ``reproduce silicon`` gives: the NPU that fits best, and all of them."""

    npus: list[SiliconNpu]


class TpuProducts(TypedDict):
    """What ``reproduce tpu-matmul`` gives: ``mape`` of the shipped config, or of a fit the others."""

    count: int
    mape: NotRequired[float]
    mape_fit: NotRequired[float]
    mape_held_out: NotRequired[float]
    parameters: NotRequired[dict[str, float | None]]


class TpuTokens(TypedDict):
    """What ``reproduce tpu-v6e`` gives; of a fit all keys. Parameters are by form."""

    count: int
    mape: float
    mape_fit: NotRequired[float]
    mape_held_out: NotRequired[float]
    parameters: NotRequired[dict[str, list[float]]]
