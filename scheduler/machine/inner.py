"""Functions that only compiled code calls, compiled without machine code of their own.

Numba optimises every function with all that it calls, and makes machine code of it, before its callers take
it in and optimise all of that again. Here a function stays as it was lowered until it is part of one that
Python or the linker asks for.

Importing this takes numba, half a second: only what compiles does.
"""

from __future__ import annotations

from typing import Any

from numba import _dynfunc  # type: ignore[attr-defined]
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering

__all__ = ["InnerCompiler"]

_NOWHERE = 0
"""Address of the code that Python would call."""


class _InnerLibrary(JITCodeLibrary):
    """Code to be linked into that of callers, as it was lowered."""

    def _optimize_final_module(self) -> None:
        """Left to the callers."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(NativeLowering):
    _name = "inner_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower a function, and tell compiled code of it."""
        state.library = _InnerLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)

        made, library = state["cr"], state.library
        module, name = made.fndesc.lookup_module(), made.fndesc.qualname
        called = _dynfunc.make_function(module, name, "", _NOWHERE, made.env, (library,))
        state.targetctx.insert_user_function(called, made.fndesc, [library])
        state["cr"] = made._replace(cfunc=called)
        return True


class InnerCompiler(CompilerBase):
    """Numba's usual passes with another end."""

    def define_pipelines(self) -> list[Any]:
        """One pipeline."""
        parts = DefaultPassBuilder
        passes = [
            *parts.define_untyped_pipeline(self.state).passes,
            *parts.define_typed_pipeline(self.state).passes,
            *parts.define_nopython_lowering_pipeline(self.state).passes,
        ]
        manager = PassManager("inner")
        for step, text in passes:
            manager.add_pass(_InnerLowering if step is NativeLowering else step, text)
        manager.finalize()
        return [manager]
