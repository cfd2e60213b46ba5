"""What is assumed of a node whose outputs no rule can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerweaver.frontend.propagate.call import RULES, Call
from layerweaver.frontend.propagate.schema import infer
from layerweaver.frontend.propagate.values import Info
from layerweaver.ir.dtypes import DType

if TYPE_CHECKING:
    from layerweaver.frontend.propagate.scope import Scope
    from layerweaver.frontend.propagate.walk import Walker

__all__ = ["guess"]


def guess(walker: Walker, call: Call, domain: str, scope: Scope, reason: str) -> Sequence[Info]:
    """Outputs as the file declares them, else as ONNX infers them, else of the first input's shape.

    The last only for operators that nobody knows: where a known operator's shape depends on data, the
    first input's is no guess at all and the shape stays unknown. Each of these gives a warning.
    """
    known = (domain, call.op) in RULES
    inferred = () if known else infer(call, domain)
    secondary = known and any(found is not None and found.shape is None for found in call.inputs)
    outputs = []
    for place, name in enumerate(call.node.outputs):
        info = walker.declared(name, scope)
        if name and info.shape is None and place < len(inferred) and inferred[place] is not None:
            info = inferred[place] or info
        if name and info.shape is None and name not in walker.pinned:
            first = next(
                (found for found in call.inputs if found is not None and found.shape is not None), None
            )
            if known or first is None:
                if not secondary:
                    call.note(f"{reason}, so the shape of {name} is unknown; give --shape {name}=...")
            else:
                call.note(f"{reason}; {name} is taken to be of its first input's shape")
                info.shape = first.shape
        elif name and not known:
            call.note(f"{reason}; the shape of {name} is taken as declared")
        if info.dtype is DType.UNDEFINED:
            info.dtype = next((found.dtype for found in call.inputs if found is not None), info.dtype)
        outputs.append(info)
    return outputs
