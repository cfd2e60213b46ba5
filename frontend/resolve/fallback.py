"""What is assumed of a node whose outputs no rule can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from layerweaver.frontend.node.registry import Operator
from layerweaver.frontend.node.values import Cause, Info, ShapeConflictError
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.resolve.onnx_inference import infer
from layerweaver.frontend.resolve.order import node_label
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
    first input's is no guess at all and the shape stays unknown.
    """
    known = entry is not None and entry.shape is not None
    inferred = () if known else infer(call)
    outputs = []
    for place, name in enumerate(call.node.outputs):
        info = promised.declared[place]
        if name and info.shape is None and place < len(inferred) and inferred[place] is not None:
            info = inferred[place] or info
        if name and info.shape is None and name not in promised.pinned:
            first = next(
                (found for found in call.inputs if found is not None and found.shape is not None), None
            )
            if not known and first is not None:
                what = f"{reason}; {name} is taken to be of its first input's shape"
                call.note(what)
                info.shape, info.guessed = first.shape, True
                info.cause = Cause(f"{node_label(call.node)}: {what}", f"give --shape {name}=...")
        elif name and not known:
            call.note(f"{reason}; the shape of {name} is taken as declared")
        if info.dtype is DType.UNDEFINED:
            info.dtype = next((found.dtype for found in call.inputs if found is not None), info.dtype)
        outputs.append(info)
    return outputs


def withdraw(
    call: Call, entry: Operator | None, promised: Promised, conflict: ShapeConflictError
) -> Sequence[Info] | None:
    """Give up guessed and bounded shapes that do not fit ``call``; None when all its inputs are certain.

    What was guessed or bounded was warned about, so this is one warning more and no error.
    """
    doubtful = [info for info in call.inputs if info is not None and (info.guessed or info.upper)]
    if not doubtful:
        return None
    guessed = any(info.guessed for info in doubtful)
    for info in doubtful:
        info.shape = info.value = None
    names = ", ".join(info.name for info in doubtful)
    assumed = "guessed" if guessed else "bounded"
    call.note(f"{conflict}; the shape of {names} had been {assumed} and is taken as unknown")
    return guess(call, entry, promised, str(conflict))
