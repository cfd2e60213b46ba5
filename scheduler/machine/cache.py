"""Compiled functions on disk, between numba and the user's cache folder.

Numba's own cache lies beside the sources, where it keeps the folders of an uninstalled package alive, looks
only at the outermost function's file and fails on damaged entries; so its place in a dispatcher is taken by
:class:`Kept`. ``NUMBA_CACHE_DIR`` names another folder, as numba's users know it.

What many loops call is an entry of its own, see :class:`Linked`: a caller's code holds only its symbol, which
is the name of that entry, and whoever loads the caller has its symbols defined first.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from layerweaver.ir.cache import Cache

__all__ = ["COMPILED", "Kept", "Linked"]

COMPILED = Cache("compiled", most_bytes=1 << 28, variable="NUMBA_CACHE_DIR")
"""An entry has about one megabyte."""

_DEFINED: dict[str, Any] = {}
"""What numba compiled, by symbol. Symbols are the process's own, and their code must stay where it is."""


class Kept:
    """What a dispatcher of numba asks of its cache.

    Args:
        name: Says everything that the function's code depends on, but for the types and the processor.
        links: Linked functions that it may call.
    """

    def __init__(self, name: str, links: Sequence[Linked] = ()) -> None:
        self.name = name
        self.cache_path = COMPILED.folder
        self._links = {link.name: link for link in links}

    def is_known(self) -> bool:
        """Whether the disk has code of the function, for whatever types."""
        return COMPILED.has(self.name)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The code for the given types; None where it must be compiled."""
        entry = COMPILED.read(self.entry(signature, target.codegen()))
        try:
            return None if entry is None else self._rebuilt(entry, target)
        except Exception:  # noqa: BLE001 - an entry of other code may break anything
            return None

    def _rebuilt(self, entry: bytes, target: Any) -> Any:
        """The code of an entry, and what it calls."""
        from numba.core import compiler  # noqa: PLC0415 - half a second

        needed, made = pickle.loads(entry)  # noqa: S301 - of our own folder
        for name, types in needed:
            self._links[name].link(types)
        result: Any = compiler.CompileResult
        # Numba would load every operator it could compile first; code that is compiled needs none.
        return result._rebuild(target, *made)

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep what was compiled."""
        from numba.core import serialize  # noqa: PLC0415

        if not compiled.library.has_dynamic_globals:
            dumps: Any = serialize.dumps
            needed = tuple((link.name, types) for link in self._links.values() for types in link.linked)
            COMPILED.write(
                self.entry(signature, compiled.library.codegen), dumps((needed, compiled._reduce()))
            )

    def flush(self) -> None:
        """Nothing is held back."""

    def entry(self, signature: Any, codegen: Any) -> str:
        """Name of the entry for the given types."""
        import numba  # noqa: PLC0415

        options: Any = numba.config
        asked = (str(signature), codegen.magic_tuple(), options.OPT, options.BOUNDSCHECK)
        return f"{self.name}-{hashlib.sha256(repr(asked).encode()).hexdigest()[:16]}"


class Linked:
    """A function that is compiled once, for all the compiled code that calls it.

    Args:
        dispatcher: The function.
        kept: Its place on disk.

    Attributes:
        name: That of its place.
        linked: Types of arguments for which it was asked.
    """

    def __init__(self, dispatcher: Any, kept: Kept) -> None:
        self.name = kept.name
        self.linked: list[tuple[Any, ...]] = []
        self._dispatcher = dispatcher
        self._kept = kept
        dispatcher._cache = kept

    def link(self, types: tuple[Any, ...]) -> tuple[str, Any]:
        """Define the symbol for arguments of these types; the symbol, and the type that it returns."""
        import llvmlite.binding as llvm  # noqa: PLC0415

        symbol = self._kept.entry(types, self._dispatcher.targetctx.codegen())
        if symbol not in _DEFINED:
            self._dispatcher.compile(types)
            made = self._dispatcher.overloads[types]
            llvm.add_symbol(symbol, made.library.get_pointer_to_function(made.fndesc.llvm_func_name))
            _DEFINED[symbol] = made
        if types not in self.linked:
            self.linked.append(types)
        return symbol, _DEFINED[symbol].signature.return_type

    @functools.cached_property
    def caller(self) -> Any:
        """What stands for the function in code that numba compiles."""
        from numba.core import cgutils  # noqa: PLC0415
        from numba.core import types as numba_types  # noqa: PLC0415
        from numba.extending import intrinsic  # noqa: PLC0415

        build: Any = cgutils
        unliteral: Any = numba_types.unliteral

        def typed(context: Any, *arguments: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ARG001
            types = tuple(unliteral(kind) for kind in arguments)
            symbol, returned = self.link(types)

            def call(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                convention, returns, takes = context.call_conv, signature.return_type, signature.args
                kind = convention.get_function_type(returns, takes)
                function = build.get_or_insert_function(builder.module, kind, symbol)
                status, result = convention.call_function(builder, function, returns, takes, values)
                with build.if_unlikely(builder, status.is_error):
                    convention.return_status_propagate(builder, status)
                return result

            return returned(*types), call

        own = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(self._dispatcher.py_func).parameters.values()
        typed.__signature__ = inspect.Signature([own, *parameters])  # type: ignore[attr-defined]
        return intrinsic(typed)
