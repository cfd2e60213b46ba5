"""Branches and loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from layerweaver.frontend.model import OnnxNode
from layerweaver.frontend.propagate.values import Info

if TYPE_CHECKING:
    from layerweaver.frontend.propagate.walk import Scope, Walker

__all__ = ["CONTROL"]

_Control: TypeAlias = "Callable[[Walker, OnnxNode, Sequence[Info | None], Scope], Sequence[Info]]"

CONTROL: dict[str, _Control] = {}
"""Handlers of control-flow operators."""
