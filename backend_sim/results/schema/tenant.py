"""A tenant in a result, with its metrics: each key's type, heading, form and meaning.

The order is that of all tables.
"""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from layerweaver.backend_sim.results.schema.details import Counted
from layerweaver.backend_sim.results.schema.fields import LENIENT, Count, Share
from layerweaver.backend_sim.results.schema.metric import Form, Said, Shown, Value
from layerweaver.backend_sim.results.schema.token import Language, Latency, TokenDeadline
from layerweaver.ir.units import ENERGY_COUNTS

__all__ = ["Tenant"]

_T, _P, _F, _S = Shown.TERMINAL, Shown.PAGE, Shown.FRAME, Shown.SPREAD


@with_config(LENIENT)
class Tenant(TypedDict):
    """One tenant of a run. Keys that older results lack are not required for reading."""

    name: str
    qps: Annotated[
        float,
        Said(
            "q/s",
            Form.NUMBER,
            _T | _P | _F | _S,
            "Requests completed per second of the measured time (`system.measured_s`), which ends with the "
            "last completion of any tenant, not of this one; with `cooldown_s` those that completed in it, "
            "whenever they were scheduled.",
        ),
    ]
    latency_ms: Annotated[
        Latency,
        Said("mean ms", Form.NUMBER, _F | _S, "Mean time from schedule to completion.", part="mean"),
        Said(
            "p50 ms",
            Form.NUMBER,
            _T | _P | _F | _S,
            "Half of the completed requests were as fast.",
            part="p50",
        ),
        Said("p90 ms", Form.NUMBER, _F | _S, "90% of the completed requests were as fast.", part="p90"),
        Said(
            "p99 ms",
            Form.NUMBER,
            _T | _P | _F | _S,
            "99% of the completed requests were as fast.",
            part="p99",
        ),
        Said(
            "p99.9 ms",
            Form.NUMBER,
            _P | _F | _S,
            "99.9% of the completed requests were as fast.",
            part="p999",
        ),
        Said("max ms", Form.NUMBER, _P | _F | _S, "The slowest request.", part="max"),
    ]
    deadline_ms: NotRequired[
        Annotated[
            float | None,
            Said("due ms", Form.NUMBER, _T | _P | _F, "Latency allowed; on the deadline is in time."),
        ]
    ]
    violation_rate: Annotated[
        Share,
        Said(
            "late",
            Form.SHARE,
            _T | _P | _F | _S,
            "Share of the requests that arrived and were late or dropped; none where none arrived.",
        ),
    ]
    status: NotRequired[
        Annotated[
            str | None,
            Said(
                "status",
                Form.TEXT,
                _T | _P | _F,
                "`met`: the percentile keeps the deadline, for sure. `late`: it does not. "
                "`too_short`: it does, but there were too few queries or seconds to be sure. None "
                "without a deadline, but for offline and streams, of which only enough is asked, whatever "
                "limit they state. Of several seeds the worst.",
            ),
        ]
    ]
    verdict: NotRequired[
        Annotated[
            str | None,
            Said("LoadGen", Form.TEXT, _P | _F, "MLPerf's: `VALID` with status `met`, else `INVALID`."),
        ]
    ]
    arrived: Annotated[
        Count, Said("arrived", Form.COUNT, _P | _F, "Requests scheduled in the measured time.")
    ]
    completed: Annotated[Count, Said("completed", Form.COUNT, _P | _F, "Those of them that completed.")]
    dropped: Annotated[
        Count, Said("dropped", Form.COUNT, _P | _F, "Those of them that were dropped, for any reason.")
    ]
    timed_out: NotRequired[
        Annotated[
            Count,
            Said(
                "timed out",
                Form.COUNT,
                _P | _F,
                "Those of the dropped that waited longer than `queue.timeout_ms`.",
            ),
        ]
    ]
    reasons: NotRequired[
        Annotated[
            list[str], Said("reasons", Form.TEXT, _P, "Why the verdict is not VALID, and what is missing.")
        ]
    ]
    missing_queries: NotRequired[
        Annotated[
            int | None,
            Said("queries missing", Form.COUNT, Shown.NOWHERE, "More queries that status `met` needs."),
        ]
    ]
    missing_s: NotRequired[
        Annotated[
            float | None,
            Said("seconds missing", Form.NUMBER, Shown.NOWHERE, "More seconds of arrivals that it needs."),
        ]
    ]
    offered_qps: NotRequired[
        Annotated[
            float | None,
            Said(
                "offered q/s",
                Form.NUMBER,
                Shown.NOWHERE,
                "Requests scheduled per second of `offered_s`: what the source offers.",
            ),
        ]
    ]
    offered_s: NotRequired[
        Annotated[
            float | None,
            Said(
                "offered for s",
                Form.NUMBER,
                Shown.NOWHERE,
                "Seconds of the measured time in which the tenant's source offers requests: to the end of "
                "`duration_s`, or to its last request where queries or a trace end it; that of a CSV trace "
                "is the first row at or past the duration, as LoadGen's last query is. Of a loop, which "
                "waits for the machine, to its last completion.",
            ),
        ]
    ]
    standalone_ms: NotRequired[
        Annotated[
            float,
            Said(
                "alone ms",
                Form.NUMBER,
                Shown.NOWHERE,
                "One request (smallest batch), cold and alone; of a pool on the NPU that is fastest with it.",
            ),
        ]
    ]
    percentile: NotRequired[
        Annotated[
            float,
            Said("percentile", Form.NUMBER, Shown.NOWHERE, "The percentile that the deadline applies to."),
        ]
    ]
    percentile_ms: NotRequired[
        Annotated[float | None, Said("at it ms", Form.NUMBER, _S, "Latency at that percentile.")]
    ]
    early_stopping_ms: NotRequired[
        Annotated[
            dict[str, float | None],
            Said(
                "sure ms",
                Form.NUMBER,
                Shown.NOWHERE,
                "MLPerf's result of single and multi streams, by percentile: the latency that it "
                "keeps with 99% confidence; none of too few queries.",
            ),
        ]
    ]
    service_ms: NotRequired[
        Annotated[
            float | None,
            Said(
                "service ms",
                Form.NUMBER,
                Shown.NOWHERE,
                "Mean per request of its batch's time on the NPU: from the start of its first fetch "
                "to completion.",
            ),
        ]
    ]
    queueing_ms: NotRequired[
        Annotated[
            float | None, Said("queueing ms", Form.NUMBER, Shown.NOWHERE, "Mean latency less mean service.")
        ]
    ]
    longest_wait_ms: NotRequired[
        Annotated[
            float,
            Said(
                "longest wait ms",
                Form.NUMBER,
                Shown.NOWHERE,
                "Longest time that the head of the queue waited for its next layer.",
            ),
        ]
    ]
    batches: NotRequired[
        Annotated[
            dict[str, int],
            Said(
                "batches",
                Form.COUNT,
                Shown.NOWHERE,
                "Batches by number of requests, of those with a measured request.",
            ),
        ]
    ]
    batch_size: NotRequired[
        Annotated[
            dict[str, float | None],
            Said(
                "batch size",
                Form.NUMBER,
                Shown.NOWHERE,
                "Mean, percentiles and maximum of the number of requests in these batches.",
            ),
        ]
    ]
    queue_depth: NotRequired[
        Annotated[
            dict[str, float | None],
            Said(
                "queue depth",
                Form.COUNT,
                Shown.NOWHERE,
                "Percentiles and maximum of how many of the tenant's requests were waiting (the batch "
                "that is served among them until its last row is scheduled; of a language model also those "
                "that run) when another came; exact below 64, then at most 3% too large.",
            ),
        ]
    ]
    energy_j: NotRequired[
        Annotated[
            float, Said("energy J", Form.NUMBER, Shown.NOWHERE, f"Energy of these batches: {ENERGY_COUNTS}.")
        ]
    ]
    energy_per_inference_mj: NotRequired[
        Annotated[float | None, Said("mJ each", Form.NUMBER, Shown.NOWHERE, "The same per request in them.")]
    ]
    percentiles_within: NotRequired[
        Annotated[
            float,
            Said(
                "percentiles within",
                Form.NUMBER,
                Shown.NOWHERE,
                "Largest relative error of the percentiles, beyond ten million requests; else they "
                "are exact.",
            ),
        ]
    ]
    skipped_rows: NotRequired[
        Annotated[
            int, Said("bad rows", Form.COUNT, Shown.NOWHERE, "Bad rows of the trace that were left out.")
        ]
    ]
    deadline: NotRequired[TokenDeadline]
    latency_histogram: NotRequired[Counted]
    llm: NotRequired[Language]
    own: NotRequired[dict[str, Value]]
