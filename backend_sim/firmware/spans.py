"""Integers of a translated program: between which bounds each lies, and which C type holds it.

Every expression is computed in 32 bits where its operands and its result fit, else in 64. Bounds come from
the tables, so the same policy needs wider arithmetic for larger models only.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BOOLEAN",
    "INT32",
    "INT64",
    "POSITION",
    "SIZES",
    "TIME",
    "Number",
    "Span",
    "constant",
    "literal",
    "storage_type",
]

TIME, POSITION = "time", "position"
"""Kinds of integers: a cycle counted from the scheduler's epoch, and a position in the list of fetches, which
begins again before it could leave 32 bits."""


@dataclass(frozen=True, slots=True)
class Span:
    """All integers from ``low`` to ``high``."""

    low: int
    high: int

    def join(self, other: Span) -> Span:
        """The least span that holds both."""
        return Span(min(self.low, other.low), max(self.high, other.high))

    def holds(self, other: Span) -> bool:
        """Whether the other lies within."""
        return self.low <= other.low and other.high <= self.high

    def times(self, factor: int) -> Span:
        """All integers times one that is not negative."""
        return Span(self.low * factor, self.high * factor)

    def clamped(self) -> Span:
        """What 64 bits hold of it; the engine refuses input for which arithmetic would leave them."""
        return Span(max(INT64.low, min(INT64.high, self.low)), min(INT64.high, max(INT64.low, self.high)))

    def widened(self, before: Span) -> Span:
        """This span grown to the next bound of interest where it grew since ``before``, so that loops end."""
        low, high = self.low, self.high
        if low < before.low:
            low = next(bound for bound in _LOWER if bound <= low)
        if high > before.high:
            high = next(bound for bound in _UPPER if bound >= high)
        return Span(low, high)


INT32 = Span(-(2**31), 2**31 - 1)
INT64 = Span(-(2**63), 2**63 - 1)
BOOLEAN = Span(0, 1)
_LOWER = (0, INT32.low, -(2**62), INT64.low)
_UPPER = (0, INT32.high, 2**62, INT64.high)

_STORED = (
    ("uint8_t", Span(0, 2**8 - 1)),
    ("uint16_t", Span(0, 2**16 - 1)),
    ("int32_t", INT32),
    ("uint32_t", Span(0, 2**32 - 1)),
    ("int64_t", INT64),
)

SIZES = {"uint8_t": 1, "uint16_t": 2, "int32_t": 4, "uint32_t": 4, "int64_t": 8}
"""Bytes of the C types."""


def storage_type(span: Span) -> str:
    """The smallest C type of a table or a state that holds a span."""
    return next(name for name, held in _STORED if held.holds(span))


@dataclass(frozen=True, slots=True)
class Number:
    """An integer expression in C.

    Attributes:
        text: The expression, in brackets if it is compound.
        span: Between which bounds it lies.
        wide: Whether its C type is ``int64_t``; else ``int32_t`` (or ``int``).
        boolean: Whether it is a truth value.
        calls: Whether computing it calls a function of the policy, which may change something.
        kind: :data:`TIME`, :data:`POSITION`, or nothing: just a number.
    """

    text: str
    span: Span
    wide: bool = False
    boolean: bool = False
    calls: bool = False
    kind: str = ""

    @property
    def value(self) -> int | None:
        """Its value, if it can have one only and computing it changes nothing."""
        return self.span.low if self.span.low == self.span.high and not self.calls else None

    def times(self, factor: int) -> Number:
        """The expression times one number that is not negative."""
        if self.value is not None:
            return constant(self.value * factor)
        span = self.span.times(factor)
        wide = not INT32.holds(span)
        return Number(f"({self.as_type(wide)} * {factor})", span, wide=wide)

    def as_type(self, wide: bool) -> str:
        """The expression in a type; narrowing loses nothing where the span fits."""
        if self.value is not None:
            return literal(self.value, wide=wide)
        if wide == self.wide:
            return self.text
        if not wide:
            return f"(int32_t){self.text}"
        return f"(int64_t){'(uint32_t)' if self.span.low >= 0 else ''}{self.text}"


def literal(value: int, *, wide: bool = False) -> str:
    """An integer constant in C."""
    if INT32.low < value <= INT32.high:
        text = f"INT64_C({abs(value)})" if wide else str(abs(value))
        return text if value >= 0 else f"(-{text})"
    if value == INT64.low:
        return "INT64_MIN"
    return f"INT64_C({value})" if value >= 0 else f"(-INT64_C({-value}))"


def constant(value: int, *, boolean: bool = False) -> Number:
    """A known integer."""
    span = Span(value, value)
    return Number(literal(value), span, wide=not (INT32.low < value <= INT32.high), boolean=boolean)
