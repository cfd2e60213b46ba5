"""Calibration on chips whose parameters are known, because the cost model itself is the chip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles.known_chips import SHEET, chip, measured, network

from layerweaver.costmodel import NpuConfig, load_npu, npu_document
from layerweaver.costmodel.calibration.calibrate import Calibration, Measured, calibrate
from layerweaver.costmodel.calibration.parameters import BASE, free_parameters, with_values
from layerweaver.costmodel.calibration.plot import scatter_svg
from layerweaver.costmodel.calibration.suggest import suggest
from layerweaver.costmodel.calibration.validation import error_document, interval_of
from layerweaver.costmodel.calibration.work import NetworkWork
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.model import cost_columns
from layerweaver.costmodel.npu.fields import ConvMapping
from layerweaver.costmodel.npu.sections import HostConfig
from layerweaver.ir import (
    ConfigError,
    LayerGraph,
)
from layerweaver.scheduler.compile.measured import latency_ms, measured_ms

MakeNpu = Callable[..., NpuConfig]
TRUE = {"array.efficiency": 0.6, "overhead_cycles": 20_000.0, "inference_overhead_us": 150.0}


@pytest.fixture(name="found", scope="module")
def found_fixture() -> Calibration:
    sheet = load_npu(SHEET)
    return calibrate(sheet, *measured(chip(sheet), 12), measured_ms)


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


def test_a_fit_that_sets_out_from_a_fitted_config_says_so(found: Calibration) -> None:
    before = "sheet was fitted to 12 networks before, so the priors may have seen what is held out"
    again = calibrate(found.config, *measured(chip(load_npu(SHEET)), 12), measured_ms)
    assert again.document["verdict"].endswith(f" That error may flatter: {before}.")
    assert again.config.sources["calibration"].endswith(before)
    assert "before" not in found.document["verdict"]
    assert "before" not in found.config.sources["calibration"]


def test_the_same_measurements_give_the_same_document(found: Calibration) -> None:
    sheet = load_npu(SHEET)
    assert calibrate(sheet, *measured(chip(sheet), 12), measured_ms).document == found.document


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
