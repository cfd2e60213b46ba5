"""Each metric once: its key, heading and form, where it is shown, and what exactly it is.

Terminal, page, data frame, CSV, confidence intervals and ``docs/metrics.md`` read :data:`RUN_METRICS`,
:func:`tenant_metrics`, :func:`system_metrics` and, of language models,
:mod:`~layerweaver.backend_sim.results.token_metrics`. To add a metric, add its key to the document's type in
:mod:`~layerweaver.backend_sim.results.schema` and its entry here, and fill it in
:mod:`~layerweaver.backend_sim.results.tenant` or :mod:`~layerweaver.backend_sim.results.system`.
"""

from __future__ import annotations

from functools import cache

from layerweaver.backend_sim.results.metric import Form, Metric, Shown
from layerweaver.backend_sim.results.token_metrics import TOKEN_METRICS

__all__ = [
    "ENERGY_COUNTS",
    "RUN_METRICS",
    "TOKEN_METRICS",
    "metrics_page",
    "system_metrics",
    "tenant_metrics",
]

ENERGY_COUNTS = (
    "MACs, vector operations, DRAM bytes and, once a layer, on-chip bytes, each times the config's constant; "
    "not counted: leakage, control, and what the array fetches twice"
)

_T, _P, _F, _S = Shown.TERMINAL, Shown.PAGE, Shown.FRAME, Shown.SPREAD
_HIDDEN = Shown.NOWHERE

RUN_METRICS = (
    Metric(
        "simulated_s",
        "simulated s",
        Form.NUMBER,
        _P,
        "From the first scheduled arrival to the last completion.",
    ),
    Metric(
        "layers_executed", "rows run", Form.COUNT, _HIDDEN, "Rows of cost tables executed, warm-up included."
    ),
)

_OF_TENANTS = (
    Metric(
        "qps", "q/s", Form.NUMBER, _T | _P | _F | _S, "Requests completed per second of the measured time."
    ),
    Metric("latency_ms.mean", "mean ms", Form.NUMBER, _F | _S, "Mean time from schedule to completion."),
    Metric("latency_ms.p50", "p50 ms", Form.NUMBER, _T | _P | _F | _S, "Half of the requests were as fast."),
    Metric("latency_ms.p90", "p90 ms", Form.NUMBER, _F | _S, "90% of the requests were as fast."),
    Metric("latency_ms.p99", "p99 ms", Form.NUMBER, _T | _P | _F | _S, "99% of the requests were as fast."),
    Metric("latency_ms.p999", "p99.9 ms", Form.NUMBER, _P | _F | _S, "99.9% of the requests were as fast."),
    Metric("latency_ms.max", "max ms", Form.NUMBER, _P | _F | _S, "The slowest request."),
    Metric(
        "deadline_ms", "due ms", Form.NUMBER, _T | _P | _F, "Latency allowed; on the deadline is in time."
    ),
    Metric(
        "violation_rate",
        "late",
        Form.SHARE,
        _T | _P | _F | _S,
        "Share of the requests that arrived and were late or dropped.",
    ),
    Metric(
        "status",
        "status",
        Form.TEXT,
        _T | _P | _F,
        "`met`: the percentile keeps the deadline, for sure. `late`: it does not. `too_short`: it does, but "
        "there were too few queries or seconds to be sure. None without a deadline.",
    ),
    Metric(
        "verdict",
        "LoadGen",
        Form.TEXT,
        _P | _F,
        "MLPerf's: `VALID` with status `met`, else `INVALID`.",
    ),
    Metric("arrived", "arrived", Form.COUNT, _P | _F, "Requests scheduled in the measured time."),
    Metric("completed", "completed", Form.COUNT, _P | _F, "Those of them that completed."),
    Metric("dropped", "dropped", Form.COUNT, _P | _F, "Those of them that were dropped, for any reason."),
    Metric(
        "timed_out",
        "timed out",
        Form.COUNT,
        _P | _F,
        "Those of the dropped that waited longer than `queue.timeout_ms`.",
    ),
    Metric("reasons", "reasons", Form.TEXT, _P, "Why the verdict is not VALID, and what is missing."),
    Metric(
        "missing_queries", "queries missing", Form.COUNT, _HIDDEN, "More queries that status `met` needs."
    ),
    Metric("missing_s", "seconds missing", Form.NUMBER, _HIDDEN, "More seconds of arrivals that it needs."),
    Metric(
        "offered_qps",
        "offered q/s",
        Form.NUMBER,
        _HIDDEN,
        "Requests scheduled per second of the time in which they were: what the source offers.",
    ),
    Metric(
        "standalone_ms", "alone ms", Form.NUMBER, _HIDDEN, "One request (smallest batch), cold and alone."
    ),
    Metric("percentile", "percentile", Form.NUMBER, _HIDDEN, "The percentile that the deadline applies to."),
    Metric("percentile_ms", "at it ms", Form.NUMBER, _HIDDEN, "Latency at that percentile."),
    Metric(
        "early_stopping_ms",
        "sure ms",
        Form.NUMBER,
        _HIDDEN,
        "MLPerf's result of single and multi streams, by percentile: the latency that it keeps with 99% "
        "confidence; none of too few queries.",
    ),
    Metric(
        "service_ms",
        "service ms",
        Form.NUMBER,
        _HIDDEN,
        "Mean per request of its batch's time on the NPU: from the start of its first fetch to completion.",
    ),
    Metric("queueing_ms", "queueing ms", Form.NUMBER, _HIDDEN, "Mean latency less mean service."),
    Metric(
        "longest_wait_ms",
        "longest wait ms",
        Form.NUMBER,
        _HIDDEN,
        "Longest time that the head of the queue waited for its next layer.",
    ),
    Metric(
        "batches",
        "batches",
        Form.COUNT,
        _HIDDEN,
        "Batches by number of requests, of those with a measured request.",
    ),
    Metric(
        "batch_size",
        "batch size",
        Form.NUMBER,
        _HIDDEN,
        "Mean, percentiles and maximum of the number of requests in these batches.",
    ),
    Metric(
        "queue_depth",
        "queue depth",
        Form.COUNT,
        _HIDDEN,
        "Percentiles and maximum of how many of the tenant's requests were waiting (the next batch among "
        "them; of a language model also those that run) when another came; exact below 64, then at most 3% "
        "too large.",
    ),
    Metric("energy_j", "energy J", Form.NUMBER, _HIDDEN, f"Energy of these batches: {ENERGY_COUNTS}."),
    Metric(
        "energy_per_inference_mj",
        "mJ each",
        Form.NUMBER,
        _HIDDEN,
        "The same per request in them.",
    ),
    Metric(
        "percentiles_within",
        "percentiles within",
        Form.NUMBER,
        _HIDDEN,
        "Largest relative error of the percentiles, beyond ten million requests; else they are exact.",
    ),
    Metric("skipped_rows", "bad rows", Form.COUNT, _HIDDEN, "Bad rows of the trace that were left out."),
)

_OF_THE_SYSTEM = (
    Metric(
        "stp",
        "STP",
        Form.RATIO,
        _T | _P | _F | _S,
        "System throughput: sum over tenants of completed requests per second times the time of one alone.",
    ),
    Metric(
        "antt",
        "ANTT",
        Form.RATIO,
        _T | _P | _S,
        "Average normalized turnaround time: mean over tenants of mean latency by the time alone.",
    ),
    Metric(
        "fairness",
        "fairness",
        Form.RATIO,
        _P | _S,
        "Least by greatest progress of a tenant: time alone by mean latency, by its share of priorities.",
    ),
    Metric(
        "compute_utilization",
        "compute",
        Form.SHARE,
        _T | _P | _S,
        "Share of the measured time in which the compute engine worked; of a pool the mean.",
    ),
    Metric("dram_utilization", "DRAM", Form.SHARE, _T | _P | _S, "The same of the DMA engine."),
    Metric(
        "idle",
        "idle",
        Form.SHARE,
        _HIDDEN,
        "Shares of the time of both engines together. `no_work`: no request was there, or (DMA) all was "
        "fetched. `waiting_for_memory`: compute waits for a fetch. `buffer_full`: a fetch waits for room. "
        "`inherent`: the part of that which rows cause in any order. `held_by_policy`: a request was there "
        "and room for its fetch, but the policy, or the time it takes to decide, held it back.",
    ),
    Metric("offered_qps", "offered q/s", Form.NUMBER, _P, "Sum of what the tenants' sources offer."),
    Metric("offered_share", "of bound", Form.SHARE, _P, "`offered_qps` by `bound_qps`; above 1 queues grow."),
    Metric(
        "bound_qps",
        "bound q/s",
        Form.NUMBER,
        _P,
        "What no policy can exceed at the mix that arrived (of `peak`: as stated): one engine never idles.",
    ),
    Metric(
        "bound_stp", "bound STP", Form.RATIO, _HIDDEN, "The same for STP, where all tenants wait in loops."
    ),
    Metric(
        "deadline_mode_share",
        "deadline mode",
        Form.SHARE,
        _P,
        "Share of decisions that a policy with two modes took to save deadlines.",
    ),
    Metric("decision_modes", "modes", Form.SHARE, _HIDDEN, "Share of decisions by the policy's reason."),
    Metric("energy_j", "energy J", Form.NUMBER, _HIDDEN, "Sum of the tenants'."),
    Metric("energy_counts", "energy counts", Form.TEXT, _HIDDEN, "What energy counts and what not."),
)


@cache
def tenant_metrics() -> tuple[Metric, ...]:
    """Metrics of a tenant, with those that packages add."""
    from layerweaver.backend_sim.results.own_metrics import Scope, own_metrics  # noqa: PLC0415 - loads packages

    return (*_OF_TENANTS, *own_metrics(Scope.TENANT))


@cache
def system_metrics() -> tuple[Metric, ...]:
    """Metrics of the system, likewise."""
    from layerweaver.backend_sim.results.own_metrics import Scope, own_metrics  # noqa: PLC0415 - loads packages

    return (*_OF_THE_SYSTEM, *own_metrics(Scope.SYSTEM))


def metrics_page() -> str:
    """``docs/metrics.md``."""
    lines = [
        "# What a result holds",
        "",
        "Rates are per second and refer to the *measured time*, from the end of `warmup_s` to the last "
        "completion, or to the beginning of `cooldown_s`; requests scheduled outside of it are left out of "
        "everything. Ratios are fractions, "
        "and a value that does not apply is `null`. Everything outside of the key `run` is the same for the "
        "same input. This page is written from `backend_sim/results/metrics.py`.",
    ]
    for title, metrics in (
        ("Of a run", RUN_METRICS),
        ("Of a tenant", _OF_TENANTS),
        ("Of a language model", TOKEN_METRICS),
        ("Of the system", _OF_THE_SYSTEM),
    ):
        lines += ["", f"## {title}", "", "| key | in tables | |", "|---|---|---|"]
        lines += [f"| `{metric.key}` | {metric.heading} | {metric.definition} |" for metric in metrics]
    return "\n".join([*lines, ""])
