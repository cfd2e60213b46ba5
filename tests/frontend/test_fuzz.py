"""Damaged models: one clear line or a clean result, within 10 seconds and 1 GB each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile.guard import bounded, examine
from hostile.mutations import mutant
from hostile.seeds import SEEDS

FAST_CASES, ALL_CASES = 100, 500


def check(number: int, folder: Path) -> str:
    name, data = mutant(number)
    path = folder / f"{name}.onnx"
    path.write_bytes(data)
    with bounded():
        line = examine(path)
    assert line.isprintable()
    assert not line or str(path) in line
    return line


@pytest.mark.parametrize("name", list(SEEDS))
def test_unharmed_models_are_imported(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(SEEDS[name])
    assert examine(path) == ""


@pytest.mark.parametrize("number", range(FAST_CASES))
def test_mutated_models(number: int, tmp_path: Path) -> None:
    check(number, tmp_path)


@pytest.mark.slow
def test_many_mutated_models(tmp_path: Path) -> None:
    lines = [check(number, tmp_path) for number in range(FAST_CASES, ALL_CASES)]
    refused = sum(map(bool, lines))
    assert 0 < refused < len(lines)
