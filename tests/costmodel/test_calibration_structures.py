"""What may be taken for a mechanism: what a sibling tells, and what one odd network must not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from oracles.known_chips import SHEET, chip, measured, network

from layerweaver.costmodel import NpuConfig, load_npu, npu_document
from layerweaver.costmodel.calibration.calibrate import calibrate
from layerweaver.costmodel.calibration.choices import Problem, choose
from layerweaver.costmodel.calibration.fit import Fit, Target
from layerweaver.costmodel.calibration.parameters import parameters_of, with_values
from layerweaver.costmodel.calibration.siblings import Sibling
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.ir import ConfigError, LayerGraph, VectorCategory
from layerweaver.scheduler.compile.measured import latency_ms, measured_ms


def test_a_sibling_tells_what_few_networks_do_not() -> None:
    sheet = load_npu(SHEET)
    other = load_npu({**npu_document(sheet), "name": "other", "clock_mhz": 500})
    document = npu_document(chip(other))
    relative = load_npu({**document, "overhead_cycles": 10_000})
    _, few = measured(chip(sheet), 4, noise=0.1)
    file, many = measured(relative, 16)
    alone = calibrate(sheet, file, few, measured_ms)
    informed = calibrate(sheet, file, few, measured_ms, sibling=(other, file, many))
    _, unseen = measured(chip(sheet), 30)

    def error(config: NpuConfig) -> float:
        sizes = [abs(latency_ms(item.columns, config) / item.row.latency_ms - 1) for item in unseen]
        return float(np.mean(sizes))

    assert error(informed.config) < 0.85 * error(alone.config)
    assert (alone.document["sibling"], informed.document["sibling"]) == (None, "other")
    assert "priors from other" in informed.config.sources["calibration"]
    with pytest.raises(ConfigError, match="has 2 measurements"):
        calibrate(sheet, file, few, measured_ms, sibling=(other, file, many[:2]))


def test_a_sibling_does_not_tell_of_networks_that_are_held_out() -> None:
    sheet = load_npu(SHEET)
    config = with_values(sheet, {}, {"shared_overheads": True})
    _, items = measured(chip(sheet), 6)
    names = [item.row.held_out_with for item in items]
    ms = np.array([item.row.latency_ms for item in items])
    parameters = parameters_of(config, float(np.median(ms)))

    def problem(latencies: np.ndarray[Any, np.dtype[np.float64]]) -> Problem:
        one = np.ones(len(items))
        target = Target(latencies, one, one, 0 * one)
        return Problem(config, [(item.columns, None) for item in items], target, parameters, None)

    def informed(latencies: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
        theirs = problem(latencies)
        choice = theirs.start()
        free = [parameters[name] for name in choice.free]
        middles = np.array([one.position(one.middle) for one in free])
        blank = Fit(tuple(free), middles, 0.0, np.zeros(len(items)), np.zeros((len(items), len(free))))
        told = Sibling(theirs, choice, blank, names).inform(problem(ms), names[:2]).parameters
        return [told[one.name].middle for one in free]

    assert informed(ms) == informed(ms * np.array([5.0, 0.2, 1, 1, 1, 1]))
    assert informed(ms) != informed(ms * np.array([1, 1, 5.0, 1, 1, 1]))


@pytest.mark.parametrize("odd", [{5}, {2, 5, 8, 9}])
def test_a_further_parameter_is_not_taken_for_one_odd_network(odd: set[int]) -> None:
    real = chip(load_npu(SHEET))
    real = real.model_copy(update={"vector": real.vector.model_copy(update={"normalization_passes": 60.0})})
    networks = [_with_norms(number) if number in odd else network(number) for number in range(12)]
    ms = np.array([latency_ms(columns, real) for columns in networks])
    sheet, one = load_npu(SHEET), np.ones(len(ms))
    parameters = parameters_of(sheet, float(np.median(ms)))
    target = Target(ms, one, one, 0 * one)
    problem = Problem(sheet, [(columns, None) for columns in networks], target, parameters, None)
    choice, _ = choose(problem, target)
    assert ("vector.normalization_passes" in choice.free) == (len(odd) > 1)


def _with_norms(number: int) -> LayerColumns:
    """A network whose element work is normalisation."""
    graph = network(number).graph
    layers = [
        dataclasses.replace(
            layer,
            vector=tuple(
                dataclasses.replace(work, category=VectorCategory.NORMALIZATION, elements=50_000)
                for work in layer.vector
            ),
        )
        for layer in graph.layers
    ]
    return LayerColumns.from_graph(
        LayerGraph(graph.name, layers, inputs=layers[0].inputs, outputs=layers[-1].outputs)
    )
