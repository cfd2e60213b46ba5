"""Arithmetic and comparisons of numbers whose bounds are known, as C expressions.

Results equal Python's for every value: ``//`` and ``%`` round down, and arithmetic is as wide as its result.
"""

from __future__ import annotations

import ast
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from layerweaver.backend_sim.firmware.spans import (
    BOOLEAN,
    INT32,
    INT64,
    POSITION,
    TIME,
    Number,
    Span,
    constant,
)
from layerweaver.ir import PolicyError
from layerweaver.scheduler.machine.view import NEVER

__all__ = ["ARITHMETIC", "COMPARED", "Arithmetic", "all_of", "any_of", "negated"]

ARITHMETIC = "policies of whole numbers: + - * // % << >> & | ^, comparisons, min, max, abs"

_ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[[int, int], int]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.FloorDiv: ("/", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.LShift: ("<<", operator.lshift),
    ast.RShift: (">>", operator.rshift),
    ast.BitAnd: ("&", operator.and_),
    ast.BitOr: ("|", operator.or_),
    ast.BitXor: ("^", operator.xor),
}
COMPARED: dict[type[ast.cmpop], tuple[str, Callable[[int, int], bool]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
}
_MOST_SHIFTED = 62
_EPOCH = Number("lw->epoch", Span(0, NEVER), wide=True)
_POSITIONS = Span(-1, INT32.high)


class Arithmetic(ABC):
    """Operations on numbers, which are refused where C cannot give what Python gives."""

    @abstractmethod
    def refusal(self, node: ast.AST, what: str, accepted: str = ARITHMETIC) -> PolicyError:
        """An error that says what cannot be translated."""

    def _absolute(self, number: Number) -> Number:
        """A number as Python has it: times count from cycle 0."""
        if number.kind != TIME:
            return number
        return self._plain_binary(_EPOCH, ast.Add(), replace(number, kind=""))

    def _as_kind(self, number: Number, kind: str) -> Number:
        """A number as another kind has it."""
        if kind == TIME and number.kind != TIME:
            return replace(self._plain_binary(number, ast.Sub(), _EPOCH), kind=TIME)
        return number if kind == TIME else self._absolute(number)

    def _alike(self, a: Number, b: Number) -> tuple[Number, Number]:
        """Two numbers that can be compared: both times, or none of them."""
        if a.kind == TIME and b.kind == TIME:
            return a, b
        return self._absolute(a), self._absolute(b)

    def _bounded(self, node: ast.AST, value: int) -> Number:
        if not INT64.low <= value <= INT64.high:
            raise self.refusal(node, f"{value} does not fit 64 bits")
        return constant(value)

    def _unary(self, node: ast.AST, op: ast.unaryop, value: Number) -> Number:
        match op:
            case ast.USub():
                return self._binary(node, constant(0), ast.Sub(), value)
            case ast.Invert():
                return self._binary(node, constant(-1), ast.Sub(), value)
        return value

    def _binary(self, node: ast.AST, left: Number, op: ast.operator, right: Number) -> Number:
        if isinstance(op, ast.Div):
            raise self.refusal(node, "/ is floating point", f"// of whole numbers; {ARITHMETIC}")
        if isinstance(op, ast.Pow) and left.value is not None and right.value is not None:
            return self._power(node, left.value, right.value)
        if type(op) not in _ARITHMETIC:
            raise self.refusal(node, f"{type(op).__name__} is not translated")
        sign, compute = _ARITHMETIC[type(op)]
        if isinstance(op, (ast.LShift, ast.RShift)):
            return self._shifted(node, self._absolute(left), op, self._absolute(right))
        kind = _kind_of(op, left, right)
        if kind == "" and not (isinstance(op, ast.Sub) and left.kind == right.kind):
            left, right = self._absolute(left), self._absolute(right)
        if left.value is not None and right.value is not None:
            if right.value == 0 and sign in "/%":
                raise self.refusal(node, "division by zero", "another divisor")
            return replace(self._bounded(node, compute(left.value, right.value)), kind=kind)
        result = replace(self._plain_binary(left, op, right), kind=kind)
        if kind == POSITION and not result.wide:
            return result
        if kind == POSITION:
            at, by = left.as_type(False), right.as_type(False)
            return Number(f"({at} {sign} {by})", _POSITIONS, calls=left.calls, kind=kind)
        return result

    def _plain_binary(self, left: Number, op: ast.operator, right: Number) -> Number:
        """Arithmetic of two numbers of which at least one is no constant."""
        sign = _ARITHMETIC[type(op)][0]
        span = _span_of(op, left.span, right.span).clamped()
        wide = not all(INT32.holds(item) for item in (span, left.span, right.span))
        calls = left.calls or right.calls
        a, b = left.as_type(wide), right.as_type(wide)
        if sign in "/%" and (left.span.low < 0 or right.span.low <= 0):
            name = "lw_floor_divide" if sign == "/" else "lw_floor_remainder"
            a, b = left.as_type(True), right.as_type(True)
            return Number(f"{name}({a}, {b})", span, wide=True, calls=calls)
        if sign in "/%" and wide:
            name = "lw_divide" if sign == "/" else "lw_remainder"
            return Number(f"{name}({a}, {b})", span, wide=True, calls=calls)
        return Number(f"({a} {sign} {b})", span, wide=wide, calls=calls)

    def _power(self, node: ast.AST, base: int, exponent: int) -> Number:
        if not 0 <= exponent <= _MOST_SHIFTED:
            raise self.refusal(node, f"a power of {exponent} is not translated", "constants from 0 to 62")
        return self._bounded(node, base**exponent)

    def _shifted(self, node: ast.AST, left: Number, op: ast.operator, right: Number) -> Number:
        by = right.value
        if by is None or not 0 <= by <= _MOST_SHIFTED:
            raise self.refusal(
                node, "shifts by what is not a constant from 0 to 62 are not translated", "// or *"
            )
        if isinstance(op, ast.LShift):
            return self._binary(node, left, ast.Mult(), constant(1 << by))
        if left.value is None and left.span.low >= 0:
            text = f"({left.text} >> {by})"
            return Number(
                text, Span(left.span.low >> by, left.span.high >> by), wide=left.wide, calls=left.calls
            )
        return self._binary(node, left, ast.FloorDiv(), constant(1 << by))

    def _comparison(self, left: Number, op: type[ast.cmpop], right: Number) -> Number:
        sign, compare = COMPARED[op]
        left, right = self._alike(left, right)
        calls = left.calls or right.calls
        if left.text == right.text and not calls:
            return constant(int(compare(0, 0)), boolean=True)
        if not calls:
            corners = {
                compare(a, b)
                for a in (left.span.low, left.span.high)
                for b in (right.span.low, right.span.high)
            }
            if len(corners) == 1 and (
                op not in (ast.Eq, ast.NotEq)
                or left.span.high < right.span.low
                or right.span.high < left.span.low
                or (left.value is not None and right.value is not None)
            ):
                return constant(int(corners.pop()), boolean=True)
        wide = not (INT32.holds(left.span) and INT32.holds(right.span))
        text = f"({left.as_type(wide)} {sign} {right.as_type(wide)})"
        return Number(text, BOOLEAN, boolean=True, calls=calls)

    def _extreme(self, values: list[Number], *, least: bool) -> Number:
        result = values[0]
        pick: Callable[..., Any] = min if least else max
        for following in values[1:]:
            result, value = self._alike(result, following)
            span = Span(pick(result.span.low, value.span.low), pick(result.span.high, value.span.high))
            if not (result.calls or value.calls):
                decided = _decided(result, value, least)
                if decided is not None:
                    result = decided
                    continue
            wide = not (INT32.holds(result.span) and INT32.holds(value.span))
            name = f"lw_{'least' if least else 'most'}_{64 if wide else 32}"
            text = f"{name}({result.as_type(wide)}, {value.as_type(wide)})"
            result = Number(text, span, wide=wide, calls=result.calls or value.calls, kind=result.kind)
        return result


def _kind_of(op: ast.operator, left: Number, right: Number) -> str:
    """What a time or a position and another number make, if it is a time or a position again."""
    kinds = left.kind, right.kind
    match op:
        case ast.Add() if TIME in kinds and left.kind != right.kind:
            return TIME
        case ast.Sub() if left.kind == TIME and right.kind != TIME:
            return TIME
        case ast.Add() | ast.Sub() if left.kind == POSITION and right.value in (1, -1):
            return POSITION
    return ""


def _decided(a: Number, b: Number, least: bool) -> Number | None:
    """The one of two that is the extreme whatever they are."""
    low, high = (a, b) if least else (b, a)
    if low.span.high <= high.span.low:
        return a
    if high.span.high <= low.span.low:
        return b
    return None


def all_of(parts: list[Number]) -> Number:
    """Conditions joined by and; those that are known are left out."""
    return _connected(parts, "&&", 1)


def any_of(parts: list[Number]) -> Number:
    """Conditions joined by or; those that are known are left out."""
    return _connected(parts, "||", 0)


def negated(part: Number) -> Number:
    """What is true where a condition is not."""
    if part.value is not None:
        return constant(int(not part.value), boolean=True)
    return Number(f"(!{part.text})", BOOLEAN, boolean=True, calls=part.calls)


def _connected(parts: list[Number], sign: str, empty: int) -> Number:
    """What decides is the last that is looked at; what is called before it is called all the same."""
    asked: list[Number] = []
    for part in parts:
        if part.value is None:
            asked.append(part)
        elif part.value != empty:
            if not any(before.calls for before in asked):
                return part
            asked.append(part)
            break
    if not asked:
        return constant(empty, boolean=True)
    if len(asked) == 1:
        return asked[0]
    text = f" {sign} ".join(part.text for part in asked)
    return Number(f"({text})", BOOLEAN, boolean=True, calls=any(part.calls for part in asked))


def _span_of(op: ast.operator, a: Span, b: Span) -> Span:
    """Bounds of a result, from those of its operands."""
    match op:
        case ast.Add():
            return Span(a.low + b.low, a.high + b.high)
        case ast.Sub():
            return Span(a.low - b.high, a.high - b.low)
        case ast.Mult():
            corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
            return Span(min(corners), max(corners))
        case ast.FloorDiv():
            divisors = [d for d in (b.low, b.high, -1, 1) if d != 0 and b.low <= d <= b.high]
            corners = [x // d for x in (a.low, a.high) for d in divisors] + (
                [0] if b.low <= 0 <= b.high else []
            )
            return Span(min(corners), max(corners))
        case ast.Mod():
            return Span(min(0, b.low + 1), max(0, b.high - 1))
        case ast.BitAnd() if a.low >= 0 or b.low >= 0:
            return Span(0, min(item.high for item in (a, b) if item.low >= 0))
    bits = max(item.bit_length() for item in (a.low, a.high, b.low, b.high))
    return Span(0 if a.low >= 0 and b.low >= 0 else -(1 << bits), (1 << bits) - 1)
