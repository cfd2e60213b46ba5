from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerweaver.backend_sim.report.graph_layout import place
from layerweaver.backend_sim.report.graph_picture import write_graph_picture
from layerweaver.backend_sim.report.hpca21_figure import draw_hpca21, write_hpca21_figure
from layerweaver.backend_sim.report.notebook import (
    ComparisonResult,
    PeakResult,
    SimulationResult,
    as_result,
    data_frame,
)
from layerweaver.backend_sim.report.roofline import roofline_figure, write_figure
from layerweaver.backend_sim.results.latency import latency_histogram
from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.backend_sim.results.reproduced import Hpca21, PairGain
from layerweaver.cli.rendering.sparkline import sparkline
from layerweaver.ir import (
    Layer,
    LayerGraph,
    LayerKind,
    LayerweaverError,
    MatrixWork,
    OutputError,
    TensorSpec,
)

Make = Callable[..., dict[str, Any]]


def test_sparkline_has_its_highest_bar_where_the_values_are() -> None:
    line = sparkline([1.0] * 90 + [10.0] * 10 + [1000.0], width=10)
    assert len(line) == 10
    assert line[0] == "█"
    assert line[-1] == "▁"
    assert " " in line


@pytest.mark.parametrize("values", [[], [-1, -1], [5], [0, 0, 0], [1e-300, 1e300], [float("inf")]])
def test_sparkline_of_little(values: list[float]) -> None:
    line = sparkline(values, width=8)
    assert len(line) <= 8
    assert bool(line) == any(0 <= value < float("inf") for value in values)


def test_sparkline_of_a_histogram_fits_the_width() -> None:
    latencies = np.random.default_rng(1).lognormal(10, 1, 5000).astype(np.int64)
    line = sparkline(latency_histogram(latencies), width=12)
    assert len(line) == 12
    assert line[5] in "▆▇█" or line[6] in "▆▇█"
    assert sparkline(latency_histogram(latencies), width=12, ascii_only=True).isascii()


@pytest.fixture
def inspected() -> dict[str, Any]:
    layers = [
        {"name": "conv", "macs": 10**9, "dram_bytes": 10**5, "compute_cycles": 70_000, "memory_cycles": 400}
        | {"bound_by": "array"},
        {
            "name": "fc <b>",
            "macs": 10**7,
            "dram_bytes": 2 * 10**7,
            "compute_cycles": 900,
            "memory_cycles": 62_000,
        }
        | {"bound_by": "dram"},
        {
            "name": "relu",
            "macs": 0,
            "dram_bytes": 0,
            "compute_cycles": 10,
            "memory_cycles": 0,
            "bound_by": "vector",
        },
    ]
    roofline = {"arithmetic_intensity": 100.5, "alone_tops": 15.0, "peak_tops": 22.9, "dram_gb_s": 225.0}
    return {
        "model": "net",
        "bound_to": "batch 1",
        "npu": "memory-centric",
        "layers": layers,
        "roofline": roofline | {"clock_hz": 700_000_000},
    }


def test_roofline_places_layers_by_their_costs(inspected: dict[str, Any]) -> None:
    figure = roofline_figure(inspected)
    assert [point.name for point in figure.points] == ["conv", "fc <b>"]
    conv = figure.points[0]
    assert conv.intensity == pytest.approx(2e9 / 1e5)
    assert conv.tops == pytest.approx(2e9 / (70_000 / 7e8) / 1e12)
    assert conv.tops <= figure.peak_tops
    assert figure.left_out == (1, 0)
    assert figure.note == "1 of 3 layers are not drawn: 1 without MACs"
    corners = figure.roof()
    assert corners[0][1] == pytest.approx(22.9e12 / 225e9)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".html"])
def test_rooflines_are_written_in_three_formats_and_reproducibly(
    inspected: dict[str, Any], tmp_path: Path, suffix: str
) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_figure(roofline_figure(inspected), first)
    write_figure(roofline_figure(inspected), second)
    data = first.read_bytes()
    if suffix == ".svg":
        root = ET.fromstring(data)
        text = "".join(root.itertext())
        assert "operations per DRAM byte" in text
        assert "net, batch 1, on memory-centric" in text
        assert "1 of 3 layers are not drawn" in text
        assert "(1 layer)" in text
        assert "1 layers" not in text
    elif suffix == ".png":
        assert data.startswith(b"\x89PNG")
    else:
        assert b"fc &lt;b&gt;" in data or b"fc \\u0026lt;b\\u0026gt;" in data
    if suffix != ".html":
        assert data == second.read_bytes()


def test_roofline_without_costs_or_with_another_suffix_is_refused(
    inspected: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="use one of"):
        write_figure(roofline_figure(inspected), tmp_path / "x.pdf")
    del inspected["roofline"]
    with pytest.raises(ResultError, match="--npu"):
        roofline_figure(inspected)


def small_graph() -> LayerGraph:
    tensors = {name: TensorSpec(name, 100) for name in "abcd"}
    work = MatrixWork(groups=1, m=1, n=10, k=10)
    return LayerGraph(
        'net "x"',
        [
            Layer("first", LayerKind.MATRIX, ("Conv", "Relu"), outputs=(tensors["a"],), matrix=work),
            Layer(
                "left",
                LayerKind.MATRIX,
                ("Conv",),
                inputs=(tensors["a"],),
                outputs=(tensors["b"],),
                matrix=work,
            ),
            Layer(
                "right <i>", LayerKind.VECTOR, ("Sigmoid",), inputs=(tensors["a"],), outputs=(tensors["c"],)
            ),
            Layer(
                "join",
                LayerKind.VECTOR,
                ("Mul",),
                inputs=(tensors["b"], tensors["c"]),
                outputs=(tensors["d"],),
            ),
        ],
    )


def test_the_graph_in_dot_has_every_layer_and_edge(tmp_path: Path) -> None:
    graph = small_graph()
    costs = [
        {"name": layer.name, "compute_cycles": 100 * index, "memory_cycles": 10, "bound_by": "array"}
        for index, layer in enumerate(graph)
    ]
    write_graph_picture(graph, tmp_path / "g.dot", {"layers": costs})
    text = (tmp_path / "g.dot").read_text()
    assert text.startswith('digraph "net \\"x\\"" {')
    assert text.count(" -> ") == 4
    assert "Conv + Relu" in text
    assert "300 cycles, 49.2%" in text
    assert text.rstrip().endswith("}")


def test_the_graph_page_escapes_names(tmp_path: Path) -> None:
    write_graph_picture(small_graph(), tmp_path / "g.html")
    page = (tmp_path / "g.html").read_text()
    assert "right <i>" not in page
    assert "Sigmoid" in page


def test_graph_pictures_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerweaver.backend_sim.report.graph_picture.MAX_GRAPH_LAYERS", 3)
    with pytest.raises(OutputError, match="4 layers are too many"):
        write_graph_picture(small_graph(), tmp_path / "g.dot")
    with pytest.raises(OutputError, match=r"\.html or \.dot"):
        write_graph_picture(small_graph(), tmp_path / "g.svg")
    assert list(tmp_path.iterdir()) == []


def test_layout_puts_readers_below_and_apart() -> None:
    spots = place(["a", "b", "c", "d"], [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])
    assert spots["a"][1] < spots["b"][1] == spots["c"][1] < spots["d"][1]
    assert spots["b"][0] != spots["c"][0]
    assert len(set(spots.values())) == 4


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_results_become_data_frames(make_document: Make, library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    result = as_result({"runs": [make_document("fcfs"), make_document("llf")]})
    frame = result.to_dataframe(library)
    assert frame.shape == (4, 17)
    assert list(frame["policy"]) == ["fcfs", "fcfs", "llf", "llf"]
    assert type(frame).__module__.split(".")[0] == library


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_of_many_rows_take_what_comes_late(library: str) -> None:
    pytest.importorskip(library)
    rows: list[list[Any]] = [[None, 0, None, 4] for _ in range(500)]
    frame = data_frame(
        ["deadline_ms", "late", "status", "batch"], [*rows, [2.5, 0.25, "met", "auto"]], library
    )
    assert frame.shape == (501, 4)
    assert str(next(iter(frame["batch"]))) == "4"
    assert list(frame["late"])[-1] == 0.25
    assert list(frame["deadline_ms"])[-1] == 2.5


def test_a_result_shows_itself_in_a_plain_prompt(make_document: Make, peak_document: dict[str, Any]) -> None:
    shown = repr(as_result({"runs": [make_document("fcfs"), make_document("llf")]})).splitlines()
    assert shown[0] == "ComparisonResult"
    assert shown[1].split()[:3] == ["policy", "tenant", "qps"]
    assert [line.split()[:2] for line in shown[2:4]] == [["fcfs", "vision"], ["fcfs", "language"]]
    assert len(shown) == 6
    assert "33,000" in repr(as_result(peak_document))
    many = make_document()
    many["tenants"] = [many["tenants"][0] | {"name": f"t{place}"} for place in range(300)]
    assert repr(as_result(many)).endswith("(260 more)")


def test_latencies_of_nobody_say_who_there_is(make_document: Make) -> None:
    result: Any = as_result({"runs": [make_document("fcfs"), make_document("llf")]})
    names = [tenant["name"] for tenant in result.document["runs"][0]["tenants"]]
    with pytest.raises(ResultError, match=rf"there is no tenant 'nobody'; .*{names[0]}"):
        result.plot_latency("nobody")


def test_a_data_frame_says_how_it_was_made(make_document: Make) -> None:
    pytest.importorskip("pandas")
    document = make_document()
    document["scenario"], document["policy_options"], document["seed"] = (
        {"npu": "tpu-v3"},
        {"commit": "late"},
        4,
    )
    origin = next(iter(as_result(document).to_dataframe("pandas").attrs["origins"].values()))
    assert origin == {"policy_options": {"commit": "late"}, "seed": 4, "scenario": {"npu": "tpu-v3"}}


def test_an_unknown_data_frame_library_is_refused(make_document: Make) -> None:
    with pytest.raises(LayerweaverError, match="pandas or polars"):
        as_result(make_document()).to_dataframe("frames")


@pytest.mark.parametrize("document", [None, "run.json", [], 3])
def test_what_is_no_document_is_refused(document: Any) -> None:
    with pytest.raises(LayerweaverError, match="no result; give the mapping"):
        as_result(document)


def test_results_read_like_their_documents_and_draw_figures(
    make_document: Make, peak_document: dict[str, Any]
) -> None:
    single = as_result(make_document())
    assert isinstance(single, SimulationResult)
    assert single["policy"] == "layerweaver+"
    assert set(single) == set(make_document())
    assert "layerweaver+" in single._repr_html_()
    for figure in (
        single.plot_timeline(),
        single.plot_activity(),
        single.plot_requests(),
        single.plot_utilization(),
        single.plot_latency("vision"),
    ):
        assert len(figure.data) > 0
    several = as_result({"runs": [make_document("a"), make_document("b")]})
    assert isinstance(several, ComparisonResult)
    assert [run["policy"] for run in several.runs] == ["a", "b"]
    peak = as_result(peak_document)
    assert isinstance(peak, PeakResult)
    assert list(peak.plot_peak().data[0].x) == [12000.0, 33000.0]
    with pytest.raises(ResultError, match="details"):
        SimulationResult(make_document(details=False)).plot_timeline()


def test_the_paper_s_figure_has_a_bar_for_every_pair_and_its_values(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows: list[PairGain] = [
        {
            "scenario": scenario,
            "costs": costs,
            "policy": policy,
            "pair": pair,
            "stp_gain_pct": gain,
            "paper_pct": known,
            "bound_pct": 60.0,
            "compute_utilization": 0.8,
            "dram_utilization": 0.7,
            "antt": 1.5,
        }
        for costs in ("paper-ratios", "own")
        for scenario in ("single", "multi16")
        for policy in ("fcfs", "aimt", "layerweaver")
        for pair, gain, known in (("RN+BB", 51.0, 50.0), ("MN+BL", -3.0, None))
    ]
    document: Hpca21 = {"rows": rows, "groups": []}
    for kind in ("svg", "png"):
        path = tmp_path / f"fig.{kind}"
        write_hpca21_figure(document, path)
        assert path.read_bytes() == draw_hpca21(document, kind)
    drawn = (tmp_path / "fig.svg").read_text()
    for word in (
        "RN+BB",
        "MN+BL",
        "AI-MT",
        "Layerweaver",
        "the paper",
        "batch 16, compute-centric NPU, our own",
    ):
        assert word in drawn
    assert drawn.count("RN+BB") == 4
