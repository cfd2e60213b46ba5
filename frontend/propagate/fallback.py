"""What is assumed of a node whose outputs no rule can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from layerweaver.frontend.propagate.call import Call
from layerweaver.frontend.propagate.values import Info

if TYPE_CHECKING:
    from layerweaver.frontend.propagate.scope import Scope
    from layerweaver.frontend.propagate.walk import Walker

__all__ = ["guess"]


def guess(walker: Walker, call: Call, domain: str, scope: Scope, reason: str) -> Sequence[Info]:
    """Outputs as the file declares them, else of the first input's shape, with a warning."""
    outputs = []
    for name in call.node.outputs:
        info = walker.declared(name, scope)
        if info.shape is None and name not in walker.pinned and name:
            first = next(
                (found for found in call.inputs if found is not None and found.shape is not None), None
            )
            if first is None:
                call.note(f"{reason}; the shape of {name} is unknown")
            else:
                call.note(f"{reason}; {name} is taken to be of its first input's shape")
                info.shape, info.upper = first.shape, True
                if info.dtype.value == "undefined":
                    info.dtype = first.dtype
        outputs.append(info)
    return outputs
