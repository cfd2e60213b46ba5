"""Compiled functions on disk: found again, never trusted blindly, never beside the sources."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType
from typing import cast

import pytest

from layerweaver.ir.cache import Cache
from layerweaver.scheduler.machine import cache
from layerweaver.scheduler.machine.jit import compile_bound, has_cache


def _double(number: int) -> int:
    return 2 * number


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, named as numba's users name theirs."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "COMPILED", Cache("compiled", 1 << 24, "NUMBA_CACHE_DIR"))
    return tmp_path / "layerweaver" / "compiled"


def _run(number: int) -> tuple[bool, int, int, int]:
    """Whether the disk knew it, the result, and how often it was loaded and compiled."""
    function = compile_bound(cast(FunctionType, _double), {}, "for a/test")
    known = has_cache(function)
    result = function(number)
    statistics = function.stats  # type: ignore[attr-defined]
    loaded, compiled = sum(statistics.cache_hits.values()), sum(statistics.cache_misses.values())
    return known, result, loaded, compiled


def test_a_function_is_compiled_once(folder: Path) -> None:
    assert _run(21) == (False, 42, 0, 1)
    assert _run(21) == (True, 42, 1, 0)
    (entry,) = folder.iterdir()
    assert entry.name.startswith("_double_for_a_test-")
    assert not list(Path(__file__).parent.glob("__pycache__/*.nb?"))


def test_other_options_of_numba_are_other_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from numba import config

    _run(21)
    monkeypatch.setattr(config, "BOUNDSCHECK", 1)
    assert _run(21) == (True, 42, 0, 1)
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("step", [-1, 1, 2])
def test_a_damaged_entry_is_compiled_anew(folder: Path, step: int) -> None:
    _run(21)
    (entry,) = folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1:step])
    assert _run(21) == (True, 42, 0, 1)
    assert _run(21) == (True, 42, 1, 0)


def test_an_entry_that_cannot_be_kept_is_compiled_every_time(folder: Path) -> None:
    _run(21)
    (entry,) = folder.iterdir()
    entry.unlink()
    entry.mkdir()
    for _ in range(2):
        assert _run(21) == (True, 42, 0, 1)
