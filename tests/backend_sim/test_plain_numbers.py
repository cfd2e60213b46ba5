"""Documents hold plain values of Python: what prints them shows numbers, not the library they came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import write_study

from layerweaver.backend_sim.study.certify.certify import certify
from layerweaver.backend_sim.study.peak.peak import peak
from layerweaver.backend_sim.study.simulate import compare, simulate
from layerweaver.backend_sim.study.sweep.measure import point_document
from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.sweep import sweep

PLAIN = {dict, list, tuple, str, bool, int, float, type(None)}


def _others(found: Any, place: str = "") -> Iterator[str]:
    """Where a document holds what is no plain value, and what it is."""
    if type(found) not in PLAIN:
        yield f"{place}: {type(found).__name__}"
    if isinstance(found, dict):
        for key, value in found.items():
            yield from _others(key, f"{place}.{key} (key)")
            yield from _others(value, f"{place}.{key}")
    elif isinstance(found, (list, tuple)):
        for number, value in enumerate(found):
            yield from _others(value, f"{place}.{number}")


LOOPS = [{"arrival": {"kind": "closed_loop", "concurrency": 2, "queries": 50, "think_ms": 1}}] * 2


@pytest.mark.parametrize(
    "keys",
    [
        {"duration_s": np.float64(0.2), "warmup_s": np.float32(0.0), "min_queries": np.int64(9)},
        {"npu": None, "pool": [{"npu": "memory-centric", "count": np.int64(2)}]},
        {"tenants": LOOPS, "duration_s": None},
        {
            "tenants": [{"batch": {"max": 4, "sizes": [4], "delay_ms": 1}}, {"deadline_ms": np.float64(9)}],
            "duration_s": 0.2,
        },
    ],
)
@pytest.mark.parametrize("policy", ["fcfs", "layerweaver+", "slackweave+"])
def test_of_runs(make_scenario: Any, keys: Any, policy: str) -> None:
    assert list(_others(simulate(make_scenario(**{"duration_s": 0.2, **keys}), policy))) == []


def test_of_language_models(chat: Any) -> None:
    assert list(_others(simulate(chat()))) == []


def test_of_several_seeds(make_scenario: Any) -> None:
    found = compare(make_scenario(duration_s=0.2), policies=["fcfs", "layerweaver+"], seeds=3)
    assert list(_others(found)) == []


def test_of_comparisons(make_scenario: Any) -> None:
    assert list(_others(compare(make_scenario(duration_s=0.2), policies=["fcfs", "layerweaver+"]))) == []


def test_of_peaks(make_scenario: Any) -> None:
    found = peak(make_scenario(), policies=["fcfs", "edf"], queries=500, curve=2)
    assert list(_others(found)) == []


def test_of_certificates(make_scenario: Any) -> None:
    pytest.importorskip("mlperf_loadgen")
    assert list(_others(certify(make_scenario(duration_s=0.2)))) == []


def test_of_studies(tmp_path: Path) -> None:
    file = write_study(tmp_path)
    assert list(_others(dict(sweep(file, tmp_path / "out")))) == []
    study = read_study(file)
    names = [axis.name for axis in study.axes]
    points = [dict(zip(names, study.values(number), strict=True)) for number in (0, 11)]
    assert list(_others([point_document(study.job, values) for values in points])) == []
