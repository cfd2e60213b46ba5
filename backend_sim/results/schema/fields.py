"""What the types of all results have in common."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field

__all__ = ["LENIENT", "Count", "Share"]

LENIENT = ConfigDict(extra="allow", allow_inf_nan=False)
"""Results of other versions may have further keys."""

Share: TypeAlias = float | None
Count: TypeAlias = Annotated[int, Field(ge=0)]
