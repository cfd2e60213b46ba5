"""Policies: who goes next. One file each; see :mod:`layerweaver.scheduler.policies.contract`."""

from layerweaver.scheduler.policies.contract import Policy, PolicySpec
from layerweaver.scheduler.policies.registry import load_policy, load_spec, policy_names, policy_rows

__all__ = ["Policy", "PolicySpec", "load_policy", "load_spec", "policy_names", "policy_rows"]
