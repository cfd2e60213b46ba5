"""Times on a TPU v6e: shipped parameters on an eighth of the rows, forms found again from their own times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from layerweaver.backend_sim.study.reproduce.tpu_v6e import fit_forms, read_times, reproduce_tpu_v6e
from layerweaver.ir import ConfigError

DATA = Path(__file__).parents[1] / "data" / "tpu_v6e"


@pytest.mark.parametrize(("name", "most"), [("attention", 0.04), ("layers", 0.07)])
def test_shipped_parameters_and_a_fit_of_half(name: str, most: float) -> None:
    shipped = reproduce_tpu_v6e(DATA / f"{name}.csv")
    assert set(shipped) == {"count", "mape"}
    assert shipped["count"] > 400
    assert shipped["mape"] < most
    document = reproduce_tpu_v6e(DATA / f"{name}.csv", fit=True)
    assert set(document) == {"count", "mape", "mape_fit", "mape_held_out", "parameters"}
    assert document["mape_held_out"] < most + 0.01
    assert document == reproduce_tpu_v6e(DATA / f"{name}.csv", fit=True)
    assert document["parameters"] != reproduce_tpu_v6e(DATA / f"{name}.csv", fit=True, seed=1)["parameters"]


def test_forms_are_recovered(tmp_path: Path) -> None:
    file = tmp_path / "attention.csv"
    sizes = np.random.default_rng(0).integers(1, 1000, size=(60, 2)).tolist()
    rows = [f"{q},{p},1,True,{3000 + 80 * q + 5 * p + 0.3 * q * p + 0.1 * q * q}" for q, p in sizes]
    rows += [f"0,{p},{b},False,{5000 + 2300 * b + 8.5 * b * p}" for b, p in sizes]
    file.write_text("prefill_chunk_size,kv_cache_size,batch_size,is_prefill,mean_ns\n" + "\n".join(rows))
    forms = fit_forms(read_times(file))
    assert forms["prefill"] == pytest.approx([3000, 80, 5, 0.3, 0.1], rel=1e-3)
    assert forms["decode"] == pytest.approx([5000, 2300, 8.5], rel=1e-3)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "neither set of columns"),
        ("layer_name,input,latency(ns)\n", "no rows"),
        ("layer_name,input,latency(ns)\nrope,4,5\n", "no rows"),
        ("layer_name,input,latency(ns)\nq_proj,x,5\n", "latency|input"),
        ("layer_name,input,latency(ns)\nq_proj,4,0\n", "latency"),
        ("layer_name,input,latency(ns)\nq_proj,4\n", "has 2 columns; give 3"),
        ("prefill_chunk_size,kv_cache_size,batch_size,is_prefill,mean_ns\n1,2,3,perhaps,4\n", "is_prefill"),
        ("prefill_chunk_size,kv_cache_size,batch_size,is_prefill,mean_ns\n1,2,nan,True,4\n", "batch_size"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "times.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=what):
        reproduce_tpu_v6e(file)


def test_too_few_rows_to_fit(tmp_path: Path) -> None:
    file = tmp_path / "times.csv"
    file.write_text("layer_name,input,latency(ns)\nq_proj,4,5\nq_proj,5,6\n")
    with pytest.raises(ConfigError, match="has 2 rows; give at least 8"):
        reproduce_tpu_v6e(file, fit=True)
