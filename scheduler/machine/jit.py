"""Compiling plain functions with numba, policy by policy, cached on disk.

A loop such as the engine's calls a policy's ``choose``, and both call other plain functions. :func:`bind`
makes a copy of the loop whose globals lead to the policy; :func:`compile_bound` does the same and compiles
it, callees included. The sources stay plain Python: uncompiled, the very same code runs for debugging.

An entry on disk is named by a digest of the code that takes part as this process loaded it, of its files, and
of the versions of Python, numba, llvmlite and NumPy: a stale entry can never be found.
"""

from __future__ import annotations

import builtins
import functools
import gc
import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any, TypeVar

from layerweaver.ir import PolicyError
from layerweaver.ir.elsewhere import import_elsewhere
from layerweaver.scheduler.machine.cache import Kept, Linked
from layerweaver.scheduler.machine.loaded import code_of_function, source_of, values_of
from layerweaver.scheduler.machine.outside import call_out, call_out_compiled

__all__ = [
    "apart",
    "bind",
    "compile_bound",
    "counted",
    "hand_over",
    "has_cache",
    "inlined",
    "load_numba",
    "mentions",
    "modules_of",
    "source_digest",
    "values_in",
]

Plain = TypeVar("Plain", bound=Callable[..., Any])


def inlined(function: Plain) -> Plain:
    """Mark a function of every decision, compiled into its caller.

    Replacements (a policy's ``choose``) need no mark: they are always compiled into their caller.
    """
    function.__dict__["inlined"] = True
    return function


def apart(function: Plain) -> Plain:
    """Mark a large function of few decisions, compiled once for all loops and kept on disk by itself.

    A loop's code holds only its symbol: it is neither compiled nor optimised again with every policy.
    """
    function.__dict__["apart"] = True
    return function


def counted(position: int) -> int:
    """An index that is never negative: compiled code does not look whether it counts from the end."""
    return position


def mentions(function: FunctionType, name: str) -> bool:
    """Whether a function, or one that it calls, has a name in its code: a variable's or an attribute's."""
    return any(name in reached.__code__.co_names for reached in _reachable(function, {}))


def modules_of(function: FunctionType) -> list[str]:
    """Names of the modules that define a function and those that it calls, ascending."""
    return sorted({str(reached.__module__) for reached in _reachable(function, {})})


def values_in(function: FunctionType) -> str:
    """The plain values that a function and those that it calls name, as they are now."""
    return str([values_of(reached) for reached in _reachable(function, {})])


def bind(function: FunctionType, replacements: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """A copy of ``function`` in which some global names lead elsewhere, also in the functions it calls."""
    return _Rebuilder(dict(replacements)).rebuild(function)


def load_numba() -> Any:
    """Numba, which takes half a second, without the settings of the present folder, now and later."""
    numba = import_elsewhere("numba")
    numba.config._config_fname = ""  # read again with every function that is compiled
    return numba


def compile_bound(
    function: FunctionType,
    replacements: Mapping[str, Callable[..., Any]],
    label: str,
    common: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
    *,
    apart_from_python: bool = False,
) -> Callable[..., Any]:
    """A compiled copy of ``function``, cached on disk under ``label`` and the digest of all sources.

    Args:
        function: The outermost function; its callees are part of it, but for those marked :func:`apart`.
        replacements: Global names of ``function`` or of its callees, and what they shall be.
        label: Part of the cache's file name, for readers of the directory.
        common: Further replacements, the same for many loops: what only they reach is compiled once.
        apart_from_python: Whether other threads go on while it runs.

    Returns:
        The copy; uncompiled if ``NUMBA_DISABLE_JIT`` is set, for a debugger.
    """
    every, numba = {**common, **replacements}, load_numba()
    if numba.config.DISABLE_JIT:
        return bind(function, every)
    compiler = _Compiler(every, _shared_compiler(frozenset(common.items())))
    compiled: Callable[..., Any] = numba.njit(**_OPTIONS, nogil=apart_from_python)(compiler.copy(function))
    compiled._cache = compiler.place(function, label)  # type: ignore[attr-defined]
    compiled.compile = _uncollected(compiled.compile)  # type: ignore[attr-defined]
    return compiled


def hand_over(given: Any) -> Any:
    """A named tuple of arrays and records in the form that compiled code takes, which shares their memory."""
    if load_numba().config.DISABLE_JIT:
        return given
    from layerweaver.scheduler.machine.handed import Handed  # noqa: PLC0415

    return Handed(given)


def has_cache(compiled: Callable[..., Any]) -> bool:
    """Whether the disk cache knows a function of :func:`compile_bound`; errs only by a needless notice."""
    kept: Any = getattr(compiled, "_cache", None)
    return isinstance(kept, Kept) and kept.is_known()


def _uncollected(compile_for: Callable[..., Any]) -> Callable[..., Any]:
    """Compiling makes millions of objects, few of them garbage; looking for it takes a tenth of the time."""

    @functools.wraps(compile_for)
    def compile_at_once(types: tuple[Any, ...]) -> Any:
        was_collecting = gc.isenabled()
        gc.disable()
        try:
            return compile_for(types)
        finally:
            if was_collecting:
                gc.enable()

    return compile_at_once


def _for_any_value(compile_for: Callable[..., Any]) -> Callable[..., Any]:
    """Numba would compile a function anew for every constant that it is given."""
    from numba.core import types as numba_types  # noqa: PLC0415

    unliteral: Any = numba_types.unliteral
    return lambda types: compile_for(tuple(unliteral(kind) for kind in types))


_HANDED = str(Path(__file__).with_name("handed.py"))
"""Makes a part of what is compiled."""

_OPTIONS = {"error_model": "numpy", "_nrt": False}

_INNER = _OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Of a function that only compiled code calls."""

_OF_OTHERS = {"error_model": "python", "boundscheck": True}
"""What a policy of others divides by zero or reads outside of an array is said, as it would be uncompiled."""


def source_digest(function: FunctionType, replacements: Mapping[str, Callable[..., Any]]) -> str:
    """Digest of a function and everything it calls, of their source files, and of the tools' versions."""
    numba = load_numba()
    import llvmlite  # noqa: PLC0415
    import numpy  # noqa: PLC0415

    every = _reachable(function, replacements)
    digest = hashlib.sha256()
    for version in (platform.python_version(), numba.__version__, llvmlite.__version__, numpy.__version__):
        digest.update(version.encode() + b"\0")
    modules = {reached.__code__.co_filename: reached.__globals__ for reached in every}
    modules |= dict.fromkeys((__file__, _HANDED), globals())
    for file in sorted(modules):
        digest.update(f"{file}={source_of(file, modules[file])}\0".encode())
    digest.update("\0".join(sorted(map(code_of_function, every))).encode())
    names = sorted(f"{name}={target.__qualname__}" for name, target in replacements.items())
    # Compiled code imports its module by name, and that of a policy's file is made of its whole path.
    names += sorted({str(reached.__module__) for reached in every})
    digest.update("\0".join(names).encode())
    return digest.hexdigest()[:16]


def _called(function: FunctionType, replacements: Mapping[str, Any]) -> Iterator[tuple[str, FunctionType]]:
    """Plain functions that a function refers to by global name, ascending by name."""
    for name in sorted(set(function.__code__.co_names)):
        target = replacements.get(name, function.__globals__.get(name))
        if isinstance(target, FunctionType) and not hasattr(builtins, name):
            yield name, target


def _reachable(function: FunctionType, replacements: Mapping[str, Any]) -> list[FunctionType]:
    seen: dict[FunctionType, None] = {}
    waiting = [function]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen[current] = None
        waiting.extend(target for _, target in _called(current, replacements))
    return list(seen)


class _Rebuilder:
    """Copies functions with other globals, each once."""

    def __init__(self, replacements: dict[str, Callable[..., Any]]) -> None:
        self._replacements = replacements
        self._done: dict[FunctionType, Callable[..., Any]] = {}
        self._open: set[FunctionType] = set()

    def rebuild(self, function: FunctionType) -> Callable[..., Any]:
        if function not in self._done:
            if function in self._open:
                raise PolicyError("calls itself", where=function.__qualname__, accepted="use a loop")
            self._open.add(function)
            self._done[function] = self.wrap(function, self.copy(function))
            self._open.discard(function)
        return self._done[function]

    def wrap(self, function: FunctionType, copy: FunctionType) -> Callable[..., Any]:  # noqa: ARG002
        """What stands for a function in those that call it."""
        return copy

    def copy(self, function: FunctionType) -> FunctionType:
        names = dict(function.__globals__)
        for name, target in _called(function, self._replacements):
            names[name] = self.rebuild(target)
        copy = FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, function.__closure__
        )
        copy.__kwdefaults__ = function.__kwdefaults__
        copy.__qualname__ = function.__qualname__
        copy.__module__ = function.__module__
        copy.__dict__.update(function.__dict__)
        if function in self._replacements.values():
            inlined(copy)
        return copy


class _Compiler(_Rebuilder):
    """Compiles the copies.

    Args:
        replacements: As for :func:`compile_bound`, the common ones included.
        shared: Compiles the functions that only the common ones change.
    """

    def __init__(self, replacements: dict[str, Callable[..., Any]], shared: _Compiler | None = None) -> None:
        super().__init__(replacements)
        self._shared = shared
        known = shared._replacements if shared is not None else {}
        self._own = {name: target for name, target in replacements.items() if known.get(name) is not target}
        self._linked: dict[FunctionType, Linked] = {}

    def rebuild(self, function: FunctionType) -> Callable[..., Any]:
        if self._shared is not None and not self._is_own(function):
            return self._shared.rebuild(function)
        return super().rebuild(function)

    def _is_own(self, function: FunctionType) -> bool:
        if function in self._own.values():
            return True
        reached = _reachable(function, self._replacements)
        return any(not self._own.keys().isdisjoint(item.__code__.co_names) for item in reached)

    def wrap(self, function: FunctionType, copy: FunctionType) -> Callable[..., Any]:
        if function is counted:
            import numpy  # noqa: PLC0415

            return numpy.uint64
        if function is call_out:
            return call_out_compiled()  # type: ignore[no-any-return]
        njit = load_numba().njit
        if "apart" in function.__dict__:
            self._linked[function] = Linked(njit(**_INNER)(copy), self.place(function))
            return self._linked[function].caller  # type: ignore[no-any-return]
        from layerweaver.scheduler.machine.inner import InnerCompiler  # noqa: PLC0415

        options = _INNER | {"pipeline_class": InnerCompiler, "forceinline": "inlined" in copy.__dict__}
        if not function.__module__.startswith("layerweaver."):
            options |= _OF_OTHERS
        made = njit(**options)(copy)
        made.compile = _for_any_value(made.compile)
        return made  # type: ignore[no-any-return]

    def place(self, function: FunctionType, label: str = "") -> Kept:
        """Where a function is kept that was copied."""
        linked = (self._shared._linked if self._shared is not None else {}) | self._linked
        reached = _reachable(function, self._replacements)
        readable = "".join(c if c.isalnum() else "_" for c in f"{function.__name__}_{label}")
        digest = source_digest(function, self._replacements)
        called = [linked[item] for item in reached if item in linked and item is not function]
        return Kept(f"{readable[:60]}-{digest}", called)


@functools.cache
def _shared_compiler(common: frozenset[tuple[str, Callable[..., Any]]]) -> _Compiler:
    """What no policy changes is compiled once in a process."""
    return _Compiler(dict(common))
