"""Which operators an NPU seems to leave to its host, when nobody says so: those that explain what is left."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from layerweaver.costmodel.calibration.choices import Problem
from layerweaver.costmodel.calibration.fit import fit
from layerweaver.costmodel.calibration.parameters import parameters_of
from layerweaver.costmodel.joins import JOIN
from layerweaver.costmodel.npu.sections import HostConfig

__all__ = ["host_proposal"]

FEWEST_WITH = 2
"""An operator of a single network is not told from whatever else is odd about that network."""
NS_PER_ELEMENT = 10.0
"""Middle of the prior: a microcontroller that spends some ten cycles on an element."""


def _candidates(problem: Problem) -> list[str]:
    """Operators that some networks have and some lack, besides those of the host already."""
    counts: Counter[str] = Counter()
    for columns, _ in problem.networks:
        works = {work.operator for layer in columns.graph.layers for work in layer.vector}
        counts.update(works | ({JOIN} if columns.joined.any() else set()))
    taken = problem.config.host.operators if problem.config.host else ()
    total = len(problem.networks)
    return sorted(
        name for name, count in counts.items() if FEWEST_WITH <= count < total and name not in taken
    )


def host_proposal(problem: Problem) -> Problem | None:
    """The problem with one more operator on the host, the one whose fit explains most.

    Args:
        problem: What was fitted without it.

    Returns:
        None where no operator explains more than the problem as it is.
    """
    config = problem.config
    held = config.host or HostConfig(operators=(JOIN,), ns_per_element=NS_PER_ELEMENT)
    taken = config.host.operators if config.host else ()
    best, least = None, _objective(problem)
    for name in _candidates(problem):
        host = held.model_copy(update={"operators": (*taken, name)})
        trial = config.model_copy(update={"host": host})
        median_ms = float(np.median(problem.target.ms))
        one = replace(problem, config=trial, parameters=parameters_of(trial, median_ms))
        objective = _objective(one)
        if objective < least:
            best, least = one, objective
    return best


def _objective(problem: Problem) -> float:
    start = problem.start()
    free = [problem.parameters[name] for name in start.free]
    return fit(problem.work(start), problem.target, free).objective
