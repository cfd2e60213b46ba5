"""Results of policies with different options as tables of notebooks, data frames and Parquet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.report.notebook import as_result
from layerweaver.backend_sim.results.files import result_parquet

Make = Callable[..., dict[str, Any]]


def test_a_notebook_shows_peaks_of_policies_with_other_options(peak_document: dict[str, Any]) -> None:
    fcfs, woven = peak_document["results"]
    fcfs["policy_options"], woven["policy_options"] = {"commit": "late"}, {"margin_us": 7.5}
    shown = as_result(peak_document)._repr_html_()
    assert "policy_options.commit" in shown
    assert "policy_options.margin_us" in shown


def test_rows_of_comparisons_have_the_options_as_those_of_peaks(make_document: Make) -> None:
    runs = [make_document("fcfs"), make_document("layerweaver+") | {"policy_options": {"margin_us": 100.0}}]
    result = as_result({"runs": runs})
    assert [row.get("policy_options.margin_us") for row in result.rows()] == [None, None, 100.0, 100.0]
    assert "policy_options.margin_us" in result._repr_html_()


def test_a_column_of_numbers_and_texts_is_one_of_texts_in_parquet(
    make_document: Make, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    settings: list[dict[str, Any]] = [{"how": 3}, {"how": "least"}, {}]
    runs = [make_document(f"p{place}") | {"policy_options": own} for place, own in enumerate(settings)]
    path = tmp_path / "r.parquet"
    path.write_bytes(result_parquet({"runs": runs}))
    found = parquet.read_table(path).column("policy_options.how").to_pylist()
    assert found == ["3", "3", "least", "least", None, None]
