"""A chip known only by its times: what an iteration takes, as tables and linear terms in a YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from layerweaver.ir import ConfigError
from layerweaver.ir.documents import Count, Number, PositiveCount
from layerweaver.ir.sections import Section, refusal, validated
from layerweaver.ir.yaml_source import read_yaml

__all__ = ["Timings", "load_timings"]

_MAX_CYCLES = 1e15
_MAX_POINTS = 100_000


def _bounded(values: list[float], key: str) -> None:
    for value in values:
        if not 0 <= value <= _MAX_CYCLES:
            raise refusal(f"{value:g} cycles are not accepted; give 0 to {_MAX_CYCLES:g}", key)


def _ascending(points: list[int], values: list[float], key: str) -> None:
    if len(points) != len(values):
        raise refusal(f"{len(points)} {key} and {len(values)} cycles; give one time for each", "cycles")
    if any(after <= before for before, after in pairwise(points)):
        raise refusal("do not ascend; give every number once, ascending", key)
    _bounded(values, "cycles")


class TokenCycles(Section):
    """Cycles of all token rows together, by tokens."""

    tokens: Annotated[list[PositiveCount], Field(min_length=1, max_length=_MAX_POINTS)]
    cycles: Annotated[list[Number], Field(min_length=1, max_length=_MAX_POINTS)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _ascending(self.tokens, self.cycles, "tokens")
        return self


class SequenceCycles(Section):
    """Cycles of the head and of sampling, by sequences that emit."""

    sequences: Annotated[list[PositiveCount], Field(min_length=1, max_length=_MAX_POINTS)]
    cycles: Annotated[list[Number], Field(min_length=1, max_length=_MAX_POINTS)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _ascending(self.sequences, self.cycles, "sequences")
        return self


class AttentionCycles(Section):
    """Cycles of attention: linear terms."""

    fixed: Number = 0.0
    per_sequence: Number = 0.0
    per_context_token: Number = 0.0
    per_prefill_token: Number = 0.0
    per_prefill_pair: Number = 0.0
    per_prefill_square: Number = 0.0

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for key in type(self).model_fields:
            _bounded([getattr(self, key)], key)
        return self


class _TimingsFile(Section):
    name: str = "timings"
    clock_mhz: Number
    token_cycles: TokenCycles
    sequence_cycles: SequenceCycles | None = None
    attention_cycles: AttentionCycles = AttentionCycles()
    kv_bytes_per_token: Count | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Timings:
    """What an iteration takes on a chip that is known only by its times.

    Attributes:
        name: What the file calls it.
        clock_hz: Cycles per second.
        token_points: Numbers of tokens that were measured.
        token_cycles: Cycles at those.
        sequence_points: Numbers of emitting sequences that were measured; empty for none.
        sequence_cycles: Cycles at those.
        coefficients: Cycles of attention: fixed, per decoding sequence, per token of their contexts, and per
            token, per token times cached token and per squared token of a prompt's chunk.
    """

    name: str
    clock_hz: int
    token_points: NDArray[np.int64]
    token_cycles: NDArray[np.float64]
    sequence_points: NDArray[np.int64]
    sequence_cycles: NDArray[np.float64]
    coefficients: tuple[float, float, float, float, float, float]

    def by_tokens(self, most: int) -> NDArray[np.float64]:
        """Cycles of all token rows for 0 to ``most`` tokens, shape (most + 1,)."""
        return _tabulated(self.token_points, self.token_cycles, most)

    def by_sequences(self, most: int) -> NDArray[np.float64]:
        """Cycles of head and sampling for 0 to ``most`` emitting sequences, shape (most + 1,)."""
        return _tabulated(self.sequence_points, self.sequence_cycles, most)


def _tabulated(points: NDArray[np.int64], cycles: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Linear between the points, the last slope beyond them, the first value before them, 0 at 0."""
    table = np.zeros(most + 1)
    if not len(points):
        return table
    wanted = np.arange(1, most + 1)
    table[1:] = np.interp(wanted, points, cycles)
    if len(points) > 1:
        slope = (cycles[-1] - cycles[-2]) / (points[-1] - points[-2])
        beyond = wanted > points[-1]
        table[1:][beyond] = cycles[-1] + slope * (wanted[beyond] - points[-1])
    return np.maximum(table, 0.0)


def load_timings(path: str | Path) -> Timings:
    """Read a timings file.

    Raises:
        ConfigError: If the file or a key of it is wrong.
    """
    document = read_yaml(Path(path), ConfigError)
    given = validated(_TimingsFile, document, ConfigError)
    if not 1e-3 <= given.clock_mhz <= 9_000:
        raise ConfigError(
            f"a clock of {given.clock_mhz:g} MHz is not accepted",
            where=document.where(["clock_mhz"]),
            accepted="give 0.001 to 9000",
        )
    sequences = given.sequence_cycles
    attention = given.attention_cycles
    return Timings(
        name=given.name,
        clock_hz=round(given.clock_mhz * 1e6),
        token_points=np.array(given.token_cycles.tokens, np.int64),
        token_cycles=np.array(given.token_cycles.cycles, np.float64),
        sequence_points=np.array([] if sequences is None else sequences.sequences, np.int64),
        sequence_cycles=np.array([] if sequences is None else sequences.cycles, np.float64),
        coefficients=(
            attention.fixed,
            attention.per_sequence,
            attention.per_context_token,
            attention.per_prefill_token,
            attention.per_prefill_pair,
            attention.per_prefill_square,
        ),
    )
