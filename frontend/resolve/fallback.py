"""What is assumed of a node whose outputs no rule can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from layerweaver.frontend.node.registry import Operator
from layerweaver.frontend.node.values import Info, ShapeConflictError
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.resolve.onnx_inference import infer
from layerweaver.ir.dtypes import DType

__all__ = ["Promised", "guess", "withdraw"]


@dataclass(frozen=True, slots=True)
class Promised:
    """What is said of a node's outputs before anything is inferred.

    Attributes:
        declared: As the file declares them, fresh values in the order of the outputs.
        pinned: Shapes given by the user, by name.
    """

    declared: Sequence[Info]
    pinned: Mapping[str, tuple[int, ...]]


def guess(call: Call, entry: Operator | None, promised: Promised, reason: str) -> Sequence[Info]:
    """Outputs as the file declares them, else as ONNX infers them, else of the first input's shape.

    The last only for operators that nobody knows: where a known operator's shape depends on data, the
    first input's is no guess at all and the shape stays unknown. Each of these gives a warning.
    """
    known = entry is not None and entry.shape is not None
    inferred = () if known else infer(call)
    secondary = known and any(found is not None and found.shape is None for found in call.inputs)
    outputs = []
    for place, name in enumerate(call.node.outputs):
        info = promised.declared[place]
        if name and info.shape is None and place < len(inferred) and inferred[place] is not None:
            info = inferred[place] or info
        if name and info.shape is None and name not in promised.pinned:
            first = next(
                (found for found in call.inputs if found is not None and found.shape is not None), None
            )
            if known or first is None:
                if not secondary:
                    call.note(f"{reason}, so the shape of {name} is unknown; give --shape {name}=...")
            else:
                call.note(f"{reason}; {name} is taken to be of its first input's shape")
                info.shape, info.guessed = first.shape, True
        elif name and not known:
            call.note(f"{reason}; the shape of {name} is taken as declared")
        if info.dtype is DType.UNDEFINED:
            info.dtype = next((found.dtype for found in call.inputs if found is not None), info.dtype)
        outputs.append(info)
    return outputs


def withdraw(
    call: Call, entry: Operator | None, promised: Promised, conflict: ShapeConflictError
) -> Sequence[Info] | None:
    """Give up guessed shapes that do not fit ``call``; None when none of its inputs is a guess.

    The operators that nobody knows were warned about, so this is one warning more and no error.
    """
    guessed = [info for info in call.inputs if info is not None and info.guessed]
    if not guessed:
        return None
    for info in guessed:
        info.shape = info.value = None
    names = ", ".join(info.name for info in guessed)
    call.note(f"{conflict}; the shape of {names} had been guessed and is taken as unknown")
    return guess(call, entry, promised, str(conflict))
