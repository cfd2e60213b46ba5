"""``NUMBA_DISABLE_JIT=1`` gives plain Python that a debugger can walk through."""

from __future__ import annotations

from types import FunctionType
from typing import cast

import pytest

from layerweaver.scheduler.machine.jit import compile_bound, load_numba


def _inner(value: int) -> int:
    return value + 1


def _outer(value: int) -> int:
    return 2 * _inner(value)


def _other(value: int) -> int:
    return value + 10


def test_without_compiling_the_same_names_are_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_numba().config, "DISABLE_JIT", 1)
    found = compile_bound(cast(FunctionType, _outer), {"_inner": _other}, "plain")
    assert isinstance(found, FunctionType)
    assert (_outer(1), found(1)) == (4, 22)
