"""Confidence intervals over repetitions with other seeds, and paired differences between policies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import cast

from layerweaver.backend_sim.results.metrics import RUN_METRICS, TOKEN_METRICS, system_metrics, tenant_metrics
from layerweaver.backend_sim.results.naming import run_names
from layerweaver.backend_sim.results.repetitions import OF_THE_WORST
from layerweaver.backend_sim.results.schema.metric import Form, Metric, Shown, Value, shown
from layerweaver.backend_sim.results.schema.peak import Spread
from layerweaver.backend_sim.results.schema.run import Confidence, Difference, Means, Run

__all__ = ["confidence", "differences", "means", "spread", "t95"]

_T95 = (0.0, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def t95(freedom: int) -> float:
    """Half-width of a 95% interval in standard errors (Student's t), to a percent beyond ten degrees."""
    return _T95[freedom] if freedom < len(_T95) else 1.96 + 2.4 / freedom


def spread(values: Sequence[Value], least: float = 0.0, most: float = math.inf) -> Spread | None:
    """Mean, deviation and interval, which never leaves what is possible; None for fewer than two values."""
    known = [value for value in values if isinstance(value, (int, float))]
    if len(known) < 2:
        return None
    # Rounding must not make equal values differ from their mean.
    mean = known[0] if min(known) == max(known) else math.fsum(known) / len(known)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
    half = t95(len(known) - 1) * deviation / math.sqrt(len(known))
    return {
        "mean": mean,
        "sd": deviation,
        "low": max(least, mean - half),
        "high": min(most, mean + half),
        "values": [value if isinstance(value, (int, float)) else None for value in values],
    }


def _spreads(metrics: Sequence[Metric], documents: Sequence[Mapping[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for metric in shown(metrics, Shown.SPREAD):
        *groups, last = metric.key.split(".")
        inner = found
        for group in groups:
            inner = cast("dict[str, object]", inner.setdefault(group, {}))
        values = [metric.of(document) for document in documents]
        numbers = [value for value in values if isinstance(value, (int, float))]
        is_share = metric.form is Form.SHARE and max(numbers, default=0.0) <= 1.0
        inner[last] = spread(values, most=1.0 if is_share else math.inf)
    return found


def confidence(documents: Sequence[Run]) -> Confidence:
    """Mean, standard deviation and 95% interval (Student's t) over the repetitions, and their values.

    No metric is negative and no share is above 1, and neither is an interval.
    """
    tenants = []
    for index, first in enumerate(documents[0]["tenants"]):
        metrics = (*tenant_metrics(), *(TOKEN_METRICS if "llm" in first else ()))
        spreads = _spreads(metrics, [run["tenants"][index] for run in documents])
        tenants.append({"name": first["name"], **spreads})
    system = _spreads(system_metrics(), [run["system"] for run in documents])
    return {"level": 0.95, "tenants": tenants, "system": system}


def means(documents: Sequence[Run]) -> Means:
    """Means over the repetitions of the figures that have no interval and differ between them, by CSV column.

    What is stated, and what the worst repetition says, has none. A part that a mapping lacks, such as a mode
    that a repetition never took, counts as 0.
    """
    tenants = [[run["tenants"][index] for run in documents] for index in range(len(documents[0]["tenants"]))]
    metrics = [(*tenant_metrics(), *(TOKEN_METRICS if "llm" in own[0] else ())) for own in tenants]
    return {
        "run": _means([(RUN_METRICS, documents)])[0],
        "tenants": _means(list(zip(metrics, tenants, strict=True))),
        "system": _means([(system_metrics(), [run["system"] for run in documents])])[0],
    }


def _means(
    things: Sequence[tuple[Sequence[Metric], Sequence[Mapping[str, object]]]],
) -> list[dict[str, float]]:
    """Of several things the means of the figures that differ between the repetitions of any of them."""
    means_of, differing = list[dict[str, float]](), set[str]()
    for metrics, documents in things:
        rows = [_unspread(metrics, document) for document in documents]
        whole = {metric.key for metric in metrics}
        own: dict[str, float] = {}
        for name in dict.fromkeys(chain.from_iterable(rows)):
            values = [row.get(name, None if name in whole else 0.0) for row in rows]
            known = [value for value in values if value is not None]
            if len(set(values)) > 1:
                differing.add(name)
            own[name] = math.fsum(known) / len(known)
        means_of.append(own)
    return [{name: mean for name, mean in own.items() if name in differing} for own in means_of]


def _unspread(metrics: Sequence[Metric], document: Mapping[str, object]) -> dict[str, float]:
    """The figures of a document that no interval is given of."""
    cells = chain.from_iterable(
        metric.cells(document)
        for metric in metrics
        if Shown.SPREAD not in metric.shown and metric.key not in OF_THE_WORST
    )
    return {name: value for name, value in cells if isinstance(value, (int, float))}


def differences(runs: Sequence[Run]) -> list[Difference]:
    """Every further policy's metrics less the first one's, seed by seed: both saw the same traffic.

    The interval of the paired differences is much narrower than those of the two policies; where it leaves
    0 out, they differ.
    """
    found: list[Difference] = []
    names = run_names(runs)
    for name, run in zip(names[1:], runs[1:], strict=True):
        first, other = runs[0].get("confidence"), run.get("confidence")
        if first is None or other is None:
            continue
        pairs = zip(first["tenants"], other["tenants"], strict=True)
        tenants = [{"name": after["name"], **_less(after, before)} for before, after in pairs]
        system = _less(other["system"], first["system"])
        found.append(
            {
                "policy": name,
                "against": names[0],
                "level": first["level"],
                "tenants": tenants,
                "system": system,
            }
        )
    return found


def _less(after: Mapping[str, object], before: Mapping[str, object]) -> dict[str, object]:
    """The paired differences of metrics, nested as they are."""
    result: dict[str, object] = {}
    for key, value in after.items():
        other = before.get(key)
        if not isinstance(value, Mapping) or not isinstance(other, Mapping):
            continue
        if "values" not in value:
            result[key] = _less(value, other)
            continue
        pairs = zip(value["values"], other["values"], strict=False)
        apart = [a - b if a is not None and b is not None else None for a, b in pairs]
        result[key] = spread(apart, least=-math.inf)
    return result
