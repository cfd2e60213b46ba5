"""All metrics, as the types of results declare them.

Terminal, page, data frame, CSV, confidence intervals and ``docs/metrics.md`` read them here. To add one, add
its key to :mod:`~layerweaver.backend_sim.results.schema.tenant`, which says its type, heading, form, where it
is shown and what it is, and fill it in :mod:`~layerweaver.backend_sim.results.tenant`; of the machine these
are ``schema.system`` and ``system``, of language models ``schema.token`` and ``tokens``.
"""

from __future__ import annotations

from functools import cache

from layerweaver.backend_sim.results.schema.metric import Metric, metrics_of
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.results.schema.system import System
from layerweaver.backend_sim.results.schema.tenant import Tenant
from layerweaver.backend_sim.results.schema.token import Language, TokenDeadline

__all__ = ["RUN_METRICS", "TOKEN_METRICS", "metrics_page", "system_metrics", "tenant_metrics"]

RUN_METRICS = metrics_of(Run)

TOKEN_METRICS = (*metrics_of(TokenDeadline, "deadline."), *metrics_of(Language, "llm."))
"""Metrics of a tenant that is a language model; others lack them."""

_OF_TENANTS, _OF_THE_SYSTEM = metrics_of(Tenant), metrics_of(System)


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
        "everything but, with a cool-down, the rates of completion. Ratios are fractions, "
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
