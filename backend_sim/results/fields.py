"""What the types of all results have in common."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field

__all__ = ["ENERGY_COUNTS", "LENIENT", "Count", "Share"]

LENIENT = ConfigDict(extra="allow", allow_inf_nan=False)
"""Results of other versions may have further keys."""

Share: TypeAlias = float | None
Count: TypeAlias = Annotated[int, Field(ge=0)]

ENERGY_COUNTS = (
    "MACs, vector operations, DRAM bytes and, once a layer, on-chip bytes, each times the config's constant; "
    "not counted: leakage, control, and what the array fetches twice"
)
