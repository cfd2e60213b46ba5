"""Layerweaver (LW, HPCA 2021): weave layers so that neither engine idles."""

from __future__ import annotations

from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec
from layerweaver.scheduler.rules.least_idle import BY_DISTANCE, FAILSAFE, WEAVING_MODES, weave

__all__ = ["POLICY", "choose"]


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The least total idle, see :func:`layerweaver.scheduler.rules.least_idle.weave`."""
    return weave(view, BY_DISTANCE, False)


POLICY = PolicySpec(
    "layerweaver",
    choose,
    "least idle time on both engines, blind to deadlines",
    source="Oh et al., Layerweaver, HPCA 2021, doi 10.1109/HPCA51647.2021.00056",
    modes=WEAVING_MODES,
    lone_mode=FAILSAFE,
    commit="early",
)
