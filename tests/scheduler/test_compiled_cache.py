"""Compiled functions on disk: found again, never trusted blindly, never beside the sources."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import FunctionType
from typing import Any, cast

import pytest

from layerweaver.ir.cache import Cache
from layerweaver.scheduler.machine import cache, jit
from layerweaver.scheduler.machine.jit import apart, compile_bound, has_cache, source_digest
from layerweaver.scheduler.policies import load_policy


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

    options: Any = config
    _run(21)
    monkeypatch.setattr(options, "BOUNDSCHECK", 0 if options.BOUNDSCHECK else 1)
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


@apart
def _half(number: int) -> int:
    if number % 2 == 1:
        raise ValueError("odd")
    return number // 2


@apart
def _quarter(number: int) -> int:
    return _half(_half(number))


def _sum(number: int) -> int:
    return _half(number) + _quarter(number) + 1


def _run_sum(number: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """The result as a new process would find it, and how often it was loaded and compiled."""
    jit._shared_compiler.cache_clear()
    monkeypatch.setattr(cache, "_DEFINED", {})
    function = compile_bound(cast(FunctionType, _sum), {}, "test")
    result = function(number)
    statistics = function.stats  # type: ignore[attr-defined]
    return result, sum(statistics.cache_hits.values()), sum(statistics.cache_misses.values())


def test_what_is_apart_is_kept_by_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run_sum(12, monkeypatch) == (10, 0, 1)
    assert sorted(entry.name.split("-")[0] for entry in folder.iterdir()) == [
        "_half_",
        "_quarter_",
        "_sum_test",
    ]
    assert _run_sum(16, monkeypatch) == (13, 1, 0)
    for entry in folder.iterdir():
        entry.write_bytes(entry.read_bytes()[:-1])
        assert _run_sum(16, monkeypatch)[0] == 13
    assert _run_sum(20, monkeypatch) == (16, 1, 0)


def test_an_error_comes_out_of_what_is_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="odd"):
            _run_sum(14, monkeypatch)
    assert len(list(folder.iterdir())) == 3


def test_equal_policy_files_in_two_folders_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code imports its module by name, which is that of one of the two files."""
    text = (
        "from layerweaver.scheduler.policies.contract import PolicySpec\n\n\n"
        "def choose(view, options, memory):\n    return view.ready[0]\n\n\n"
        'POLICY = PolicySpec("first", choose, "the first one")\n'
    )
    digests = set()
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "first.py").write_text(text)
        monkeypatch.chdir(folder)
        digests.add(source_digest(cast(FunctionType, load_policy("first.py").spec.choose), {}))
    assert len(digests) == 2


def _loaded(file: Path) -> FunctionType:
    """The function of a file, in a module of one name whatever is in the file."""
    module: dict[str, Any] = {"__name__": "served"}
    exec(compile(file.read_bytes(), file, "exec"), module)
    return cast(FunctionType, module["served"])


@pytest.mark.parametrize("change", [("x + 1", "x + 2"), ("ONE = 1", "ONE = 2"), ("{1, 2}", "{1, 3}")])
def test_a_file_that_changed_lends_no_name_to_what_was_loaded_before(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    """An update while a process runs: the next process must not find what this one compiles."""
    file = tmp_path / "served.py"
    file.write_text("ONE = 1\n\n\ndef served(x):\n    return x + 1 + ONE if x in {1, 2} else x\n")
    named, late = _loaded(file), _loaded(file)
    before = source_digest(named, {})
    assert source_digest(_loaded(file), {}) == before
    file.write_text(file.read_text().replace(*change))
    assert source_digest(named, {}) == before
    assert len({before, source_digest(late, {}), source_digest(_loaded(file), {})}) == 3


@pytest.mark.parametrize("foreign", [((("of_others", ()),), ()), ((), ()), "text"])
def test_an_entry_of_other_code_is_compiled_anew(folder: Path, foreign: object) -> None:
    _run(21)
    (entry,) = folder.iterdir()
    cache.COMPILED.write(entry.name, pickle.dumps(foreign))
    assert _run(21) == (True, 42, 0, 1)
    assert _run(21) == (True, 42, 1, 0)


def _step() -> int:
    return 1


def _two() -> int:
    return 2


@apart
def _stepped(number: int) -> int:
    return number + _step()


def _twice(number: int) -> int:
    return 2 * _stepped(number)


@pytest.mark.usefixtures("folder")
def test_what_is_apart_may_be_compiled_for_one_loop_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the two a loop calls does not depend on what the process compiled before."""

    def run(*replacements: dict[str, Any]) -> list[int]:
        jit._shared_compiler.cache_clear()
        monkeypatch.setattr(cache, "_DEFINED", {})
        loop = cast(FunctionType, _twice)
        return [compile_bound(loop, replaced, "test")(3) for replaced in replacements]

    other = {"_step": _two}
    assert run({}, other) == [8, 10]
    assert run(other) == [10]
    assert run(other, {}) == [10, 8]
    assert run({}, other) == [8, 10]


def _shifted(number: int, by: int) -> int:
    return number + by


def _shifts(number: int) -> int:
    return _shifted(number, 1) + _shifted(number, 2) + _shifted(number, number)


@pytest.mark.usefixtures("folder")
def test_a_function_is_compiled_once_whatever_constants_it_is_given() -> None:
    jit._shared_compiler.cache_clear()
    assert compile_bound(cast(FunctionType, _shifts), {}, "test")(5) == 23
    shifted: Any = jit._shared_compiler(frozenset()).rebuild(cast(FunctionType, _shifted))
    assert len(shifted.overloads) == 1
