"""Compiled functions on disk, between numba and the user's cache folder.

Numba's own cache lies beside the sources, where it keeps the folders of an uninstalled package alive, looks
only at the outermost function's file and fails on damaged entries; so its place in a dispatcher is taken by
:class:`Kept`. ``NUMBA_CACHE_DIR`` names another folder, as numba's users know it.
"""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

from layerweaver.ir.cache import Cache

__all__ = ["COMPILED", "Kept"]

COMPILED = Cache("compiled", most_bytes=1 << 28, variable="NUMBA_CACHE_DIR")
"""An entry has about one megabyte."""


class Kept:
    """What a dispatcher of numba asks of its cache.

    Args:
        name: Says everything that the function's code depends on, but for the types and the processor.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.cache_path = COMPILED.folder

    def is_known(self) -> bool:
        """Whether the disk has code of the function, for whatever types."""
        return COMPILED.has(self.name)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The code for the given types; None where it must be compiled."""
        entry = COMPILED.read(self._entry(signature, target.codegen()))
        if entry is None:
            return None
        from numba.core import compiler  # noqa: PLC0415 - half a second

        result: Any = compiler.CompileResult
        # Numba would load every operator it could compile first; code that is compiled needs none.
        return result._rebuild(target, *pickle.loads(entry))  # noqa: S301 - of our own folder

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep what was compiled."""
        from numba.core import serialize  # noqa: PLC0415

        if not compiled.library.has_dynamic_globals:
            dumps: Any = serialize.dumps
            COMPILED.write(self._entry(signature, compiled.library.codegen), dumps(compiled._reduce()))

    def flush(self) -> None:
        """Nothing is held back."""

    def _entry(self, signature: Any, codegen: Any) -> str:
        import numba  # noqa: PLC0415

        options: Any = numba.config
        asked = (str(signature), codegen.magic_tuple(), options.OPT, options.BOUNDSCHECK)
        return f"{self.name}-{hashlib.sha256(repr(asked).encode()).hexdigest()[:16]}"
