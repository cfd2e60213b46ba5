"""Slackweave, *ours*: weave, and break ties of idle time by slack instead of decoupling distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from layerweaver.scheduler.machine.timelines import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec
from layerweaver.scheduler.rules.deadline_guard import GUARDED_MODES, guard
from layerweaver.scheduler.rules.least_idle import BY_SLACK, weave

__all__ = ["POLICY", "Options", "choose"]

_LAST = 1


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of slackweave.

    Attributes:
        margin_us: Slack that every head should keep.
        margin_remaining: Slack that every head should keep, in multiples of its remaining time, beside.
        evaluate: Whether the guard looks at the slack at the ``completion`` of the row about to be
            scheduled, or at the slack ``now``.
        hopeless: Requests that cannot meet their deadline any more: ``leave`` them to the tie-break by slack,
            put them ``last`` in it, or ``drop`` them before they start.
    """

    margin_us: float = 0.0
    margin_remaining: float = 0.0
    evaluate: Literal["completion", "now"] = "completion"
    hopeless: Literal["leave", "last", "drop"] = "leave"


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """The least idle, then the least slack, under the deadline guard."""
    chosen = weave(view, BY_SLACK, options.hopeless == _LAST)
    margin_cycles = options.margin_cycles
    share, at_completion = options.margin_remaining, options.evaluate == 0
    return guard(view, chosen, margin_cycles, share, at_completion)


POLICY = PolicySpec(
    "slackweave",
    choose,
    "least idle time, ties by least slack, under a deadline guard",
    source="ours",
    options=Options,
    modes=GUARDED_MODES,
    drops_hopeless=lambda options: options.hopeless == "drop",
)
