"""Layerweaver+ (LW+, IEICE 2022): weave while every head can wait, serve the urgent one when not.

A reconstruction, *ours*, from the abstract and the authors' published claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from layerweaver.scheduler.machine.timelines import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec
from layerweaver.scheduler.rules.deadline_guard import GUARDED_MODES, guard
from layerweaver.scheduler.rules.least_idle import BY_DISTANCE, weave

__all__ = ["POLICY", "Options", "choose"]

_LAST = 1


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of Layerweaver+.

    Attributes:
        margin_us: Slack that every head should keep.
        evaluate: Whether the guard looks at the slack at the ``completion`` of the row about to be
            scheduled, or at the slack ``now``.
        hopeless: Requests that cannot meet their deadline any more: ``leave`` them to the throughput rule,
            put them ``last`` among equals, or ``drop`` them before they start.
    """

    margin_us: float = 0.0
    evaluate: Literal["completion", "now"] = "completion"
    hopeless: Literal["leave", "last", "drop"] = "leave"


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """Layerweaver's choice, unless a head that could still make it would miss its deadline."""
    chosen = weave(view, BY_DISTANCE, options.hopeless == _LAST)
    margin_cycles = options.margin_cycles
    return guard(view, chosen, margin_cycles, 0.0, options.evaluate == 0)


POLICY = PolicySpec(
    "layerweaver+",
    choose,
    "least idle time while every deadline is safe, least slack when one is not",
    source="Oh et al., Layerweaver+, IEICE E105-D(2):427-431, 2022 (reconstruction)",
    options=Options,
    modes=GUARDED_MODES,
    drops_hopeless=lambda options: options.hopeless == "drop",
)
