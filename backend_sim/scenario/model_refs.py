"""Models that a scenario takes from tables: own costs and schedule profiles."""

from __future__ import annotations

from pydantic import field_validator

from layerweaver.ir.limits import MAX_BATCH
from layerweaver.ir.sections import Section, refusal

__all__ = ["CostsRef", "ProfileRef"]

_SIZE_DIGITS = len(str(MAX_BATCH))


class ProfileRef(Section):
    """An entry of a schedule profile."""

    profile: str
    entry: str | None = None


class CostsRef(Section):
    """Own costs: one CSV, or one per batch size."""

    costs: str | dict[str, str]

    @field_validator("costs")
    @classmethod
    def _by_batch(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        for size in value if isinstance(value, dict) else ():
            if not size.isdecimal() or not size.isascii() or size.startswith("0") or len(size) > _SIZE_DIGITS:
                raise refusal(f"{size[:20]!r} is not a batch size; give {{1: one.csv, 8: eight.csv}}")
        return value

    @property
    def sizes(self) -> tuple[int, ...]:
        """Batch sizes that have a table of their own, ascending; none where one is for all."""
        return () if isinstance(self.costs, str) else tuple(sorted(map(int, self.costs)))
