"""What a comparison says, in one sentence for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["verdict_sentence"]

_WEAVING = ("layerweaver+", "layerweaver", "slackweave")
_VISIBLE = 0.02


def _violations(run: Mapping[str, Any]) -> float | None:
    rates = [
        (tenant["violation_rate"], tenant["arrived"])
        for tenant in run["tenants"]
        if tenant["violation_rate"] is not None
    ]
    arrived = sum(count for _, count in rates)
    return sum(rate * count for rate, count in rates) / arrived if arrived else None


def _worst_tail(base: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, float, float] | None:
    """The tenant whose 99th percentile gained most: its name, before and after in ms."""
    pairs = [
        (one["name"], one["latency_ms"]["p99"], two["latency_ms"]["p99"])
        for one, two in zip(base["tenants"], other["tenants"], strict=True)
        if one["latency_ms"]["p99"] and two["latency_ms"]["p99"]
    ]
    return max(pairs, key=lambda pair: pair[1] / pair[2], default=None)


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.0f}%"


def _pick(runs: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    names = [run["policy"] for run in runs]
    woven = next((name for name in _WEAVING if name in names), names[-1])
    base = names.index("fcfs") if "fcfs" in names and woven != "fcfs" else 0
    return runs[base], runs[names.index(woven)]


def verdict_sentence(document: Mapping[str, Any]) -> str:
    """One sentence on what weaving bought in a ``compare`` document.

    Below saturation every policy completes what is offered, so the sentence speaks of violations and tails;
    above it, of the throughput too.
    """
    runs = document["runs"]
    if not runs:
        return "Nothing was simulated."
    base, woven = _pick(runs)
    offered = sum(tenant["qps"] for tenant in woven["tenants"])
    bound = woven["system"]["bound_qps"]
    load = f"At {offered:.0f} queries per second"
    if bound:
        load += f" ({offered / bound:.2f} of the bound)"
    if base is woven:
        return f"{load}, {woven['policy']} ran alone, so there is nothing to compare it with."
    gains = []
    before, after = _violations(base), _violations(woven)
    if before is not None and after is not None and before != after:
        verb = "cut" if after < before else "raised"
        gains.append(f"{verb} missed deadlines from {_percent(before)} to {_percent(after)} of all requests")
    tail = _worst_tail(base, woven)
    if tail is not None and tail[1] / tail[2] > 1 + _VISIBLE:
        gains.append(f"cut the 99th percentile of {tail[0]} from {tail[1]:.3g} to {tail[2]:.3g} ms")
    stp = woven["system"]["stp"] / base["system"]["stp"] - 1 if base["system"]["stp"] else 0.0
    if stp > _VISIBLE:
        gains.append(f"raised system throughput by {_percent(stp)}")
    if not gains:
        return f"{load}, {woven['policy']} and {base['policy']} do not differ visibly."
    return f"{load}, {woven['policy']} {' and '.join(gains)} against {base['policy']}."
