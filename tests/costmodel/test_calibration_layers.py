"""A fit to single layers says so: its error is one of layers, and no interval of networks comes of it."""

from __future__ import annotations

import dataclasses

import pytest
from oracles.known_chips import SHEET, chip, measured

from layerweaver.costmodel import load_npu
from layerweaver.costmodel.calibration.calibrate import Calibration, Measured, calibrate
from layerweaver.costmodel.calibration.extent import Extent
from layerweaver.costmodel.npu.sections import CalibrationConfig
from layerweaver.scheduler.compile.measured import measured_ms, score_networks


def _layers() -> Calibration:
    """A fit to the first layers of two networks, timed alone."""
    sheet = load_npu(SHEET)
    real = chip(sheet)
    measurements, networks = measured(real, 2)
    items = []
    for item in networks:
        for index, layer in enumerate(item.columns.graph.layers[:6]):
            alone = Measured(dataclasses.replace(item.row, layer=layer.name), item.columns, index)
            row = dataclasses.replace(alone.row, latency_ms=measured_ms(alone, real))
            items.append(Measured(row, item.columns, index))
    rows = tuple(item.row for item in items)
    return calibrate(sheet, dataclasses.replace(measurements, rows=rows), items, measured_ms)


@pytest.fixture(name="found", scope="module")
def found_fixture() -> Calibration:
    return _layers()


def test_verdict_and_record_say_layers(found: Calibration) -> None:
    verdict = found.document["verdict"]
    assert "off on layers that the fit did not see" in verdict
    assert "No network was timed whole" in verdict
    record = found.config.calibration
    assert record is not None
    assert (record.networks, record.layers) == (0, 12)
    assert found.config.sources["calibration"].startswith("fitted to 12 layers: m.csv")
    assert found.config.sources["calibration"].endswith("mean absolute error on layers held out")


def test_whole_networks_get_no_interval_from_layers(found: Calibration) -> None:
    _, networks = measured(chip(load_npu(SHEET)), 2)
    whole = score_networks(found.config, networks)["rows"]
    assert {(row["low_ms"], row["high_ms"]) for row in whole} == {(None, None)}
    alone = Measured(dataclasses.replace(networks[0].row, layer="l0"), networks[0].columns, 0)
    assert score_networks(found.config, [alone])["rows"][0]["low_ms"] is not None


def test_the_last_layer_alone_takes_no_overhead_of_an_inference() -> None:
    real = chip(load_npu(SHEET))
    assert real.inference_overhead_us
    plain = real.model_copy(update={"inference_overhead_us": None})
    columns = measured(real, 1)[1][0].columns
    last = len(columns.graph.layers) - 1
    alone = Measured(measured(real, 1)[1][0].row, columns, last)
    assert measured_ms(alone, real) == measured_ms(alone, plain)


@pytest.mark.parametrize(
    ("networks", "layers", "words", "kinds"),
    [
        (15, None, "15 networks", "networks"),
        (0, 1, "1 layer", "layers"),
        (1, 12, "1 network and 12 layers", "networks and layers"),
    ],
)
def test_extents_in_words(networks: int, layers: int | None, words: str, kinds: str) -> None:
    record = CalibrationConfig(
        sha256="0" * 64,
        date="2026-01-31",
        networks=networks,
        layers=layers,
        held_out_mape=0.1,
        low_ratio=0.9,
        high_ratio=1.1,
    )
    extent = Extent.of_record(record)
    assert (extent.words, extent.kinds) == (words, kinds)
