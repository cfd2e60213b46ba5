"""A call out of compiled code: to a Python function whose address is known only at run time.

An address is a number in a record, so that compiled code which calls one can be kept on disk. What the
function raises cannot pass through compiled code: whoever makes it catches everything (:func:`outside`).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

__all__ = ["call_out", "call_out_compiled", "outside"]

_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def outside(function: Callable[[int, int], int]) -> tuple[int, object]:
    """A function's address, and what has to be kept for as long as the address is in use."""
    kept = _FUNCTION(function)
    return ctypes.cast(kept, ctypes.c_void_p).value or 0, kept


def call_out(address: int, given: int, room: int) -> int:
    """Call the function at an address.

    Args:
        address: As :func:`outside` gives it.
        given: Its first argument, the address of what it is given.
        room: Its second argument, the address of where its answer goes.
    """
    return int(_FUNCTION(address)(given, room))


@functools.cache
def call_out_compiled() -> Any:
    """What stands for :func:`call_out` in code that numba compiles."""
    from llvmlite import ir  # noqa: PLC0415 - half a second
    from numba.core import types  # noqa: PLC0415
    from numba.extending import intrinsic  # noqa: PLC0415

    def typed(context: Any, address: Any, given: Any, room: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ARG001
        word = ir.IntType(64)

        def call(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ARG001
            kind = ir.FunctionType(word, [word, word])
            return builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])

        return types.int64(types.int64, types.int64, types.int64), call

    return intrinsic(typed)
