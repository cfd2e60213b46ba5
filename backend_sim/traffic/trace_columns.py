"""Columns that a scenario names: a trace as somebody else's system writes it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from layerweaver.ir.sections import Section, refusal

__all__ = ["UNITS_NS", "TraceColumns"]

UNITS_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


class TraceColumns(Section):
    """Names of the columns of a trace; the unit is that of numbers, else their size says which."""

    time: str
    unit: Literal["s", "ms", "us", "ns"] | None = None
    tenant: str | None = None
    prompt: str | None = None
    output: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.prompt is None) != (self.output is None):
            missing = "prompt" if self.prompt is None else "output"
            raise refusal("lengths are of prompt and output; give both columns or none", missing)
        return self

    @property
    def tokens(self) -> tuple[str, ...]:
        """Columns of the prompt's and the output's tokens, if there are any."""
        return (self.prompt, self.output) if self.prompt is not None and self.output is not None else ()
