"""The result document of one run: per tenant, per NPU of a pool, and for the whole system."""

from __future__ import annotations

from typing import Any

from layerweaver.backend_sim.run import Run
from layerweaver.backend_sim.system_metrics import npu_documents, system_document
from layerweaver.backend_sim.tenant_metrics import tenant_result

__all__ = ["run_document"]


def run_document(run: Run) -> dict[str, Any]:
    """The document of ``layerweaver simulate``, without the key ``run``.

    Rates are per second of the measured window: from the end of the warm-up to the last completion.
    """
    span_s = run.span_ns / 1e9
    window_s = max(0.0, span_s - run.prepared.scenario.spec.warmup_s)
    tenants = [
        tenant_result(run, index, window_s) for index in range(len(run.prepared.scenario.spec.tenants))
    ]
    document: dict[str, Any] = {
        "policy": run.policy,
        "npu": run.prepared.npu_name,
        "simulated_s": span_s,
        "layers_executed": sum(outcome.layers_executed for outcome in run.outcomes),
        "tenants": [tenant.document for tenant in tenants],
        "system": system_document(run, tenants, window_s),
    }
    if len(run.prepared.machines) > 1:
        document["npus"] = npu_documents(run)
    if run.prepared.scenario.spec.groups:
        document["groups"] = run.prepared.groups
    if run.prepared.warnings:
        document["warnings"] = list(run.prepared.warnings)
    if run.interrupted:
        document["interrupted"] = True
    return document
