"""The picture of a request that waits behind committed rows, and of the same with late commitment.

Eight requests of ResNeXt-50 start together as one batch on the memory-centric NPU; a request of MobileNetV2
with a deadline of 2.2 ms comes 0.2 ms later. Under ``edf`` it goes first in both runs, as far as it can.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from layerweaver.backend_sim.report.palette import DANGER, HATCHES, MARK, SERIES
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.run.run import Run, run_once
from layerweaver.backend_sim.study.inputs import as_prepared
from layerweaver.scheduler.policies import load_policy

__all__ = ["draw_commitment"]

DEADLINE_MS = 2.2
ARRIVAL_MS = 0.2
SPAN_MS = 7.4


def _scenario(folder: Path) -> PreparedScenario:
    trace = folder / "arrivals.csv"
    trace.write_text(
        "timestamp,tenant\n" + "0,images\n" * 8 + f"{ARRIVAL_MS / 1e3},phone\n", encoding="utf-8"
    )
    arrival = {"kind": "trace", "file": str(trace)}
    return as_prepared(
        {
            "npu": "memory-centric",
            "tenants": [
                {
                    "name": "images",
                    "model": "zoo:resnext50",
                    "batch": {"max": 8},
                    "deadline_ms": 50,
                    "arrival": arrival,
                },
                {
                    "name": "phone",
                    "model": "zoo:mobilenetv2",
                    "deadline_ms": DEADLINE_MS,
                    "arrival": arrival,
                },
            ],
        }
    )


def _panel(axes: plt.Axes, run: Run, words: str) -> None:
    outcome, (machine, _) = run.outcomes[0], run.prepared.machines[0]
    log, to_ms = outcome.log, 1e3 / machine.clock_hz
    assert log is not None
    for tenant, name in enumerate(("ResNeXt-50, batch of 8", "MobileNetV2")):
        mine = log.tenant == tenant
        fetches, computes = (log.fetch_start, log.fetch_end), (log.compute_start, log.compute_end)
        for place, (start, end) in ((2, fetches), (1, computes)):
            spans = [(a * to_ms, (b - a) * to_ms) for a, b in zip(start[mine], end[mine], strict=True)]
            axes.broken_barh(
                spans,
                (place - 0.36, 0.72),
                facecolor=SERIES[tenant],
                edgecolor="white" if place == 1 or tenant == 1 else SERIES[0],
                linewidth=0.3,
                hatch=2 * HATCHES[tenant],
                label=name if place == 1 else None,
            )
    latency_ms = int(outcome.tenants[1].latency_ns[0]) / 1e6
    done, due = ARRIVAL_MS + latency_ms, ARRIVAL_MS + DEADLINE_MS
    axes.plot([ARRIVAL_MS, done], [0, 0], color=SERIES[1], linewidth=3, marker="|", markersize=12)
    axes.axvline(due, color=DANGER if done > due else MARK, linestyle="--", linewidth=1)
    axes.annotate("its deadline", (due, 2.47), (4, 0), "data", "offset points", fontsize=8, color=MARK)
    axes.set_title(f"{words}: MobileNetV2 takes {latency_ms:.2f} ms", loc="left", fontsize=10)
    axes.set_yticks([2, 1, 0], ["DRAM", "compute", "MobileNetV2's request"])
    axes.set_ylim(-0.5, 2.75)
    axes.spines[["top", "right", "left"]].set_visible(False)


def draw_commitment(target: Path) -> None:
    """Run both, draw them one above the other."""
    figure, panels = plt.subplots(2, 1, figsize=(9.6, 4.6), sharex=True, layout="constrained")
    words = {
        "early": "What is fetched is committed",
        "late": "Fetched no earlier than the compute engine needs it",
    }
    with tempfile.TemporaryDirectory() as folder:
        prepared = _scenario(Path(folder))
        for axes, (commit, title) in zip(panels, words.items(), strict=True):
            policy = load_policy({"name": "edf", "commit": commit})
            _panel(axes, run_once(prepared, policy, record_cycles=(0, 2**62)), title)
    panels[1].set_xlim(0, SPAN_MS)
    panels[1].set_xlabel("simulated time, ms")
    panels[1].legend(loc="lower right", fontsize=8, frameon=False)
    figure.savefig(target, dpi=120)
    plt.close(figure)
