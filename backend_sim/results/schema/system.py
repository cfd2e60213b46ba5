"""The machine in a result, with its metrics: each key's type, heading, form and meaning.

The order is that of all tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from layerweaver.backend_sim.results.schema.fields import LENIENT, Count, Share
from layerweaver.backend_sim.results.schema.metric import Form, Said, Shown, Value

__all__ = ["PoolNpu", "System"]

_T, _P, _F, _S = Shown.TERMINAL, Shown.PAGE, Shown.FRAME, Shown.SPREAD


@with_config(LENIENT)
class System(TypedDict):
    """The machine during a run; shares between 0 and 1."""

    stp: NotRequired[
        Annotated[
            float | None,
            Said(
                "STP",
                Form.RATIO,
                _T | _P | _F | _S,
                "System throughput: sum over tenants of completed requests per second times the time "
                "of one alone, which of a model that only runs in larger batches is its share of a full one.",
            ),
        ]
    ]
    antt: NotRequired[
        Annotated[
            float | None,
            Said(
                "ANTT",
                Form.RATIO,
                _T | _P | _S,
                "Average normalized turnaround time: mean over tenants of mean latency by the time alone; "
                "below 1 where a language model's next iteration is fetched while one ends.",
            ),
        ]
    ]
    fairness: NotRequired[
        Annotated[
            float | None,
            Said(
                "fairness",
                Form.RATIO,
                _P | _S,
                "Least by greatest progress of a tenant: time alone by mean latency, by its share of "
                "priorities.",
            ),
        ]
    ]
    compute_utilization: NotRequired[
        Annotated[
            Share,
            Said(
                "compute",
                Form.SHARE,
                _T | _P | _S,
                "Share of the measured time in which the compute engine worked; of a pool the mean.",
            ),
        ]
    ]
    dram_utilization: NotRequired[
        Annotated[Share, Said("DRAM", Form.SHARE, _T | _P | _S, "The same of the DMA engine.")]
    ]
    idle: NotRequired[
        Annotated[
            Mapping[str, Share],
            Said(
                "idle",
                Form.SHARE,
                Shown.NOWHERE,
                "Shares of the time of both engines together. `no_work`: no request was there, or "
                "(DMA) all was fetched. `waiting_for_memory`: compute waits for a fetch. "
                "`buffer_full`: a fetch waits for room. `inherent`: the part of that which rows cause "
                "in any order. `held_by_policy`: a request was there and room for its fetch, but the "
                "policy, or the time it takes to decide, held it back. Beside half of both utilizations they "
                "add up to 1, but for the part of a cycle by which every fetch ends late.",
            ),
        ]
    ]
    offered_qps: NotRequired[
        Annotated[
            float | None,
            Said(
                "offered q/s",
                Form.NUMBER,
                _P | _S,
                "Requests scheduled, of all tenants, per second of `offered_s`; where all offer some for as "
                "long, the sum of what they offer.",
            ),
        ]
    ]
    offered_s: NotRequired[
        Annotated[
            float,
            Said(
                "offered for s",
                Form.NUMBER,
                Shown.NOWHERE,
                "Seconds of the measured time in which any tenant offers requests by its keys; the last one "
                "of LoadGen's schedules may come later.",
            ),
        ]
    ]
    measured_s: NotRequired[
        Annotated[
            float,
            Said(
                "measured s",
                Form.NUMBER,
                Shown.NOWHERE,
                "What rates are over: from the end of the warm-up to the last completion of any tenant, "
                "or to the cool-down.",
            ),
        ]
    ]
    offered_share: NotRequired[
        Annotated[
            Share, Said("of bound", Form.SHARE, _P, "`offered_qps` by `bound_qps`; above 1 queues grow.")
        ]
    ]
    bound_qps: NotRequired[
        Annotated[
            float | None,
            Said(
                "bound q/s",
                Form.NUMBER,
                _P | _S,
                "What no policy can exceed at the mix that arrived (of `peak`: as stated): one engine "
                "never idles, batches and iterations of language models are as full as can be.",
            ),
        ]
    ]
    bound_stp: NotRequired[
        Annotated[
            float,
            Said(
                "bound STP", Form.RATIO, Shown.NOWHERE, "The same for STP, where all tenants wait in loops."
            ),
        ]
    ]
    deadline_mode_share: NotRequired[
        Annotated[
            Share,
            Said(
                "deadline mode",
                Form.SHARE,
                _P,
                "Share of decisions taken to save deadlines; all of a policy that goes by nothing else.",
            ),
        ]
    ]
    decision_modes: NotRequired[
        Annotated[
            dict[str, float],
            Said("modes", Form.SHARE, Shown.NOWHERE, "Share of decisions by the policy's reason."),
        ]
    ]
    energy_j: NotRequired[
        Annotated[float, Said("energy J", Form.NUMBER, Shown.NOWHERE, "Sum of the tenants'.")]
    ]
    energy_counts: NotRequired[
        Annotated[str, Said("energy counts", Form.TEXT, Shown.NOWHERE, "What energy counts and what not.")]
    ]
    own: NotRequired[dict[str, Value]]


@with_config(LENIENT)
class PoolNpu(TypedDict):
    """One NPU of a pool: requests routed to it after the warm-up, and how busy it was."""

    name: str
    npu: str
    arrived: Count
    completed: Count
    dropped: Count
    timed_out: NotRequired[Count]
    share_of_requests: Share
    requests: dict[str, int]
    layers_executed: Count
    compute_utilization: Share
    dram_utilization: Share
    idle: Mapping[str, Share]
