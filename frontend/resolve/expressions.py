"""Arithmetic in the names of dimensions, such as ``floor(seq/2) + 1`` or ``past_length + 1``.

Exporters write the extents they worked out as expressions over other dimensions' names. They are parsed
by a small recursive descent over whole numbers and fractions; nothing is ever evaluated as code.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

__all__ = ["DimExpression", "parse_dim", "solve"]

_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|([A-Za-z_][A-Za-z0-9_.]*)|(//|\*\*|[-+*/%(),]))")
_LONGEST = 400
_DEEPEST = 40
_LARGEST = 1 << 62

_Evaluate: TypeAlias = Callable[[Mapping[str, int]], Fraction]


class _NotAnExpressionError(Exception):
    pass


@dataclass(frozen=True, slots=True, eq=False)
class DimExpression:
    """A parsed dimension.

    Attributes:
        text: As the file writes it.
        names: Names that it depends on, in order of appearance.
    """

    text: str
    names: tuple[str, ...]
    _evaluate: _Evaluate

    def value(self, known: Mapping[str, int]) -> int | None:
        """The extent with the names' extents ``known``; None when one is missing or there is no result."""
        if self.text in known:
            return known[self.text]
        if any(name not in known for name in self.names):
            return None
        try:
            result = self._evaluate(known)
        except (ZeroDivisionError, OverflowError, _NotAnExpressionError):
            return None
        return math.floor(result)


def _power(left: Fraction, right: Fraction) -> Fraction:
    if right.denominator != 1 or not 0 <= right <= 62 or abs(left) > _LARGEST:
        raise _NotAnExpressionError
    return Fraction(left ** int(right))


_OPERATORS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": lambda left, right: Fraction(left // right),
    "%": lambda left, right: Fraction(left % right),
    "**": _power,
}

_FUNCTIONS: dict[str, Callable[..., Fraction]] = {
    "floor": lambda value: Fraction(math.floor(value)),
    "ceil": lambda value: Fraction(math.ceil(value)),
    "ceiling": lambda value: Fraction(math.ceil(value)),
    "trunc": lambda value: Fraction(math.trunc(value)),
    "round": lambda value: Fraction(round(value)),
    "abs": abs,
    "int": lambda value: Fraction(math.trunc(value)),
    "max": max,
    "min": min,
    "mod": lambda left, right: Fraction(left % right),
    "floordiv": lambda left, right: Fraction(left // right),
    "cleandiv": lambda left, right: Fraction(left // right),
    "floortointdiv": lambda left, right: Fraction(left // right),
    "ceildiv": lambda left, right: Fraction(-(-left // right)),
    "ceiltointdiv": lambda left, right: Fraction(-(-left // right)),
    "pythonmod": lambda left, right: Fraction(left % right),
    "intdiv": lambda left, right: Fraction(left // right),
    "pow": _power,
}


class _Parser:
    def __init__(self, source: str) -> None:
        self.tokens = _tokens(source)
        self.position = 0
        self.depth = 0
        self.names: dict[str, None] = {}

    def parse(self) -> _Evaluate:
        result = self.sum()
        if self.position != len(self.tokens):
            raise _NotAnExpressionError
        return result

    def next_is(self, *accepted: str) -> str | None:
        if self.position < len(self.tokens) and self.tokens[self.position] in accepted:
            self.position += 1
            return self.tokens[self.position - 1]
        return None

    def sum(self) -> _Evaluate:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _NotAnExpressionError
        result = self.product()
        while symbol := self.next_is("+", "-"):
            result = _binary(symbol, result, self.product())
        self.depth -= 1
        return result

    def product(self) -> _Evaluate:
        result = self.signed()
        while symbol := self.next_is("*", "/", "//", "%"):
            result = _binary(symbol, result, self.signed())
        return result

    def signed(self) -> _Evaluate:
        negative = False
        while sign := self.next_is("-", "+"):
            negative ^= sign == "-"
        result = self.atom()
        if self.next_is("**"):
            result = _binary("**", result, self.atom())
        return _binary("-", lambda _: Fraction(0), result) if negative else result

    def atom(self) -> _Evaluate:
        if self.next_is("("):
            result = self.sum()
            if not self.next_is(")"):
                raise _NotAnExpressionError
            return result
        if self.position >= len(self.tokens):
            raise _NotAnExpressionError
        token = self.tokens[self.position]
        self.position += 1
        if token[0].isdigit():
            number = Fraction(token)
            return lambda _: number
        if not (token[0].isalpha() or token[0] == "_"):
            raise _NotAnExpressionError
        if self.next_is("("):
            return self.function(token.rsplit(".", 1)[-1].lower().replace("_", ""))
        self.names.setdefault(token)
        return lambda known: Fraction(known[token])

    def function(self, name: str) -> _Evaluate:
        if name not in _FUNCTIONS:
            raise _NotAnExpressionError
        arguments = [self.sum()]
        while self.next_is(","):
            arguments.append(self.sum())
        if not self.next_is(")"):
            raise _NotAnExpressionError
        wanted = {"max": (1, 9), "min": (1, 9)}.get(
            name, (1, 1) if name in ("floor", "ceil", "ceiling", "trunc", "round", "abs", "int") else (2, 2)
        )
        if not wanted[0] <= len(arguments) <= wanted[1]:
            raise _NotAnExpressionError
        function = _FUNCTIONS[name]
        if name in ("max", "min"):
            return lambda known: function([argument(known) for argument in arguments])
        return lambda known: function(*(argument(known) for argument in arguments))


def _tokens(source: str) -> list[str]:
    tokens, position = [], 0
    source = source.strip()
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise _NotAnExpressionError
        tokens.append(match.group(match.lastindex or 0))
        position = match.end()
    return tokens


def _binary(symbol: str, left: _Evaluate, right: _Evaluate) -> _Evaluate:
    apply = _OPERATORS[symbol]

    def evaluate(known: Mapping[str, int]) -> Fraction:
        result = apply(left(known), right(known))
        if abs(result) > _LARGEST:
            raise OverflowError
        return result

    return evaluate


@lru_cache(256)
def parse_dim(source: str) -> DimExpression:
    """Parse the name of a dimension; what is no expression is an ordinary name of its own."""
    if len(source) <= _LONGEST:
        try:
            parser = _Parser(source)
            evaluate = parser.parse()
        except _NotAnExpressionError:
            pass
        else:
            return DimExpression(source, tuple(parser.names), evaluate)
    return DimExpression(source, (source,), lambda known: Fraction(known[source]))


def solve(expression: DimExpression, extent: int, known: Mapping[str, int]) -> tuple[str, int] | None:
    """The one missing name of a linear ``expression`` and what makes it ``extent``; None when not so."""
    missing = [name for name in expression.names if name not in known]
    if len(missing) != 1:
        return None
    name = missing[0]
    at_zero = expression.value({**known, name: 0})
    at_many = expression.value({**known, name: 1 << 20})
    if at_zero is None or at_many is None or at_many == at_zero:
        return None
    guess = round(Fraction((extent - at_zero) * (1 << 20), at_many - at_zero))
    for candidate in (guess, guess + 1, guess - 1):
        if candidate >= 0 and expression.value({**known, name: candidate}) == extent:
            return name, candidate
    return None
