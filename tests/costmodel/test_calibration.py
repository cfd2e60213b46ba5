"""Calibration on chips whose parameters are known, because the cost model itself is the chip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerweaver.costmodel import NpuConfig, load_npu, npu_document
from layerweaver.costmodel.calibration.calibrate import Calibration, Measured, calibrate
from layerweaver.costmodel.calibration.choices import Problem, choose
from layerweaver.costmodel.calibration.fit import Fit, Target
from layerweaver.costmodel.calibration.measurements import Measurement, Measurements
from layerweaver.costmodel.calibration.parameters import BASE, free_parameters, parameters_of, with_values
from layerweaver.costmodel.calibration.plot import scatter_svg
from layerweaver.costmodel.calibration.siblings import Sibling
from layerweaver.costmodel.calibration.suggest import suggest
from layerweaver.costmodel.calibration.validation import error_document, interval_of
from layerweaver.costmodel.calibration.work import NetworkWork
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.model import cost_columns
from layerweaver.costmodel.npu.fields import ConvMapping
from layerweaver.costmodel.npu.sections import HostConfig
from layerweaver.ir import (
    ConfigError,
    Layer,
    LayerGraph,
    LayerKind,
    MatrixWork,
    TensorSpec,
    VectorCategory,
    VectorWork,
)
from layerweaver.scheduler.compile.measured import latency_ms, measured_ms

MakeNpu = Callable[..., NpuConfig]
CHIP = {"array": {"efficiency": 0.6}, "overhead_cycles": 20_000, "inference_overhead_us": 150, "overlap": 0.5}
TRUE = {"array.efficiency": 0.6, "overhead_cycles": 20_000.0, "inference_overhead_us": 150.0}


def product(name: str, source: str, extents: tuple[int, int, int]) -> Layer:
    m, n, k = extents
    return Layer(
        name,
        LayerKind.MATRIX,
        ("MatMul",),
        inputs=(TensorSpec(source, m * k),),
        outputs=(TensorSpec(name, m * n),),
        weights=(TensorSpec(f"{name}.w", k * n),),
        matrix=MatrixWork(1, m, n, k),
    )


def network(number: int, operator: str = "Add") -> LayerColumns:
    """A chain of products and elementwise layers whose mix varies with the number."""
    random = np.random.default_rng(number)
    layers: list[Layer] = []
    source = "x"
    largest = int(random.integers(32, 500))
    for index in range(int(random.integers(4, 40))):
        m, n, k = (int(random.integers(16, largest)) for _ in range(3))
        layers.append(product(f"l{index}", source, (m, n, k)))
        source = f"l{index}"
        if random.random() < 0.4:
            elements = int(random.integers(1000, 200_000))
            layers.append(
                Layer(
                    f"v{index}",
                    LayerKind.VECTOR,
                    (operator,),
                    inputs=(TensorSpec(source, elements),),
                    outputs=(TensorSpec(f"v{index}", elements),),
                    vector=(VectorWork(operator, VectorCategory.ELEMENTWISE, elements),),
                )
            )
            source = f"v{index}"
    graph = LayerGraph(f"net{number}", layers, inputs=layers[0].inputs, outputs=layers[-1].outputs)
    return LayerColumns.from_graph(graph)


def measured(
    chip: NpuConfig, count: int, *, noise: float = 0.0, operators: tuple[str, ...] = ("Add",)
) -> tuple[Measurements, list[Measured]]:
    random = np.random.default_rng(0)
    items = []
    for number in range(count):
        columns = network(number, operators[number % len(operators)])
        ms = latency_ms(columns, chip) * float(np.exp(noise * random.standard_normal()))
        row = Measurement(f"n{number}.onnx", f"n{number}.onnx", 1, {}, ms, 0.0, 1.0, f"m.csv:{number + 2}")
        items.append(Measured(row, columns))
    rows = tuple(item.row for item in items)
    return Measurements(Path("m.csv"), "0" * 64, "2026-01-31", rows), items


@pytest.fixture(name="found", scope="module")
def found_fixture() -> Calibration:
    sheet = load_npu(SHEET)
    return calibrate(sheet, *measured(chip(sheet), 12), measured_ms)


SHEET = {
    "name": "sheet",
    "clock_mhz": 1000,
    "precision_bytes": 1,
    "array": {"rows": 16, "columns": 16},
    "vector": {"lanes": 16},
    "dram": {"bandwidth_gb_s": 8},
    "sram": {"weights_mb": 0.5, "activations_mb": 1},
}


def chip(sheet: NpuConfig) -> NpuConfig:
    document = npu_document(sheet)
    for key, value in CHIP.items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    return load_npu(document)


def test_operators_of_the_host_are_found() -> None:
    sheet = load_npu(SHEET)
    host = HostConfig(operators=("Resize",), ns_per_element=50.0, overhead_us=5.0)
    hosted = chip(sheet).model_copy(update={"host": host})
    networks = measured(hosted, 12, operators=("Add", "Mul", "Resize"))
    found = calibrate(sheet, *networks, measured_ms)
    assert found.document["choices"]["host.operators"] == ["Resize"]
    assert found.config.host is not None
    assert found.config.host.ns_per_element == pytest.approx(50.0, rel=0.2)
    assert found.document["cross_validated"]["mape"] < 0.1


def test_no_host_is_found_where_there_is_none(found: Calibration) -> None:
    assert found.config.host is None


def test_known_parameters_are_found(found: Calibration) -> None:
    fitted = {row["name"]: row["fitted"] for row in found.document["parameters"]}
    for name, value in TRUE.items():
        assert fitted[name] == pytest.approx(value, rel=0.2), name
    assert found.document["cross_validated"]["mape"] < 0.02


def test_documents_have_the_keys_of_the_contract(found: Calibration) -> None:
    document = found.document
    score = {"count", "mape", "median_ape", "p90_ape", "bias", "rank_correlation", "rows"}
    assert score | {"parameters", "cross_validated", "baselines", "verdict"} <= set(document)
    assert score <= set(document["cross_validated"])
    assert set(document["baselines"]) == {"scale", "macs", "regression"}
    assert set(document["parameters"][0]) == {"name", "start", "fitted", "sd", "identified"}
    for row in document["rows"]:
        assert set(row) == {"model", "batch", "dims", "measured_ms", "predicted_ms", "low_ms", "high_ms"}
        assert row["low_ms"] < row["predicted_ms"] < row["high_ms"]
    assert document["count"] == 12


def test_the_written_config_is_one_and_names_its_measurements(found: Calibration) -> None:
    again = load_npu(npu_document(found.config))
    assert again.calibration is not None
    assert again.calibration.sha256 == "0" * 64
    assert "2026-01-31" in again.sources["calibration"]
    _, items = measured(chip(load_npu(SHEET)), 12)
    predicted = [latency_ms(item.columns, again) for item in items]
    assert predicted == [row["predicted_ms"] for row in found.document["rows"]]


def test_what_is_shown_of_a_parameter_is_what_is_written(found: Calibration) -> None:
    for row in found.document["parameters"]:
        held: Any = found.config
        for key in row["name"].split("."):
            held = getattr(held, key)
        assert held == row["fitted"], row["name"]


def test_the_same_measurements_give_the_same_document(found: Calibration) -> None:
    sheet = load_npu(SHEET)
    assert calibrate(sheet, *measured(chip(sheet), 12), measured_ms).document == found.document


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


def test_a_verdict_doubts_a_structure_that_explains_nothing() -> None:
    sheet = load_npu(SHEET)
    measurements, items = measured(chip(sheet), 12)
    by_macs = [
        Measured(
            dataclasses.replace(item.row, latency_ms=0.4 + float(item.columns.macs.sum()) / 5e7), item.columns
        )
        for item in items
    ]
    document = calibrate(sheet, measurements, by_macs, measured_ms, free=("vector.speed",)).document
    assert document["baselines"]["macs"] < 0.01
    assert "does not explain" in document["verdict"]


def test_what_the_networks_do_not_tell_is_said(found: Calibration) -> None:
    told = {row["name"]: row["identified"] for row in found.document["parameters"]}
    assert told["overhead_cycles"]
    assert not told["vector.pooling_cycles"]


def test_a_peak_above_the_sheets_is_refused() -> None:
    sheet = load_npu(SHEET)
    measurements, items = measured(chip(sheet), 4)
    seconds = [
        Measured(dataclasses.replace(i.row, latency_ms=i.row.latency_ms / 1000), i.columns) for i in items
    ]
    with pytest.raises(ConfigError, match="times the data sheet's peak"):
        calibrate(sheet, measurements, seconds, measured_ms)


def _branches(number: int) -> LayerColumns:
    """A network of which every second layer reads what the one before reads."""
    columns = network(number)
    layers = list(columns.graph.layers)
    for index in range(1, len(layers), 2):
        wide = dataclasses.replace(layers[index].inputs[0], name=layers[index - 1].inputs[0].name)
        layers[index] = dataclasses.replace(layers[index], inputs=(wide,))
    graph = LayerGraph(columns.graph.name, layers, inputs=layers[0].inputs, outputs=layers[-1].outputs)
    return LayerColumns.from_graph(graph)


@pytest.mark.parametrize(
    ("shared", "overlap", "weights_mb"),
    [(None, 0.3, 1.0), (True, 0.3, 1.0), (True, None, 0.04), (None, None, 0.2), (True, None, 4.0)],
)
def test_prediction_and_cost_model_agree(
    npu: MakeNpu, shared: bool | None, overlap: float | None, weights_mb: float
) -> None:
    config = npu(
        shared_overheads=shared,
        overlap=overlap,
        sram={"weights_mb": weights_mb, "activations_mb": 1},
        array={"efficiency": 0.7},
        vector={"speed": 0.5},
        overhead_cycles=100,
        activations_in_dram_share=0.4,
        dram={"efficiency": 0.6},
        inference_overhead_us=10,
    )
    networks = [_branches(number) for number in range(6)]
    closed = NetworkWork.collect([(columns, None) for columns in networks], config).latency_ms({})
    exact = [latency_ms(columns, config) for columns in networks]
    assert closed == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("share", [None, 0.4])
@pytest.mark.parametrize("buffer_mb", [1, 0.03])
def test_closed_form_and_cost_model_agree_on_what_a_layer_waits_for(
    npu: MakeNpu, share: float | None, buffer_mb: float
) -> None:
    config = npu(
        overlap=0.3,
        overlap_from_mb=0.02,
        shortest_load_us=4.0,
        stores_last=True,
        array={"count": 4, "cores": 2, "split": "even"},
        activations_in_dram="graph_io",
        activations_in_dram_share=share,
        sram={"activations_mb": buffer_mb},
    )
    networks = [_branches(number) for number in range(6)]
    costed = [cost_columns(columns, config) for columns in networks]
    closed = NetworkWork.collect([(columns, None) for columns in networks], config).latency_ms({})
    exact = [int(model.layer_latency_cycles.sum()) * 1e3 / config.clock_hz for model in costed]
    assert closed == pytest.approx(exact, rel=1e-3)
    if buffer_mb < 1:
        assert any((model.traffic.activation_bytes > buffer_mb * 1e6).any() for model in costed)


def test_suggestions_differ_and_tell_something() -> None:
    networks = [network(number) for number in range(8)]
    rows = suggest(load_npu(SHEET), [f"n{number}" for number in range(8)], networks, 5)
    assert len({row["model"] for row in rows}) == 5
    assert all(row["gain"] > 0 for row in rows)
    gains = [row["gain"] for row in rows]
    assert gains == sorted(gains, reverse=True)


def test_errors_and_intervals() -> None:
    real, guess = np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.1, 1.8, 4.0, 12.0])
    document = error_document(real, guess)
    assert document["mape"] == pytest.approx((0.1 + 0.1 + 0 + 0.5) / 4)
    assert document["bias"] == pytest.approx((0.1 - 0.1 + 0 + 0.5) / 4)
    assert document["rank_correlation"] == pytest.approx(1)
    low, high = interval_of(real, guess)
    assert low == pytest.approx(1 / high, rel=1e-3)
    assert high == pytest.approx(np.exp(np.sqrt(np.log(1.5) * 1.9 * np.log(2 / 1.8 * 1.1) / 2)), rel=1e-3)


def test_free_parameters_are_named() -> None:
    assert free_parameters("overlap, array.efficiency") == ("overlap", "array.efficiency")
    with pytest.raises(ConfigError, match="is no parameter"):
        free_parameters("array.speed")
    with pytest.raises(ConfigError, match="names no parameter"):
        free_parameters(" , ")


def test_values_are_written_where_they_belong(npu: MakeNpu) -> None:
    config = with_values(
        npu(), dict.fromkeys(BASE, 0.123456), {"array.conv_mapping": ConvMapping.KERNEL_PASSES}
    )
    document = npu_document(config)
    assert document["array"]["efficiency"] == 0.1235
    assert document["overhead_cycles"] == 0
    assert load_npu(document).array.conv_mapping == "kernel_passes"


def test_the_picture_has_a_point_per_network(found: Calibration) -> None:
    picture = scatter_svg(found.document)
    assert picture.count("<circle") == 12
    assert picture.startswith("<svg")


def test_the_cost_of_a_host_is_found() -> None:
    sheet = load_npu({**SHEET, "host": {"operators": ["Add"], "ns_per_element": 1}})
    host = {"operators": ["Add"], "ns_per_element": 8, "overhead_us": 500}
    real = load_npu({**npu_document(chip(sheet)), "host": host})
    measurements, items = measured(real, 12)
    fitted = calibrate(sheet, measurements, items, measured_ms).config.host
    assert fitted is not None
    assert fitted.ns_per_element == pytest.approx(8, rel=0.1)
    assert fitted.overhead_us == pytest.approx(500, rel=0.3)
    with pytest.raises(ConfigError, match="has no host"):
        calibrate(load_npu(SHEET), measurements, items, measured_ms, free=("host.overhead_us",))
