"""Layerweaver+ (LW+, IEICE 2022): weave while every head can wait, serve the urgent one when not.

A reconstruction, *ours*, from the abstract and the authors' published claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from layerweaver.scheduler.machine.view import View
from layerweaver.scheduler.policies.contract import Memory, PolicySpec
from layerweaver.scheduler.rules.deadline_guard import GUARDED_MODES, guard
from layerweaver.scheduler.rules.least_idle import BY_DISTANCE, BY_SLACK, FAILSAFE, weave

__all__ = ["POLICY", "Options", "choose"]


class Evaluate(IntEnum):
    """When the slack of a request counts."""

    COMPLETION = 0
    NOW = 1


class Hopeless(IntEnum):
    """What becomes of requests that cannot meet their deadline any more."""

    LEAVE = 0
    LAST = 1
    DROP = 2
    DEFER = 3


class Sees(IntEnum):
    """What the guard looks at."""

    QUEUES = 0
    HEADS = 1


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of Layerweaver+.

    Attributes:
        margin_us: Slack that every request should keep.
        evaluate: Whether the guard looks at the slack at the ``completion`` of the row about to be
            scheduled, or at the slack ``now``.
        hopeless: Requests that cannot meet their deadline any more: ``leave`` them to the throughput rule,
            put them ``last`` among equals, ``drop`` them before they start, or ``defer`` them: last among
            equals, and behind those of their tenant that can be in time even after what is committed.
        sees: Whether the guard looks at whole ``queues``, with ties by slack and, where all models are of one
            kind, order by deadline, and what is nearly done before long rows, and gives up a request that
            would cost another tenant all that come meanwhile; or at ``heads`` only, with Layerweaver's ties
            and order of arrival.
    """

    margin_us: float = 0.0
    evaluate: Evaluate = Evaluate.COMPLETION
    hopeless: Hopeless = Hopeless.DEFER
    sees: Sees = Sees.QUEUES


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """Layerweaver's choice, unless a request that could still make it would miss its deadline."""
    queues = options.sees == Sees.QUEUES
    last = options.hopeless in (Hopeless.LAST, Hopeless.DEFER)
    chosen = weave(view, BY_SLACK if queues else BY_DISTANCE, last)
    return guard(view, chosen, options.margin_cycles, options.evaluate == Evaluate.COMPLETION, queues)


POLICY = PolicySpec(
    "layerweaver+",
    choose,
    "least idle time while every deadline is safe, least slack when one is not",
    source="Oh et al., Layerweaver+, IEICE E105-D(2):427-431, 2022 (reconstruction)",
    options=Options,
    modes=GUARDED_MODES,
    spares_tightest=True,
    lone_mode=FAILSAFE,
    drops_hopeless=lambda options: options.hopeless == Hopeless.DROP,
    defers_hopeless=lambda options: options.hopeless == Hopeless.DEFER,
    heeds_backlog=True,
)
